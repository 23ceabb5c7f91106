"""Noun phrases of a response, and what is read from it: Description, Claim, Ask, Response."""

from dataclasses import dataclass, field

from clarifyvlm.language.items import both_places, items_of
from clarifyvlm.language.lexicon import GROUPS, SHAPES, Vocabulary

ATTRIBUTES = ("name", "color", "size", "pattern", "cells", "hidden", "relation")


class Description:
    """What a noun phrase says: attributes that are given, the others None. `cells` is a set of places."""

    __slots__ = (
        *ATTRIBUTES,
        "number",
        "at_least",
        "plural",
        "whole",
        "other",
        "one",
        "definite",
        "unknown",
        "attribute",
        "abstract",
        "noun",
        "part",
        "only",
        "most",
        "ordinal",
        "beside",
        "modified",
        "anywhere",
        "total",
    )

    def __init__(self, **given):
        self.name = self.color = self.size = self.pattern = self.cells = self.hidden = self.relation = None
        self.number = None  # "three stars", also of a part: "three of the stars"
        self.at_least = False  # "several stars": `number` or more
        self.plural = self.whole = False  # whole: "all", "both"
        self.other = False  # "the other one"
        self.one = False  # stands for a noun said before: "the large one", "it"
        self.definite = False
        self.unknown = None  # a noun that is not in the vocabulary
        self.attribute = None  # "its color": the phrase names a property, not an object
        self.abstract = False  # "a light blue background": nothing that facts know
        self.modified = False  # by a word that nobody knows: "the thick book"
        self.total = None  # "one of the three stars": a Description of the three stars
        self.anywhere = False  # "no star in the picture"
        self.most = False  # "most of the stars"
        self.ordinal = None  # "the second from the left": (2, "left")
        self.only = False  # "the only star"
        self.beside = None  # "all except the star", "every other": a Description of what is left out
        self.part = False  # "two of the stars"
        self.noun = None  # of "the large one": the noun said last, where there was one
        for key, value in given.items():
            setattr(self, key, value)

    def given(self) -> dict:
        return {a: v for a in ATTRIBUTES if (v := getattr(self, a)) is not None}

    def without(self, *attributes: str) -> "Description":
        copy = Description(**{s: getattr(self, s) for s in Description.__slots__})
        for attribute in attributes:
            setattr(
                copy, attribute, None if attribute in (*ATTRIBUTES, "number", "beside", "ordinal", "total") else False
            )
        return copy

    def __repr__(self) -> str:
        return f"Description({', '.join(f'{s}={v!r}' for s in self.__slots__ if (v := getattr(self, s)))})"


@dataclass(slots=True)
class Claim:
    """kind: attribute (subject, attribute, value) | exists | deny | fragment (subject) | count (subject, value) |
    yesno (value) | hidden (subject, attribute or None). A subject of None is what the question is about."""

    kind: str
    subject: Description | None = None
    attribute: str | None = None
    value: object = None
    negated: bool = False
    possible: bool = False  # "there may be"
    either: bool = False  # one of several joined by "or"
    alone: bool = False  # the whole of a sentence
    aside: bool = False  # follows from a word ("the only star is red": there is one star) and answers nothing


@dataclass(slots=True)
class Ask:
    """What the user is asked. `open`: which one; `dimensions`: attributes asked for; `alternatives` offered;
    `restrict`: noun phrases that the question is about."""

    open: bool = False
    dimensions: set[str] = field(default_factory=set)
    alternatives: list[Description] = field(default_factory=list)
    restrict: list[Description] = field(default_factory=list)
    means: bool = False  # "do you mean"
    elliptic: bool = False  # no verb: "The star?"
    wonders: bool = False  # "it depends on which star": asks the user nothing where a list follows
    words: tuple[str, ...] = ()  # as said


@dataclass(slots=True)
class Response:
    claims: list[Claim] = field(default_factory=list)
    named: list[Description] = field(default_factory=list)  # readings named: "I take you to mean ..."
    asks: list[Ask] = field(default_factory=list)
    unsure: bool = False  # "I cannot tell"
    guessed: bool = False  # "probably", "my guess is"
    hedged: bool = False  # "but", "maybe", "not sure": goes well with "I cannot tell"
    polite: bool = False  # "you are right", "I hope this helps"
    skipped: list[str] = field(default_factory=list)  # words of statements that no claim was read from
    empty: list[str] = field(default_factory=list)  # what says nothing: "it is red or not red"
    depends: bool = False  # "it depends on which star": what is joined by "or" is a list, not a doubt


