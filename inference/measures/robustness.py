"""Does a model say the same when the picture or the words change in what does not matter; what is due to words alone?

A variant is another run of a model on the same examples. Most change the picture or the question and leave what is
right as it was ("mirror", "reworded"); "blank_image" and "blank_question" take the picture or the question away. For
every model and variant, over the examples on which both runs were judged:

    accuracy      strategy accuracy of the run compared with and of the variant, and the variant's minus the other's,
                  paired, with a two-sided p of the same draws of pictures; "micro" over all examples, "macro" the mean
                  over the right strategies that occur
    flips         share of the examples on which strategy_right, or the strategy used, is another in the variant. A
                  difference of 0 may hide many flips in both directions.
    answer        the difference of answer accuracy on examples whose right strategy is `answer`

The run compared with is the original; for "options_reversed" it is the variant "options", where the model has one: what
is changed is the order of the options, not whether there are any. Where nothing flips, the draws agree on a difference
of 0, and its interval is as wide as the one of the flips. Leakage: the accuracy without the picture or the question,
beside the best constant policy, which always follows the most frequent strategy: its micro accuracy is that strategy's
share, its macro accuracy 1 / the number of strategies. What the variant has above that, words (or the picture) give
away.
"""

from collections.abc import Sequence

import numpy as np

from clarifyvlm.errors import UserError
from clarifyvlm.records import Example, Verdict
from clarifyvlm.strategies import STRATEGIES
from measures import intervals
from measures.intervals import NO_VALUE, Resampled
from measures.judged import Judged

# What a variant changes, for the page; others are shown by their name alone.
VARIANTS = {
    "mirror": "the picture mirrored, left and right swapped in the words",
    "resize": "the picture at another size",
    "background": "another background",
    "reworded": "the question in other words",
    "options": "the possible answers listed behind the question",
    "options_reversed": "these options in reversed order",
    "blank_image": "no picture",
    "blank_question": "no question",
}
LEAKAGE = "blank_"
ELSEWHERE = "user_"  # variants of the simulated user, which have a section of their own
NO_DIFFERENCE = NO_VALUE | {"p": None}


def measure(
    examples: Sequence[Example],
    models: Sequence[Judged],
    variants: dict[str, list[Judged]],
    *,
    seed: int,
    resamples: int,
) -> dict:
    """JSON-ready {"models", "variants", "leakage"}, {} without variants; an estimate is {"value", "low", "high", "n"}.

    "variants" and "leakage": {variant: {"what", "models": {model: row}}}. A row has "against", "n" (examples on which
    both runs were judged), "accuracy": {"macro", "micro"}, each {"original", "variant", "difference" (with "p")},
    "flips": {"strategy_right", "used_strategy"}, "answer": a difference; of "leakage" also "constant": {"strategy",
    "macro", "micro"}. UserError for a variant of a model that is not one of `models`.
    """
    originals = {model.name: model for model in models}
    shown = {name: runs for name, runs in variants.items() if not name.startswith(ELSEWHERE) and runs}
    columns: dict[tuple[str, str, str], np.ndarray] = {}  # by variant, model and what they hold
    against: dict[tuple[str, str], str] = {}  # by variant and model
    for variant, runs in shown.items():
        for run in runs:
            if run.name not in originals:
                raise UserError(
                    f"variant {variant}: {run.name} is not one of the report's models ({', '.join(originals)}). Add "
                    "its predictions and verdicts on the unchanged examples, or leave this variant of it out."
                )
            against[variant, run.name], partner = _partner(variant, originals[run.name], variants)
            pair = _columns(examples, partner, run)
            columns |= {(variant, run.name, key): column for key, column in pair.items()}
    if not columns:
        return {}
    clusters = intervals.Clusters([e.image_sha256 for e in examples])
    sample = Resampled(columns, clusters, seed=seed, resamples=resamples)
    found: dict[str, dict] = {"variants": {}, "leakage": {}}
    for variant, runs in shown.items():
        part = "leakage" if variant.startswith(LEAKAGE) else "variants"
        rows = {}
        for run in runs:
            rows[run.name] = {"against": against[variant, run.name]} | _row(sample, variant, run.name)
            if part == "leakage":
                both = ~np.isnan(columns[variant, run.name, "used_strategy"])
                rows[run.name]["constant"] = _constant(examples, both)
        found[part][variant] = {"what": VARIANTS.get(variant), "models": rows}
    measured = {name for _, name in against}
    return {"models": [name for name in originals if name in measured], **found}


