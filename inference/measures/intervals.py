"""Means with 95 % intervals, and paired differences, by a bootstrap over pictures.

Questions about one picture are not independent: what the model fails to see spoils all of them. So pictures are
drawn with replacement, each with all of its questions (cluster bootstrap: Davison & Hinkley, Bootstrap Methods and
their Application, 1997, section 3.8). Every model sees the same draws, which is what makes differences paired.
"""

import functools
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

Z = 1.959964  # of the normal distribution, 95 %
CHUNK = 4_000_000  # weights held at once: draws x pictures
NO_VALUE = {"value": None, "low": None, "high": None, "n": 0}  # the estimate where nothing was measured


class Clusters:
    """Which examples share a picture. `index` (E,) holds the number of each example's picture, 0..count-1."""

    def __init__(self, pictures: Sequence[str]):
        _, self.index = np.unique(np.array(pictures, dtype=object).astype(str), return_inverse=True)
        self.count = int(self.index.max()) + 1 if len(pictures) else 0

    def sums(self, columns: np.ndarray) -> np.ndarray:
        """(E, K) -> (count, K): the sum over each picture's examples."""
        order = np.argsort(self.index, kind="stable")
        starts = np.searchsorted(self.index[order], np.arange(self.count))
        return np.add.reduceat(columns[order], starts, axis=0)

    def touched(self, column: np.ndarray) -> int:
        """How many pictures have an example with a value in `column` (E,)."""
        return len(np.unique(self.index[~np.isnan(column)]))


def bootstrap(columns: np.ndarray, clusters: Clusters, *, seed: int, resamples: int) -> np.ndarray:
    """(E, K) with NaN for "says nothing" -> (resamples, K): the mean of each column in each draw of pictures.

    NaN where a draw has no value. The same seed, resamples and clusters always draw the same pictures.
    """
    present = ~np.isnan(columns)
    totals = clusters.sums(np.where(present, columns, 0.0))
    counts = clusters.sums(present.astype(float))
    drawn, step = weights(clusters.count, seed, resamples), max(1, CHUNK // clusters.count)
    means = []
    for first in range(0, resamples, step):
        chosen = drawn[first : first + step].astype(float)
        with np.errstate(invalid="ignore"):
            means.append(chosen @ totals / (chosen @ counts))
    return np.concatenate(means)


@functools.lru_cache(maxsize=4)  # every section of a report draws the same
def weights(count: int, seed: int, resamples: int) -> np.ndarray:
    """(resamples, count) how often each of `count` pictures is drawn; uint8, for no picture is drawn 256 times."""
    rng = np.random.default_rng(seed)
    drawn = np.empty((resamples, count), np.uint8)
    for row in drawn:
        row[:] = np.bincount(rng.integers(count, size=count), minlength=count)
    drawn.flags.writeable = False
    return drawn


def estimate(column: np.ndarray, draws: np.ndarray, clusters: Clusters, *, is_share: bool) -> dict:
    """{"value", "low", "high", "n"} of one column (E,) and its draws (B,); NO_VALUE where it says nothing."""
    n = int(np.sum(~np.isnan(column)))
    if not n:
        return NO_VALUE
    return with_interval(float(np.nanmean(column)), draws, n, trials=clusters.touched(column), is_share=is_share)


class Resampled:
    """Columns (E,) by key, NaN for "says nothing", and their means (B,) in the same draws of pictures."""

    def __init__(self, columns: dict[Hashable, np.ndarray], clusters: Clusters, *, seed: int, resamples: int):
        self.columns, self.clusters = columns, clusters
        means = np.empty((0, len(columns)))
        if columns and clusters.count:
            means = bootstrap(np.stack(list(columns.values()), axis=1), clusters, seed=seed, resamples=resamples)
        self.draws = dict(zip(columns, means.T, strict=True))

    def count(self, key: Hashable) -> int:
        """How many examples the column says something of."""
        return int(np.sum(~np.isnan(self.columns[key])))

    def estimate(self, key: Hashable, *, is_share: bool = True) -> dict:
        return estimate(self.columns[key], self.draws[key], self.clusters, is_share=is_share)

    def mean(self, keys: Iterable[Hashable]) -> tuple[float, np.ndarray]:
        """The mean over those columns that say anything, each weighing the same, and its draws (B,): NaN and none
        where none of them does. A draw may lack some of them, or all: then NaN."""
        keys = [key for key in keys if self.count(key)]
        if not keys:
            return float("nan"), np.empty(0)
        draws = np.array([self.draws[key] for key in keys])
        with np.errstate(invalid="ignore"):
            drawn = np.nansum(draws, axis=0) / np.sum(~np.isnan(draws), axis=0)
        return float(np.mean([np.nanmean(self.columns[key]) for key in keys])), drawn


def with_interval(value: float, draws: np.ndarray, n: int, *, trials: int, is_share: bool) -> dict:
    """{"value", "low", "high", "n"} of `n` examples on `trials` pictures.

    A share's interval is Wilson's with Student's t, for as many independent questions as would give the variance of
    the draws (B,) (the design effect: Kish 1965; Dean & Pagano 2015); where the draws all agree, one per picture. It
    covers what it promises near 0 and 1 too, where percentiles of the draws do not. Else: percentiles.
    """
    if is_share:
        variance = float(np.nanvar(draws))
        effective = value * (1 - value) / variance if variance > 1e-12 and 0 < value < 1 else trials
        low, high = wilson(value, effective, t_value(trials))
    else:
        low, high = np.nanpercentile(draws, [2.5, 97.5])
    return {"value": _round(value), "low": _round(low), "high": _round(high), "n": n}


def wilson(share: float, trials: float, z: float = Z) -> tuple[float, float]:
    """Wilson's interval (1927) for a share of `trials`, which need not be whole."""
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * (share * (1 - share) / trials + z**2 / (4 * trials**2)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def t_value(pictures: int) -> float:
    """Student's t in place of Z for intervals over so few pictures."""
    from scipy import special

    return float(special.stdtrit(max(1, pictures - 1), 0.975))


def difference(value: float, draws: np.ndarray) -> dict:
    """{"value", "low", "high", "p"} of a difference and its paired draws (B,).

    `p` is two-sided: twice the share of draws on the far side of 0, at least 2 / (B + 1).
    """
    draws = draws[~np.isnan(draws)]
    low, high = np.percentile(draws, [2.5, 97.5])
    tail = min(np.sum(draws <= 0), np.sum(draws >= 0))
    return {
        "value": _round(value),
        "low": _round(low),
        "high": _round(high),
        "p": round(min(1.0, 2 * float(tail + 1) / (len(draws) + 1)), 8),
    }


def _round(number: float) -> float:
    return round(float(number), 6)
