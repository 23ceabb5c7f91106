"""Subjects of the scene reader, and what goes by them: "the star and the circle are red", "its color is hidden"."""

from collections.abc import Callable

from clarifyvlm.language.descriptions import STARTS, Description
from clarifyvlm.language.items import both_places
from clarifyvlm.language.predicates import Predicates


class Subjects(Predicates):
    """Reads on from a noun phrase or a property's word; the predicate is read by Predicates."""

    _objects: Callable[[int], int]  # defined in Existence

    def _named(self, i: int) -> int:
        """After "you mean", "read gred as": the reading that the response takes."""
        while self.kind(i) in ("prep", "of", "with", "for", "as", ":", "mean"):
            i += 1
        j = i + 1 if self.kind(i) == "det" else i
        if self.kind(j) == "attr":
            d, i = Description(attribute=self.items[j][1]), j + 1
        else:
            found = self.noun_phrase(i) if self.kind(i) in STARTS else None
            if not found:
                return i
            d, i = found
            if d.one and not d.given() and self.subject is not None and self.subject.given():
                d = self.subject  # "if you mean it, ..."
            if self.kind(i) == "cop":  # "I think you mean it is ..." names nothing
                return i
            if self.kind(i) == "poss" and self.kind(i + 1) == "attr":
                return self._property(i + 1, d)
        self.response.named.append(d)
        self.subject = d
        return self._value_after(self._more_of(d, i), d)

    def _more_of(self, d: Description, i: int) -> int:
        """Past what an apposition says of a reading that is named: "the large one, the one on the left"."""
        found = self.noun_phrase(i + 1) if self.kind(i) == "," and self.kind(i + 1) in ("det", "prep") else None
        if not found or self.kind(found[1]) not in (None, ",", ":") or set(found[0].given()) & self.asked:
            return i
        more, end = found
        if self.kind(i + 1) == "prep" and set(more.given()) == {"cells"}:
            self._attributes(d, Description(cells=more.cells))
        elif self.kind(i + 1) == "det" and more.definite and more.given():
            self.add("is", d, value=more).aside = True
        else:
            return i
        return end

    def _value_after(self, i: int, d: Description) -> int:
        """ "...the large one: red": a bare value after a named reading or a label is about it."""
        if self.kind(i) not in (":", ","):
            return i
        j = i + 1
        if self.kind(j) == "not" and (beside := self.noun_phrase(j + 1) if self.kind(j + 1) == "det" else None):
            if self.kind(beside[1]) in (":", ","):  # "for the large one, not the small one: red"
                j = beside[1] + 1
        if self.kind(j) in ("none", "absent", "no", "nothing") and self.kind(j + 1) in (None, ",", "prep", "pic"):
            if "yesno" not in self.asked or self.kind(j) != "no":
                self.add("deny", d)
                return j + 1
        if (
            self.kind(j) in ("yes", "nay", "no")
            and self.kind(j + 1) not in (*STARTS, "attr", "for")
            and "yesno" in self.asked
        ):
            self._answers("yes" if self.kind(j) == "yes" else "no", d)
            return j + 1
        if self.kind(j) == "not" and self.kind(j + 1) in (None, "see", "pic", "there", "prep"):  # "star: not found"
            self.add("deny", d)
            return j + 1
        if self.kind(j) == "no" and "yesno" in self.asked and (found := self.noun_phrase(j + 1)):
            self._answers("no", d)
            return found[1]
        if d.plural and not d.given() and not d.one or self.kind(j) == "#" and self.items[j][1] == 1:
            return i  # "the shapes: a star, ...", "at the top: one on the left ..."
        found = self.noun_phrase(j) if self.kind(j) in STARTS and self.kind(j) != "pron" else None
        if not found or self._opens_clause(j) or not set(found[0].given()) & self.asked:
            return i
        value, end = found
        if value.definite and not ("cells" in self.asked and value.cells):
            return i
        self._attributes(d, value)
        return end

    def _property(self, i: int, owner: Description) -> int:
        """ "its color is red", "the color of the star is hidden": i is at the property's word."""
        attribute, was_negated = self.items[i][1], self.negated
        if self.kind(i - 1) in ("differ", "many") and self.kind(i + 1) == ":" and self.response.claims:
            owner = self.response.claims[-1].subject or owner  # "circles in different colors: ..."
        i += 1
        if self.kind(i) == "attr":
            i += 1
        if self.kind(i) == "of" and (found := self.noun_phrase(i + 1)):
            owner, i = found
        owner = self._refer(owner)
        if self.kind(i) == "and" and self.kind(i + 1) in ("attr", "det") and self.kind(i + 2) in ("attr", "cop"):
            return i
        if self.kind(i) not in ("cop", ":", "not", "modal", "see", "know", "unsure", "hid"):
            return i
        if self.kind(i) == ":":
            i += 1
            found = self.noun_phrase(i) if self.kind(i) in STARTS else None
            if found and found[0].given() and attribute in ("size", "color") and attribute not in found[0].given():
                return i  # "I check the sizes: a circle ..."
        i = self._skip(i)
        k = self.kind(i)
        if k == "hide":
            self.add("hidden", owner, attribute=self.items[i][1])
            self.response.unsure, self.negated = True, False
            return i + 1
        if k == "hid" or (self.negated and not was_negated and k in ("see", "know")) or k == "unsure":
            self.add("hidden", owner, attribute=attribute)
            self.response.unsure, self.negated = True, False
            return i + 1
        if attribute == "count":
            if k == "#":
                self.add("count", None, value=self.items[i][1])
                return i + 1
            return i
        return self._predicate([owner], i)

    def _after_noun_phrase(self, start: int, d: Description, i: int) -> int:
        if d.abstract:
            while i < self.n and self.kind(i) not in (":", ",", "but", "so") and not self._opens_clause(i):
                i += 1
            return i
        subjects = [d]
        while self.kind(i) in ("and", "or", ",") and self.kind(i + 1) in STARTS:  # "the star and the circle are red"
            found = self.noun_phrase(i + 1)
            if not found or not (found[0].name or found[0].definite) or self.kind(found[1]) not in ("and", "cop"):
                break
            if self.kind(found[1]) == "cop" and self.items[found[1]][1] not in (
                "are",
                "were",
                "look",
                "seem",
                "appear",
            ):
                break
            subjects.append(found[0])
            i = found[1]
        if len(subjects) > 1 and d.whole and d.name:  # "both the star and the circle"
            d.whole = d.plural = False
        if len(subjects) > 1 and self.kind(i) != "cop":
            subjects, i = [d], self.noun_phrase(start)[1]
        leads = "prep" in (self.kind(start), self.kind(start - 1) if start else None)
        if leads and d.unknown and not d.given():  # "in this living room, ..."
            return i
        if len(subjects) == 1 and not leads and (end := self._apposed(d, i)):
            i = end
        k, v = self.items[i] if i < self.n else (None, None)
        if k == "poss":
            if self.kind(i + 1) == "attr":
                return self._property(i + 1, d)
            if self.kind(i + 1) in ("c", "s", "t", "prep", "L", "hide", "hid", "not") and self.kind(i + 2) not in (
                "attr",
                "n",
                "g",
            ):
                return self._predicate([self._refer(d)], self._skip(i + 1))  # "the left one's red"
            return i + 1
        if k == "mean" and self.kind(i + 1) != "cop":  # "if it means red"
            return self._named(i + 1)
        if k == "mean":  # "the star you mean is red"
            i += 1
            k, v = self.items[i] if i < self.n else (None, None)
        if k == "only" and self.kind(i + 1) in ("hold", "see", "cop"):  # "the women only carry a cup"
            self.response.unplaced.append("only")
            i += 1
            k, v = self.items[i]
        if k == "see" and v in ("has", "have"):
            return self._has(d, i + 1)
        if k in ("yes", "nay") and "yesno" in self.asked:  # "the left one yes"
            self._answers("yes" if k == "yes" else "no", d)
            return i + 1
        if k == "hold":
            return self._predicate([self._refer(s) for s in subjects], i)
        if k in ("do", "same", "differ") and (end := self._does(d, i)):
            return end
        if k == "cop" and not d.name and (owner := self._owned(i + 1)):  # "red is its color"
            self._attributes(owner[0], d)
            return owner[1]
        if k in ("cop", "modal", "not"):
            subjects = [self._refer(s) for s in subjects]
            j = self._skip(i)
            if (
                j == i + 1
                and k == "not"
                and self.kind(j) not in (*STARTS, "see", "absent", "pic", "there", "know", "hid")
            ):
                return j
            return self._predicate(subjects, j)
        if self.negated and self.kind(start - 1) in ("not", "or") and k in ("or", ":", ",", "but", None):
            self.add("attribute", None, attribute=None, value=d, negated=True)  # "neither blue nor green: ..."
            self.negated = k == "or"
            return i
        if d.whole and d.one and not d.given() and k in ("c", "s", "t"):  # "all of them large"
            return self._predicate([d], i)
        replies = "yesno" in self.asked and self.kind(i + 1) in ("yes", "nay", "no") and self.kind(i + 2) in (None, ",")
        if k == ":" or (k == "," and (replies or (d.definite and not set(d.given()) & self.asked))):
            if (d.number or 0) > 1 and d.name and not d.definite and self.items[i + 1 : i + 2] == [("det", "a")]:
                self.add("count", d, value=d.number)
                return i  # "two stars: a small one and a large one"
            end = self._value_after(i, d)
            if end != i:
                return end
            if k == ":":
                self.subject = d
                if set(d.given()) == {"cells"} and d.one and self.kind(start - 1) != "and":
                    self.scope = d.cells
                    return i
        if (k, v) == ("rel", "if") and self.kind(i + 1) == "mean" and set(d.given()) & self.asked:
            found = self.noun_phrase(i + 2) if self.kind(i + 2) in STARTS else None
            if found and self.kind(found[1]) in (None, ",", "and", "but", "or"):  # "red if you mean the large one"
                self._attributes(found[0], d)
                return found[1]
        if k == "for" and (found := self.noun_phrase(i + 1)):  # "red for the large one"
            self._attributes(found[0], d)
            return found[1]
        if d.one and not d.given() and d.number is None and not d.other:
            if "count" in self.asked and self.items == [("det", "the"), ("#", 1)]:
                self.add("count", None, value=1)  # "just the one"
            return i
        opens = self.kind(i + 1) if k == "," and leads else k
        if opens == "there" and d.one and set(d.given()) == {"cells"}:  # "in the top left corner there is a star"
            self.scope = d.cells
            return i
        if d.number is not None and not d.given() and not d.unknown and not d.plural and "count" not in self.asked:
            return i  # "one a square"
        if d.number == 0 and d.name and "count" not in self.asked:  # "0 stars, 2 circles"
            self.add("deny", d.without("number"))
        elif d.number is not None and not (d.one and d.given()):
            self.add("count", d, value=d.number)
        else:
            either = "or" in (self.kind(start - 1) if start else None, self.kind(i))
            self.add("fragment", d, either=either, alone=start == 0 and i >= self.n)
            if d.name or d.definite:
                self.subject = d
                if start == 0 and self.kind(i) == "," and self.kind(i + 1) == "no":
                    self.topic = d  # "large star: no square to its left"
        return i

    def _apposed(self, d: Description, i: int) -> int | None:
        """ "The star, the one at the top left, is": what stands between the commas goes to `d`. Where it ends."""
        if self.kind(i) != "," or not d.definite:
            return None
        j = i + 1
        if self.kind(j) == "rel" and self.kind(j + 1) == "cop":  # "the star, which is at the top, is"
            j += 2
        elif self.kind(j) == "rel" and self.kind(j + 1) == "R":  # "the star, which overlaps the square, is"
            j += 1
        if self.kind(j) == "R" and d.relation is None and (found := self.related_phrase(j)):
            end = found[1] + (self.kind(found[1]) == ",")
            if self.kind(end) == "cop" and self.kind(found[1]) == ",":
                d.relation = (self.items[j][1], found[0])
                return end
        found = self.noun_phrase(j) if self.kind(j) in STARTS and self.kind(j) != "pron" else None
        if self.kind(j) in ("with", "hold") and (
            held := self._accompanied(d, j)
        ):  # "the one on the right, with the bag,"
            return held + (self.kind(held) == ",")
        if not found or not (
            found[0].definite or set(found[0].given()) <= {"cells", "relation"} or (self.kind(j) == "det" and i > j - 2)
        ):
            return None
        more, end = found
        end += self.kind(end) == ","
        if self.kind(end) not in ("cop", "do") and not (self.kind(end) == "see" and self.items[end][1] == "has"):
            return None
        if more.only:
            self._only(more)
        if more.size in ("max", "min") and (more.name or not more.one):
            self.add("is", d.without(), value=more).aside = True  # "the red star, which is the largest object, is"
            return end
        for attribute, value in more.given().items():
            if d.size in ("max", "min") and attribute in ("name", "color", "size") and attribute not in self.asked:
                self.add("attribute", d.without(), attribute=attribute, value=value).aside = True
            if attribute == "cells" and d.cells and (both := both_places(d.cells, value)):
                d.cells = both  # "the object on the right, the one at the top"
            if getattr(d, attribute) is None:
                setattr(d, attribute, value)
        return end

    def _does(self, d: Description, i: int) -> int | None:
        """ "The left one does", "... does have one", "... has the same color", "... differs", after a noun phrase."""
        negated, j = False, i
        while self.kind(j) in ("do", "not"):
            negated, j = negated or self.kind(j) == "not", j + 1
        if negated and "yesno" in self.asked and self.items[j : j + 1] == [("all", "all")]:  # "they do not all match"
            self.presuppose(d)
            while j < self.n and self.kind(j) not in (",", "so", "but", ":"):
                j += 1
            return j
        if self.kind(j) == "see":
            self.negated = negated
            return self._has(d, j + 1) if self.items[j][1] in ("has", "have", "show", "contain") else None
        if "yesno" not in self.asked:
            return None
        if self.kind(j) in ("same", "differ"):
            negated ^= self.kind(j) == "differ"
            j = self._compared(j + 1)
        elif j == i or self.kind(j) in STARTS:
            return None
        self._answers("no" if negated else "yes", None if d.one and not d.given() and not d.number else d)
        return j

    def _owned(self, i: int) -> tuple[Description | None, int] | None:
        """ "its color", "the color of the star" at i: (whose, where it ends)."""
        if self.kind(i) != "det" or self.kind(i + 1) != "attr":
            return None
        if self.kind(i + 2) == "of" and (found := self.noun_phrase(i + 3)):
            return found
        return self._refer(Description(one=True, definite=True)), i + 2

    def _has(self, d: Description, i: int) -> int:
        """ "the star has a red color", "... has no visible color"."""
        d = self._refer(d)
        if self.items[i : i + 1] == [("det", "the")] and self.kind(i + 1) == "attr" and self.kind(i + 2) == "of":
            if self.items[i + 3 : i + 4] == [("det", "the")] and (end := self._alike([d], i, self.negated)):
                return end  # "has the color of the star"
        if (
            d is not None and set(d.given()) == {"cells"} and not d.number and self.kind(i) not in ("no", "attr")
        ):  # "the left side has"
            self.scope = d.cells
            return self._objects(i)
        if "yesno" in self.asked:
            j = i
            while self.kind(j) in ("det", "not", "all", "prep"):
                j += 1
            if self.kind(j) in ("same", "differ"):
                self._answers("no" if self.negated != (self.kind(j) == "differ") else "yes", d)
                if self.kind(j) == "same" and self.kind(j + 1) == "c" and not self.negated:  # "the same yellow as"
                    self.add("attribute", d, attribute="color", value=self.items[j + 1][1])
                    j += 1
                return self._compared(j + 1)
            j = i + 1 if self.kind(i) == "no" else i
            found = self.noun_phrase(j) if self.kind(j) in (*STARTS, "no") else None
            if found and (found[0].name or found[0].color or found[0].unknown):
                self._answers("no" if self.negated or j > i else "yes", d)
                if not self.negated and j == i:
                    self.add("exists", found[0].without("cells", "relation")).aside = True
                    self.subject = found[0].without("cells", "relation")  # "which is a square"
                self.negated = False
                return found[1]
        if self.kind(i) == "no":
            j = i + 2 if self.kind(i + 1) == "see" else i + 1
            if self.kind(j) == "attr":
                self.add("hidden", d, attribute=self.items[j][1])
                return j + 1
            return i
        if end := self._held([d], i, self.negated):
            self.negated = False
            return end
        j = i + (self.kind(i) == "det")
        if self.kind(j) == "see" and self.kind(j + 1) == "attr":  # "the star has a visible color"
            if self.negated:
                self.add("hidden", d, attribute=self.items[j + 1][1])
            self.negated = False
            return j + 2
        while self.kind(i) in ("det", "attr", "prep", "of"):
            i += 1
        return self._predicate([d], i)