def _partner(variant: str, original: Judged, variants: dict[str, list[Judged]]) -> tuple[str, Judged]:
    if variant == "options_reversed":
        for run in variants.get("options", []):
            if run.name == original.name:
                return "options", run
    return "original", original


def _columns(examples: Sequence[Example], partner: Judged, run: Judged) -> dict[str, np.ndarray]:
    """What two runs of a model hold, (E,) each; NaN where not both were judged."""
    right, used, answer = np.full((3, 2, len(examples)), np.nan)
    strategies = np.array([e.strategy for e in examples], object)
    names: dict[str | None, int] = {}
    for i in np.flatnonzero(partner.judged(examples) & run.judged(examples)):
        for side, judged in enumerate((partner, run)):
            verdict = judged.verdicts[examples[i].id]
            right[side, i] = _number(verdict, "strategy_right")
            used[side, i] = names.setdefault(verdict.used_strategy, len(names))
            if strategies[i] == "answer" and "answer_right" not in verdict.unknown:
                answer[side, i] = verdict.criteria["answer_right"] or 0.0
    right[:, np.isnan(right).any(axis=0)] = np.nan  # paired: a criterion that one of the judges lacks says nothing
    columns = {
        "strategy_right": _flips(right),
        "used_strategy": _flips(used),
        "answer": answer[1] - answer[0],
    }
    for side, column in zip(("original", "variant"), right, strict=True):
        columns[side] = column
        columns |= {f"{side}.{s}": np.where(strategies == s, column, np.nan) for s in STRATEGIES}
    return columns


def _number(verdict: Verdict, criterion: str) -> float:
    value = verdict.criteria[criterion]
    return np.nan if value is None else float(value)


def _flips(sides: np.ndarray) -> np.ndarray:
    """(2, E) -> (E,) 1 where they differ, NaN where one is missing."""
    return np.where(np.isnan(sides).any(axis=0), np.nan, sides[0] != sides[1])


def _row(sample: Resampled, *of: str) -> dict:
    """The row of a variant and a model, `of`."""
    flips = {key: sample.estimate((*of, key)) for key in ("strategy_right", "used_strategy")}
    macro = {side: [(*of, f"{side}.{s}") for s in STRATEGIES] for side in ("original", "variant")}
    micro = {side: [(*of, side)] for side in ("original", "variant")}
    return {
        "n": sample.count((*of, "used_strategy")),
        "accuracy": {
            "macro": _accuracy(sample, of, macro, flips["strategy_right"]),
            "micro": _accuracy(sample, of, micro, flips["strategy_right"]),
        },
        "flips": flips,
        "answer": _difference(sample, (*of, "answer")),
    }


def _accuracy(sample: Resampled, of: tuple, keys: dict[str, list[tuple]], changed: dict) -> dict:
    """ "original", "variant" and "difference", each side the mean over the columns `keys` has for it."""
    n = changed["n"]
    if not n:
        return {"original": NO_VALUE, "variant": NO_VALUE, "difference": NO_DIFFERENCE}
    (before, before_draws), (after, after_draws) = (sample.mean(keys[side]) for side in ("original", "variant"))
    trials = sample.clusters.touched(sample.columns[*of, "original"])
    difference = intervals.difference(after - before, after_draws - before_draws)
    if changed["value"] == 0:
        difference |= {"low": -changed["high"], "high": changed["high"]}
    return {
        "original": intervals.with_interval(before, before_draws, n, trials=trials, is_share=True),
        "variant": intervals.with_interval(after, after_draws, n, trials=trials, is_share=True),
        "difference": difference | {"n": n},
    }


def _difference(sample: Resampled, key: tuple) -> dict:
    """A difference from a column (E,) of differences."""
    column, n = sample.columns[key], sample.count(key)
    if not n:
        return NO_DIFFERENCE
    row = intervals.difference(float(np.nanmean(column)), sample.draws[key])
    if not np.nansum(np.abs(column)):
        trials = sample.clusters.touched(column)
        none = intervals.with_interval(0.0, sample.draws[key], n, trials=trials, is_share=True)
        row |= {"low": -none["high"], "high": none["high"]}
    return row | {"n": n}


def _constant(examples: Sequence[Example], kept: np.ndarray) -> dict:
    """The best constant policy on the examples `kept` (E,): the strategy it follows and its accuracies."""
    right = [examples[i].strategy for i in np.flatnonzero(kept)]
    counts = {s: right.count(s) for s in STRATEGIES if s in right}
    if not counts:
        return {"strategy": None, "macro": None, "micro": None}
    best = max(counts, key=counts.get)
    return {"strategy": best, "macro": round(1 / len(counts), 6), "micro": round(counts[best] / len(right), 6)}
