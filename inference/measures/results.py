"""From verdicts to metrics.json: every model's metrics, the constant policies', and the differences between models."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clarifyvlm.records import Example, Prediction, Verdict
from clarifyvlm.strategies import AMBIGUITY_TYPES, STRATEGIES
from measures import intervals, metrics

STRATA = {
    "strategy_accuracy": [f"strategy_accuracy.{s}" for s in STRATEGIES],
    "strategy_accuracy_by_type": [f"strategy_accuracy_by_type.{t}" for t in AMBIGUITY_TYPES],
}
# What differences are taken of, besides the macro.
COMPARED = [*(name for name in metrics.METRICS if name != "strategy_accuracy"), *STRATA["strategy_accuracy"]]


@dataclass
class Judged:
    """One model's responses with their verdicts, by example id."""

    name: str
    predictions: dict[str, Prediction]
    verdicts: dict[str, Verdict]

    def judged(self, examples: Sequence[Example]) -> np.ndarray:
        """(E,) whether the example has a verdict that did not fail."""
        return np.array([(v := self.verdicts.get(e.id)) is not None and v.failure is None for e in examples], bool)

    @property
    def failures(self) -> dict[str, int]:
        """Judge failures by name."""
        names = [v.failure for v in self.verdicts.values() if v.failure is not None]
        return {name: names.count(name) for name in sorted(set(names))}

    @property
    def judges(self) -> list[str]:
        """The names of the judges that gave the verdicts."""
        return sorted({v.judge for v in self.verdicts.values()})


class _Pool:
    """Columns of all models, bootstrapped together so that all see the same draws of pictures."""

    def __init__(self):
        self.keys: list[str] = []
        self.blocks: dict[tuple, np.ndarray] = {}

    def add(self, model: str, columns: dict[str, np.ndarray], kept: np.ndarray) -> tuple:
        """`columns` of `model`, NaN outside `kept` (E,). Returns the name of the block."""
        self.keys = list(columns)
        name = (model, kept.tobytes())
        if name not in self.blocks:
            self.blocks[name] = np.where(kept[:, None], np.stack(list(columns.values()), axis=1), np.nan)
        return name

    def draw(self, clusters: intervals.Clusters, seed: int, resamples: int) -> None:
        blocks = np.concatenate(list(self.blocks.values()), axis=1)
        draws = intervals.bootstrap(blocks, clusters, seed=seed, resamples=resamples)
        parts = np.split(draws, len(self.blocks), axis=1)
        self.draws = dict(zip(self.blocks, parts, strict=True))

    def column(self, block: tuple, key: str) -> tuple[np.ndarray, np.ndarray]:
        """(E,) values and (B,) draws of one key."""
        k = self.keys.index(key)
        return self.blocks[block][:, k], self.draws[block][:, k]

    def macro(self, block: tuple) -> tuple[float, np.ndarray]:
        """The mean over the strategies that occur, and its draws (B,)."""
        columns = [self.column(block, key) for key in STRATA["strategy_accuracy"]]
        columns = [(v, d) for v, d in columns if not np.isnan(v).all()]
        if not columns:
            return float("nan"), np.empty(0)
        draws = np.array([d for _, d in columns])
        with np.errstate(invalid="ignore"):  # a draw may have none of them
            return (
                float(np.mean([np.nanmean(v) for v, _ in columns])),
                np.nansum(draws, axis=0) / np.sum(~np.isnan(draws), axis=0),
            )


def measure(
    examples: list[Example],
    models: list[Judged],
    *,
    seed: int,
    resamples: int,
    baseline: str | None = None,
) -> dict:
    """The main part of metrics.json: "models", "differences" and "judges" (of every model).

    Models with different sets of judges are not compared: their difference may be one between the judges. With a
    `baseline`, each model is compared with that one only.
    """
    clusters = intervals.Clusters([e.image_sha256 for e in examples])
    pool, columns, kept = _Pool(), {}, {}
    for model in models:
        columns[model.name] = metrics.columns(examples, model.predictions, model.verdicts)
        kept[model.name] = model.judged(examples)
        pool.add(model.name, columns[model.name], kept[model.name])
    pairs = []
    judges = {m.name: m.judges for m in models}
    for earlier, later in itertools.combinations(judges, 2):
        if judges[earlier] != judges[later] or (baseline and baseline not in (earlier, later)):
            continue
        if later == baseline:
            earlier, later = later, earlier
        common = kept[earlier] & kept[later]
        if common.any():
            blocks = [pool.add(name, columns[name], common) for name in (later, earlier)]
            pairs.append((later, earlier, *blocks, int(common.sum())))
    pool.draw(clusters, seed, resamples)
    return {
        "models": {m.name: _one(m, examples, pool, (m.name, kept[m.name].tobytes()), clusters) for m in models},
        "differences": [row for pair in pairs for row in _differences(pool, *pair)],
        "judges": judges,
    }


def _one(model: Judged, examples: list[Example], pool: _Pool, block: tuple, clusters: intervals.Clusters) -> dict:
    def estimate(key: str) -> dict:
        return intervals.estimate(*pool.column(block, key), clusters, is_share=metrics.is_share(key))

    overall, _ = pool.column(block, "strategy_accuracy")
    value, draws = pool.macro(block)
    macro = {"value": None, "low": None, "high": None, "n": 0}
    if draws.size:
        n = int(np.sum(~np.isnan(overall)))
        macro = intervals.with_interval(value, draws, n, trials=clusters.touched(overall), is_share=True)
    result = {
        metrics.MACRO: macro,
        "strategy_accuracy_micro": estimate("strategy_accuracy"),
        "strategy_accuracy": {s: estimate(f"strategy_accuracy.{s}") for s in STRATEGIES},
        "strategy_accuracy_by_type": {
            t: row for t in AMBIGUITY_TYPES if (row := estimate(f"strategy_accuracy_by_type.{t}"))["n"]
        },
    }
    result |= {key: estimate(key) for key in metrics.METRICS if key != "strategy_accuracy"}
    failures = model.failures
    return result | {
        "judge": ", ".join(model.judges),
        "judge_failures": sum(failures.values()),
        "judge_failures_by_name": failures,
        "examples": len(model.predictions),
        "confusion": metrics.confusion(examples, model.verdicts),
    }


def _differences(pool: _Pool, a: str, b: str, block_a: tuple, block_b: tuple, n: int) -> list[dict]:
    """Rows "a minus b" on the examples that both were judged on; a metric that one of them lacks gives none."""
    rows = []
    for key in [metrics.MACRO, *COMPARED]:
        if key == metrics.MACRO:
            (value_a, draws_a), (value_b, draws_b) = pool.macro(block_a), pool.macro(block_b)
        else:
            (column_a, draws_a), (column_b, draws_b) = pool.column(block_a, key), pool.column(block_b, key)
            if np.isnan(column_a).all() or np.isnan(column_b).all():
                continue
            value_a, value_b = np.nanmean(column_a), np.nanmean(column_b)
        row = intervals.difference(float(value_a - value_b), draws_a - draws_b)
        rows.append({"a": a, "b": b, "metric": key, **row, "n": n})
    return rows


def best(rows: dict[str, dict]) -> str:
    """The model of the highest strategy accuracy (macro); of equal ones the later."""
    return max(reversed(rows), key=lambda name: rows[name][metrics.MACRO]["value"] or 0.0)
