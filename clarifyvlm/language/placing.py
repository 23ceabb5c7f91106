"""What of a sentence went into no claim: a color, a shape, a place, a relation or a number that nobody checks then."""

from typing import Any

from clarifyvlm.language.descriptions import SLOTS, Claim, Description
from clarifyvlm.language.fitting import CENTER, CROSS
from clarifyvlm.language.items import items_of
from clarifyvlm.language.lexicon import Vocabulary

_CHECKED = ("name", "color", "size", "pattern")
_MIDDLES = frozenset((*CROSS, *CENTER))
_CONTENT = frozenset(("c", "s", "t", "n", "L", "R", "#", "hide"))


def unplaced(
    items: list[tuple], claims: list[Claim], phrases: list[Description], said: frozenset[str], words: Vocabulary
):
    """The items of content that are neither in a claim nor in one of the phrases of an offer or of a reading named, nor
    among the words of the question (`said`)."""
    placed = _Placed()
    for claim in claims:
        placed.claim(claim)
    for d in phrases:
        placed.description(d)
    left = [i for i, item in enumerate(items) if item[0] in _CONTENT and not placed.has(*item)]
    if not left:
        return []
    asked = {_value(*item) for word in said for item in items_of([word], words)} | said
    values = [_value(*items[i]) for i in left if not _is_idle(items, i)]
    return ["/".join(sorted(v)) if isinstance(v, frozenset) else str(v) for v in values if v not in asked]


def _is_idle(items: list[tuple], i: int) -> bool:
    """Whether an item says nothing of what is in the picture: "on a *blue* background", "it has *six* sides", "which of
    the *two*", "looking *over* the picture"."""
    kinds = [kind for kind, _ in items]
    j = i + 1
    while j < len(items) and kinds[j] in ("c", "s", "t", "unk"):
        j += 1
    after = kinds[j] if j < len(items) else None
    if kinds[i] == "R":
        return kinds[i + 1 : i + 3] == ["det", "pic"]
    if kinds[i] == "#":
        partitive = kinds[max(0, i - 2) : i] == ["of", "det"] and after not in ("n", "g")
        return after == "abs" or partitive or (j > i + 1 and kinds[i + 1] == "unk")
    return kinds[i] in ("c", "s", "t") and after == "abs"


def _value(kind: str, value: Any) -> object:
    return value[0] if kind == "n" else value


class _Placed:
    """The values that claims and phrases have."""

    def __init__(self) -> None:
        self.values: set[tuple[str, object]] = set()
        self.cells: list[frozenset[str]] = []
        self.hidden = False

    def claim(self, claim: Claim) -> None:
        self.description(claim.subject)
        value = claim.value
        if claim.kind == "hidden":
            self.hidden = True
        elif claim.kind == "count":
            self.values.add(("number", value))
        elif isinstance(value, Description):
            self.description(value)
        elif claim.attribute == "cells":
            self.cells.append(value)
        elif claim.attribute == "relation":
            self._relation(value)
        elif claim.attribute:
            self._add(claim.attribute, value)

    def description(self, d: Description | None) -> None:
        if d is None:
            return
        for attribute in _CHECKED:
            self._add(attribute, getattr(d, attribute))
        if d.cells is not None:
            self.cells.append(d.cells)
        if d.number is not None:
            self.values.add(("number", d.number))
        self.hidden |= d.hidden is not None
        if d.relation is not None:
            self._relation(d.relation)
        for other in (d.beside, d.total):
            self.description(other)

    def _relation(self, relation: tuple[str, Description | None]) -> None:
        self.values.add(("relation", relation[0]))
        self.description(relation[1])

    def _add(self, attribute: str, value: object) -> None:
        for one in value if isinstance(value, tuple) else (value,):
            self.values.add((attribute, one))

    def has(self, kind: str, value: Any) -> bool:
        if value in ("max", "min"):
            return True  # "two smaller ones": than what?
        if kind in ("c", "s", "t"):
            return (SLOTS[kind], value) in self.values or ("relation", value) in self.values
        if kind == "n":
            names = value[0] if isinstance(value[0], tuple) else (value[0],)
            return any(("name", name) in self.values for name in names)
        if kind == "L":
            middle = value == CENTER  # of a row, of a column
            return any(cells <= value or value <= cells or (middle and cells & _MIDDLES) for cells in self.cells)
        if kind == "hide":
            return self.hidden or ("name", "blur") in self.values
        if kind == "#":
            return value == 1 or not self.values.isdisjoint(
                (("number", value), ("number", value + 1))
            )  # "more than two"
        return ("relation", value) in self.values
