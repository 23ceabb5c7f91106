"""Corrected p-values, McNemar's test and pooled seeds against closed forms; what the intervals promise, simulated."""

import itertools

import numpy as np
import pytest
from scipy import stats

from clarifyvlm.records import CRITERIA, Example, Prediction, Verdict
from measures import comparison, intervals
from measures.judged import Judged
from small_examples import star_example


def holm_by_definition(p_values: list[float]) -> list[float]:
    """The smallest level at which the step-down procedure rejects each hypothesis."""
    levels = sorted({min(1.0, k * p) for p in p_values for k in range(1, len(p_values) + 1)} | {1.0})

    def rejected(level: float) -> set[int]:
        found = set()
        for step, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
            if p_values[i] > level / (len(p_values) - step) + 1e-15:
                break
            found.add(i)
        return found

    return [next((level for level in levels if i in rejected(level)), 1.0) for i in range(len(p_values))]


@pytest.mark.parametrize("seed", range(20))
def test_holm_is_the_step_down_procedure(seed):
    """A correction that is Bonferroni's, loses the order, or is not monotone."""
    rng = np.random.default_rng(seed)
    p_values = list(rng.uniform(size=rng.integers(1, 7)) ** 3)
    if seed % 3 == 0 and len(p_values) > 1:
        p_values[1] = p_values[0]
    assert comparison.holm(p_values) == pytest.approx(holm_by_definition(p_values), abs=1e-9)


def test_holm_of_nothing():
    """A report of one model, which has no p-value."""
    assert comparison.holm([]) == []


def test_differences_are_corrected_per_metric():
    """Metrics corrected for each other, or p-values in another order than their rows."""
    rows = [{"metric": m, "p": p} for p in (0.01, 0.04, 0.03) for m in ("reward", "asked")]
    found = comparison.correct(rows)
    assert [row["p"] for row in found] == [0.01, 0.01, 0.04, 0.04, 0.03, 0.03]
    assert [row["p_holm"] for row in found if row["metric"] == "asked"] == pytest.approx([0.03, 0.06, 0.06])


@pytest.mark.parametrize(("a", "b"), itertools.product([0, 1, 5, 12], repeat=2))
def test_mcnemar_is_the_binomial(a, b):
    """A test with a continuity correction or one tail."""
    tail = sum(stats.binom.pmf(k, a + b, 0.5) for k in range(min(a, b) + 1))
    assert comparison.mcnemar(a, b) == pytest.approx(min(1.0, 2 * tail) if a != b else 1.0, abs=1e-9)


def judged(name: str, examples: list[Example], right: list[bool | None]) -> Judged:
    verdicts = {}
    for example, is_right in zip(examples, right, strict=True):
        criteria = dict.fromkeys(CRITERIA) | {"strategy_right": float(bool(is_right)), "grounded": 1.0}
        done = {"criteria": criteria, "used_strategy": "answer"} if is_right is not None else {"failure": "timeout"}
        verdicts[example.id] = Verdict(example_id=example.id, judge="j", **done)
    return Judged(name, {i: Prediction(example_id=i, text="x") for i in verdicts}, verdicts)


def test_exact_tests_count_what_only_one_gets_right():
    """Questions that the judge failed on counted as wrong, or a and b swapped."""
    examples = [Example.model_validate(star_example(i, "x.png", f"p{i}")) for i in range(6)]
    a = judged("a", examples, [True, True, True, False, True, None])
    b = judged("b", examples, [True, False, False, True, None, True])
    (row,) = comparison.exact_tests(examples, [a, b], [{"a": "a", "b": "b"}] * 2)
    assert (row["n"], row["only_a"], row["only_b"], row["p"]) == (4, 2, 1, 1.0)


def test_seeds_of_one_model_are_pooled():
    """Models of two recipes pooled, one of a single seed, or a name that only ends in a number."""
    estimate = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 100}
    row = dict.fromkeys(comparison.metrics.OVERVIEW, estimate)
    names = ("grpo-seed0", "grpo-seed1", "sft_s0", "sft_s1", "sft_s2", "qwen2", "qwen3", "alone-seed7")
    found = comparison.seeds(dict.fromkeys(names, row))
    assert {name: group["models"] for name, group in found.items()} == {
        "grpo": ["grpo-seed0", "grpo-seed1"],
        "sft": ["sft_s0", "sft_s1", "sft_s2"],
    }
    assert found["sft"]["metrics"]["reward"]["n"] == 3 and found["sft"]["metrics"]["reward"]["sd"] == 0.0


def covered(rate: float, pictures: int, sets: int, seed: int) -> float:
    """The share of 95 % intervals that hold the true rate: two questions a picture, right together more than apart."""
    rng = np.random.default_rng(seed)
    hits = 0
    for k in range(sets):
        shared = rng.uniform(size=pictures) < 0.4  # such pictures' questions are right or wrong together
        own = rng.uniform(size=(pictures, 2)) < rate
        own[shared, 1] = own[shared, 0]
        column = own.astype(float).ravel()
        clusters = intervals.Clusters([str(i // 2) for i in range(2 * pictures)])
        draws = intervals.bootstrap(column[:, None], clusters, seed=k, resamples=400)[:, 0]
        found = intervals.estimate(column, draws, clusters, is_share=True)
        hits += found["low"] <= rate <= found["high"]
    return hits / sets


@pytest.mark.slow
@pytest.mark.parametrize(("pictures", "rate"), [(50, 0.5), (250, 0.1), (250, 0.9), (1000, 0.02), (1000, 0.5)])
def test_intervals_cover_what_they_promise(pictures, rate):
    """Intervals too narrow (a picture's questions taken as independent) or too wide to be of use."""
    sets = 400 if pictures < 1000 else 200
    share = covered(rate, pictures, sets, seed=0)
    error = 2.6 * (0.95 * 0.05 / sets) ** 0.5  # of the simulation itself
    assert 0.93 - error <= share <= 0.97 + error
