"""How many examples of what: splits, shares of types and strategies, weights of the kinds of questions."""

from dataclasses import dataclass

from clarifyvlm.errors import UserError
from clarifyvlm.strategies import AMBIGUITY_TYPES, STRATEGIES

SPLITS = ("train", "validation", "test", "test_ood")
SMALL_FIRST = ("test", "validation", "test_ood", "train")  # order of work: train, the largest, gives way to the others
KINDS = ("color", "shape", "size", "position", "count", "existence", "relation", "comparison", "attribute")
TYPES = tuple(name for name in AMBIGUITY_TYPES if name != "unknown")


@dataclass(frozen=True)
class Slot:
    """One example to be made: a question that is right to be met with `strategy` in its picture."""

    type: str
    strategy: str


def parse_shares(tokens: list[str]) -> dict[Slot, float]:
    """["referential:clarify=10", ...] -> share per slot. Shares are relative: they need not add up to 100."""
    shares = {}
    for token in tokens:
        name, _, value = token.partition("=")
        type, _, strategy = name.partition(":")
        try:
            share = float(value)
        except ValueError:
            raise UserError(f"shares: {token!r} is not type:strategy=number, as in referential:clarify=10") from None
        if type not in TYPES:
            raise UserError(f"shares: {token!r}: unknown ambiguity type {type!r}; known: {', '.join(TYPES)}")
        if strategy not in STRATEGIES:
            raise UserError(f"shares: {token!r}: unknown strategy {strategy!r}; known: {', '.join(STRATEGIES)}")
        if not 0 <= share < float("inf"):
            raise UserError(f"shares: {token!r}: a share is a number from 0 up")
        if Slot(type, strategy) in shares:
            raise UserError(f"shares: {name} is there twice")
        shares[Slot(type, strategy)] = share
    if not sum(shares.values()):
        raise UserError("shares: at least one must be above 0")
    return {slot: share for slot, share in shares.items() if share}


def apportion(total: int, weights: list[float]) -> list[int]:
    """Whole numbers in the proportion of `weights` that add up to `total` (largest remainder)."""
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    exact = [total * w / whole for w in weights]
    counts = [int(e) for e in exact]
    by_remainder = sorted(range(len(weights)), key=lambda i: (counts[i] - exact[i], i))
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    return counts


def parse_kinds(tokens: list[str]) -> dict[str, float]:
    """["color=40", ...] -> weight per kind of question."""
    weights = {}
    for token in tokens:
        kind, _, value = token.partition("=")
        if kind not in KINDS:
            raise UserError(f"kinds: unknown kind {kind!r} in {token!r}; known: {', '.join(KINDS)}")
        try:
            weights[kind] = float(value)
        except ValueError:
            raise UserError(f"kinds: {token!r} is not kind=weight, as in color=40") from None
        if not 0 <= weights[kind] < float("inf"):
            raise UserError(f"kinds: {token!r}: a weight is a number from 0 up")
    if not sum(weights.values()):
        raise UserError("kinds: at least one must be above 0")
    return weights
