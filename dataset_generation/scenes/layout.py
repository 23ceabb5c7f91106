"""From shares to groups: exact counts per kind and per (type, strategy), a form for each example, and minimal pairs.

A question is asked of two pictures with two right strategies; two such questions share their two pictures. So neither
the words nor the picture alone say what is right:

              picture a      picture b
    q1        strategy 1     strategy 3
    q2        strategy 2     strategy 4
"""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache

from clarifyvlm.errors import UserError
from clarifyvlm.strategies import STRATEGIES
from folder.shares import Slot, apportion
from scenes.questions import FORMS, allows

TYPES_OF = {"correct": ("premise",), "abstain": ("unanswerable",)}  # of the others: every other type


@cache  # a million examples are half a million asks, of which few thousand differ
def _ask(kind: str, form: str, slots: tuple[Slot, ...]) -> "Slotted":
    return Slotted(kind, form, slots)


@dataclass(frozen=True)
class Slotted:
    """One question: its kind and form, and per picture ("a", "b") what it has to be there."""

    kind: str
    form: str
    slots: tuple[Slot, ...]  # one picture, or two

    @property
    def strategies(self) -> set[str]:
        return {s.strategy for s in self.slots}


class Group(tuple):
    """One or two asks of the same pictures."""

    __slots__ = ()

    @property
    def slots(self) -> list[Slot]:
        return [slot for ask in self for slot in ask.slots]


def forms_for(slot: Slot, kinds: list[str]) -> list[str]:
    """The forms that a question of this slot can have; [] where the slot cannot be."""
    if slot.strategy in TYPES_OF:
        named = FORMS if slot.type in TYPES_OF[slot.strategy] else ()
    elif slot.type == "none":
        named = FORMS if slot.strategy == "answer" else ()
    else:
        named = (slot.type,) if slot.type in FORMS else ()
    return [f for f in named if any(allows(k, f, slot.type, slot.strategy) for k in kinds)]


def check(shares: dict[Slot, float], kinds: list[str]) -> None:
    """UserError that names the first share that no question can meet."""
    for slot in shares:
        if forms_for(slot, kinds):
            continue
        name = f"shares: {slot.type}:{slot.strategy} cannot be met:"
        if slot.strategy in TYPES_OF:
            raise UserError(f"{name} `{slot.strategy}` is right only for type {TYPES_OF[slot.strategy][0]}.")
        if slot.type in ("premise", "unanswerable", "none"):
            only = {"premise": "correct", "unanswerable": "abstain", "none": "answer"}[slot.type]
            raise UserError(f"{name} a question of type {slot.type} is always met with `{only}`.")
        reason = {
            ("vague", "infer"): "objects that are called big are about equally big, so none stands out",
            ("spatial", "clarify"): "a side has three places, so at most three objects fit; `clarify` needs four",
        }.get((slot.type, slot.strategy), f"no question of the kinds {', '.join(kinds)} is of this type and strategy")
        raise UserError(f"{name} {reason}. Set it to 0 or leave it out.")


def plan(
    total: int,
    shares: dict[Slot, float],
    kinds: dict[str, float],
    place_share: float,
    rng: random.Random,
    min_per_cell: int = 0,
) -> list[Group]:
    """Groups of exactly `total` examples in the proportions of `shares` and of `kinds`."""
    kinds = {k: w for k, w in kinds.items() if w}
    check(shares, list(kinds))
    pairs, alone = [], []
    for kind, counts in cells(total, shares, kinds, min_per_cell).items():
        by_form = _give_forms(counts, [kind], place_share, rng)
        for form in FORMS:
            couples, rest = _pair(by_form[form], rng)
            pairs += [_ask(kind, form, couple) for couple in couples]
            alone += [_ask(kind, form, (slot,)) for slot in rest]
    rng.shuffle(alone)
    return _group(pairs, alone, rng)


