"""Strategy accuracy cut finer, and the tables of the nearest benchmarks, so that numbers can stand beside theirs.

AQuA       strategy accuracy by ambiguity level, over all levels, and grounded, in per cent (ICLR 2026)
ClearVQA   precision, recall and F1 of asking (ACL 2025): asked where `clarify` is right
MM-UPD     dual score (arXiv 2403.20331): a question's answerable and unanswerable version count if both are right
minimal pairs   a group of questions that differ in one thing counts if every one of them is right
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from clarifyvlm.records import Example
from measures import calibration, detection
from measures.intervals import NO_VALUE, Clusters, Resampled
from measures.judged import Judged

CUTS: dict[str, Callable[[Example], str]] = {
    "level": lambda e: "none" if e.ambiguity.level is None else str(e.ambiguity.level),
    "readings": lambda e: str(len(e.ambiguity.readings)) if len(e.ambiguity.readings) < 5 else "5+",
    "split": lambda e: e.split,
    "kind": lambda e: e.kind or "not said",
    "form": lambda e: "held out" if e.provenance.get("form_held_out") else "as in training",
}
AQUA = ("L0", "L1", "L2", "L3", "all", "grounded")
ASKING = ("precision", "recall", "f1")
STANDARD, UNSOLVABLE = ("answer",), ("correct", "abstain")
# Published on other data, by other judges: to be set beside one's own, not compared with.
PUBLISHED = {
    "aqua": {  # per cent
        "Qwen2.5-VL-3B, zero-shot": (97.11, 0.11, 33.33, 0.78, 32.83, 79.86),
        "Qwen2.5-VL-3B, SFT": (99.56, 92.22, 61.33, 82.11, 83.81, 82.78),
        "Qwen2.5-VL-3B, SFT + GRPO": (99.56, 77.00, 82.22, 86.33, 86.28, 81.06),
    },
    "clearvqa": {"best of the paper": (0.9389, 0.5408, 0.6862)},
}


def measure(examples: Sequence[Example], models: Sequence[Judged], *, seed: int, resamples: int) -> dict:
    """{model: {"level", "readings", "split", "kind", "form": {stratum: estimate}, "aqua": {L0 .. L3, all,
    grounded: estimate}, "asking": {precision, recall, f1: estimate}, "dual", "consistency": estimate}}.

    An estimate is {"value", "low", "high", "n"}. Intervals are over pictures; those of pairs and groups over sets of
    groups that share no picture with another set, and n counts pairs or groups.
    """
    clusters = Clusters([e.image_sha256 for e in examples])
    strata = {cut: np.array([value(e) for e in examples]) for cut, value in CUTS.items()}
    names = {cut: sorted(set(values)) for cut, values in strata.items()}
    should_ask = np.array([float(e.strategy == "clarify") for e in examples])
    leveled = np.array([e.ambiguity.level is not None for e in examples])
    columns, asked = {}, {}
    for model in models:
        name = model.name
        right, grounded, asked[name] = (np.full(len(examples), np.nan) for _ in range(3))
        for i in np.flatnonzero(model.judged(examples)):
            verdict = model.verdicts[examples[i].id]
            right[i], grounded[i] = verdict.criteria["strategy_right"], verdict.criteria["grounded"]
            asked[name][i] = verdict.used_strategy == "clarify"
        columns |= {(name, cut, s): np.where(strata[cut] == s, right, np.nan) for cut in CUTS for s in names[cut]}
        columns[name, "all"], columns[name, "grounded"] = (np.where(leveled, c, np.nan) for c in (right, grounded))
    draws = {"seed": seed, "resamples": resamples}
    sample = Resampled(columns, clusters, **draws)
    groups = _groups(examples)
    pairs = _pairs(examples, groups)
    result = {}
    for model in models:
        name = model.name
        cuts = {cut: {s: row for s in names[cut] if (row := sample.estimate((name, cut, s)))["n"]} for cut in CUTS}
        aqua = {f"L{level}": cuts["level"].get(str(level), NO_VALUE) for level in range(4)}
        aqua |= {key: sample.estimate((name, key)) for key in ("all", "grounded")}
        asking = detection.rates(asked[name], np.where(np.isnan(asked[name]), np.nan, should_ask), clusters, **draws)
        result[name] = cuts | {
            "aqua": aqua,
            "asking": {rate: asking[rate] for rate in ASKING},
            "dual": _all_right(model, pairs, examples, **draws),
            "consistency": _all_right(model, groups, examples, **draws),
        }
    return result


def _groups(examples: Sequence[Example]) -> list[list[int]]:
    """Indices of the examples of each group_id, for groups of two and more."""
    found = defaultdict(list)
    for i, example in enumerate(examples):
        if example.group_id is not None:
            found[example.group_id].append(i)
    return [members for members in found.values() if len(members) > 1]


def _pairs(examples: Sequence[Example], groups: list[list[int]]) -> list[list[int]]:
    """A standard and an unsolvable version of one question, of one group."""
    return [
        [i, j]
        for members in groups
        for i in members
        for j in members
        if examples[i].strategy in STANDARD
        and examples[j].strategy in UNSOLVABLE
        and _asked(examples[i]) == _asked(examples[j])
    ]


def _asked(example: Example) -> str:
    return example.provenance.get("pair") or example.question


def _all_right(model: Judged, units: list[list[int]], examples: Sequence[Example], **draws: int) -> dict:
    """The share of units (groups, pairs) of which every member is right, of those whose every member was judged."""
    values, members = [], []
    for unit in units:
        verdicts = [model.verdict_on(examples[i].id) for i in unit]
        if all(verdicts):
            values.append(float(all(calibration.right(v) for v in verdicts)))
            members.append(unit)
    if not values:
        return NO_VALUE
    return Resampled({"right": np.array(values)}, Clusters(_apart(members, examples)), **draws).estimate("right")


def _apart(units: list[list[int]], examples: Sequence[Example]) -> list[str]:
    """For each unit the name of its set: units that share a picture, over others too, are of one set."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pictures: dict[str, int] = {}
    rows, columns = [], []
    for u, unit in enumerate(units):
        for i in unit:
            rows.append(u)
            columns.append(len(units) + pictures.setdefault(examples[i].image_sha256, len(pictures)))
    size = len(units) + len(pictures)
    _, labels = connected_components(
        coo_array((np.ones(len(rows)), (rows, columns)), shape=(size, size)), directed=False
    )
    return [str(label) for label in labels[: len(units)]]
