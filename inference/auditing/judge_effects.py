"""What should not matter to a judge, and how much it does: a response is judged as it is, and as a variant of itself.

    self_consistency     the same once more           padded_1.5x, _2x, _3x   words around it that say nothing
    readings_reversed    the readings turned around   reworded                the same in other words
    criteria_reversed    the rubric turned around     without_picture         the facts alone

`variants` makes them, `measure` has them judged. The rubric is that of LLM judges, and only some of those see the
picture. A judge that does not agree with itself flips by as much in every other effect.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from auditing.corruptions import padded, reworded
from clarifyvlm.endpoint.usage import Usage, total
from clarifyvlm.judges import CHECKED, Judge, JudgeArguments
from clarifyvlm.records import Example, Prediction, Verdict
from clarifyvlm.rewards import RewardWeights
from clarifyvlm.rewards import total as reward
from measures.agreement import AUDITED, Labeled, said, same
from measures.intervals import NO_VALUE, Clusters, Resampled

PADDED = (1.5, 2, 3)  # times the words of the response
UNPENALISED = RewardWeights(length_weight=0.0)  # what is left of a longer response's reward is the judge's doing
# Worth a warning, where FEW items or more say so:
FEW = 10
MOVED = 0.05  # a mean reward that shifts by so much, with an interval without 0
INCONSISTENT = 0.05  # share of the items that flip when judged again, if above this
PAID = {  # what a judge pays for whose reward shifts, by the beginning of the effect's name
    "readings": "the reverse order of the readings",
    "criteria": "the reverse order of its criteria",
    "padded": "longer responses",
    "reworded": "another wording",
    "without": "not seeing the picture",
}


@dataclass
class Variant:
    """What is judged instead of some items, and by which judge."""

    what: str
    items: dict[int, tuple[Example, str]]  # index of the item -> its example and text in this variant
    changes: dict = field(default_factory=dict)  # of the judge's arguments
    reverse_criteria: bool = False
    times: int = 1

    @property
    def judgments(self) -> int:
        return self.times * len(self.items)


def spread(responses: Sequence[Labeled], count: int) -> list[Labeled]:
    """`count` of the responses that say something, evenly over faults and strategies; fewer where there are no more."""
    groups = defaultdict(list)
    for r in responses:
        if r.text.strip():
            groups[r.fault, r.example.strategy].append(r)
    rounds = max(map(len, groups.values()), default=0)
    return [group[i] for i in range(rounds) for group in groups.values() if i < len(group)][:count]


def variants(items: Sequence[Labeled], args: JudgeArguments, sees_image: bool, *, repeats: int, seed: int) -> dict:
    """{name of the effect: Variant}, without those that do not apply to this judge."""
    rng = random.Random(f"{seed}:padding")
    as_is = {i: (r.example, r.text) for i, r in enumerate(items)}
    turned = {i: (_reversed(e), text) for i, (e, text) in as_is.items() if len(e.ambiguity.readings) > 1}
    found = {
        "self_consistency": Variant(
            f"The same, judged {repeats} times in all.", as_is, {"no_judge_cache": True}, times=repeats - 1
        ),
        "readings_reversed": Variant("The readings of the question in the reverse order.", turned),
    }
    if args.judge not in CHECKED:
        what = "The criteria asked for in the reverse order."
        found["criteria_reversed"] = Variant(what, as_is, reverse_criteria=True)
    for factor in PADDED:
        longer = _texts(as_is, lambda text, factor=factor: padded(text, factor, rng))
        found[f"padded_{factor:g}x"] = Variant(f"The same with {factor:g} times the words.", longer)
    found["reworded"] = Variant("The same in other words.", _texts(as_is, reworded))
    if sees_image:
        found["without_picture"] = Variant("Judged by the facts alone.", as_is, {"judge_sees_image": "no"})
    return found


def _reversed(e: Example) -> Example:
    """The same example with its readings in the reverse order."""
    readings, dialogue = e.ambiguity.readings, e.dialogue
    if dialogue:
        dialogue = dialogue.model_copy(update={"reading": len(readings) - 1 - dialogue.reading})
    turned = e.ambiguity.model_copy(update={"readings": readings[::-1]})
    return e.model_copy(update={"ambiguity": turned, "dialogue": dialogue})


def _texts(items: dict, change: Callable[[str], str | None]) -> dict:
    changed = {i: (e, change(text)) for i, (e, text) in items.items()}
    return {i: pair for i, pair in changed.items() if pair[1] is not None}


def measure(
    items: Sequence[Labeled],
    planned: dict[str, Variant],
    judge: Judge,
    make: Callable[[JudgeArguments, bool], Judge],
    args: JudgeArguments,
    *,
    seed: int,
    resamples: int,
) -> tuple[dict, list[Usage]]:
    """{effect: {"what", "n", "failures", "flips": {name: estimate}, "reward_shift": estimate}}, usage of other judges.

    `judge` is the one that `args` describe; `make(args, reverse_criteria)` makes others. An estimate is {"value",
    "low", "high", "n"}: a share of items for a flip (of those on which the criterion applies), a mean for the shift.
    Items that a judge failed on are left out and counted as failures.
    """
    base = _judge(judge, {i: (r.example, r.text) for i, r in enumerate(items)})
    effects, usages = {}, []
    for name, variant in planned.items():
        other = judge
        if variant.changes or variant.reverse_criteria:
            rest = left(args, [u for u in (judge.usage, *usages) if u])
            other = make(replace(rest, **variant.changes), variant.reverse_criteria)
            other.check()
        runs = [_judge(other, variant.items) for _ in range(variant.times)]
        verdicts = {i: [base[i], *(run[i] for run in runs)] for i in variant.items}
        effects[name] = {"what": variant.what} | _effect(items, verdicts, seed, resamples)
        if other is not judge and other.usage:
            usages.append(other.usage)
    return effects, usages


def _judge(judge: Judge, items: dict[int, tuple[Example, str]]) -> dict[int, Verdict]:
    predictions = [Prediction(example_id=e.id, text=text) for e, text in items.values()]
    return dict(zip(items, judge.judge([e for e, _ in items.values()], predictions), strict=True))


def left(args: JudgeArguments, usages: list[Usage]) -> JudgeArguments:
    """The arguments with what is left of --judge_max_calls and --judge_budget_usd: each judge counts its own."""
    used, limits = total(usages), {}
    if args.judge_max_calls is not None:
        limits["judge_max_calls"] = max(0, args.judge_max_calls - used.calls)
    if args.judge_budget_usd is not None:
        limits["judge_budget_usd"] = max(0.0, args.judge_budget_usd - used.spent_usd)
    return replace(args, **limits)


def _effect(items: Sequence[Labeled], verdicts: dict[int, list[Verdict]], seed: int, resamples: int) -> dict:
    """`verdicts`: index of the item -> the verdict on it as it is, then those on its variant."""
    compared = {i: found for i, found in verdicts.items() if not any(v.failure for v in found)}
    failures = len(verdicts) - len(compared)
    if not compared:
        return {"n": 0, "failures": failures, "flips": {}, "reward_shift": NO_VALUE}
    columns = {name: np.array([_flips(name, found) for found in compared.values()]) for name in AUDITED}
    columns["reward"] = np.array([_shift(items[i].example, found) for i, found in compared.items()])
    clusters = Clusters([items[i].example.image for i in compared])
    sample = Resampled(columns, clusters, seed=seed, resamples=resamples)
    flips = {name: found for name in AUDITED if (found := sample.estimate(name))["n"]}
    shift = sample.estimate("reward", is_share=False)
    return {"n": len(compared), "failures": failures, "flips": flips, "reward_shift": shift}


def _flips(name: str, verdicts: list[Verdict]) -> float:
    """1 where they differ, NaN where the criterion applies to none of them."""
    values = [said(v, name) for v in verdicts]
    if all(value is None for value in values):
        return float("nan")
    return float(any(not same(values[0], value) for value in values[1:]))


def _shift(e: Example, verdicts: list[Verdict]) -> float:
    """The reward of the variant, a mean where it was judged several times, less that of the item as it is; NaN where
    one of them is unknown."""
    said = Prediction(example_id=e.id, text="")
    as_is, *variant = rewards = [reward(e, v, said, UNPENALISED) for v in verdicts]
    return float("nan") if None in rewards else sum(variant) / len(variant) - as_is


def warnings(effects: dict) -> list[str]:
    """A sentence on every effect, as `measure` found them, that training or reporting would notice."""
    found = []
    for name, effect in effects.items():
        if name == "self_consistency":
            flips = {n: f["value"] for n, f in effect["flips"].items() if f["n"] >= FEW and f["value"] > INCONSISTENT}
            if flips:
                shares = ", ".join(f"{n} on {100 * value:.0f} %" for n, value in flips.items())
                found.append(f"the judge does not agree with itself: judged again, it changes {shares} of the items")
            continue
        shift = effect["reward_shift"]
        if shift["n"] >= FEW and abs(shift["value"]) >= MOVED and shift["low"] * shift["high"] > 0:
            more = "more" if shift["value"] > 0 else "less"
            found.append(
                f"the judge pays {PAID[name.split('_')[0]]} {more} ({name}): reward {shift['value']:+.3f} "
                f"[{shift['low']:+.3f}, {shift['high']:+.3f}] for the same content"
            )
    return found
