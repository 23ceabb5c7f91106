"""Is a model sure where it is right, and does its asking pay? Calibration, selective answers, the price of a question.

Right: the strategy is right and so is the answer, where the response gives one (`right`). A model's confidence is
`Prediction.confidence`; a model without it is n/a but for what asking pays. Definitions, over n responses:

    reliability   BINS bins of equally many responses by confidence, equal confidences together: mean confidence
                  against the share that is right
    ece           expected calibration error: mean over the bins, by size, of |share right - mean confidence| (Naeini
                  et al. 2015; equal-mass bins: Nguyen & O'Connor 2015)
    brier         mean squared difference of confidence and right (Brier 1950)
    auroc         chance that a right response has a higher confidence than a wrong one, ties half
    risk          share of wrong ones among the k most confident, k = ceil(coverage * n)
    aurc          mean of the risk over k = 1..n (Geifman & El-Yaniv 2017); excess_aurc: minus that of a confidence that
                  ranks every right response before every wrong one (Geifman, Uziel & El-Yaniv 2019)
    utility       mean of what a response resolves (`resolved`, 0..1), minus the price of a question where it asks
    break_even    the price at which asking pays no more than being wrong: mean of `resolved` where the model asked

Among equal confidences the order is random and the risk its expectation, so that no order of the files matters.
Utility at a price c is R - c A (R: resolved, A: share asked); without the asked ones it is that of `never_ask`, and the
two meet at break_even. A wrong response costs nothing beyond what it fails to resolve.
"""

from collections.abc import Sequence

import numpy as np

from clarifyvlm.errors import UserError
from clarifyvlm.records import AFTER_REPLY, Example, Prediction, Verdict
from measures import intervals, metrics
from measures.intervals import NO_VALUE
from measures.judged import Judged

BINS = 10
COVERAGES = np.arange(1, 21) / 20
PRICES = np.arange(21) / 20
RANKED_DRAWS = 300  # draws for what needs the responses in order (ece, auroc, risk): each costs a pass over them


def right(verdict: Verdict) -> float | None:
    """1 for the right strategy with an answer that is not wrong, else 0; None where the judge does not say."""
    followed = verdict.criteria["strategy_right"]
    if followed is None or (followed and "answer_right" in verdict.unknown):
        return None
    return float(bool(followed) and verdict.criteria["answer_right"] != 0)


def resolved(example: Example, verdict: Verdict, prediction: Prediction) -> float | None:
    """How far a response resolves the question, 0..1, whatever a question costs.

    Asked: the answer after the reply is right; where no reply told what is meant, the question's value. Else, by what
    the example calls for: a right answer (answer, infer), the share of the readings that a list names (enumerate), a
    right correction or abstention. What asserts something where it should ask resolves nothing. Where nobody knows the
    answer, the right strategy is all there is to go by. None where the judge does not know what it comes to.
    """
    criteria = verdict.criteria
    if verdict.unknown and _hangs_on(example, verdict) in verdict.unknown:
        return None
    if not example.has_answer and example.strategy not in ("correct", "abstain"):
        return float(criteria["strategy_right"] or 0.0)
    if verdict.used_strategy == "clarify":
        replied = metrics.right_after_reply(example, verdict, prediction)
        return float((criteria["question_value"] if replied is None else replied) or 0.0)
    if example.strategy in ("answer", "infer"):
        return float(criteria["answer_right"] or 0.0)
    if example.strategy == "enumerate":
        return float(criteria["complete"] or 0.0) if verdict.used_strategy == "enumerate" else 0.0
    if example.strategy in ("correct", "abstain"):
        return float(criteria["strategy_right"] or 0.0)
    return 0.0


def _hangs_on(example: Example, verdict: Verdict) -> str:
    """The criterion that `resolved` reads."""
    if not example.has_answer or example.strategy in ("correct", "abstain"):
        return "strategy_right"
    if verdict.used_strategy == "clarify":
        return AFTER_REPLY if AFTER_REPLY in verdict.unknown else "question_value"
    return "complete" if example.strategy == "enumerate" else "answer_right"


