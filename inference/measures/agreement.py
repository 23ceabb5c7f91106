"""How far two labellings of the same responses agree: a judge's verdicts, and labels that are known."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from clarifyvlm.records import CRITERIA, Example, Verdict
from measures.intervals import Clusters, weights, with_interval

AUDITED = ("used_strategy", *CRITERIA)
CLOSE = 0.01  # shares (complete, question_value) that differ by less are the same
NOT_APPLICABLE = "-"
# A criterion is unreliable where the lower bound of kappa is below RELIABLE. Kappa falls where one label prevails,
# however good the judge: from SKEWED on AC2 counts instead, unless the judge says one and the same of everything.
RELIABLE = 0.4
SKEWED = 0.9  # share of the commonest label
FEW = 10  # labels below which nothing is said about a criterion


@dataclass
class Labeled:
    """One response to `example`; `labels` hold `used_strategy` and the criteria that its construction settles."""

    example: Example
    fault: str  # "reference", or what was done
    text: str
    labels: dict[str, str | float | None] = field(default_factory=dict)


def said(verdict: Verdict, name: str) -> str | float | None:
    """What a verdict says on one of AUDITED. The verdict must be no failure."""
    return verdict.used_strategy if name == "used_strategy" else verdict.criteria[name]


def compared(response: Labeled, verdict: Verdict) -> list[str]:
    """The labels that a verdict can be held against: not those of which the judge says that it does not know."""
    unknown = {*verdict.unknown, *(["used_strategy"] if "strategy_right" in verdict.unknown else [])}
    return [name for name in response.labels if name not in unknown]


def same(a, b) -> bool:
    return abs(a - b) < CLOSE if isinstance(a, float) and isinstance(b, float) else a == b


def agreement(name: str, responses: Sequence[Labeled], verdicts: list[Verdict], *, seed: int, resamples: int) -> dict:
    """{"n", "accuracy", "kappa", "ac2", "confusion": {label: {judge: count}}} on one of AUDITED; {"n": 0} without any.

    Each measure is {"value", "low", "high", "n"}, with a 95 % interval from `resamples` draws of pictures. Left out are
    responses that the judge failed on, and those to which the criterion does not apply: the example's strategy settles
    that, and the judge must not be credited with it.
    """
    pairs = [
        (_category(r.labels[name]), _category(said(v, name)), r.example.image)
        for r, v in zip(responses, verdicts, strict=True)
        if v.failure is None and name in compared(r, v)
    ]
    pairs = [p for p in pairs if p[:2] != (NOT_APPLICABLE, NOT_APPLICABLE)]
    if not pairs:
        return {"n": 0}
    names = sorted({p[0] for p in pairs} | {p[1] for p in pairs})
    clusters, k = Clusters([p[2] for p in pairs]), len(names)
    cells = np.zeros((len(pairs), k * k))
    for i, (label, found, _) in enumerate(pairs):
        cells[i, names.index(label) * k + names.index(found)] = 1.0
    draws = (weights(clusters.count, seed, resamples).astype(float) @ clusters.sums(cells)).reshape(-1, k, k)
    whole = cells.sum(axis=0).reshape(1, k, k)
    measures = {
        measure: _estimate(measure, float(of(whole)[0]), of(draws), len(pairs), clusters.count)
        for measure, of in (("accuracy", _accuracy), ("kappa", _kappa), ("ac2", _ac2))
    }
    confusion = {
        a: {b: int(whole[0, i, j]) for j, b in enumerate(names) if whole[0, i, j]} for i, a in enumerate(names)
    }
    return {"n": len(pairs), **measures, "confusion": {a: row for a, row in confusion.items() if row}}


def _estimate(measure: str, value: float, draws: np.ndarray, n: int, pictures: int) -> dict:
    """Kappa and AC2 are no shares: they may be negative. At 1 all their draws agree, which is no certainty."""
    return with_interval(value, draws, n, trials=pictures, is_share=measure == "accuracy" or value == 1)


def unreliable(name: str, found: dict) -> str | None:
    """The warning about one criterion, from what `agreement` found; None where there is no reason for one."""
    if not found["n"]:
        return None
    if found["n"] < FEW:
        return f"too few labels on {name} ({found['n']}) to say how reliable it is"
    rows = found["confusion"].values()
    skewed = max(sum(row.values()) for row in rows) >= SKEWED * found["n"]
    measure = "ac2" if skewed and len({category for row in rows for category in row}) > 1 else "kappa"
    trust = found[measure]
    if trust["low"] >= RELIABLE:
        return None
    return (
        f"unreliable on {name}: accuracy {found['accuracy']['value']:.2f}, {measure.replace('ac', 'AC')} "
        f"{trust['value']:.2f} [{trust['low']:.2f}, {trust['high']:.2f}]: do not train or report on it"
    )


def _category(value) -> str:
    """A label as a category: strategies by name, numbers with two decimals, NOT_APPLICABLE for None."""
    return NOT_APPLICABLE if value is None else value if isinstance(value, str) else f"{value:.2f}"


def _accuracy(tables: np.ndarray) -> np.ndarray:
    """(B, K, K) -> (B,)"""
    return np.trace(tables, axis1=1, axis2=2) / tables.sum(axis=(1, 2))


def _kappa(tables: np.ndarray) -> np.ndarray:
    """Cohen (1960): agreement above what the two margins would give; 1 where only one category is ever used."""
    share = tables / tables.sum(axis=(1, 2), keepdims=True)
    return _above_chance(_accuracy(tables), (share.sum(axis=2) * share.sum(axis=1)).sum(axis=1))


def _ac2(tables: np.ndarray) -> np.ndarray:
    """Gwet (2008), nominal weights: as kappa, with a chance that does not fall where one category prevails."""
    share = tables / tables.sum(axis=(1, 2), keepdims=True)
    prevalence = (share.sum(axis=2) + share.sum(axis=1)) / 2
    chance = (prevalence * (1 - prevalence)).sum(axis=1) / max(1, tables.shape[1] - 1)
    return _above_chance(_accuracy(tables), chance)


def _above_chance(observed: np.ndarray, chance: np.ndarray) -> np.ndarray:
    return np.where(chance > 1 - 1e-12, 1.0, (observed - chance) / np.maximum(1 - chance, 1e-12))
