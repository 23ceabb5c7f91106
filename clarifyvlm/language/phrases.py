"""Noun phrases of a response."""

from clarifyvlm.language.descriptions import PARTS, SHAPE_NAMES, SLOTS, Description
from clarifyvlm.language.items import both_places, items_of
from clarifyvlm.language.lexicon import GROUPS
from clarifyvlm.language.modifiers import Modifiers

_AFTER = (None, ",", "prep", "and", "with")
_NOUNS_IN_ING = frozenset(
    "awning building ceiling clothing crossing earring icing king painting railing ring string swing wing".split()
)


class Phrases(Modifiers):
    """The items of one sentence, and the noun phrases in them."""

    def load(self, tokens: list[str]) -> None:
        self.items = items_of(tokens, self.words)
        self.last = tokens[-1] if tokens else ""  # "it is very pretty" has no item for it
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
                    return d, self._post_modifiers(d, i + 2)
                if part := self._part(d, i + 1):
                    return part
            elif k == "of" and not headed and (d.cells or d.size) and (part := self._part(d, i + 1)):
                return part  # "the lower of the two circles"
            elif k == "#":
                if self.items[i][1] == 1 and self.kind(i + 1) == "of" and (part := self._part(d, i + 2)):
                    return part
                if self._is_sole(i):  # "the one blue thing"
                    d.only, i = True, i + 1
                    continue
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
                    self.kind(i + 1) == "unk"
                    and d.name not in SHAPE_NAMES
                    and self._is_noun(self.items[i + 1][1])
                    and self.kind(i + 2) in _AFTER
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
                d.group, v = v if isinstance(v, tuple) else (None, v)
                d.plural = d.plural or v
                headed = True
                i += 1
                if self.items[i : i + 1] == [("other", "else")]:  # "everything else"
                    d.other, i = True, i + 1
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

    def _is_noun(self, word: str) -> bool:
        """Whether an unknown word may be the head after a noun: "a dog leash", not "the woman eating"."""
        return word.isalpha() and (not word.endswith("ing") or word in _NOUNS_IN_ING)

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
        if self.kind(i) == "pron":
            end = self._post_modifiers(part, end)
        return part, end

    def _all_of(self, i: int) -> tuple[tuple, int] | None:
        """The colors in "pink, brown and purple shapes", and where the last one stands."""
        colors, j = [self.items[i][1]], i
        while self.kind(j + 1) in (",", "and") and self.kind(j + 2 if self.kind(j + 2) != "and" else j + 3) == "c":
            j = j + 2 if self.kind(j + 2) == "c" else j + 3
            colors.append(self.items[j][1])
        if len(colors) == 1 or self.kind(j + 1) not in ("n", "g"):
            return None
        value = self.items[j + 1][1]  # (noun, is plural), or of "objects" whether it is
        plural = value[1] if isinstance(value, tuple) else value
        return (tuple(colors), j) if plural else None

    def _either_of(self, i: int, kind: str) -> bool:
        """Whether the attribute at i is one of two that a noun may have: "green or red object"."""
        if kind not in ("c", "t") or self.kind(i + 1) != "or" or self.kind(i + 2) != kind:
            return False
        return self.kind(i + 3) in ("n", "g") or (self.kind(i + 3) == "#" and self.items[i + 3][1] == 1)

    def _is_sole(self, i: int) -> bool:
        """Whether the number at i is the "one" of "the one blue thing"; "the one red" is a pronoun."""
        if self.items[i][1] != 1 or self.items[i - 1 : i] != [("det", "the")]:
            return False
        j = i + 1
        while self.kind(j) in ("c", "s", "t"):
            j += 1
        return self.kind(j) in ("n", "g")

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
