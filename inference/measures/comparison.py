"""Fair comparisons: p-values corrected for their number, an exact test on paired rights and wrongs, seeds pooled."""

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence

from clarifyvlm.records import Example
from measures import metrics
from measures.judged import Judged

# The end of a name that tells one seed from another: "grpo-seed0", "grpo_s1", "grpo.learning_rate=1e-5,seed=2".
SEED = re.compile(r"(?:[-_.,]?seed[-_=]?|[-_.]s[-_]?)\d+$")


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number by Holm's step-down procedure (1979), in the order given, at most 1."""
    count, adjusted, highest = len(p_values), [1.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (count - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def correct(differences: list[dict]) -> list[dict]:
    """The rows with "p_holm": corrected, for each metric, for the number of pairs of models."""
    by_metric = defaultdict(list)
    for row in differences:
        by_metric[row["metric"]].append(row["p"])
    adjusted = {metric: iter(holm(found)) for metric, found in by_metric.items()}
    return [row | {"p_holm": round(next(adjusted[row["metric"]]), 8)} for row in differences]


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p that a and b are right equally often, from the questions that only one of them gets right."""
    from scipy import stats

    return float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def exact_tests(examples: Sequence[Example], models: Sequence[Judged], differences: Sequence[dict]) -> list[dict]:
    """McNemar's test of strategy accuracy for each pair of models in `differences`: {"a", "b", "n", "only_a", "only_b",
    "p", "p_holm"}. It takes questions as independent, which those on one picture are not: read it beside the bootstrap.
    """
    by_name = {model.name: model for model in models}
    rows = []
    for a, b in dict.fromkeys((row["a"], row["b"]) for row in differences):
        counts: Counter[tuple[bool, bool]] = Counter()
        for example in examples:
            verdicts = [by_name[name].verdict_on(example.id) for name in (a, b)]
            if all(v is not None and "strategy_right" not in v.unknown for v in verdicts):
                counts[tuple(v.criteria["strategy_right"] == 1 for v in verdicts)] += 1
        only_a, only_b = counts[True, False], counts[False, True]
        row = {"a": a, "b": b, "n": counts.total(), "only_a": only_a, "only_b": only_b, "p": mcnemar(only_a, only_b)}
        rows.append(row)
    return [row | {"p_holm": p} for row, p in zip(rows, holm([r["p"] for r in rows]), strict=True)]


def seeds(models: dict[str, dict]) -> dict[str, dict]:
    """Models whose names differ only in their seed ("grpo-seed0", "grpo-seed1"), pooled.

    `models` are those of metrics.json. Returns {name without the seed: {"models", "metrics": {key: {"value", "low",
    "high", "sd", "n"}}}}: the mean over the seeds, its interval (`pooled`) and the spread between them.
    """
    groups = defaultdict(list)
    for name in models:
        if SEED.search(name):
            groups[SEED.sub("", name)].append(name)
    return {
        group: {
            "models": names,
            "metrics": {key: pooled([models[name][key] for name in names], same_data=True) for key in metrics.OVERVIEW},
        }
        for group, names in groups.items()
        if len(names) > 1
    }


def pooled(rows: list[dict], *, same_data: bool) -> dict | None:
    """{"value", "low", "high", "sd", "n"} of n runs: the mean of their values, and its interval; None of fewer than 2.

    Half the interval's width is t(n - 1) * sd / sqrt(n), and at least the runs' own mean half-width / sqrt(n). Runs on
    one test set share what is due to its questions, which their sd does not show: their mean half-width then comes on
    top, in quadrature.
    """
    from scipy import stats

    rows = [row for row in rows if row and row["value"] is not None]
    if len(rows) < 2:
        return None
    mean, sd = statistics.mean(r["value"] for r in rows), statistics.stdev(r["value"] for r in rows)
    half = float(stats.t.ppf(0.975, len(rows) - 1)) * sd / len(rows) ** 0.5
    own = statistics.mean((r["high"] - r["low"]) / 2 for r in rows)
    half = (half**2 + own**2) ** 0.5 if same_data else max(half, own / len(rows) ** 0.5)
    return {"value": mean, "low": mean - half, "high": mean + half, "sd": sd, "n": len(rows)}