SHAPE_NAMES = frozenset(SHAPES.values())
PARTS = frozenset(("det", "n", "c", "s", "t", "#", "g"))
_AFTER = (None, ",", "prep", "and", "with")
SLOTS = {"c": "color", "s": "size", "t": "pattern", "L": "cells", "hide": "hidden"}
_ACCOMPANIED = (
    frozenset(("prep", w) for w in ("in", "on", "at", "around", "by", "inside"))
    | {("with", "with")}
    | {("hold", w) for w in ("holding", "wearing", "carrying", "gripping", "clutching", "grasping")}
)
STARTS = frozenset("det all other many least most only ord prep # n g c s t L hide than pron unk abs".split())


class Phrases:
    """The items of one sentence, and the noun phrases in them."""

    def __init__(self, words: Vocabulary):
        self.words = words
        self.items: list[tuple] = []
        self.n = 0
        self.negated = self.possible = False  # of the clause being read
        self.noun: str | None = None  # the last one that was said

    def kind(self, i: int) -> str | None:
        return self.items[i][0] if 0 <= i < self.n else None

    def load(self, tokens: list[str]) -> None:
        self.items = items_of(tokens, self.words)
        self.n = len(self.items)
        self.negated = self.possible = False

    def noun_phrase(self, i: int) -> tuple[Description, int] | None:
        """The noun phrase, or bare run of attributes, that starts at i: (description, where it ends)."""
        start, d = i, Description()
        headed = False
        k = self.kind(i)
        if k == "pron":
            return Description(one=True, definite=True, plural=self.items[i][1] in ("they", "them")), i + 1
        while True:
            k = self.kind(i)
            v = self.items[i][1] if k else None
            if k == "det":
                if i > start and self.kind(i - 1) not in ("prep", "all", "of", "("):
                    break
                d.definite = d.definite or v not in ("a", "an", "any")
            elif k == "all":
                d.whole = d.plural = True
            elif k == "other":
                d.other = True
            elif k == "ord":
                d.ordinal = v
                d.definite = True
            elif k == "most" and self.kind(i + 1) == "s":
                pass  # "the most prominent star"
            elif k == "most":
                d.most = d.plural = True
            elif k == "only" and i == start and self.kind(i + 1) == "det":
                start += 1  # "only a bench"
            elif k == "only" and self.kind(i + 1) in ("#", *SLOTS, "n", "g", "unk", "attr", "other"):
                d.only = True
            elif (
                k == "attr" and v == "name" and i > start and self.kind(i - 1) in (*SLOTS, "#", "all", "other", "only")
            ):
                headed = True  # "the wrapped shape", "every shape"
                i += 1
                break
            elif (k == "same" or v == "different") and self.kind(i + 1) in ("attr", "abs", *SLOTS, "n", "g"):
                pass
            elif k == "many":
                d.number, d.at_least, d.plural = v, True, True
            elif k == "least":
                d.at_least = True
            elif k == "prep" and self.kind(i + 1) in ("det", "L", "R"):
                pass
            elif k == "(" and i > start:
                pass
            elif (
                k == "of"
                and (d.whole or d.most or d.number is not None or d.other)
                and self.kind(i + 1) in (*PARTS, "pron")
            ):
                if self.kind(i + 1) == "pron":
                    d.one, d.noun = True, self.noun
                    return d, i + 2
                if part := self._part(d, i + 1):
                    return part
            elif k == "of" and not headed and (d.cells or d.size) and (part := self._part(d, i + 1)):
                return part  # "the lower of the two circles"
            elif k == "#":
                if self.items[i][1] == 1 and self.kind(i + 1) == "of" and (part := self._part(d, i + 2)):
                    return part
                if self._is_pronoun_one(i, start):
                    d.one = headed = True
                    i += 1
                    break
                if d.number is not None:
                    break
                d.number, d.plural = v, v != 1
                if i > start and self.kind(i - 1) == "than":
                    d.number, d.at_least = v + 1, True
            elif k == "than" and self.kind(i + 1) == "#":
                pass
            elif k in SLOTS and getattr(d, SLOTS[k]) is None:
                if self._either_of(i, k):  # "the green or red object"
                    v, i = (v, self.items[i + 2][1]), i + 2
                elif k == "c" and (several := self._all_of(i)):  # "pink, brown and purple shapes"
                    v, i = several
                setattr(d, SLOTS[k], v)
            elif k in ("and", ",") and self.kind(start - 1) != ":" and self._joins(i, d):
                pass
            elif k == "n":
                d.name, plural = v
                d.plural = d.plural or plural
                if (
                    self.kind(i + 1) == "unk" and self.items[i + 1][1].isalpha() and self.kind(i + 2) in _AFTER
                ):  # "a dog leash"
                    d.name, d.unknown, i = None, self.items[i + 1][1], i + 1
                elif self.kind(i + 1) == "n" and not plural and not {v[0], self.items[i + 1][1][0]} & SHAPE_NAMES:
                    i += 1  # "a dog leash"
                    d.name, d.plural = self.items[i][1]
                headed = True
                counted = d.plural or self.kind(start - 1) == "no" or self.kind(start - 1) == "rel"
                if counted and self.kind(i + 1) == "or" and self.kind(i + 2) == "n":  # "two stars or squares"
                    d.name, i = (d.name, self.items[i + 2][1][0]), i + 2
                if self.kind(i + 1) == "and" and self.kind(i + 2) == "c" and d.color is None and not plural:
                    if self.kind(i + 3) in (None, *_AFTER, "pic", "but"):  # "nothing round and red"
                        d.color, i = self.items[i + 2][1], i + 2
                i += 1
                break
            elif k == "g":
                d.plural = d.plural or v
                headed = True
                i += 1
                break
            elif k == "abs":
                if v in GROUPS and self.kind(i + 1) == "of" and (found := self.noun_phrase(i + 2)):
                    return found  # "a set of red circles"
                d.abstract = headed = True
                i += 1
                break
            elif k == "unk" and self._modifies(i + 1):
                d.modified = True  # a misspelt word: "the gred object"
            elif (
                k == "unk"
                and i > start
                and d.unknown is None
                and (self.kind(i - 1) in ("det", "no", "c", "s", "t", "many") or (self.kind(i - 1) == "#" and d.plural))
            ):
                d.unknown = v
                headed = True
                while self.kind(i) == "unk":  # "a double decker"
                    i += 1
                break
            else:
                break
            i += 1
        if i == start or (
            not headed and not d.given() and d.number is None and not (d.other or d.whole or d.ordinal or d.most)
        ):
            return None
        if d.size in ("max", "min") and (d.plural and not d.whole or not d.definite) and self.kind(i) != "than":
            d.size = None  # "two smaller circles": than what?
            if not d.given():
                d.unknown, headed = "smaller", True
        if not headed:
            d.one = True
        if (
            d.whole
            and self.items[start] == ("all", "both")
            and self.kind(start + 1) == "det"
            and self._is_single(i - 1)
        ):
            d.whole = d.plural = False  # "both the green one and the blue one"
        if d.name:
            self.noun = d.name if isinstance(d.name, str) else None
        elif headed and not d.one:
            self.noun = None
        d.noun = self.noun if d.one else None
        i = self._post_modifiers(d, i)
        if d.name and self.kind(i) == "poss" and self.kind(i + 1) in ("n", "c", "s", "unk"):  # "the woman's coat"
            found = self.noun_phrase(i + 1)
            if not found and self.kind(i + 1) == "unk":  # "the boy's hands"
                return Description(unknown=self.items[i + 1][1], definite=True, relation=("of", d)), i + 2
            if found and found[0].name and found[0].relation is None:
                found[0].relation, found[0].definite = ("of", d), True
                return found
        return d, i

    def _is_single(self, i: int) -> bool:
        """Whether the head of a noun phrase at i is one thing: "star", "one"."""
        return self.items[i] == ("#", 1) or (self.kind(i) == "n" and not self.items[i][1][1])

    def _modifies(self, i: int) -> bool:
        """Whether a noun follows at i, after more adjectives or at once: "(an open) black umbrella"."""
        end = i + 3
        while i < end and self.kind(i) in ("unk", "c", "s", "t"):
            i += 1
        return self.kind(i) in ("n", "g", "abs") or (self.kind(i) == "#" and self.items[i][1] == 1)

    def _part(self, d: Description, i: int) -> tuple[Description, int] | None:
        """ "one of the red stars", "two of them": the phrase at i is what it is a part of."""
        found = self.noun_phrase(i) if self.kind(i) in (*PARTS, "pron") else None
        if not found or not (found[0].plural or found[0].one):
            return None
        whole, end = found
        part = whole.without("number", "plural", "whole", "definite")
        if d.cells or d.size:
            both = both_places(d.cells, part.cells) if d.cells and part.cells else None
            part.cells, part.size, part.definite = both or d.cells or part.cells, d.size or part.size, True
        part.number, part.plural = d.number, d.whole or d.number not in (None, 1)
        part.total = whole if whole.number else None
        part.whole, part.other, part.most, part.part = d.whole, d.other, d.most, True
        return part, end

    def _all_of(self, i: int) -> tuple[tuple, int] | None:
        """The colors in "pink, brown and purple shapes", and where the last one stands."""
        colors, j = [self.items[i][1]], i
        while self.kind(j + 1) in (",", "and") and self.kind(j + 2 if self.kind(j + 2) != "and" else j + 3) == "c":
            j = j + 2 if self.kind(j + 2) == "c" else j + 3
            colors.append(self.items[j][1])
        plural = self.kind(j + 1) in ("n", "g") and (
            self.items[j + 1][1] is True
            or self.items[j + 1][1] == 1
            or (self.kind(j + 1) == "n" and self.items[j + 1][1][1])
        )
        return (tuple(colors), j) if len(colors) > 1 and plural else None

    def _either_of(self, i: int, kind: str) -> bool:
        """Whether the attribute at i is one of two that a noun may have: "green or red object"."""
        if kind not in ("c", "t") or self.kind(i + 1) != "or" or self.kind(i + 2) != kind:
            return False
        return self.kind(i + 3) in ("n", "g") or (self.kind(i + 3) == "#" and self.items[i + 3][1] == 1)

    def _is_pronoun_one(self, i: int, start: int) -> bool:
        """Whether the number at i is the pronoun "one": "the one", "a red one", "one at the top left is"."""
        if self.items[i][1] != 1:
            return False
        if any(self.kind(j) in ("det", "c", "s", "t", "L", "hide", "other", "all", "unk") for j in range(start, i)):
            return True
        return i > 0 and self.kind(i - 1) == "rel" or self.kind(i + 1) in ("cop", "prep", "L", "not", "(", "R")

    def _joins(self, i: int, d: Description) -> bool:
        """Whether "," or "and" at i joins adjectives of one noun: "the large, red star"."""
        following = self.kind(i + 1)
        if following not in ("c", "s", "t") or getattr(d, SLOTS[following]) is not None or not d.given():
            return False
        j = i + 2
        while self.kind(j) in ("c", "s", "t"):
            j += 1
        return self.kind(j) in ("n", "g") or (self.kind(j) == "#" and self.items[j][1] == 1)

    def _post_modifiers(self, d: Description, i: int) -> int:
        """Places, colors, relations and relative clauses after the noun; they belong to the noun phrase."""
        while True:
            j = i
            while self.kind(j) in ("prep", "(", "with", "of") or (
                self.kind(j) == "det" and j > i and self.kind(j + 1) in ("L", "R", "c", "s", "t", "pic")
            ):
                j += 1
            k = self.kind(j)
            if j > i and (away := self._abstract(i, j)):
                j = away - 1
            elif k == "cop" and i == j and d.name and self.items[j][1].endswith("ing") and self.kind(j + 1) == "prep":
                pass  # "the boy sitting at the top"
            elif k == "unk" and d.name and self.items[j][1].endswith("ing") and self.kind(j + 1) in ("prep", "R"):
                pass  # "people waiting near a bench"
            elif end := self._accompanied(d, i):
                j = end - 1
            elif k == "L" and d.cells is None:
                d.cells = self.items[j][1]
                if self.items[j + 1 : j + 2] == [("skip", "side of")]:  # "on the left side of the table"
                    found = self.noun_phrase(j + 2) if self.kind(j + 2) in ("det", "n", "pic") else None
                    j = found[1] - 1 if found else j + 1
            elif k == "R" and d.relation is None and (found := self.related_phrase(j)):
                d.relation, j = (self.items[j][1], found[0]), found[1] - 1
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
