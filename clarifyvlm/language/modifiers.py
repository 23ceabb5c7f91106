"""What follows a noun and belongs to it: places, relations, relative clauses."""

from collections.abc import Callable

from clarifyvlm.language.descriptions import SHAPE_NAMES, SLOTS, STARTS, Description
from clarifyvlm.language.lexicon import Vocabulary

_ACCOMPANIED = (
    frozenset(("prep", w) for w in ("in", "on", "at", "around", "by", "inside"))
    | {("with", "with")}
    | {("hold", w) for w in ("holding", "wearing", "carrying", "gripping", "clutching", "grasping")}
)


class Modifiers:
    """The items of one sentence, and what may follow a noun in them; noun phrases themselves: Phrases."""

    noun_phrase: Callable[[int], tuple[Description, int] | None]  # defined in Phrases

    def __init__(self, words: Vocabulary):
        self.words = words
        self.items: list[tuple] = []
        self.n = 0
        self.negated = self.possible = False  # of the clause being read
        self.noun: str | None = None  # the last one that was said

    def kind(self, i: int) -> str | None:
        return self.items[i][0] if 0 <= i < self.n else None

    def _post_modifiers(self, d: Description, i: int) -> int:
        """Places, colors, relations and relative clauses after the noun; they belong to the noun phrase."""
        while True:
            j = i
            while self.kind(j) in ("prep", "(", "with", "of") or (
                self.kind(j) == "det" and self.kind(j + 1) in (("L", "R", "c", "s", "t", "pic") if j > i else ("R",))
            ):  # also "(a fork to) the right of it"
                j += 1
            k = self.kind(j)
            if j > i and (away := self._abstract(i, j)):
                j = away - 1
            elif k in ("cop", "unk") and i == j and d.name and self._goes_on(j):
                pass  # "the boy sitting at the top", "people waiting near a bench"
            elif end := self._accompanied(d, i):
                j = end - 1
            elif k == "L" and d.cells is None:
                d.cells = self.items[j][1]
                if d.plural:
                    j = self._more_cells(d, j)
                if self.items[j + 1 : j + 2] == [("skip", "side of")]:  # "on the left side of the table"
                    found = self.noun_phrase(j + 2) if self.kind(j + 2) in ("det", "n", "pic") else None
                    j = found[1] - 1 if found else j + 1
            elif k == "R" and d.relation is None and (found := self.related_phrase(j)):
                d.relation, j = (self.items[j][1], found[0]), found[1] - 1
                self.noun = d.name if isinstance(d.name, str) else self.noun
            elif k in ("c", "t") and (j > i or self.kind(i - 1) == "g") and getattr(d, SLOTS[k]) is None:
                setattr(d, SLOTS[k], self.items[j][1])
            elif k == "rel" and self.items[j][1] in ("which", "who") or (k == "det" and self.items[j][1] == "that"):
                end = self._relative(d, j + 1)
                if end is None:
                    return i
                j = end - 1
            elif k == "pic" and (j > i or self.items[j][1] == "here"):
                d.anywhere = True
            else:
                return i
            i = j + 1
            if self.kind(i) == "," and self.kind(j - 1) == "(" or (self.kind(i) == "," and self.kind(j - 2) == "("):
                i += 1

    def _more_cells(self, d: Description, j: int) -> int:
        """ "Two circles (top right and middle left)": the places of several are one set; where the last one stands."""
        while self.kind(j + 1) in ("and", ","):
            k = j + 2
            while self.kind(k) in ("prep", "det", "and"):
                k += 1
            if self.kind(k) != "L" or self.kind(k + 1) not in (None, "and", ",", "cop", "but"):
                break
            d.cells, j = d.cells | self.items[k][1], k
        return j

    def _goes_on(self, i: int) -> bool:
        """Whether "sitting" at i goes with the noun before it: a place or a relation follows."""
        j = i + 2 if self.kind(i + 1) == "det" else i + 1
        return self.items[i][1].endswith("ing") and (self.kind(j) == "R" or self.kind(i + 1) == "prep")

    def _accompanied(self, d: Description, i: int) -> int | None:
        """ "The boy in the green hat", "the woman holding a cup", "the cup on the table", "a bag carried by the man",
        "the bag that the man carries": sets the relation; where it ends."""
        k, v = self.items[i] if i < self.n else (None, None)
        if d.relation is not None or d.abstract:
            return None
        while k == "," and self.kind(i + 1) == "hold" and self.kind(i + 2) == "prep":  # "a bag, carried by the man"
            i, (k, v) = i + 1, self.items[i + 1]
        while k in ("prep", "cop") and self.kind(i + 1) == "prep" and v not in ("is", "are", "was", "were"):
            i, (k, v) = i + 1, self.items[i + 1]  # "the one down on the rug", "lying on the rug"
        if k == "hold" and self.kind(i + 1) == "prep" and v in ("carried", "held", "worn", "ridden"):
            relation, j = "of", i + 2
        elif k == "of" and d.name and self._is_owner(i + 1):
            relation, j = "of", i + 1
        elif k == "unk" and v.endswith("ing") and len(v) > 5 and self.kind(i + 1) == "det" and (d.name or d.one):
            relation, j = "doing", i + 1  # "the dog chasing the ball"
        elif (k, v) in _ACCOMPANIED:
            relation, j = "with" if k in ("with", "hold") else "on", i + 1
        elif k in ("rel", "det") and v in ("who", "which", "that") and self.kind(i + 1) in ("hold", "see"):
            relation, j = "with", i + 2
        else:
            return None
        if self.kind(j) == "pron" and v == "on" and self.kind(j + 1) == "cop":  # "the dog on it is"
            d.relation = ("doing", Description(unknown="it"))
            return j + 1
        saved = self.noun
        found = self.noun_phrase(j) if self.kind(j) in ("det", "n", "c", "s", "#") else None
        self.noun = saved
        if not found or found[0].abstract or not (found[0].name or found[0].unknown) or found[0].one:
            return None
        if self.kind(j) != "det" and v in ("with", "in", "on", "at") and not found[0].name:
            return None  # "with stripes"
        if self.items[j] in (("det", "your"), ("det", "my")):
            found[0].unknown, found[0].name = f"your {found[0].name or found[0].unknown}", None
        d.relation = (relation, found[0])
        return found[1]

    def _is_owner(self, i: int) -> bool:
        """Whether "the woman", "the white dog" stand at i: nouns of photographs."""
        j = i + 1
        while self.kind(j) in ("c", "s"):
            j += 1
        if self.kind(i) != "det" or self.kind(j) != "n":
            return False
        return self.items[j][1][0] not in SHAPE_NAMES

    def _carrier(self, d: Description, i: int) -> int | None:
        """ "(the bag that) the man is carrying": sets the relation; where it ends."""
        found = self.noun_phrase(i) if self.kind(i) == "det" and d.relation is None else None
        end = found and found[1] + (self.kind(found[1]) == "cop")
        if not found or self.kind(end) != "hold":
            return None
        d.relation = ("of", found[0])
        return end + 1

    def _abstract(self, i: int, j: int) -> int | None:
        """Where "on a light blue background", "with straight edges" ends: prepositions at i, their phrase at j."""
        while j > i and self.kind(j - 1) == "det":
            j -= 1
        saved = self.noun
        found = self.noun_phrase(j) if self.kind(j) in STARTS and self.kind(j) != "pron" else None
        self.noun = saved
        return found[1] if found and found[0].abstract else None

    def related_phrase(self, i: int) -> tuple[Description, int] | None:
        """The noun phrase after the relation at i: "next to the square", "left of the square"."""
        while self.kind(i + 1) in ("of", "prep"):
            i += 1
        return self.noun_phrase(i + 1)

    def _relative(self, d: Description, i: int) -> int | None:
        """ "that is large": attributes after the copula; None where it is no such clause."""
        if self.kind(i) == "hold" or self.items[i : i + 1] in ([("see", "has")], [("see", "have")]):
            return self._accompanied(d, i - 1)  # "the woman who holds the cup"
        if self.kind(i) == "R" and d.relation is None and (found := self.related_phrase(i)):
            d.relation = (self.items[i][1], found[0])  # "the star that overlaps it"
            return found[1]
        if self.kind(i) != "cop":
            return self._carrier(d, i)
        if self.kind(i + 1) == "hold":
            return self._accompanied(d, i + 1)
        i += 1
        while self.kind(i) in ("prep", "det"):
            i += 1
        if self.kind(i) not in SLOTS or getattr(d, SLOTS[self.kind(i)]) is not None:
            return None
        setattr(d, SLOTS[self.kind(i)], self.items[i][1])
        return i + 1
