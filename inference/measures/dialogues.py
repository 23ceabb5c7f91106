"""Does asking pay in the end? Whole dialogues: right answers by the number of replies, their cost, and other users.

Of the questions where asking is right (`clarify`), the share on which the user is left with the right answer for the
reading that they mean:

    direct         by the first response alone: a guess that happens to be right
    one_reply      after at most one reply
    two_replies    after at most two; None where no dialogue went on so long

Where the model asked and nobody replied, only the first is known. `served` is the same over all questions, by
metrics.served; `questions`, the mean number of clarifying questions of the dialogues; `tokens_per_served`, all tokens
that the model wrote over the questions that it served.

By kind of user (users.USER_KINDS), of the same run or of runs of their own: what the last response does then.
After "I don't know" the right answer cannot be known; whoever asserts one reading all the same guesses confidently.
`by_chance` is how often a guess among the readings is right: often more than one of them has the same answer.
"""

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np

from clarifyvlm import rewards
from clarifyvlm.records import AFTER_REPLY, INFORMED, Example, Prediction, Verdict
from clarifyvlm.strategies import STRATEGIES
from clarifyvlm.users import USER_KINDS
from measures import intervals, metrics
from measures.intervals import NO_VALUE, Resampled
from measures.judged import Judged

PREFIX = "user_"  # of the variants that are runs with another user
REPLIES = ("direct", "one_reply", "two_replies")
SHARES = (*REPLIES, *(f"served.{key}" for key in REPLIES))
COLUMNS = (*SHARES, "questions", "tokens", "served")


def measure(
    examples: Sequence[Example],
    models: Sequence[Judged],
    variants: dict[str, list[Judged]],
    *,
    seed: int,
    resamples: int,
) -> dict:
    """JSON-ready {"models", "by_chance", "users"}; an estimate is {"value", "low", "high", "n"}.

    Each of "models" has "accuracy" and "served" ({direct, one_reply, two_replies}), "questions", "tokens_per_served".
    "users": {kind: {model: {"dialogues", "then": {strategy or none: estimate}, "right" (users who told the reading) or
    "confident_guess" (the others): estimate}}}; of the models' own run, unless a variant is of that kind.
    """
    clusters = intervals.Clusters([e.image_sha256 for e in examples])
    found = {}
    for model in models:
        sample = Resampled(_columns(examples, model), clusters, seed=seed, resamples=resamples)
        rows = {key: sample.estimate(key, is_share=key in SHARES) for key in (*SHARES, "questions")}
        if not _went_on(model):
            rows["two_replies"] = rows["served.two_replies"] = NO_VALUE
        found[model.name] = {
            "accuracy": {key: rows[key] for key in REPLIES},
            "served": {key: rows[f"served.{key}"] for key in REPLIES},
            "questions": rows["questions"],
            "tokens_per_served": _ratio(sample, "tokens", "served"),
        }
    runs = {kind: [_with(kind, model) for model in models] for kind in USER_KINDS} | {
        name.removeprefix(PREFIX): judged for name, judged in variants.items() if name.startswith(PREFIX)
    }
    users = {
        kind: {run.name: row for run in runs[kind] if (row := _user(kind, examples, run, clusters, seed, resamples))}
        for kind in sorted(
            runs, key=lambda kind: list(USER_KINDS).index(kind) if kind in USER_KINDS else len(USER_KINDS)
        )
    }
    users = {kind: rows for kind, rows in users.items() if rows}
    return {"models": found, "by_chance": _by_chance(examples), "users": users}


def _with(kind: str, model: Judged) -> Judged:
    """What a model said in dialogues with users of a kind."""
    said = {i: p for i, p in model.predictions.items() if (p.user_kind or "helpful") == kind}
    return Judged(model.name, said, {i: v for i, v in model.verdicts.items() if i in said})


