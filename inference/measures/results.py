"""From verdicts to the main part of metrics.json: every model's metrics, and the differences between models."""

import itertools
from collections.abc import Sequence

import numpy as np

from clarifyvlm.records import Example
from clarifyvlm.strategies import AMBIGUITY_TYPES, STRATEGIES
from clarifyvlm.users import USER_KINDS
from measures import intervals, metrics
from measures.judged import Judged

BY_USER = [f"right_in_the_end.{kind}" for kind in USER_KINDS]
BY_STRATEGY = [f"strategy_accuracy.{s}" for s in STRATEGIES]
METRICS_SHOWN = [key for key in metrics.OVERVIEW if key != metrics.MACRO]
AS_WRONG = "not understood as wrong"
# What differences are taken of, besides the macro.
COMPARED = [*(name for name in metrics.METRICS if name != "strategy_accuracy"), *BY_STRATEGY, *BY_USER]


def measure(
    examples: Sequence[Example],
    models: Sequence[Judged],
    *,
    seed: int,
    resamples: int,
    baseline: str | None = None,
) -> dict:
    """The main part of metrics.json: "models", "differences" and "judges" (of every model).

    Models with different sets of judges are not compared: their difference may be one between the judges. With a
    `baseline`, each model is compared with that one only.
    """
    tables = {m.name: metrics.columns(examples, m) for m in models}
    strategies = np.array([example.strategy for example in examples])
    kept = {m.name: m.judged(examples) for m in models}
    judges = {m.name: m.judges for m in models}
    columns: dict[tuple, np.ndarray] = {}

    def block(name: str, where: np.ndarray, ended: np.ndarray) -> tuple:
        """Add the columns of a model, NaN outside `where` (E,); `served` is also NaN where a dialogue has no end, or
        not in the other model of a pair (outside `ended`). Returns what their keys start with."""
        prefix = (name, where.tobytes(), ended.tobytes())
        for key, column in tables[name].items():
            columns[*prefix, key] = np.where(where & ended if key == "served" else where, column, np.nan)
        return prefix

    ends = {name: ~np.isnan(table["served"]) for name, table in tables.items()}
    blocks = {name: block(name, where, ends[name]) for name, where in kept.items()}
    pairs = []
    for earlier, later in itertools.combinations(judges, 2):
        if judges[earlier] != judges[later] or (baseline and baseline not in (earlier, later)):
            continue
        if later == baseline:
            earlier, later = later, earlier
        common = kept[earlier] & kept[later]
        ended = ends[earlier] & ends[later]
        if common.any():
            pairs.append((later, earlier, block(later, common, ended), block(earlier, common, ended)))
    for m in models:
        read = columns[m.name, "coverage"] = m.understood(examples)
        columns |= {(m.name, f"coverage.{s}"): np.where(strategies == s, read, np.nan) for s in STRATEGIES}
        wrong = metrics.columns(examples, m, as_wrong=True)
        columns |= {(m.name, AS_WRONG, key): wrong[key] for key in (*BY_STRATEGY, *METRICS_SHOWN)}
    clusters = intervals.Clusters([e.image_sha256 for e in examples])
    sample = intervals.Resampled(columns, clusters, seed=seed, resamples=resamples)
    return {
        "models": {m.name: _one(m, examples, sample, blocks[m.name]) for m in models},
        "differences": [row for pair in pairs for row in _differences(sample, *pair)],
        "judges": judges,
    }


def _one(model: Judged, examples: Sequence[Example], sample: intervals.Resampled, block: tuple) -> dict:
    def estimate(key: str) -> dict:
        return sample.estimate((*block, key), is_share=metrics.is_share(key))

    wrong = (model.name, AS_WRONG)
    as_wrong = {metrics.MACRO: _macro(sample, wrong)} | {
        key: sample.estimate((*wrong, key), is_share=metrics.is_share(key)) for key in METRICS_SHOWN
    }
    result = {
        "coverage": sample.estimate((model.name, "coverage")),
        "coverage_by_strategy": {s: sample.estimate((model.name, f"coverage.{s}")) for s in STRATEGIES},
        "not_understood_as_wrong": as_wrong,
        metrics.MACRO: _macro(sample, block),
        "strategy_accuracy_micro": estimate("strategy_accuracy"),
        "strategy_accuracy": {s: estimate(f"strategy_accuracy.{s}") for s in STRATEGIES},
        "strategy_accuracy_by_type": {
            t: row for t in AMBIGUITY_TYPES if (row := estimate(f"strategy_accuracy_by_type.{t}"))["n"]
        },
    }
    by_user = {kind: estimate(key) for kind, key in zip(USER_KINDS, BY_USER, strict=True)}
    result["right_in_the_end_by_user"] = {kind: row for kind, row in by_user.items() if row["n"]}
    result |= {key: estimate(key) for key in metrics.METRICS if key != "strategy_accuracy"}
    failures = model.failures
    return result | {
        "judge": ", ".join(model.judges),
        "judge_failures": sum(failures.values()),
        "judge_failures_by_name": failures,
        "unknown": model.unknown,
        "with_reasoning": model.with_reasoning,
        "examples": len(model.predictions),
        "confusion": metrics.confusion(examples, model),
    }


def _macro(sample: intervals.Resampled, block: tuple) -> dict:
    """Strategy accuracy, each strategy that occurs weighing the same."""
    n = sum(sample.count((*block, key)) for key in BY_STRATEGY)
    if not n:
        return intervals.NO_VALUE
    judged = np.any([~np.isnan(sample.columns[*block, key]) for key in BY_STRATEGY], axis=0)
    trials = sample.clusters.touched(np.where(judged, 1.0, np.nan))
    value, draws = sample.mean((*block, key) for key in BY_STRATEGY)
    return intervals.with_interval(value, draws, n, trials=trials, is_share=True)


def _differences(sample: intervals.Resampled, a: str, b: str, block_a: tuple, block_b: tuple) -> list[dict]:
    """Rows "a minus b" on the examples that both were judged on; a metric that one of them lacks gives none."""
    judged, rows = sample.count((*block_a, "strategy_accuracy")), []
    for metric in [metrics.MACRO, *COMPARED]:
        keys = BY_STRATEGY if metric == metrics.MACRO else [metric]
        value_a, draws_a = sample.mean((*block_a, key) for key in keys)
        value_b, draws_b = sample.mean((*block_b, key) for key in keys)
        if np.isnan(value_a) or np.isnan(value_b):
            continue
        row = intervals.difference(value_a - value_b, draws_a - draws_b)
        n = sample.count((*block_a, metric)) if metric == "served" else judged
        rows.append({"a": a, "b": b, "metric": metric, **row, "n": n})
    return rows
