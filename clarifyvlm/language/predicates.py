"""Predicates of the scene reader, what is said of a subject: "... red, not blue", "... hidden", "... not there"."""

from clarifyvlm.language.claims import Claims
from clarifyvlm.language.descriptions import SHAPE_NAMES, STARTS, Description

LISTED = ("and", ",", "or", ":", "but")


class Predicates(Claims):
    """Reads on after the copula."""

    def _predicate(self, subjects: list[Description | None], i: int) -> int:
        """After the copula: values, noun phrases, places, "not X but Y", "hidden", "missing"."""
        self.landmark = self.subject if subjects[0] is not None else None
        i = self._said(subjects, i)
        self.landmark = self.subject
        return i

    def _said(self, subjects: list[Description | None], i: int) -> int:
        """What `_predicate` reads."""
        named = subjects[0]
        if named is not None and (named.given() or named.unknown):
            self.subject = named if len(subjects) == 1 and not named.plural else None
        negated, either, first = self.negated, False, True
        began, verb = len(self.response.claims), ""
        if "yesno" in self.asked and named is not None and named.one and named.given() and not self.possible:
            more = negated or any(c.kind == "yesno" for c in self.response.claims)  # not "the heart is itself"
            ends = self.kind(i) in (None, ",", "but") and self.kind(i - 1) in ("cop", "not")  # not "has a color"
            ends = ends and (i < self.n or self.words.one.get(self.last, ("",))[0] in ("cop", "not"))
            if more and ends and self.kind(i + 1) not in ("cop", "R", "see"):
                self._answers("no" if negated else "yes", named)  # "the orange one is, the green one is not"
                return i
        if i >= self.n and negated and began and self.response.claims[-1].kind == "attribute" and named is not None:
            last = self.response.claims[-1]  # "the circle is not"
            if last.attribute in self.asked and not last.negated and (named.name or named.cells):
                self.add("attribute", named, attribute=last.attribute, value=last.value, negated=True)
        while i < self.n:
            k, v = self.items[i]
            if k in LISTED:
                if k == ":" or self._opens_clause(i + 1):
                    break
                j = i + 1
                if k == "or":
                    either = True
                elif k in ("but", ","):
                    negated = False
                j += k == "," and self.kind(j) == "and" and self.kind(j + 1) in ("s", "c", "t", "R", "not", "cop")
                if self.kind(j) == "cop" and self.items[j - 1] == ("and", "and") and j + 1 < self.n:
                    i, negated = j + 1, False  # "is red and lies to the left of the star"
                    continue
                while self.kind(j) in ("not", "modal", "but"):
                    negated, j = negated or self.kind(j) == "not", j + 1
                if (j > i + 1 or self.kind(j) == "R") and self._opens_clause(j):
                    break
                if gap := self._gapped(j, began):
                    i = gap
                    continue
                shown = self.items[j : j + 1] == [("see", "visible")]  # "large and visible"
                if (
                    not shown
                    and self.kind(j) not in (*STARTS, "hid", "attr", "R")
                    or (k == "," and self.kind(j) == "for")
                ):
                    break
                i = j
                continue
            if k == "all":
                if self.kind(i + 1) not in ("c", "s", "t", "det", "L", "prep", "hide", "R", "hold", "n"):
                    break
                subjects = [Description(one=True, whole=True, plural=True) if s is None else s for s in subjects]
                if any(c.kind == "deny" for c in self.response.claims):  # "no cyan here, it is all red"
                    subjects = [Description(plural=True) if s and s.one and not s.given() else s for s in subjects]
                subjects = [s.without("number") for s in subjects]
                for s in subjects:
                    s.whole = s.plural = True
                i += 1
            elif k == "not":
                negated, i = True, i + 1
            elif k == "hold" and (end := self._held(subjects, i + 1, negated, v)):
                i, verb = end, v
            elif verb and k in ("det", "#") and (end := self._held(subjects, i, negated, verb)):
                i = end  # "(is holding a cup), a book and a bag"
            elif k == "hold" and first:
                i += 1
                continue
            elif k == "hid":
                for s in subjects:
                    self.add("hidden", s)
                i += 1
            elif k in ("same", "differ") and "yesno" in self.asked:
                about = subjects[0]
                if about is not None and about.one and not about.given():
                    about = None
                self._answers("no" if negated != (k == "differ") else "yes", about)
                i = self._compared(i + 1)
            elif k in ("same", "differ"):
                i = self._alike(subjects, i, negated) or i + 1
            elif k == "except" and (end := self._excepted(i)):
                i = end
            elif k == "like" and (end := self._likened(i + 1)):
                i = end
            elif k == "skip":
                i = self._skipped(i)
            elif k in ("pic", "there", "absent") or (
                k == "see" and v in ("seen", "visible", "shown", "contained", "found")
            ):
                gone = negated != (v in ("missing", "absent"))
                told = [item[1] for item in self.items[:i] if item[0] == "attr"]
                for s in subjects:
                    if gone and s is None and told and "rel" in [item[0] for item in self.items[:i]]:
                        self.add(
                            "hidden", self.subject, attribute=told[-1]
                        )  # "(what color it has,) that is not visible"
                        self.response.unsure = True
                    elif v == "visible" and not gone and s is not None and s.whole:
                        self.add("hidden", s, negated=True)  # "every object is visible"
                    elif not gone and s is not None and s.number and s.plural and not s.definite:
                        self.add("count", s, value=s.number)  # "two stars are there"
                    else:
                        self.add("deny" if gone else "exists", s)
                i += 1
                while self.kind(i) in ("prep", "det", "pic"):
                    i += 1
            elif k in ("yes", "nay", "no") and "yesno" in self.asked and self.kind(i + 1) in (None, ","):
                self._answers("yes" if k == "yes" else "no", subjects[0])  # "for the left one it is no"
                i += 1
            elif k == "empty":
                for s in subjects:
                    self.add("deny", s)
                i += 1
            elif k in ("know", "unsure") and (
                negated or v in ("unknown", "unclear", "uncertain", "impossible", "hard", "difficult")
            ):
                return self._unsure(i + 1)
            elif k == "prep" and (found := self._thing(i + 1)):
                for s in subjects:  # "on the bench": no fact says so
                    self.add("attribute", s, attribute="relation", value=("near", found[0]), negated=negated)
                i = found[1]
            elif k == "prep" and self.kind(i + 1) in ("attr", "det", "pic", "L", "R", "prep", "c"):
                i += 1
            elif k in ("attr", "det") and self.kind(i + 1) in ("pic", "R", "of", None) or k == "attr":
                i += 1
            elif k == "R" and (found := self.related_phrase(i)):
                last = self.response.claims[-1] if len(self.response.claims) > began else None
                if (
                    found[0].one
                    and found[0].definite
                    and not found[0].given()
                    and last
                    and last.attribute == "relation"
                ):
                    found = last.value[1], found[1]  # "left of the star, not to its right"
                for s in subjects:
                    self.add("attribute", s, attribute="relation", value=(v, found[0]), negated=negated, either=either)
                i = self._between(v, found[1])
            elif k == "s" and self.kind(i + 1) == "than" and (found := self.noun_phrase(i + 2)):
                for s in subjects:
                    self.add("attribute", s, attribute="relation", value=(v, found[0]), negated=negated, either=either)
                i = found[1]
            elif k in (*STARTS, "unk") and (found := self.noun_phrase(i)):
                value, end = found
                if value.abstract:
                    if value.cells:  # "in the background on the left"
                        for s in subjects:
                            self._attributes(s, Description(cells=value.cells), negated, either)
                    i = end
                    break
                either = either or self.kind(end) == "or"
                if negated and set(value.given()) == {"cells"} and self._relates(began):
                    i, first = end, False  # "right of the star, not to the left"
                    continue
                if (value.number or 0) > 1 and value.name and len(subjects) == 1 and not negated:
                    self._numbered(subjects[0], value)
                counts = value.number is not None and (value.number > 1 or "count" in self.asked)  # "one a square"
                if counts and not value.given() and value.one:
                    self.add("count", subjects[0], value=value.number)
                for s in subjects:
                    self._attributes(s, value, negated, either)
                i = end
                if value.one and not value.given() and value.number is None:
                    break
            elif k in ("unk", "det", "modal", "prep", "cop", "as") and first:
                i += 1
                continue
            else:
                break
            first = False
        if self.possible and first and began == len(self.response.claims) and named is not None and named.hidden:
            self.response.unsure = True  # "the wrapped star might be"
        if len(self.response.claims) == began and named is not None and named.definite and named.name:
            self.presuppose(named)  # "the wrapped star might be"
        self._distribute(began)
        self.negated = self.possible = False
        return i

    def _held(self, subjects: list[Description | None], i: int, negated: bool = False, verb: str = "") -> int | None:
        """ "(The man is wearing) an orange vest", "(the woman has) a beige one": who has what, and what is said of it.
        None where it is no thing, or where what somebody holds is asked."""
        if "name" in self.asked and (not verb or not self.verb or (verb[:3] == "wea") == (self.verb == "wearing")):
            return None
        found = self.noun_phrase(i) if self.kind(i) in ("det", "n", "c", "s", "#") else None
        if not found or found[0].abstract or found[0].name in SHAPE_NAMES:
            return None
        d, end = found
        if not d.name and not d.unknown and not (d.one and self.kind(end - 1) == "#"):
            return None
        for s in subjects:
            thing = d.without("cells") if d.cells else d.without()
            if d.one:
                thing.relation = ("of", s)
                self.add("fragment", thing)
            else:
                thing.relation = None
                self.add("attribute", s, attribute="relation", value=("with", thing), negated=negated)
                if negated and s is not None:  # "the man is not wearing a hat"
                    missing = thing.without()
                    missing.relation = ("of", s)
                    self.add("deny", missing)
                if thing.color and not negated and s is not None:
                    owned = thing.without()
                    owned.relation, owned.definite = ("of", s), True
                    self.add("fragment", owned)
        return end

    def _numbered(self, subject: Description | None, value: Description) -> None:
        """ "The red objects are three stars and a circle": how many of them are stars."""
        if subject is None or not subject.plural or subject.number == value.number:
            return
        d = value.without("number")
        for attribute, of_all in subject.given().items():
            if getattr(d, attribute) is None:
                setattr(d, attribute, of_all)
        d.one |= subject.one  # "they are two stars and a circle"
        self.add("count", d, value=value.number).aside = True

    def _alike(self, subjects: list[Description | None], i: int, negated: bool) -> int | None:
        """ "(It has) the same color as the star": where it ends."""
        attribute = self.items[i + 1][1] if self.kind(i + 1) == "attr" else None
        found = self.noun_phrase(i + 3) if attribute in ("color", "size", "pattern", "name") else None
        if not found or self.kind(i + 2) not in ("as", "of") or self.kind(i + 3) not in STARTS:
            return None
        for s in subjects:
            self.add("alike", s, attribute=attribute, value=found[0], negated=negated != (self.kind(i) == "differ"))
            if "yesno" in self.asked:
                self._answers("no" if negated else "yes", s)
        return found[1]

    def _relates(self, began: int) -> bool:
        """Whether the clause says already where its subject is to another thing: "left of the star"."""
        return any(claim.attribute == "relation" for claim in self.response.claims[began:])

    def _excepted(self, i: int) -> int | None:
        """ "... are green, except for the one at the top": the claims before it say nothing of that one."""
        while self.kind(i) in ("except", "for", "prep", "but"):
            i += 1
        found = self.noun_phrase(i) if self.kind(i) in STARTS else None
        if not found:
            return None
        for claim in self.response.claims:
            if claim.subject is not None and (claim.subject.whole or claim.subject.plural):
                claim.subject.beside = found[0]
        self.add("exists", found[0])
        self.subject, self.beside = found[0], found[0]
        return found[1]

    def _likened(self, i: int) -> int | None:
        """ "... red, like the star": of the star, what was said last."""
        found = self.noun_phrase(i) if self.kind(i) in STARTS else None
        if not found:
            return None
        last = self.response.claims[-1] if self.response.claims else None
        attribute, value = (last.attribute, last.value) if last else (None, None)
        if last and last.kind == "hidden" and found[0].name != "blur":  # "... is hidden, as is that of the star"
            self.add("hidden", found[0], attribute=attribute, negated=last.negated)
        if last and last.kind == "fragment":
            given = last.subject.given()
            said = self.asked.intersection(given) or (set(given) if len(given) == 1 else set())
            attribute = next(iter(said), None)
            value = given.get(attribute)
        if (
            last
            and last.kind in ("attribute", "fragment")
            and attribute
            and not last.negated
            and found[0].name != "blur"
        ):
            self.add("attribute", found[0], attribute=attribute, value=value)
        if self.kind(found[1]) == "and" and self.kind(found[1] + 1) == "det" and not self._opens_clause(found[1] + 1):
            return self._likened(found[1] + 1) or found[1]  # "... and the circle"
        return found[1]

    def _skipped(self, i: int) -> int:
        """Past "unlike the square", "rather than a star", which claims nothing."""
        while self.kind(i) in ("skip", "of", "than", "prep", "not", "as"):
            i += 1
        while found := (self.noun_phrase(i) if self.kind(i) in STARTS else None):
            if (found[0].definite or found[0].most) and (found[0].name or found[0].color):
                self.presuppose(found[0])
            self.excused.update(range(i, found[1]))
            i = self._said_of(*found) or found[1]  # "unlike the star, which is red"
            if self.kind(i) == "," and self.kind(i + 1) == "like":
                i += 1  # "compared to the other shapes, like the star"
            if (
                self.kind(i) not in ("and", "or", ",", "like")
                or self._opens_clause(i + 1)
                or self.kind(i + 1) not in STARTS
            ):
                break
            i += 1
        return i

    def _thing(self, i: int) -> tuple[Description, int] | None:
        """A noun phrase with a noun in it, after a preposition: no place, no "in the picture"."""
        found = self.noun_phrase(i) if self.kind(i) in ("det", "n") else None
        return found if found and found[0].name else None

    def _gapped(self, i: int, began: int) -> int | None:
        """ "The star is red, the circle blue": a clause without its copula. Adds its claims; where it ends."""
        headed = self.kind(i) in ("s", "c", "t", "L") and self.kind(i + 1) in ("#", "g")  # "smaller one green"
        found = self.noun_phrase(i) if self.kind(i) == "det" or headed else None
        if not found or len(self.response.claims) == began:
            return None
        d, end = found
        d.definite |= headed and self.kind(end) in ("c", "s", "t")
        last = self.response.claims[-1].attribute
        if last == "cells" and d.one and d.cells and d.color:  # "and a white one at the top"
            self._attributes(d.without("cells"), Description(cells=d.cells))
            return end
        if not d.definite or last is None:
            return None
        if last == "cells" and d.cells and (d.name or d.color or d.size or d.other):
            spread = (
                d.without("cells", "plural", "whole") if d.plural and self.kind(end) == "and" else d.without("cells")
            )
            self._attributes(spread, Description(cells=d.cells))
            return self._more_places(spread, end) if spread.plural != d.plural else end
        value = self.noun_phrase(end) if self.kind(end) in ("c", "s", "t", "prep", "L", "det", "n") else None
        if (
            value
            and last in value[0].given()
            and not value[0].definite | bool(value[0].name and last != "name" and "name" not in self.asked)
        ):
            self._attributes(d, value[0])
            return value[1]
        return None

    def _more_places(self, d: Description, i: int) -> int:
        """ "(The birds at the top) and at the bottom": more places of some of them."""
        while self.kind(i) == "and" and (found := self.noun_phrase(i + 1) if self.kind(i + 1) == "prep" else None):
            if set(found[0].given()) != {"cells"}:
                break
            self._attributes(d, Description(cells=found[0].cells))
            i = found[1]
        return i

    def _distribute(self, began: int) -> None:
        """ "The stars are red and blue": each value holds for some of them, not for all."""
        claims = [c for c in self.response.claims[began:] if c.kind == "attribute" and c.subject is not None]
        for claim in claims:
            d = claim.subject
            same = [c for c in claims if c.subject is d and c.attribute == claim.attribute]
            if len(same) > 1 and (d.plural or d.most):
                spread = d.without("plural", "definite", "number", "most")
                spread.whole = d.whole and d.other  # no more of what the question is about
                values = tuple(v for c in same for v in (c.value if isinstance(c.value, tuple) else (c.value,)))
                known = claim.attribute == "name" and SHAPE_NAMES.issuperset(values)
                known |= claim.attribute in ("color", "pattern")
                known &= d.definite or not d.number
                if known and not any(c.negated for c in same):  # each is one of them
                    self.add("attribute", d, attribute=claim.attribute, value=values).aside = True
                for c in same:
                    c.subject = spread
