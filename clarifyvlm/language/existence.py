"""Existence and absence: the scene reader's clauses that say what is there, and what is not."""

from collections.abc import Callable

from clarifyvlm.language.claims import BREAKS
from clarifyvlm.language.descriptions import SHAPE_NAMES, STARTS, Description
from clarifyvlm.language.empty import strange
from clarifyvlm.language.predicates import LISTED
from clarifyvlm.language.subjects import Subjects


class Existence(Subjects):
    """Reads on after "there is", "I see", "no", "none", "nothing"."""

    _clause: Callable[[int], int]  # defined in Statements

    def _there(self, i: int) -> int:
        i = self._skip(i)
        if self.kind(i) in ("no", "none", "nothing"):
            return self._clause(i)
        return self._objects(i)

    def _see(self, i: int) -> int:
        i += 1
        while self.kind(i) == "not":
            self.negated, i = True, i + 1
        k = self.kind(i)
        j = i + 1 if k in ("det", "all") else i
        if self.kind(j) == "attr" or k == "rel":  # "I cannot see its color", "... what color it is"
            if self.negated:
                return self._unsure(i)
            return i + 1 if k == "rel" else self._property(j, Description(one=True, definite=True))
        if k in ("no", "none", "nothing"):
            return self._clause(i)
        if i >= self.n or k in BREAKS:
            if self.negated:
                self.add("deny", None)
            return i
        return self._objects(i)

    def _objects(self, i: int, exhausts: bool = False) -> int:
        """The list after "there is" or "I see": existence and counts, or denials after a negation. It `exhausts` what
        there is after "only"."""
        negated = self.negated
        if i >= self.n or self.kind(i) in BREAKS:
            self.add("yesno", value="no" if negated else "yes")
            return i
        first, either, shared = True, False, False
        only: list[Description] | None = [] if exhausts else None
        while i < self.n:
            if not first:
                if self.kind(i) not in LISTED or self._opens_clause(i + 1):
                    break
                either = self.kind(i) == "or"
                i += 1
            if self.kind(i) == "not":  # "a circle, not a star"
                found = self.noun_phrase(i + 1)
                if found:
                    self.add("deny", found[0])
                    i, first = found[1], False
                    continue
            if self.kind(i) == "only":
                negated, only, i = False, [], i + 1  # "I see no star, only squares"
            found = self.noun_phrase(i) if self.kind(i) in STARTS else None
            if not found:
                if self.kind(i) == "pic" or (first and self.kind(i) in ("det", "prep")):
                    i += 1
                    continue
                break
            d, i = found
            if only is not None:
                only.append(d.without())
            if d.one and not d.definite and set(d.given()) == {"color"} and self.kind(i) in (",", "and"):
                d.one = self.kind(i + 1) not in ("c", "hide", "and")  # "red, green and blurred blue shapes"
                shared |= not d.one
            elif shared and d.plural and d.number is None:
                d.plural = False
            if d.one and set(d.given()) == {"cells"} and self.kind(i) in ("det", "#", "c", "s", "t", "n"):
                self.scope, first = d.cells, True  # "..., on the left an orange star"
                continue
            self._mention(d, negated, either)
            if first and not negated and (d.given() or d.one) and not d.plural:
                self.subject = d
            first = False
        if exhausts and self.echoed is not None and only:  # "A dog? I only see cats."
            self.add("deny", self.echoed)
        self._exhausts(only if only and self.kind(i) not in STARTS else [])  # not "diamonds crosses"
        return i

    def _exhausts(self, listed: list[Description]) -> None:
        """ "There are only circles and a star": every object is one of these."""
        names = [d.name for d in listed if d.name in SHAPE_NAMES and not (d.cells or d.relation)]
        colors = [d.color for d in listed if d.color and not (d.name or d.cells or d.relation)]
        for attribute, values in (("name", names), ("color", colors)):
            if values and len(values) == len(listed):
                value = values[0] if len(values) == 1 else tuple(values)
                self.add(
                    "attribute", Description(whole=True, plural=True), attribute=attribute, value=value
                ).aside = True

    def _mention(self, d: Description, negated: bool, either: bool = False) -> None:
        bare = d.one and not d.given()
        if self.side and not d.relation and not bare:
            d.relation = self.side
        if negated and bare and self.echoed is not None:  # "Zebra? There isn't one."
            d, bare = self.echoed, False
        if negated:
            self.add("deny", None if bare else d)
        elif d.number == 1 and not d.given() and "yesno" in self.asked and not (d.unknown or d.plural or d.abstract):
            self.add("yesno", value="yes")  # "there is one"
        elif d.number is not None:
            self.add("count", d, value=d.number)
        elif bare:
            self.add("yesno", value="yes")
        elif (
            d.whole and d.one and d.given() and not self.asked & set(d.given())
        ):  # "four stars, all of them at the top"
            self._attributes(d.without(*d.given()), d)
        elif d.plural and not d.definite and d.cells is None:
            self.add("count", d.without(), value=2).subject.at_least = True
        else:
            self.add("exists", d, either=either)

    def _denied(self, i: int) -> int:
        """After "no": the phrase denied, and others joined to it; "no object is a star" denies a star."""
        j = i + 1 if self.kind(i) == "unk" else i
        if self.kind(j) in ("attr", "count") and self.kind(j + 1) != "cop":
            self.response.unsure |= self.items[j][1] == "count"  # "no reliable count"
            return j + 1
        if self.kind(i) == "such" and self.kind(i + 1) == "attr":  # "no such color as gred"
            word = next((v for k, v in self.items[i + 2 : i + 4] if k == "unk"), None)
            if word:
                self.add("deny", Description(unknown=word))
            return i + 4
        if self.kind(i) == "unsure":  # "no idea"
            return self._unsure(i + 1)
        if self.kind(i) in (None, "prep", "such"):  # "There is no.", "no such thing"
            self.add("deny", None)
            return i + 2 if self.kind(i) == "such" else i
        while found := (self.noun_phrase(i) if self.kind(i) in (*STARTS, "unk") else None):
            d, i = found
            if self.kind(i) == "cop" and self.kind(i + 1) == "as":
                return self.n  # "no star is as red as this one"
            if self.kind(i) == "cop" and self.kind(i + 1) not in (
                None,
                "see",
                "pic",
                "there",
                "absent",
                "prep",
                ",",
                "but",
            ):
                return self._none_is(d, i + 1)
            yours = d.relation is not None and ("det", "your") in self.items[:i]
            if end := i if yours else self._narrowed(i):  # "no star in your hat"
                return end
            self.add("deny", d)
            if self.kind(i) not in ("or", "and") or self._opens_clause(i + 1):
                break
            i += 1
            if self.kind(i) == "no":
                i += 1
        else:
            if self.kind(i) == "unk":  # "no wombat", "no baseball player"
                while self.kind(i + 1) == "unk" and self.items[i + 1][1] in self.said:
                    i += 1
                if end := self._narrowed(i + 1):
                    return end
                self.add("deny", Description(unknown=self.items[i][1]))
                i += 1
        return self._past_there(i)

    def _past_there(self, i: int) -> int:
        """Past "... is visible in the picture", after what is denied."""
        while self.kind(i) in ("cop", "see", "there", "pic", "absent", "prep") or (
            self.kind(i) == "det" and self.kind(i + 1) == "pic"
        ):
            if self.kind(i) == "pic" and self.response.claims and self.response.claims[-1].subject:
                self.response.claims[-1].subject.anywhere = True
            i += 1
        return i

    def _narrowed(self, i: int) -> int | None:
        """ "There is no star *that I like*", "... *before you came*": where words end that leave it open."""
        j, narrow = i, self.kind(i) == "rel" or (self.kind(i) == "det" and self.items[i][1] == "that")
        while j < self.n and self.kind(j) not in (*BREAKS, "and", "or", "not"):
            narrow |= self.kind(j) == "when"
            j += 1
        if not narrow and not strange(self.items[i:j]):
            return None
        kept = self.response.empty if narrow and self.items[i][1] != "whose" else self.response.skipped
        kept.append("no ... " + " ".join(str(v or k) for k, v in self.items[i:j]))
        return j

    def _none(self, i: int) -> int:
        """ "none": of what the question is about; "none of the objects is a star"."""
        d = Description(one=True)
        if self.items[i][1] == "nobody":
            d = Description(name=self.words.one["person"][1][0])
        i += 1
        if self.kind(i) == "of":
            found = self.noun_phrase(i + 1)
            d, i = found if found else (d, i + 1)
            if d.number:  # "none of the three objects"
                d.total, d.number = d.without(), None
            if self.kind(i) in ("c", "s", "t"):  # "none of them green"
                return self._none_is(d, i)
        if self.kind(i) == "cop":
            return self._none_is(d, i + 1)
        if self.items[i : i + 1] in ([("see", "has")], [("see", "have")]):  # "none of the women has a hat"
            if self.kind(i + 1) == "det" and self.kind(i + 2) == "attr":  # "none of the objects has that color"
                self.add("deny", None)
                return i + 3
            found = self.noun_phrase(i + 1) if self.kind(i + 1) in STARTS else None
            if found and (found[0].name or found[0].unknown):
                if "yesno" in self.asked:
                    self._answers("no", None if d.one and not d.given() else d)
                else:
                    self.add("deny", found[0])
                return found[1]
        if end := self._narrowed(i):
            return end
        self.add("deny", None if d.one and not d.given() else d)
        return i

    def _nothing(self, i: int) -> int:
        while self.kind(i) in ("prep", "det", "pic") and self.kind(i + 1) in ("det", "pic", "cop"):  # "nothing here is"
            i += 1
        if self.kind(i) == "rel":
            i += 1
        if self.kind(i) == "cop":
            i += 1
        return self._none_is(Description(), i)

    def _none_is(self, d: Description, i: int) -> int:
        """ "no object is PREDICATE": denies what has both; "nobody is wearing a hat" denies the hat."""
        if self.kind(i) == "hold":
            d, i = (Description() if d.one or d.name else d), i + 1
        found = self.noun_phrase(i) if self.kind(i) in STARTS else None
        if found:
            for attribute, value in found[0].given().items():
                setattr(d, attribute, value)
            d.unknown, d.anywhere = d.unknown or found[0].unknown, found[0].anywhere
            i = found[1]
        elif self.kind(i) == "R" and (related := self.related_phrase(i)):  # "nothing is to the right of it"
            d.relation, i = (self.items[i][1], related[0]), related[1]
        elif self.kind(i) == "unk":  # "nothing is bluown"
            d, i = Description(unknown=self.items[i][1]), i + 1
        if d.given() or d.unknown:
            self.add("deny", d)
            return self._past_there(i)
        return i
