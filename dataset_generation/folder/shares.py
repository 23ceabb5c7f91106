"""How many examples of what: splits, shares of types and strategies, weights of the kinds of questions."""

from dataclasses import dataclass
from pathlib import Path

from clarifyvlm.config import parse_weights
from clarifyvlm.errors import UserError
from clarifyvlm.records import SPLITS
from clarifyvlm.strategies import AMBIGUITY_TYPES, STRATEGIES

OF_THEIR_OWN = ("replay", "unambiguous")  # splits that do not have the shares of the others
SMALL_FIRST = ("test", "validation", "unambiguous", "test_ood", "replay", "train")  # in order of work
QUESTION_KINDS = ("color", "shape", "size", "position", "count", "existence", "relation", "comparison", "attribute")
TYPES = tuple(name for name in AMBIGUITY_TYPES if name != "unknown")


@dataclass(frozen=True)
class Slot:
    """One example to be made: a question that is right to be met with `strategy` in its picture."""

    type: str
    strategy: str


def split_files(folder: Path) -> dict[str, Path]:
    """split -> its file in a data folder. UserError where there is none."""
    files = {split: folder / f"{split}.jsonl" for split in SPLITS}
    found = {split: path for split, path in files.items() if path.is_file()}
    if not found:
        names = ", ".join(path.name for path in files.values())
        raise UserError(f"no {names} in {folder}. generate.py makes them.")
    return found


def parse_shares(tokens: list[str]) -> dict[Slot, float]:
    """["referential:clarify=10", ...] -> share per slot. Shares are relative: they need not add up to 100."""
    shares = {}
    for name, share in parse_weights("shares", tokens, "type:strategy=number, as in referential:clarify=10").items():
        type, _, strategy = name.partition(":")
        if type not in TYPES:
            raise UserError(f"shares: {name}: unknown ambiguity type {type!r}; known: {', '.join(TYPES)}")
        if strategy not in STRATEGIES:
            raise UserError(f"shares: {name}: unknown strategy {strategy!r}; known: {', '.join(STRATEGIES)}")
        shares[Slot(type, strategy)] = share
    return {slot: share for slot, share in shares.items() if share}


def parse_kinds(tokens: list[str]) -> dict[str, float]:
    """["color=40", ...] -> weight per kind of question."""
    weights = parse_weights("kinds", tokens, "kind=weight, as in color=40")
    if unknown := [kind for kind in weights if kind not in QUESTION_KINDS]:
        raise UserError(f"kinds: unknown kind {unknown[0]!r}; known: {', '.join(QUESTION_KINDS)}")
    return weights


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