def _columns(examples: Sequence[Example], model: Judged) -> dict[str, np.ndarray]:
    """COLUMNS, each (E,), NaN where the judge failed or it does not apply."""
    table = np.full((len(COLUMNS), len(examples)), np.nan)
    for i, example in enumerate(examples):
        verdict = model.verdict_on(example.id)
        if verdict is None or AFTER_REPLY in verdict.unknown:
            continue
        prediction = model.predictions[example.id]
        replies = sum(turn.role == "user" for turn in prediction.turns)
        after = metrics.right_after_reply(example, verdict, prediction) or 0.0
        at_once = metrics.served_at_once(example, verdict)
        at_once = np.nan if at_once is None else at_once
        guess = _guessed_right(example, verdict, prediction)
        by_replies = [guess, *(after if 0 < replies <= most else guess for most in (1, 2))]
        served = [at_once, *(max(at_once, after) if 0 < replies <= most else at_once for most in (1, 2))]
        if metrics.ends_open(example, verdict, prediction):  # only what there is without a reply is known
            by_replies[1:] = served[1:] = np.nan, np.nan
        if example.strategy == "clarify":
            table[:3, i] = by_replies
        table[3:6, i] = served
        if replies:
            table[6, i] = replies + (verdict.used_after_reply == "clarify")
        if prediction.completion_tokens and not np.isnan(served[-1]):
            table[7:, i] = sum(prediction.completion_tokens), served[-1]
    return dict(zip(COLUMNS, table, strict=True))


def _guessed_right(example: Example, verdict: Verdict, prediction: Prediction) -> float:
    """Whether the first response asserts the answer of the reading that the user has in mind (drawn as predict.py
    draws it, where nobody replied)."""
    readings = example.ambiguity.readings
    if prediction.reading is None and readings:
        meant = random.Random(f"{prediction.seed or 0}:{example.id}").randrange(len(readings))
        prediction = prediction.model_copy(update={"reading": meant})
    return float(rewards.guessed_right(example, verdict, prediction))


def _by_chance(examples: Sequence[Example]) -> float | None:
    """Mean over the `clarify` questions of the chance that a reading drawn at random has the answer that is meant."""
    agree = []
    for example in examples:
        if example.strategy == "clarify" and (readings := example.ambiguity.readings):
            count = Counter(rewards.words(r.answer or "") for r in readings)
            agree.append(sum((n / len(readings)) ** 2 for n in count.values()))
    return float(np.mean(agree)) if agree else None


def _went_on(model: Judged) -> bool:
    return any(sum(turn.role == "user" for turn in p.turns) > 1 for p in model.predictions.values())


def _ratio(sample: Resampled, above: str, below: str) -> dict:
    """Sum over sum; both columns are there for the same examples, so their number falls out."""
    n, total = sample.count(above), np.nansum(sample.columns[below])
    if not n or not total:
        return NO_VALUE
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = sample.draws[above] / sample.draws[below]
    value = np.nansum(sample.columns[above]) / total
    return intervals.with_interval(float(value), drawn[np.isfinite(drawn)], n, trials=n, is_share=False)


def _user(
    kind: str, examples: Sequence[Example], run: Judged, clusters: intervals.Clusters, seed: int, resamples: int
) -> dict | None:
    """What the last responses do after this user's replies, on `clarify` questions; None where there is no dialogue."""
    names = [*STRATEGIES, "none", "right", "confident_guess"]
    table = np.full((len(names), len(examples)), np.nan)
    for i, example in enumerate(examples):
        verdict = run.verdict_on(example.id)
        if example.strategy != "clarify" or verdict is None or verdict.used_after_reply is None:
            continue
        did = verdict.used_after_reply
        table[:7, i] = [did == name for name in names[:7]]
        table[7, i] = np.nan if verdict.answer_right_after_reply is None else verdict.answer_right_after_reply
        table[8, i] = did in ("answer", "infer")
    sample = Resampled(dict(zip(names, table, strict=True)), clusters, seed=seed, resamples=resamples)
    if not sample.count("none"):
        return None
    rows = {key: sample.estimate(key) for key in names}
    outcome = "right" if kind in INFORMED else "confident_guess"
    return {"dialogues": rows["none"]["n"], "then": {key: rows[key] for key in names[:7]}, outcome: rows[outcome]}