def cells(
    total: int, shares: dict[Slot, float], kinds: dict[str, float], min_per_cell: int = 0
) -> dict[str, dict[Slot, int]]:
    """kind -> slot -> examples: as many of each slot as `shares` says, and of each kind as `kinds` says.

    A slot is spread over the kinds that can have it by their weights; what a kind still lacks is filled with plain
    questions (none:answer). Where that does not come out even, as few examples as can be are moved: a transport
    problem, whose solution is in whole numbers. UserError where there is none, or where a kind has fewer than
    `min_per_cell` examples of a strategy that it can have.
    """
    import numpy as np
    from scipy.optimize import linprog

    slots, names = list(shares), list(kinds)
    of_slot, of_kind = apportion(total, list(shares.values())), apportion(total, list(kinds.values()))
    able = np.array([[bool(forms_for(slot, [kind])) for slot in slots] for kind in names])
    even = np.zeros(able.shape)
    for j, n in enumerate(of_slot):
        even[:, j] = apportion(n, [w * can for w, can in zip(kinds.values(), able[:, j], strict=True)])
    dear = np.array([0.01 if slot == Slot("none", "answer") else 1.0 for slot in slots])
    cost = np.tile(dear, len(names))  # of one example more, and of one less, than in `even`
    rows = np.kron(np.eye(len(names)), np.ones(len(slots)))
    columns = np.kron(np.ones(len(names)), np.eye(len(slots)))
    sums = np.vstack([rows, columns])
    missing = np.concatenate([of_kind - even.sum(1), of_slot - even.sum(0)])
    more = [(0, None if can else 0) for can in able.ravel()]
    less = [(0, n) for n in even.ravel()]
    found = linprog(np.tile(cost, 2), A_eq=np.hstack([sums, -sums]), b_eq=missing, bounds=more + less)
    if found.status != 0:
        raise UserError(_no_plan(total, dict(zip(slots, of_slot, strict=True)), dict(zip(names, of_kind, strict=True))))
    moved = found.x[: even.size] - found.x[even.size :]
    counts = np.rint(even + moved.reshape(even.shape)).astype(int)
    for kind, can, row in zip(names, able, counts, strict=True):
        for strategy in STRATEGIES:
            mine = [j for j, slot in enumerate(slots) if slot.strategy == strategy and can[j]]
            if mine and row[mine].sum() < min_per_cell:
                raise UserError(
                    f"min_per_cell: {row[mine].sum()} of {total} examples would be {kind} questions where `{strategy}` "
                    f"is right, not {min_per_cell}. Raise the weight of {kind}, the share of {strategy} or num_train."
                )
    return {kind: dict(zip(slots, map(int, row), strict=True)) for kind, row in zip(names, counts, strict=True)}


def _no_plan(total: int, of_slot: dict[Slot, int], of_kind: dict[str, int]) -> str:
    """Why the shares of kinds and of strategies do not go together."""
    for kind, n in of_kind.items():
        able = {slot: m for slot, m in of_slot.items() if forms_for(slot, [kind])}
        if sum(able.values()) < n:
            what = ", ".join(f"{slot.type}:{slot.strategy}" for slot in able)
            if not able:
                return f"kinds: no question about {kind} fits any of `shares`. Leave {kind} out, or add a share for it."
            return (
                f"kinds: {kind} is to be {n} of {total} examples, but questions about it can only be {what}, which are "
                f"{sum(able.values())} by `shares`. Lower {kind}, or raise these."
            )
    return (
        f"kinds and shares do not go together for {total} examples: too many kinds that can have few strategies. Lower "
        "the weights of count, existence and size, or raise the share of none:answer."
    )