def measure(examples: Sequence[Example], models: Sequence[Judged], *, seed: int, resamples: int) -> dict:
    """JSON-ready {"models", "policies", "prices", "coverages", "bins", "ranked_draws"}.

    An estimate is {"value", "low", "high", "n"}, None where there is nothing to measure; in a curve the first three are
    lists along "prices" or "coverages". Each of "models" has "mean_confidence", "right", "brier", "ece", "auroc",
    "aurc", "excess_aurc", "accuracy_at_coverage" ({"0.5", "0.8"}), "reliability" (list of {"confidence", "right"}),
    "risk" (curve), and of asking "asked", "resolved", "never_ask", "break_even", "utility" (curve). "policies" has the
    curves of "always_ask" and "oracle" on the examples that any model was judged on: always asking resolves what has a
    reading to choose, so neither a false premise nor what the picture hides; the oracle resolves all and asks where
    that is right. UserError for a confidence outside 0..1.
    """
    clusters = intervals.Clusters([e.image_sha256 for e in examples])
    tables = {model.name: _columns(examples, model) for model in models}
    judged = np.zeros(len(examples), bool)
    for table in tables.values():
        judged |= ~np.isnan(table["resolved"])
    policies = {("policy", name): table for name, table in _policies(examples, judged).items()}  # no model's name
    columns = {(name, key): column for name, table in (tables | policies).items() for key, column in table.items()}
    sample = intervals.Resampled(columns, clusters, seed=seed, resamples=resamples)
    ranked = _ranked_draws(tables, clusters, seed, resamples)
    return {
        "models": {m.name: _one(m.name, sample, ranked.get(m.name)) for m in models},
        "policies": {name: _utility(sample, ("policy", name)) for _, name in policies},
        "prices": PRICES.tolist(),
        "coverages": COVERAGES.tolist(),
        "bins": BINS,
        "ranked_draws": min(resamples, RANKED_DRAWS),
    }


def _columns(examples: Sequence[Example], model: Judged) -> dict[str, np.ndarray]:
    """Columns (E,) of one model, NaN where the judge failed or the value does not apply."""
    names = ("confidence", "right", "resolved", "asked")
    table = np.full((len(names), len(examples)), np.nan)
    for i, example in enumerate(examples):
        verdict = model.verdict_on(example.id)
        if verdict is None:
            continue
        table[2:, i] = (
            resolved(example, verdict, model.predictions[example.id]),
            verdict.used_strategy == "clarify",
        )  # None becomes NaN
        is_right, confidence = right(verdict), confidence_in(model, example.id)
        if is_right is not None and confidence is not None:
            table[:2, i] = confidence, is_right
    columns = dict(zip(names, table, strict=True))
    asked, value = columns["asked"], columns["resolved"]
    columns |= {
        "brier": (columns["confidence"] - columns["right"]) ** 2,
        "never_ask": np.where(asked == 1, 0.0, value),
        "break_even": np.where(asked == 1, value, np.nan),
    }
    has = np.flatnonzero(~np.isnan(columns["confidence"]))
    bins = np.full(len(examples), -1)
    bins[has] = equal_mass_bins(columns["confidence"][has])
    return columns | {f"bin.{b}": np.where(bins == b, columns["right"], np.nan) for b in range(BINS)}


def confidence_in(model: Judged, example_id: str) -> float | None:
    """A model's confidence in a response, None where it has none. UserError outside 0..1."""
    prediction = model.predictions.get(example_id)
    value = None if prediction is None else prediction.confidence
    if value is not None and not 0 <= value <= 1:
        raise UserError(
            f"{model.name}: the confidence of the prediction on {example_id} is {value:g}. Give a probability, "
            "0..1, or leave the field out."
        )
    return value


