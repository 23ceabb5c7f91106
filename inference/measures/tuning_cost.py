"""What tuning cost: how well each model still answers questions that have one reading, beside the model before tuning.

Learning when to ask must not cost the answers to plain questions. These are a set of their own (unambiguous.jsonl of
generate.py, or rows of VQAv2, GQA or POPE), with as many questions of every kind as an interval needs.
"""

from collections.abc import Sequence

import numpy as np

from clarifyvlm.records import Example, Verdict
from measures import intervals, metrics
from measures.judged import Judged

INSTEAD = {"abstain": "abstained", "clarify": "asked", "correct": "corrected", "enumerate": "listed"}


def measure(examples: Sequence[Example], models: Sequence[Judged], *, seed: int, resamples: int) -> dict:
    """{"before": name of the first model, "examples", "kinds": kind -> questions, "models": name -> accuracy over all
    kinds (each weighs the same) and by kind, what was done instead of answering, and the differences to "before"}."""
    kinds = sorted({example.kind for example in examples})
    of_kind = {kind: np.array([example.kind == kind for example in examples]) for kind in kinds}
    columns, before = {}, None
    for model in models:
        verdicts = [model.verdict_on(example.id) for example in examples]
        right = metrics.columns(examples, model)["answer_accuracy"]  # who asks, lists or abstains gave no answer
        before = right if before is None else before
        for kind in kinds:
            columns[model.name, kind] = np.where(of_kind[kind], right, np.nan)
            columns[model.name, kind, "change"] = np.where(of_kind[kind], right - before, np.nan)
        for strategy, done in INSTEAD.items():
            columns[model.name, done] = np.array([_used(verdict, strategy) for verdict in verdicts], float)
        columns[model.name, "coverage"] = model.understood(examples)
    clusters = intervals.Clusters([example.image_sha256 for example in examples])
    sample = intervals.Resampled(columns, clusters, seed=seed, resamples=resamples)
    rows = {}
    for name in (model.name for model in models):
        value, draws = sample.mean((name, kind) for kind in kinds)
        n = sum(sample.count((name, kind)) for kind in kinds)
        rows[name] = {
            "accuracy": intervals.with_interval(value, draws, n, trials=clusters.count, is_share=True)
            if n
            else intervals.NO_VALUE,
            "by_kind": {kind: sample.estimate((name, kind)) for kind in kinds},
            **{done: sample.estimate((name, done)) for done in (*INSTEAD.values(), "coverage")},
            "difference": _change(sample, name, kinds) if name != models[0].name else None,
            "difference_by_kind": {k: _change(sample, name, [k]) for k in kinds} if name != models[0].name else {},
        }
    counts = {kind: int(where.sum()) for kind, where in of_kind.items()}
    return {"before": models[0].name, "examples": len(examples), "kinds": counts, "models": rows}


def _used(verdict: Verdict | None, strategy: str) -> float:
    return np.nan if verdict is None or verdict.used_strategy is None else float(verdict.used_strategy == strategy)


def _change(sample: intervals.Resampled, name: str, kinds: Sequence[str]) -> dict | None:
    """A model minus the first, over the questions on which both were judged; the mean over `kinds`."""
    value, draws = sample.mean((name, kind, "change") for kind in kinds)
    return None if np.isnan(value) else intervals.difference(value, draws)
