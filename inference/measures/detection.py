"""How well a model notices something: precision, recall and F1 of what it does against what it should do."""

import numpy as np

from measures import intervals


def rates(did: np.ndarray, should: np.ndarray, clusters: intervals.Clusters, *, seed: int, resamples: int) -> dict:
    """{"precision", "recall", "f1", "accuracy": {"value", "low", "high", "n"}} of two columns (E,) of 0 and 1, NaN in
    both where nothing is known. n counts what was done (precision), what should be (recall), else all examples."""
    columns = {"both": did * should, "did": did, "should": should, "right": np.where(np.isnan(did), did, did == should)}
    sample = intervals.Resampled(columns, clusters, seed=seed, resamples=resamples)
    values = _ratios(**{key: np.nansum(columns[key]) for key in ("both", "did", "should")})
    draws = _ratios(**{key: sample.draws[key] for key in ("both", "did", "should")})
    counted = {"precision": did, "recall": should}
    rows = {}
    for name, value in values.items():
        n = int(np.nansum(counted[name])) if name in counted else sample.count("did")
        if not n or np.isnan(value):
            rows[name] = intervals.NO_VALUE | {"n": n}
            continue
        trials = clusters.touched(np.where(counted.get(name, should) == 1, 1.0, np.nan))
        rows[name] = intervals.with_interval(float(value), draws[name], n, trials=trials, is_share=True)
    return rows | {"accuracy": sample.estimate("right")}


def _ratios(both, did, should) -> dict:
    """Of sums, or of means over the same examples, whose number falls out."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"precision": both / did, "recall": both / should, "f1": 2 * both / (did + should)}
