"""Metrics corrected for the judge's errors: people label a sample of the responses, the judge all of them.

Prediction-powered inference (Angelopoulos et al. 2023, "Prediction-powered inference", Science 382) takes the judge's
mean over all responses and adds what people and judge differ by on the labeled ones. How much weight the judge gets
follows from how well it agrees (PPI++: Angelopoulos, Duchi & Zrnic, arXiv 2311.01453), so that a bad judge does not
make the interval wider than that of the labels alone.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import model_validator

from clarifyvlm.records import CRITERIA, Example, Record, Strategy, Verdict
from clarifyvlm.strategies import STRATEGIES
from measures import intervals, metrics
from measures.agreement import AUDITED, Labeled, agreement
from measures.contradictions import contradiction
from measures.judged import Judged

MIN_RESPONSES = 20  # labeled responses of a model, and items that two annotators share, before anything is said
MIN_LABELS = 5  # labels that a metric needs, and every strategy for the macro
MIN_STRATUM = 2  # labels that every strategy needs otherwise
MICRO = "strategy_accuracy_micro"
CORRECTED = {  # key in metrics.json -> the metric of metrics.METRICS that it is a mean of
    MICRO: "strategy_accuracy",
    metrics.MACRO: "strategy_accuracy",
    **{key: key for key in ("grounded", "overconfident", "over_asked", "answer_accuracy")},
}


class Label(Record):
    """What a person says of one response; a line of the file that inference/label.py writes."""

    example_id: str
    model: str
    annotator: str
    text: str  # the response, as it was labeled
    used_strategy: Strategy | Literal["none"]
    criteria: dict[str, float | None]

    @model_validator(mode="after")
    def _criteria_are_whole(self):
        if set(self.criteria) != set(CRITERIA):
            raise ValueError(f"criteria must have exactly the keys {', '.join(CRITERIA)}")
        if any(v is not None and not 0 <= v <= 1 for v in self.criteria.values()):
            raise ValueError("criteria must be within 0..1")
        return self


# --- labels -> models --------------------------------------------------------------------------------------------


def match(
    labels: Sequence[Label], models: Sequence[Judged], examples: Sequence[Example], *, seed: int, resamples: int
) -> tuple[dict[str, dict[str, Verdict]], dict]:
    """(people's verdicts by model and example id, what metrics.json says of the labels).

    A label belongs to the model whose folder, or else whose predictions, have its `model`, and only if the response has
    the words that were labeled. One that contradicts itself is not used. Where several people labeled a response, the
    majority counts, criterion by criterion.
    """
    by_id = {example.id: example for example in examples}
    found: dict[tuple[str, str], dict[str, Label]] = {}  # (model, example) -> annotator -> label
    unmatched, other_words, contradictory = Counter(), Counter(), []
    meant = {name: _homes(name, models) for name in {label.model for label in labels}}
    for label in labels:
        homes = meant[label.model]
        said = homes[0].predictions.get(label.example_id) if len(homes) == 1 else None
        if not homes:
            unmatched["no model of that name"] += 1
        elif len(homes) > 1:
            unmatched["several models of that name"] += 1
        elif said is None:
            unmatched["no response to that example"] += 1
        elif said.text != label.text:
            unmatched["the response has other words"] += 1
            other_words[homes[0].name] += 1
        elif why := contradiction(by_id[label.example_id], label.used_strategy, label.criteria):
            contradictory.append(f"{label.example_id} by {label.annotator}: {why}")
        else:
            found.setdefault((homes[0].name, label.example_id), {})[label.annotator] = label
    people: dict[str, dict[str, Verdict]] = {model.name: {} for model in models}
    for (name, example_id), by_annotator in found.items():
        people[name][example_id] = _majority(by_id[example_id], list(by_annotator.values()))
    return people, {
        "labels": len(labels),
        "matched": {name: len(verdicts) for name, verdicts in people.items()},
        "unmatched": dict(unmatched),
        "other_words": dict(other_words),
        "contradictory": contradictory,
        "annotators": dict(Counter(label.annotator for label in labels)),
        "agreement": _annotators_agree(labels, found, by_id, seed=seed, resamples=resamples),
    }


def _homes(name: str, models: Sequence[Judged]) -> list[Judged]:
    """The models that a label's `model` may mean: the folder of that name, else those whose predictions say it."""
    folders = [model for model in models if model.name == name]
    return folders or [model for model in models if any(p.model == name for p in model.predictions.values())]


def _majority(example: Example, labels: list[Label]) -> Verdict:
    """What most annotators say; of equally many, who came first."""
    used = _most(label.used_strategy for label in labels)
    criteria = {name: _most(label.criteria[name] for label in labels) for name in CRITERIA}
    criteria["strategy_right"] = float(used == example.strategy)
    return Verdict(example_id=example.id, judge="people", used_strategy=used, criteria=criteria)


def _most(values):
    return Counter(values).most_common(1)[0][0]


def _annotators_agree(labels, found, by_id: dict[str, Example], *, seed: int, resamples: int) -> dict | None:
    """{"annotators": [two names], "criteria": {name: {"n", "accuracy", "kappa", ...}}} of the first two, or None."""
    first_two = list(dict.fromkeys(label.annotator for label in labels))[:2]
    pairs = [
        (by_id[example_id], *(by_annotator[name] for name in first_two))
        for (_, example_id), by_annotator in found.items()
        if len(first_two) == 2 and set(first_two) <= set(by_annotator)
    ]
    if not pairs:
        return None
    one = [Labeled(e, "people", a.text, {"used_strategy": a.used_strategy, **a.criteria}) for e, a, _ in pairs]
    other = [
        Verdict(example_id=e.id, judge=b.annotator, used_strategy=b.used_strategy, criteria=b.criteria)
        for e, _, b in pairs
    ]
    rows = {name: agreement(name, one, other, seed=seed, resamples=resamples) for name in AUDITED}
    return {"annotators": first_two, "criteria": {name: row for name, row in rows.items() if row["n"] >= MIN_RESPONSES}}


# --- the estimate ------------------------------------------------------------------------------------------------


def correct(
    examples: Sequence[Example], model: Judged, people: dict[str, Verdict], *, seed: int, resamples: int
) -> dict[str, dict]:
    """{metric of CORRECTED: what `estimate` returns} of one model; `people` are the verdicts on labeled responses."""
    clusters = intervals.Clusters([example.image_sha256 for example in examples])
    strata = np.array([list(STRATEGIES).index(example.strategy) for example in examples])
    judged = {i: v for i, v in model.verdicts.items() if v.failure is None}
    result = {}
    for key, name in CORRECTED.items():
        by_judge, by_people = (_column(name, examples, model, verdicts) for verdicts in (judged, people))
        options = {"macro": key == metrics.MACRO, "seed": seed, "resamples": resamples}
        result[key] = estimate(by_judge, by_people, strata, clusters, **options)
    return result


def _column(name: str, examples: Sequence[Example], model: Judged, verdicts: dict[str, Verdict]) -> np.ndarray:
    """(E,) the metric by one set of verdicts, NaN where it says nothing."""
    value = metrics.METRICS[name].value
    found = [value(e, verdicts[e.id], model.predictions[e.id]) if e.id in verdicts else None for e in examples]
    return np.array([np.nan if v is None else v for v in found], float)


def estimate(
    judge: np.ndarray,
    people: np.ndarray,
    strata: np.ndarray,
    clusters: intervals.Clusters,
    *,
    macro: bool = False,
    seed: int,
    resamples: int,
) -> dict:
    """{"value", "low", "high", "n", "judge_value", "lam", "differ"} of a share, corrected for the judge's errors.

    `judge` (E,) holds the judge's values 0..1 of all responses and `people` (E,) those of the labeled ones, NaN
    elsewhere; `strata` (E,) numbers the strategies. `n` counts labeled responses, `differ` those of them on which
    judge and people differ, `judge_value` is not corrected, `lam` (0..1) is the judge's weight. `macro`: the mean of
    the strata, each weighing the same. value, low, high and lam are None below MIN_LABELS labels, or where a stratum
    that occurs has fewer than MIN_STRATUM (macro: MIN_LABELS). The interval is 95 %, percentiles of draws of pictures,
    each with all of its responses and labels.

    Where the judge never says less (or never more) than people do, all draws agree that it never would, and would claim
    certainty: what so few labels cannot exclude, by Wilson's interval, widens that side.
    """
    people = np.where(np.isnan(judge), np.nan, people)
    labeled = ~np.isnan(people)
    groups = [strata == s for s in np.unique(strata[~np.isnan(judge)])]
    parts = [judge[group & ~np.isnan(judge)].mean() for group in groups]
    n = int(labeled.sum())
    result = intervals.NO_VALUE | {"n": n, "judge_value": None, "lam": None}
    result["differ"] = int(np.sum(np.abs(people - judge)[labeled] > 1e-9))
    if not groups:
        return result
    result["judge_value"] = round(float(np.mean(parts) if macro else np.nanmean(judge)), 6)
    if n < MIN_LABELS or min((labeled & g).sum() for g in groups) < (MIN_LABELS if macro else MIN_STRATUM):
        return result
    columns = np.concatenate([_moments(judge, people, group) for group in groups], axis=1)
    whole = np.nanmean(columns, axis=0, keepdims=True)
    draws = intervals.bootstrap(columns, clusters, seed=seed, resamples=resamples)
    value, lam = _combine(whole.reshape(1, len(groups), -1), macro)
    values, _ = _combine(draws.reshape(resamples, len(groups), -1), macro)
    trials = clusters.touched(people)
    result |= intervals.with_interval(float(value[0]), values, n, trials=trials, is_share=True)
    if 0 < result["value"] < 1:
        result |= _widened(result, float(lam[0]), judge, people, clusters)
    return result | {"lam": round(float(lam[0]), 6)}


def _widened(row: dict, lam: float, judge: np.ndarray, people: np.ndarray, clusters: intervals.Clusters) -> dict:
    """ "low" and "high" of `row` with room for the errors of the judge that no label shows."""

    def unseen(shown: bool, room: float, could: np.ndarray) -> float:
        """How far errors that none of the labels in `could` (E,) shows may move the estimate."""
        trials = clusters.touched(np.where(could, people, np.nan))
        return 0.0 if shown else lam * room * intervals.Z**2 / (trials + intervals.Z**2)

    value, said = row["value"], row["judge_value"]
    up = unseen((people > judge).any(), 1 - said, judge < 1)
    down = unseen((people < judge).any(), said, judge > 0)
    low, high = value - np.hypot(value - row["low"], down), value + np.hypot(row["high"] - value, up)
    return {"low": round(max(0.0, float(low)), 6), "high": round(min(1.0, float(high)), 6)}


def _moments(judge: np.ndarray, people: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(E, 7) columns whose means are what `_combine` needs of one stratum, in its order."""
    everything, labeled = group & ~np.isnan(judge), group & ~np.isnan(people)
    among = np.where(labeled, judge, np.nan)
    shares = [labeled.astype(float), everything.astype(float)]
    return np.stack(
        [*shares, np.where(everything, judge, np.nan), among, people + 0 * among, among**2, among * people]
    ).T


def _combine(moments: np.ndarray, macro: bool) -> tuple[np.ndarray, np.ndarray]:
    """(B, S, 7) -> estimates (B,) within 0..1 and the judge's weights (B,).

    label.py draws as many labels of every right strategy, whatever their numbers in the test set. A plain mean of the
    labels would be of that mixture: so the estimate is made within each strategy, and these are put together by the
    strategies' shares in the judged responses (post-stratification). A draw without labels of a stratum goes without.
    """
    labeled, everything, over_all, judge, people, judge_squared, product = np.moveaxis(moments, 2, 0)  # (B, S) each
    there = labeled > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = np.where(there, 1.0 if macro else everything, 0.0)
        weights /= weights.sum(axis=1, keepdims=True)
        # The variance is that of the labels' mean, less 2 lam cov, plus lam^2 var, both times (1/n - 1/N).
        scale = np.where(there, weights**2 * (1 / labeled - 1 / everything), 0.0)
        cov = np.where(there, scale * (product - judge * people), 0.0).sum(axis=1)
        var = np.where(there, scale * (judge_squared - judge**2), 0.0).sum(axis=1)
        # A judge that says one thing of all labels gives no slope: plain prediction-powered inference, lam = 1.
        lam = np.where(var > 1e-12, np.clip(cov / var, 0.0, 1.0), 1.0)
        value = np.where(there, weights * (people + lam[:, None] * (over_all - judge)), 0.0).sum(axis=1)
    value = np.clip(np.round(value, 12), 0.0, 1.0)
    return np.where(there.any(axis=1), value, np.nan), lam
