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


def difference(a: np.ndarray, b: np.ndarray, clusters: intervals.Clusters, *, seed: int, resamples: int) -> dict | None:
    """{"value", "low", "high", "p", "n"}: F1 of `a` minus that of `b`, each (2, E) as `rates` takes them, on the n
    examples that both have; None where one of them has no F1 there."""
    common = ~np.isnan(a[0]) & ~np.isnan(b[0])
    values, draws = [], []
    for did, should in (np.where(common, table, np.nan) for table in (a, b)):
        columns = {"both": did * should, "did": did, "should": should}
        sample = intervals.Resampled(columns, clusters, seed=seed, resamples=resamples)
        values.append(_ratios(**{key: np.nansum(column) for key, column in columns.items()})["f1"])
        draws.append(_ratios(**sample.draws)["f1"])
    drawn = draws[0] - draws[1]
    if np.isnan(values).any() or np.isnan(drawn).all():
        return None
    return intervals.difference(float(values[0] - values[1]), drawn) | {"n": int(common.sum())}


def _ratios(both, did, should) -> dict:
    """Of sums, or of means over the same examples, whose number falls out."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"precision": both / did, "recall": both / should, "f1": 2 * both / (did + should)}
