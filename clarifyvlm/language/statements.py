"""The clause parser of the scene reader: one sentence that states something -> claims.

Works on the items of `items.items_of`, left to right: a clause opens with "there", "see", "no", a noun phrase or a
bare value; what follows decides which claim it makes. Words it does not know are passed over.
"""

from clarifyvlm.language.claims import BREAKS
from clarifyvlm.language.descriptions import SHAPE_NAMES, STARTS, Description
from clarifyvlm.language.existence import Existence

_PASSED = (
    "and",
    "or",
    "cop",
    "prep",
    "det",
    "do",
    "pic",
    "(",
    "with",
    "of",
    "for",
    "there",
    "so",
    "when",
)  # nothing is lost with them


class Statements(Existence):
    """Clauses that state something."""

    def parse(self) -> None:
        i = 0
        while i < self.n:
            i = max(i + 1, self._clause(i))

    def _clause(self, i: int) -> int:
        """Parse what starts at i; returns where to go on."""
        k, v = self.items[i]
        following = self.kind(i + 1)
        if (
            k in ("yes", "nay", "no") and following == "for" and (found := self.noun_phrase(i + 2))
        ):  # "yes for the left one and the right one"
            while found:
                self._answers("yes" if k == "yes" else "no", found[0])
                self.subject, i = found
                j = i + 1 + (self.kind(i + 1) == "and")
                more = self.kind(i) in (",", "and") and self.kind(j) in STARTS and not self._opens_clause(j)
                found = self.noun_phrase(j) if more else None
            return i
        if k in ("nay", "no") and i == 0 and following in (None, ",", ":", "but") and self.echoed is not None:
            if "yesno" not in self.asked:  # "Cyan hexagon? Nope, ..."
                self.add("deny", self.echoed)
                return i + 1
        if k in ("yes", "nay") or (
            k == "no" and following in (None, ",", ":", "there", "see", "pron", "so", "but", "do")
        ):
            if self.kind(i - 1) not in ("cop", "see", "count") or i == 0:
                self.add("yesno", value="no" if k in ("no", "nay") else "yes")
            elif k == "no":  # "There are no."
                self.add("deny", None)
            return i + 1
        if k == "no":
            return self._denied(i + 1)
        if k == "none":
            return self._none(i)
        if k == "nothing":
            return self._nothing(i + 1)
        if k == "there":
            return self._there(i + 1)
        if k == "see" or (k == "count" and not self.negated):
            return self._see(i)
        if (k, v) in (("or", "nor"), ("not", "neither")) and following in ("cop", "do") and (end := self._nor(i + 2)):
            return end
        if k == "not" and v == "neither" and (end := self._neither(i + 1)):
            return end
        if k == "not" and following == "for" and "yesno" in self.asked and i:
            found = self.noun_phrase(i + 2) if self.kind(i + 2) in STARTS else None
            if found:  # "yes for the left one, but not for the right one"
                self._answers("no", found[0])
                return found[1]
        last = self.response.claims[-1] if self.response.claims else None
        if k == "not" and last and (last.kind, last.value, last.subject) == ("yesno", "no", None):
            found = self.noun_phrase(i + 1) if following == "det" else None
            if found and found[0].definite and found[0].given() and self.kind(found[1]) in (None, ","):
                last.subject = found[0]  # "no, not the large one"
                return found[1]
        if k == "not" and following == "all" and "yesno" in self.asked and self.kind(i - 1) in (None, *BREAKS):
            found = self.noun_phrase(i + 1)
            while found and i < self.n and self.kind(i) not in BREAKS:  # "not every star has this color"
                self.excused.add(i)
                i += 1
            return i if found else i + 1
        if k == "not":
            self.negated = True
            return i + 1
        if k == "modal":
            self.possible = True
            return i + 1
        if (
            k in ("know", "count")
            and self.negated
            and self.kind(i - 1) != "unk"  # "I would not dare to say"
            or (k == "unsure" and (self.negated or v not in ("sure", "certain", "clear")))
        ):
            return self._unsure(i + 1)
        if k == "attr":
            return self._property(i, Description(one=True, definite=True))
        if k == "mean" or (k == "as" and any(self.kind(j) == "take" for j in range(i))):
            return self._named(i + 1)
        if k == "hides":
            j = i + 2 if following == "det" else i + 1
            if self.kind(j) == "attr":
                self.response.unsure = True
                self.add("hidden", self.subject, attribute=self.items[j][1])
                return j + 1
        if k == "with" and v == "without":
            return self._denied(i + 1)
        if k == "hid" and i == 0 and following in (None, ",", "prep", "so", "but"):  # "The cross? Hidden."
            self.add("hidden", self.subject)
            self.response.unsure = True
            return i + 1
        if k == "skip":
            return self._skipped(i)
        if k == "like" or (k == "same" and following in ("as", "attr")):
            j = i + 1 + (k == "same") + (following == "attr")
            if (k == "like" or self.kind(j - 1) == "as") and (end := self._likened(j)):
                return end
        if k == "only" and following == "see":  # "the picture only has squares"
            return self._objects(i + 2, exhausts=True)
        if k == "only" and self.kind(i - 1) == "," and self.response.claims and self.response.claims[-1].kind == "deny":
            if (found := self.noun_phrase(i + 1)) and found[0].plural:
                return self._objects(i + 1, exhausts=True)  # "no stars, only circles and squares"
        if k == "rel" and v in ("which", "who") and following == "cop" and self.subject is not None and i:
            return self._predicate([self.subject], self._skip(i + 1))
        if k == "rel" and v == "if" and following == "pron" and self.kind(i + 2) == "cop":
            found = self.noun_phrase(i + 3) if self.kind(i + 3) in STARTS else None
            if found and found[0].definite:  # "red, if it is the one in the middle"
                self.response.named.append(found[0])
                self.subject = self.subject if i else found[0]
                return found[1]
        if k == "except" and (end := self._excepted(i)):
            return end
        if k in ("same", "differ") and "yesno" in self.asked:
            self._answers("no" if self.negated != (k == "differ") else "yes")
            return self._compared(i + 1)
        if k == "so" and following == "cop" and self.items[i + 2 : i + 4] == [("det", "that"), ("of", "of")]:
            self.items[i + 2 : i + 4], self.n = [], self.n - 2  # "so is that of the star"
        if k == "so" and following == "cop" and (found := self.noun_phrase(i + 2)):  # "and so is the star"
            while found:
                end = self._likened(i + 2) or found[1]
                found = self.noun_phrase(end + 1) if self.kind(end) == "and" and self.kind(end + 1) == "det" else None
                i = end - 1
            return end
        if k == "only" and following == "for":
            found = self.noun_phrase(i + 2) if i == 0 and "yesno" in self.asked and self.kind(i + 2) in STARTS else None
            if found and found[1] >= self.n:  # "Only for the one on the right."
                self._answers("yes", found[0])
                return found[1]
            return i + 1
        if k == "R" and (end := self._beyond(i)):
            return end
        if (
            k == "rel" and v == "what" and {"see", "know"} & {following, self.kind(i + 2)}
        ):  # "what I do see are two buses"
            j = next((j for j in range(i + 1, min(i + 5, self.n)) if self.kind(j) == "cop"), None)
            if j:
                return self._objects(j + 1)
        if (
            v == "looked" and following == "for" and (found := self.noun_phrase(i + 2))
        ):  # "I looked for a star, but ..."
            end = found[1] + (self.kind(found[1]) == ",")
            if self.kind(end) == "but" and not found[0].definite and found[0].given():
                self.add("deny", found[0])
            return end
        if (
            (k, v) == ("rel", "whether") and i == 0 and ("or", "or") in self.items
        ):  # "whether red or blue is meant, it is"
            end = next((j for j in range(i, self.n) if self.kind(j) == ","), None)
            if end and self.kind(end - 1) == "mean":
                return end
        if (k, v) == ("rel", "whether") and (end := self._unsettled(i)):
            return end
        if k == "cop" and v.endswith("ing") and self.kind(i - 1) == "," and following == "R":
            return self._predicate([self.subject], i + 1)  # "a circle, sitting below the square"
        if k == "with" and self.kind(i - 1) == "," and (end := self._with(i + 1)):
            return end
        if k in ("assume", "take"):
            return self._assumed(i + 1)
        if k == "for":
            return self._for(i + 1)
        if k == "of" and following == "det" and (found := self.noun_phrase(i + 1)):
            if found[0].plural and not found[0].number and self.kind(found[1]) == ",":
                return found[1]  # "of the large objects, one is a star"
            if found[0].number and self.kind(found[1]) == ",":  # "of the five objects, this one is ..."
                self.add("count", found[0], value=found[0].number, aside=True)
                return found[1]
        if (
            k == "det" and v in ("that", "this") and following == "cop" and self.subject is not None
        ):  # "..., that is red"
            return self._predicate([self.subject], self._skip(i + 1))
        if k == "unk" and following == ":" and i == 0 and v in self.said:  # "pirple = purple: a triangle"
            found = self.noun_phrase(i + 2) if self.kind(i + 2) in STARTS else None
            if found and found[0].given() and not set(found[0].given()) & self.asked:
                return self._named(i + 2)
        if k in STARTS:
            if k == "det" and following == "attr":  # "its color"
                return i + 1
            found = self.noun_phrase(i)
            if found:
                return self._after_noun_phrase(i, *found)
        last = self.response.claims[-1] if self.response.claims else None
        if (
            k == ":"
            and last
            and last.subject
            and last.subject.plural
            and last.kind in ("count", "fragment", "attribute")
        ):
            self.kind_of = None if last.subject.name or last.negated else last.subject
        if k in BREAKS:
            self.negated = self.possible = False
        elif k not in _PASSED and (k, v) not in (("rel", "if"), ("rel", "whether")):
            self.response.skipped.append(str(v if k in ("unk", "rel") else k))
        return i + 1

    def _unsettled(self, i: int) -> int | None:
        """ "Whether it is a circle I cannot tell": where that ends."""
        j = i
        while j < self.n and self.kind(j) not in BREAKS:
            if self.kind(j) == "not" and self.kind(j + 1) in ("know", "see"):
                self.response.unsure = True
                self.excused.update(range(i, j))
                return j + 2
            if self.kind(j) == "unsure" and j > i + 1:  # "whether they match is unknown"
                self.response.unsure = True
                self.excused.update(range(i, j))
                return j + 1
            j += 1
        return None

    def _with(self, i: int) -> int | None:
        """ "(The star is red), with a green circle below it": what is there, too, and answers nothing."""
        found = self.noun_phrase(i) if self.kind(i) in STARTS else None
        if not found or found[0].name not in SHAPE_NAMES or self._opens_clause(i):
            return None
        self.add("exists", found[0]).aside = True
        return found[1]

    def _beyond(self, i: int) -> int | None:
        """ "To the left of the square (there is a star)": where the things lie that are named next; "to the right of
        the small one, yes": read on at the phrase."""
        found = self.related_phrase(i)
        if not found:
            return None
        j = found[1]
        while self.kind(j) in (",", ":"):
            j += 1
        if self.kind(j) in ("there", "see") or (self.kind(j) == "cop" and self.kind(j + 1) in STARTS):
            self.side = (self.items[i][1], found[0])
            return self._there(j + 1) if self.kind(j) == "cop" else j
        if j > found[1] and self.kind(j) == "det" and self.kind(i - 1) != "cop" and self._opens_clause(j):
            return j  # "to the right of it, the objects are red"
        if "yesno" in self.asked:
            return i + 1
        begun = [k for k, _ in self.items[:i] if k not in ("det", "prep")]
        if begun[-1:] not in ([","], ["and"]) or not self.response.claims:
            return None
        value = (self.items[i][1], found[0])  # "at the top, left of the square", "a star, overlapping the square"
        self.add("attribute", self.subject, attribute="relation", value=value)
        return self._between(value[0], found[1])

    def _nor(self, i: int) -> int | None:
        """ "(There is no star,) nor is there a circle", "neither does a circle (exist)", "nor is anything blue"."""
        last = self.response.claims[-1] if self.response.claims else None
        i += self.kind(i) == "there"
        found = self.noun_phrase(i) if self.kind(i) in STARTS else None
        if last is None or last.kind not in ("deny", "attribute") or not found:
            return None
        if last.kind == "deny" and not found[0].definite:
            self.add("deny", found[0])
        elif last.kind == "attribute" and last.negated:
            self.add("attribute", found[0], attribute=last.attribute, value=last.value, negated=True)
        else:
            return None
        return found[1]

    def _neither(self, i: int) -> int | None:
        """ "Neither the star nor the circle is red", "... has a square beside it", "... shows its color"."""
        first = self.noun_phrase(i) if self.kind(i) == "det" else None
        second = self.noun_phrase(first[1] + 1) if first and self.kind(first[1]) == "or" else None
        if not second or self.kind(second[1]) not in ("cop", "see"):
            return None
        subjects, i = [first[0], second[0]], second[1]
        if self.kind(i) == "cop":
            self.negated = True
            return self._predicate(subjects, i + 1)
        if (owned := self._owned(i + 1)) is not None:
            for d in subjects:
                self.add("hidden", d, attribute=self.items[i + 2][1])
            return owned[1]
        found = self.noun_phrase(i + 1) if self.kind(i + 1) in STARTS and "yesno" in self.asked else None
        for d in subjects if found else ():
            self._answers("no", d)
        return found[1] if found else None

    # --- readings named, and what cannot be told

    def _assumed(self, i: int) -> int:
        """ "assuming the large one": names a reading where a definite phrase follows that is no subject."""
        j = i
        if self.kind(j) == "there" or (
            self.kind(j) == "det" and self.kind(j + 1) == "there"
        ):  # "you assume there is a star"
            while j < self.n and self.kind(j) not in (",", "but"):
                j += 1
            return j
        while self.kind(j) in ("with", "for", "prep", "cop", "pron") or (
            self.kind(j) == "det" and self.kind(j + 1) in ("prep", "cop")  # "take this to be the large star"
        ):
            j += 1
        if self.kind(j) != "det" or self.kind(j + 1) == "attr":
            return i
        found = self.noun_phrase(j)
        if not found or not found[0].definite or not found[0].given():
            return found[1] if found and self.kind(found[1]) not in ("cop", "modal") else i  # "it assumes a star"
        d, end = found
        if self.kind(end) == "as" and self.kind(end + 1) == "det" and self.kind(end + 3) == "mean":
            end += 4  # "taking the large star as the one you mean"
        if self.kind(end) in ("cop", "modal", "not", "poss", "as", "mean") or (
            self.kind(end) == "prep" and self.kind(end + 1) == "mean"
        ):
            return i
        self.response.named.append(d)
        self.subject = d
        more = self.noun_phrase(end + 1) if self.kind(end) == "," and self.kind(end + 1) == "det" else None
        if more and more[0].definite and more[0].cells and self.kind(more[1]) in (",", ":"):
            self._attributes(d, Description(cells=more[0].cells))  # "taking the larger one, the one at the top, ..."
            return more[1]
        return self._value_after(self._more_of(d, end), d)

    def _for(self, i: int) -> int:
        """ "For the large star, it is red": sets what "it" means."""
        found = self.noun_phrase(i) if self.kind(i) in STARTS else None
        if not found or self.kind(found[1]) == "cop":
            return i
        self.subject = self.topic = found[0]
        last = self.response.claims[-1] if self.kind(i - 2) == "," and self.response.claims else None
        if last and last.kind == "fragment" and last.subject.one and set(last.subject.given()) <= self.asked:
            self._attributes(found[0], last.subject)  # "purple, for the left one"
            self.response.claims.remove(last)
            return found[1]
        if last and last.kind == "yesno" and last.subject is None:
            last.subject = found[0]
            return found[1]
        return self._value_after(found[1], found[0])
