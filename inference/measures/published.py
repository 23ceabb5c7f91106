"""The published benchmarks' own metrics, on examples that dataset_generation/benchmark.py made of their rows.

    vqa_accuracy   VQAv2, VizWiz, GQA, MM-UPD, ClearVQA's clear questions: the response, normalized, against the answers
                   that people gave. With ten of them: the mean over all sets of nine of min(1, how many agree / 3)
                   (Antol et al. 2015); with one, whether it is that one. The whole response counts: a sentence around
                   the answer makes it another answer, as it does there.
    vqa_named      ours: the same, where an answer counts as given if the response has its words one after another
    unanswerable   VizWiz: precision, recall and F1 of abstaining where people found the question unanswerable
    ambiguous      VQ-FocusAmbiguity: the same of noticing that a question is ambiguous (infer, enumerate or clarify)

AQuA's table, ClearVQA's asking and MM-UPD's dual score are in strata.py.
"""

import itertools
import re
from collections.abc import Callable, Sequence

import numpy as np

from clarifyvlm.language.layout import after_reasoning
from clarifyvlm.records import Example, Verdict
from measures import detection, intervals
from measures.judged import Judged

ACCURACIES = {"vqa_accuracy": "the response is the answer", "vqa_named": "the response has the answer's words"}
NOTICED = {
    "unanswerable": (
        lambda example: example.strategy == "abstain" if example.provenance.get("benchmark") == "vizwiz" else None,
        lambda verdict: verdict.used_strategy == "abstain",
    ),
    "ambiguous": (
        lambda example: example.provenance.get("ambiguous"),
        lambda verdict: verdict.used_strategy in ("infer", "enumerate", "clarify"),
    ),
}
ASKED = {  # its rates are in strata.py
    "asking": (
        lambda example: example.strategy == "clarify" if example.provenance.get("benchmark") == "clearvqa" else None,
        lambda verdict: verdict.used_strategy == "clarify",
    )
}
NUMBERS = dict(zip("none zero one two three four five six seven eight nine ten".split(), "00123456789", strict=False))
NUMBERS["ten"] = "10"
ARTICLES = ("a", "an", "the")


def measure(examples: Sequence[Example], models: Sequence[Judged], *, seed: int, resamples: int) -> dict:
    """{model: {"vqa_accuracy", "vqa_named": estimate, "unanswerable", "ambiguous": {precision, recall, f1, accuracy:
    estimate}}}, of those that apply to the examples; {} where none does. An estimate is {"value", "low", "high", "n"}.
    """
    clusters = intervals.Clusters([e.image_sha256 for e in examples])
    applies = {key: [should(e) for e in examples] for key, (should, _) in NOTICED.items()}
    draws = {"seed": seed, "resamples": resamples}
    found = {}
    for model in models:
        rows = {}
        for key, given in (("vqa_accuracy", same), ("vqa_named", named)):
            column = np.array([_score(e, model, given) for e in examples], dtype=float)
            if not np.isnan(column).all():
                rows[key] = intervals.Resampled({key: column}, clusters, **draws).estimate(key)
        for key, (_, did) in NOTICED.items():
            if any(value is not None for value in applies[key]):
                columns = _noticed(examples, model, applies[key], did)
                rows[key] = detection.rates(*columns, clusters, **draws)
        if rows:
            found[model.name] = rows
    return found


def differences(
    examples: Sequence[Example], models: Sequence[Judged], baseline: str | None = None, *, seed: int, resamples: int
) -> list[dict]:
    """Rows {"a", "b", "metric", "value", "low", "high", "p", "n"}: a minus b in the accuracies, and in F1 of noticing
    and of asking, on the n examples where both have a value; paired by the same draws of pictures. With a `baseline`,
    against that model only. What hangs on verdicts is compared where both were judged by the same."""
    clusters = intervals.Clusters([e.image_sha256 for e in examples])
    noticed = NOTICED | ASKED
    applies = {key: [should(e) for e in examples] for key, (should, _) in noticed.items()}
    draws = {"seed": seed, "resamples": resamples}
    found = []
    for b, a in itertools.combinations(models, 2):
        if baseline not in (None, a.name, b.name):
            continue
        a, b = (b, a) if a.name == baseline else (a, b)
        rows = {}
        for key, given in (("vqa_accuracy", same), ("vqa_named", named)):
            column = np.array([_score(e, a, given) - _score(e, b, given) for e in examples], dtype=float)
            if n := int(np.sum(~np.isnan(column))):
                drawn = intervals.Resampled({key: column}, clusters, **draws).draws[key]
                rows[key] = intervals.difference(float(np.nanmean(column)), drawn) | {"n": n}
        for key, (_, did) in noticed.items() if a.judges == b.judges else ():
            if any(value is not None for value in applies[key]):
                both = (_noticed(examples, model, applies[key], did) for model in (a, b))
                rows[f"{key}.f1"] = detection.difference(*both, clusters, **draws)
        found += [{"a": a.name, "b": b.name, "metric": key, **row} for key, row in rows.items() if row]
    return found


def _score(example: Example, model: Judged, given: Callable[[str, str], bool]) -> float:
    people, accepted = (example.provenance.get(key) for key in ("answers", "accepted"))
    prediction = model.predictions.get(example.id)
    if example.strategy != "answer" or prediction is None or not (people or accepted):
        return np.nan
    said = after_reasoning(prediction.text)
    if accepted:
        return float(any(given(said, answer) for answer in accepted))
    return vqa_accuracy(said, people, given)


def vqa_accuracy(response: str, answers: Sequence[str], given: Callable[[str, str], bool]) -> float:
    """0..1: the mean over the people who answered of min(1, how many of the others agree / 3); with one, 0 or 1."""
    agree = [given(response, answer) for answer in answers]
    if len(agree) == 1:
        return float(agree[0])
    return float(np.mean([min(1.0, (sum(agree) - own) / 3) for own in agree]))


def same(response: str, answer: str) -> bool:
    return normalized(response) == normalized(answer)


def named(response: str, answer: str) -> bool:
    """Whether the response has the answer's words, one after another."""
    words = normalized(answer)
    return bool(words) and f" {words} " in f" {normalized(response)} "


def normalized(text: str) -> str:
    """Lower case, no articles, no punctuation, number words as digits (VQA's normalization but for contractions)."""
    text = re.sub(r"(?<=\d),(?=\d)", "", text.casefold())
    text = re.sub(r"(?<!\d)\.|\.(?!\d)", " ", text.replace("'", ""))
    words = re.sub(r"[^\w\s.:]|_", " ", text).split()
    return " ".join(NUMBERS.get(word, word) for word in words if word not in ARTICLES)


def _noticed(
    examples: Sequence[Example], model: Judged, should: list[bool | None], did: Callable[[Verdict], bool]
) -> np.ndarray:
    """(2, E): whether the model noticed, whether it should; NaN where that is not known or the judge failed."""
    table = np.full((2, len(examples)), np.nan)
    for i, (example, truth) in enumerate(zip(examples, should, strict=True)):
        verdict = model.verdict_on(example.id)
        if truth is not None and verdict is not None:
            table[:, i] = did(verdict), truth
    return table
