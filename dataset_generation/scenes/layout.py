"""From shares to groups: exact counts per (type, strategy), a form and a kind for each example, and minimal pairs.

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
def _ask(kind: str, form: str, slots: tuple[Slot, ...]) -> "Ask":
    return Ask(kind, form, slots)


@dataclass(frozen=True)
class Ask:
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
    total: int, shares: dict[Slot, float], kinds: dict[str, float], place_share: float, rng: random.Random
) -> list[Group]:
    """Groups of exactly `total` examples in the proportions of `shares`; kinds as near to theirs as pairs allow."""
    kinds = {k: w for k, w in kinds.items() if w}
    check(shares, list(kinds))
    slots = list(shares)
    counts = dict(zip(slots, apportion(total, [shares[s] for s in slots]), strict=True))
    by_form = _give_forms(counts, list(kinds), place_share, rng)
    pairs, alone = [], []
    for form in FORMS:
        couples, rest = _pair(by_form[form], rng)
        pairs += [(form, c) for c in couples]
        alone += [(form, (slot,)) for slot in rest]
    asks = _give_kinds(pairs + alone, kinds, rng)
    return _group([a for a in asks if len(a.slots) == 2], [a for a in asks if len(a.slots) == 1], rng)


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


def _give_kinds(asks: list[tuple[str, tuple[Slot, ...]]], kinds: dict[str, float], rng) -> list[Ask]:
    """A kind for every question: the kinds that few questions can have come first, each up to its share."""
    rng.shuffle(asks)
    able = {
        k: [i for i, (f, ss) in enumerate(asks) if all(allows(k, f, s.type, s.strategy) for s in ss)] for k in kinds
    }
    quota = dict(zip(kinds, apportion(len(asks), list(kinds.values())), strict=True))
    given: dict[int, str] = {}
    for kind in sorted(kinds, key=lambda k: len(able[k])):
        free = [i for i in able[kind] if i not in given]
        for i in rng.sample(free, min(quota[kind], len(free))):
            given[i] = kind
    result = []
    for i, (form, slots) in enumerate(asks):
        if i not in given:  # its kinds were given out: the weightiest kind that it can have
            possible = [k for k in kinds if i in _as_set(able, k)]
            if not possible:
                names = " and ".join(f"{s.type}:{s.strategy}" for s in slots)
                raise UserError(
                    f"shares: no kind of question can be both {names} (form {form}); add color or shape to kinds"
                )
            given[i] = rng.choices(possible, [kinds[k] for k in possible])[0]
        result.append(_ask(given[i], form, slots))
    return result


def _as_set(able: dict, kind: str) -> set:
    if not isinstance(able[kind], set):
        able[kind] = set(able[kind])
    return able[kind]


def _group(pairs: list[Ask], singles: list[Ask], rng) -> list[Group]:
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


def _can_share_pictures(first: Ask, second: Ask) -> bool:
    """Whether each picture gets two strategies that go together."""
    return all(
        x.strategy != y.strategy and not _undoes(first, x, second, y) and not _undoes(second, y, first, x)
        for x, y in zip(first.slots, second.slots, strict=True)
    )


def _undoes(ask: Ask, slot: Slot, other: Ask, other_slot: Slot) -> bool:
    """Whether what one question needs in the picture is what the other says is not there."""
    if slot.strategy != "correct":
        return False
    if other_slot.strategy == "abstain":  # what is hidden may be what the premise asks for
        return ask.form in ("referential", "lexical") and {ask.kind, other.kind} == {"color", "shape"}
    return ask.form == "vague" and other_slot.strategy == "infer"  # which needs large objects and small ones