def _give_forms(counts: dict[Slot, int], kinds: list[str], place_share: float, rng) -> dict[str, list[Slot]]:
    """Slots by form, such that each strategy has its forms in the same proportions, as far as it can have them."""
    fixed = {s: Counter() for s in STRATEGIES}
    for slot, n in counts.items():
        if slot.type in FORMS:
            fixed[slot.strategy][slot.type] += n
    totals = Counter()
    for slot, n in counts.items():
        totals[slot.strategy] += n
    target = {}
    for form in FORMS[:-1]:
        with_form = [s for s in ("infer", "enumerate", "clarify") if fixed[s][form]]
        target[form] = sum(fixed[s][form] / totals[s] for s in with_form) / max(1, len(with_form))
    if not any(target.values()):
        target |= {"referential": 1.0}
    whole = sum(target.values())
    target = {f: w / whole * (1 - place_share) for f, w in target.items()} | {"place": place_share}

    by_form = defaultdict(list)
    for slot, n in counts.items():
        forms = forms_for(slot, kinds)
        missing = [max(0.0, target[f] * totals[slot.strategy] - fixed[slot.strategy][f]) for f in forms]
        if not any(missing):
            missing = [1.0] * len(forms)
        for form, k in zip(forms, apportion(n, missing), strict=True):
            by_form[form] += [slot] * k
    for form in FORMS:
        rng.shuffle(by_form[form])
    return by_form


def _pair(slots: list[Slot], rng) -> tuple[list[tuple[Slot, Slot]], list[Slot]]:
    """Couples of slots with different strategies; the rest where one strategy has more than half."""
    left = defaultdict(list)
    for slot in slots:
        left[slot.strategy].append(slot)
    couples = []
    while True:
        names = [s for s in STRATEGIES if left[s]]
        if len(names) < 2:
            break
        total = sum(len(left[s]) for s in names)
        largest = max(names, key=lambda s: len(left[s]))
        # Any couple will do until one strategy holds half of what is left: then it must be in every couple.
        first = largest if 2 * len(left[largest]) >= total - 1 else _weighted(names, left, rng)
        second = _weighted([s for s in names if s != first], left, rng)
        couples.append((left[first].pop(), left[second].pop()))
    rng.shuffle(couples)
    return couples, [slot for s in STRATEGIES for slot in left[s]]


def _weighted(names: list[str], left: dict, rng) -> str:
    return rng.choices(names, [len(left[s]) for s in names])[0]


def _group(pairs: list[Slotted], singles: list[Slotted], rng) -> list[Group]:
    """Two questions that share two pictures, oriented so that each picture has two strategies."""
    rng.shuffle(pairs)
    groups = []
    while pairs:
        first = pairs.pop()
        for i, second in enumerate(reversed(pairs[-50:]), start=1):
            turned = [second, _ask(second.kind, second.form, second.slots[::-1])]
            rng.shuffle(turned)
            fitting = [t for t in turned if _can_share_pictures(first, t)]
            if fitting:
                del pairs[-i]
                groups.append(Group((first, fitting[0])))
                break
        else:
            groups.append(Group((first,)))
    rest = list(singles)
    while rest:  # one picture, two questions, where the strategies differ
        first = rest.pop()
        partner = next((a for a in rest if _can_share_pictures(first, a)), None)
        if partner:
            rest.remove(partner)
        groups.append(Group((first, partner) if partner else (first,)))
    rng.shuffle(groups)
    return groups


def _can_share_pictures(first: Slotted, second: Slotted) -> bool:
    """Whether each picture gets two strategies that go together."""
    return all(
        x.strategy != y.strategy and not _undoes(first, x, second, y) and not _undoes(second, y, first, x)
        for x, y in zip(first.slots, second.slots, strict=True)
    )


def _undoes(ask: Slotted, slot: Slot, other: Slotted, other_slot: Slot) -> bool:
    """Whether what one question needs in the picture is what the other says is not there."""
    if slot.strategy != "correct":
        return False
    if other_slot.strategy == "abstain":  # what is hidden may be what the premise asks for
        return ask.form in ("referential", "lexical") and {ask.kind, other.kind} == {"color", "shape"}
    return ask.form == "vague" and other_slot.strategy == "infer"  # which needs large objects and small ones