def _policies(examples: Sequence[Example], judged: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    strategies = np.array([e.strategy for e in examples], dtype=object)
    has_readings, always = ~np.isin(strategies, ["correct", "abstain"]), np.ones(len(examples))
    tables = {
        "always_ask": {"resolved": has_readings, "asked": always},
        "oracle": {"resolved": always, "asked": strategies == "clarify"},
    }
    return {
        name: {key: np.where(judged, column, np.nan) for key, column in table.items()} for name, table in tables.items()
    }


def equal_mass_bins(confidences: np.ndarray) -> np.ndarray:
    """(N,) -> (N,) bins 0..BINS-1 of equally many; equal confidences share the bin that the middle one falls into."""
    _, group, counts = np.unique(confidences, return_inverse=True, return_counts=True)
    return _bins(np.cumsum(counts), counts)[group]


def _bins(cumulated: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The bin of each group of equal confidences, in ascending order along the last axis. Integers, so exact."""
    middle = 2 * cumulated - counts  # twice the rank of the group's middle
    return np.minimum(BINS - 1, middle * BINS // np.maximum(1, 2 * cumulated[..., -1:]))


class Ranked:
    """Responses of one model in groups of equal confidence, ascending, for what depends on their order.

    `confidences` and `rights` are (N,); `statistics` weighs each response by how often it was drawn.
    """

    def __init__(self, confidences: np.ndarray, rights: np.ndarray):
        self.order = np.argsort(confidences, kind="stable")
        self.rights = rights[self.order].astype(np.int64)
        self.levels, self.starts = np.unique(confidences[self.order], return_index=True)

    def statistics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """(D, N) times that each response was drawn, at least one in every row -> "ece", "auroc", "aurc",
        "excess_aurc", each (D,), and "risk" (D, len(COVERAGES))."""
        weights = weights[:, self.order]
        counts = np.add.reduceat(weights, self.starts, axis=1)  # (D, G)
        hits = np.add.reduceat(weights * self.rights, self.starts, axis=1)
        return {"ece": self._ece(counts, hits), "auroc": _auroc(counts, hits), **_risks(counts, hits)}

    def _ece(self, counts: np.ndarray, hits: np.ndarray) -> np.ndarray:
        rows = len(counts)
        flat = (_bins(np.cumsum(counts, axis=1), counts) + BINS * np.arange(rows)[:, None]).ravel()
        gaps = np.bincount(flat, (hits - counts * self.levels).ravel(), BINS * rows).reshape(rows, BINS)
        return np.abs(gaps).sum(axis=1) / counts.sum(axis=1)


def _auroc(counts: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """(D, G) -> (D,); NaN where all are right or all wrong."""
    misses = counts - hits
    below = np.cumsum(misses, axis=1) - misses
    won = (hits * (below + misses / 2)).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return won / (hits.sum(axis=1) * misses.sum(axis=1).astype(float))


def _risks(counts: np.ndarray, hits: np.ndarray) -> dict[str, np.ndarray]:
    """Risk and its area, most confident first. Within a group of c responses, e of them wrong, the j-th adds e / c
    wrong ones: the risk there is (before + j e / c) / (covered + j), whose sum over j is a difference of harmonic
    numbers."""
    counts = counts[:, ::-1]
    wrong = counts - hits[:, ::-1]
    after, errors = np.cumsum(counts, axis=1), np.cumsum(wrong, axis=1)
    n, e = after[:, -1], errors[:, -1]
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, n.max() + 1))])
    rate = wrong / np.maximum(1, counts)
    covered = after - counts
    excess = errors - wrong - rate * covered
    aurc = (wrong + excess * (harmonic[after] - harmonic[covered])).sum(axis=1) / n
    best = (e - (n - e) * (harmonic[n] - harmonic[n - e])) / n
    needed = np.maximum(1, np.ceil(n[:, None] * COVERAGES - 1e-9)).astype(np.int64)  # (D, C)
    apart = (n.max() + 1) * np.arange(len(n))[:, None]  # keeps the rows sorted when they are laid end to end
    at = np.searchsorted((after + apart).ravel(), (needed + apart).ravel()).reshape(needed.shape)
    risk = (rate.ravel()[at] * needed + excess.ravel()[at]) / needed
    return {"aurc": aurc, "excess_aurc": np.maximum(0.0, aurc - best), "risk": np.clip(risk, 0.0, 1.0)}


def _ranked_draws(tables: dict, clusters: intervals.Clusters, seed: int, resamples: int) -> dict:
    """{model: (kept (E,), Ranked, value {name: (1, ..)}, draws {name: (D, ..)})} of the models with confidences.

    The pictures drawn are the first RANKED_DRAWS of those that intervals.bootstrap draws with the same seed."""
    found, draws = {}, min(resamples, RANKED_DRAWS)
    for name, table in tables.items():
        kept = np.flatnonzero(~np.isnan(table["confidence"]))
        if kept.size:
            ranked = Ranked(table["confidence"][kept], table["right"][kept])
            found[name] = (kept, ranked, ranked.statistics(np.ones((1, kept.size), np.int64)), [])
    drawn = intervals.weights(clusters.count, seed, resamples) if found else np.empty((0, 0), np.uint8)
    step = max(1, intervals.CHUNK // max(1, len(clusters.index)))
    for first in range(0, draws if found else 0, step):
        weights = drawn[first : min(first + step, draws)].astype(np.int64)
        for kept, ranked, _, parts in found.values():
            chosen = weights[:, clusters.index[kept]]
            chosen = chosen[chosen.any(axis=1)]  # a draw may have none of a model's responses
            if len(chosen):
                parts.append(ranked.statistics(chosen))
    return {
        name: (kept, value, {key: np.concatenate([part[key] for part in parts]) for key in (value if parts else ())})
        for name, (kept, _, value, parts) in found.items()
    }


def _one(name: str, sample: intervals.Resampled, ranked: tuple | None) -> dict:
    def estimate(key: str, is_share: bool = True) -> dict:
        return sample.estimate((name, key), is_share=is_share)

    confidence = sample.columns[name, "confidence"]
    row = {"mean_confidence": estimate("confidence", False), "right": estimate("right"), "brier": estimate("brier")}
    row |= {**_ordered(sample.columns[name, "right"], ranked, sample.clusters), "reliability": []}
    for b in range(BINS):
        inside = ~np.isnan(sample.columns[name, f"bin.{b}"])
        if inside.any():
            mean = round(float(confidence[inside].mean()), 6)
            row["reliability"].append({"confidence": mean, "right": estimate(f"bin.{b}")})
    row |= {key: estimate(key) for key in ("asked", "resolved", "never_ask", "break_even")}
    return row | {"utility": _utility(sample, name)}


def _ordered(right: np.ndarray, ranked: tuple | None, clusters: intervals.Clusters) -> dict:
    """ "ece", "auroc", "aurc", "excess_aurc", "accuracy_at_coverage" and "risk" of one model."""
    if ranked is None:
        nothing = dict.fromkeys(("ece", "auroc", "aurc", "excess_aurc"), NO_VALUE)
        accuracy = {"0.5": NO_VALUE, "0.8": NO_VALUE}
        return nothing | {"accuracy_at_coverage": accuracy, "risk": _curve([NO_VALUE] * len(COVERAGES), 0)}
    kept, value, drawn = ranked
    n, trials = len(kept), len(np.unique(clusters.index[kept]))
    rows = {}
    for name in ("ece", "auroc", "aurc", "excess_aurc"):
        draws = drawn.get(name, np.empty(0))
        if name == "ece":  # a sum of absolute values, which drawing anew raises: take that bias out again
            draws = np.clip(draws - (draws.mean() - value[name][0] if draws.size else 0.0), 0.0, 1.0)
        rows[name] = _interval(value[name][0], draws, n, trials, is_share=name != "excess_aurc")
    if rows["auroc"]["value"] in (0.0, 1.0):  # as certain as the rarer of right and wrong allows
        rarer = min(np.unique(clusters.index[kept[right[kept] == r]]).size for r in (0, 1))
        rows["auroc"] = _interval(value["auroc"][0], drawn["auroc"], n, rarer, is_share=True)
    risks = drawn.get("risk", np.empty((0, len(COVERAGES))))
    cells = [_interval(value["risk"][0, c], risks[:, c], n, trials) for c in range(len(COVERAGES))]
    accuracy = {
        str(share): _interval(1 - value["risk"][0, c], 1 - risks[:, c], n, trials)
        for c, share in enumerate(COVERAGES.tolist())
        if share in (0.5, 0.8)
    }
    return rows | {"accuracy_at_coverage": accuracy, "risk": _curve(cells, n)}


def _interval(value: float, draws: np.ndarray, n: int, trials: int, *, is_share: bool = True) -> dict:
    """intervals.with_interval, for numbers that a draw may lack; 0..1 where every draw lacks it."""
    if np.isnan(value):
        return NO_VALUE
    draws = draws[~np.isnan(draws)]
    if not draws.size:
        draws = np.array([0.0, 1.0])
    return intervals.with_interval(float(value), draws, n, trials=trials, is_share=is_share)


def _utility(sample: intervals.Resampled, name: str | tuple) -> dict:
    """The curve of utility along PRICES of a model, or of ("policy", its name)."""
    resolved, asked = (name, "resolved"), (name, "asked")
    n = sample.count(resolved)
    if not n:
        return _curve([NO_VALUE] * len(PRICES), 0)
    value = np.nanmean(sample.columns[resolved]) - PRICES * np.nanmean(sample.columns[asked])
    draws = sample.draws[resolved][:, None] - PRICES * sample.draws[asked][:, None]
    return _curve([_interval(value[c], draws[:, c], n, n, is_share=False) for c in range(len(PRICES))], n)


def _curve(cells: list[dict], n: int) -> dict:
    return {key: [cell[key] for cell in cells] for key in ("value", "low", "high")} | {"n": n}
