"""Subjects and predicates of the scene reader: "the star and the circle are red", "its color is hidden"."""

from clarifyvlm.language.items import both_places
from clarifyvlm.language.lexicon import Vocabulary
from clarifyvlm.language.phrases import STARTS, Claim, Description, Phrases, Response

_LISTED = ("and", ",", "or", ":", "but")


class Predicates(Phrases):
    """Adds claims to `response`, one sentence after another. `subject` is what "it" means by then."""

    def __init__(self, response: Response, words: Vocabulary, asked: frozenset[str]):
        super().__init__(words)
        self.response, self.asked = response, asked
        self.subject: Description | None = None
        self.scope: frozenset[str] | None = None  # "At the top: one on the left"

    def add(self, kind: str, subject=None, **more) -> Claim:
        if self.scope and subject is not None and subject.cells and (both := both_places(self.scope, subject.cells)):
            subject.cells = both
        claim = Claim(kind, subject, possible=self.possible, **more)
        self.response.claims.append(claim)
        if subject is not None and subject.only and kind != "deny":
            self._only(subject)
        return claim

    def _only(self, d: Description) -> None:
        """ "The only star": there is one; "the only two stars"."""
        d.only = False
        if d.given() and not d.whole and (d.number or not d.plural):
            subject = d.without("number", "definite")
            self.response.claims.append(Claim("count", subject, value=d.number or 1, aside=True))

    def _answers(self, value: str, subject: Description | None = None) -> None:
        """ "Yes", of what a subject says."""
        self.add("yesno", subject, value=value)

    def _skip(self, i: int) -> int:
        """Past copulas, modals and negations; sets self.negated and self.possible."""
        while self.kind(i) in ("cop", "modal", "not"):
            if self.kind(i) == "not":
                self.negated = True
            self.possible |= self.kind(i) == "modal"
            i += 1
        return i

    def _opens_clause(self, i: int) -> bool:
        """Whether a noun phrase at i is the subject of a clause of its own."""
        if self.kind(i) in ("there", "see", "none", "nothing", "attr", "mean"):
            return True
        if self.kind(i) == "det" and self.kind(i + 1) == "attr":
            return True
        found = self.noun_phrase(i) if self.kind(i) in STARTS else None
        if not found:
            return False
        j = found[1]
        while self.kind(j) == "and" and self.kind(j + 1) in STARTS and (more := self.noun_phrase(j + 1)):
            if not more[0].definite:
                break
            j = more[1]
        while self.kind(j) in ("modal", "not", "do"):
            j += 1
        return self.kind(j) in ("cop", ":", "poss") or (self.kind(j) == "see" and self.items[j][1] in ("has", "have"))

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
            if self.kind(i) == "cop":  # "I think you mean it is ..." names nothing
                return i
            if self.kind(i) == "poss" and self.kind(i + 1) == "attr":
                return self._property(i + 1, d)
        self.response.named.append(d)
        self.subject = d
        return self._value_after(i, d)

    def _unsure(self, i: int) -> int:
        """ "I cannot tell ...": what follows, up to the next clause, is not asserted; a property in it is not shown."""
        self.response.unsure = True
        subject = None
        while i < self.n and self.kind(i) not in (":", ",", "but", "so", "as"):
            if self.kind(i) == "attr":
                if self.kind(i + 1) == "of" and (found := self.noun_phrase(i + 2)):
                    subject = found[0]
                self.add("hidden", subject or self.subject, attribute=self.items[i][1])
            elif self.kind(i) in STARTS and subject is None and (found := self.noun_phrase(i)):
                subject, i = found[0] if found[0].given() else None, found[1]
                continue
            i += 1
        self.negated = False
        return i

    def _value_after(self, i: int, d: Description) -> int:
        """ "...the large one: red": a bare value after a named reading or a label is about it."""
        if self.kind(i) not in (":", ","):
            return i
        j = i + 1
        if self.kind(j) in ("none", "absent", "no", "nothing") and self.kind(j + 1) in (None, ",", "prep", "pic"):
            if "yesno" not in self.asked or self.kind(j) != "no":
                self.add("deny", d)
                return j + 1
        if self.kind(j) in ("yes", "nay", "no") and self.kind(j + 1) not in (*STARTS, "attr") and "yesno" in self.asked:
            self._answers("yes" if self.kind(j) == "yes" else "no", d)
            return j + 1
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
        attribute = self.items[i][1]
        i += 1
        if self.kind(i) in ("attr",):
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
        i = self._skip(i)
        k = self.kind(i)
        if k == "hide":
            self.add("hidden", owner, attribute=self.items[i][1])
            self.response.unsure, self.negated = True, False
            return i + 1
        if k == "hid" or (self.negated and k in ("see", "know", "clear", "unsure")) or k == "unsure":
            self.add("hidden", owner, attribute=attribute)
            self.response.unsure, self.negated = True, False
            return i + 1
        if attribute == "count":
            if k == "#":
                self.add("count", None, value=self.items[i][1])
                return i + 1
            return i
        return self._predicate([owner], i)

    def _refer(self, d: Description) -> Description | None:
        """What a pronoun stands for: the subject so far (None: what the question is about)."""
        if not d.one or d.given() or d.other or d.unknown or d.number is not None or d.whole:
            return d
        if not d.definite:  # "one is red"
            return d
        if d.plural:
            return Description(one=True, plural=True, whole=True)
        return self.subject

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
        if len(subjects) > 1 and self.kind(i) != "cop":
            subjects, i = [d], self.noun_phrase(start)[1]
        if len(subjects) == 1 and (end := self._apposed(d, i)):
            i = end
        k, v = self.items[i] if i < self.n else (None, None)
        if k == "poss":
            if self.kind(i + 1) == "attr":
                return self._property(i + 1, d)
            return i + 1
        if k == "mean" and self.kind(i + 1) != "cop":  # "if it means red"
            return self._named(i + 1)
        if k == "mean":  # "the star you mean is red"
            i += 1
            k, v = self.items[i] if i < self.n else (None, None)
        if k == "see" and v in ("has", "have"):
            return self._has(d, i + 1)
        if k in ("yes", "nay") and "yesno" in self.asked:  # "the left one yes"
            self._answers("yes" if k == "yes" else "no", d)
            return i + 1
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
        if k == ":" or (k == "," and d.definite and not set(d.given()) & self.asked):
            end = self._value_after(i, d)
            if end != i:
                return end
            if k == ":":
                self.subject = d
                if set(d.given()) == {"cells"} and d.one:
                    self.scope = d.cells
                    return i
        if k == "for" and (found := self.noun_phrase(i + 1)):  # "red for the large one"
            self._attributes(found[0], d)
            return found[1]
        if d.one and not d.given() and d.number is None and not d.other:
            return i
        if d.number is not None and not d.given() and not d.unknown and not d.plural and "count" not in self.asked:
            return i  # "one a square"
        if d.number is not None and not (d.one and d.given()):
            self.add("count", d, value=d.number)
        else:
            either = "or" in (self.kind(start - 1) if start else None, self.kind(i))
            self.add("fragment", d, either=either, alone=start == 0 and i >= self.n)
            if d.name or d.definite:
                self.subject = d
        return i

    def _apposed(self, d: Description, i: int) -> int | None:
        """ "The star, the one at the top left, is": what stands between the commas goes to `d`. Where it ends."""
        if self.kind(i) != "," or not d.definite:
            return None
        j = i + 1
        if self.kind(j) == "rel" and self.kind(j + 1) == "cop":  # "the star, which is at the top, is"
            j += 2
        found = self.noun_phrase(j) if self.kind(j) in STARTS and self.kind(j) != "pron" else None
        if not found or not (found[0].definite or set(found[0].given()) <= {"cells", "relation"}):
            return None
        more, end = found
        end += self.kind(end) == ","
        if self.kind(end) not in ("cop", "do") and not (self.kind(end) == "see" and self.items[end][1] == "has"):
            return None
        for attribute, value in more.given().items():
            if getattr(d, attribute) is None:
                setattr(d, attribute, value)
        return end

    def _does(self, d: Description, i: int) -> int | None:
        """ "The left one does", "... does have one", "... has the same color", "... differs", after a noun phrase."""
        negated, j = False, i
        while self.kind(j) in ("do", "not"):
            negated, j = negated or self.kind(j) == "not", j + 1
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

    def _compared(self, i: int) -> int:
        """Past "... color as the square", which the question says already."""
        while self.kind(i) in ("attr", "as", "prep", "of", "det", "with", "do", "cop") and i < self.n:
            i += 1
        found = (
            self.noun_phrase(i)
            if self.kind(i) in STARTS and self.kind(i - 1) in ("as", "det", "prep", "with")
            else None
        )
        return found[1] if found else i

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
        if d is not None and set(d.given()) == {"cells"} and self.kind(i) not in ("no", "attr"):  # "the left side has"
            self.scope = d.cells
            return self._objects(i)
        if "yesno" in self.asked:
            j = i
            while self.kind(j) in ("det", "not", "all", "prep"):
                j += 1
            if self.kind(j) in ("same", "differ"):
                self._answers("no" if self.negated != (self.kind(j) == "differ") else "yes", d)
                return self._compared(j + 1)
            j = i + 1 if self.kind(i) == "no" else i
            found = self.noun_phrase(j) if self.kind(j) in (*STARTS, "no") else None
            if found and (found[0].name or found[0].color or found[0].unknown):
                self._answers("no" if self.negated or j > i else "yes", d)
                self.negated = False
                return found[1]
        if self.kind(i) == "no":
            j = i + 2 if self.kind(i + 1) == "see" else i + 1
            if self.kind(j) == "attr":
                self.add("hidden", d, attribute=self.items[j][1])
                return j + 1
            return i
        while self.kind(i) in ("det", "attr", "prep", "of"):
            i += 1
        return self._predicate([d], i)

    def _attributes(self, subject: Description | None, value: Description, negated=False, either=False) -> None:
        """One claim per attribute that `value` gives. "The stars are red (top left) and ...": one of them is."""
        given = value.given()
        if subject is not None and subject.plural and "cells" in given and len(given) > 1 and "cells" not in self.asked:
            subject = subject.without("plural", "whole", "number")
            subject.cells = given.pop("cells")
        if value.only:
            self._only(value)
        for attribute, v in given.items():
            kind = "hidden" if attribute == "hidden" else "attribute"
            if kind == "hidden":
                self.add("hidden", subject, attribute=v, negated=negated)
            else:
                self.add(kind, subject, attribute=attribute, value=v, negated=negated, either=either)
        if value.unknown and not value.given():
            self.add("attribute", subject, attribute="name", value=f"?{value.unknown}", negated=negated, either=either)

    def _predicate(self, subjects: list[Description | None], i: int) -> int:
        """After the copula: values, noun phrases, places, "not X but Y", "hidden", "missing"."""
        named = subjects[0]
        if named is not None and (named.given() or named.unknown):
            self.subject = named if len(subjects) == 1 and not named.plural else None
        negated, either, first = self.negated, False, True
        began = len(self.response.claims)
        while i < self.n:
            k, v = self.items[i]
            if k in _LISTED:
                if k == ":" or self._opens_clause(i + 1):
                    break
                j = i + 1
                if k == "or":
                    either = True
                elif k in ("but", ","):
                    negated = False
                while self.kind(j) in ("not", "modal", "but"):
                    negated, j = negated or self.kind(j) == "not", j + 1
                if j > i + 1 and self._opens_clause(j):
                    break
                if gap := self._gapped(j, began):
                    i = gap
                    continue
                if self.kind(j) not in (*STARTS, "hid", "attr") or (k == "," and self.kind(j) == "for"):
                    break
                i = j
                continue
            if k == "all":
                if self.kind(i + 1) not in ("c", "s", "t", "det", "L", "prep", "hide", "R"):
                    break
                subjects = [Description(one=True, whole=True, plural=True) if s is None else s for s in subjects]
                for s in subjects:
                    s.whole = True
                i += 1
            elif k == "not":
                negated, i = True, i + 1
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
                i += 1
            elif k == "except" and (found := self._excepted(i)):
                i = found
            elif k == "like" and (found := self._likened(i + 1)):
                i = found
            elif k == "skip":
                i = self._skipped(i)
            elif k in ("pic", "there", "absent") or (
                k == "see" and v in ("seen", "visible", "shown", "contained", "found")
            ):
                gone = negated != (v in ("missing", "absent"))
                for s in subjects:
                    self.add("deny" if gone else "exists", s)
                i += 1
                while self.kind(i) in ("prep", "det", "pic"):
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
                for s in subjects:
                    self.add("attribute", s, attribute="relation", value=(v, found[0]), negated=negated, either=either)
                i = found[1]
                if v == "near" and self.kind(i) == "and" and not self._opens_clause(i + 1):
                    if second := self._thing(i + 1):  # "between the star and the square"
                        i = second[1]
            elif k == "s" and self.kind(i + 1) == "than" and (found := self.noun_phrase(i + 2)):
                for s in subjects:
                    self.add("attribute", s, attribute="relation", value=(v, found[0]), negated=negated, either=either)
                i = found[1]
            elif k in (*STARTS, "unk") and (found := self.noun_phrase(i)):
                value, end = found
                if value.abstract:
                    i = end
                    break
                either = either or self.kind(end) == "or"
                if value.number is not None and not value.given() and value.one:
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
        self._distribute(began)
        self.negated = self.possible = False
        return i

    def _excepted(self, i: int) -> int | None:
        """ "... are green, except for the one at the top": the claims before it say nothing of that one."""
        while self.kind(i) in ("except", "for", "from", "prep", "but"):
            i += 1
        found = self.noun_phrase(i) if self.kind(i) in STARTS else None
        if not found:
            return None
        for claim in self.response.claims:
            if claim.subject is not None and (claim.subject.whole or claim.subject.plural):
                claim.subject.beside = found[0]
        self.subject = found[0]
        self.add("exists", found[0])
        return found[1]

    def _likened(self, i: int) -> int | None:
        """ "... red, like the star": of the star, what was said last."""
        found = self.noun_phrase(i) if self.kind(i) in STARTS else None
        if not found:
            return None
        last = self.response.claims[-1] if self.response.claims else None
        attribute, value = (last.attribute, last.value) if last else (None, None)
        if last and last.kind == "fragment" and (said := set(last.subject.given()) & self.asked):
            attribute = next(iter(said))
            value = last.subject.given()[attribute]
        if (
            last
            and last.kind in ("attribute", "fragment")
            and attribute
            and not last.negated
            and found[0].name != "blur"
        ):
            self.add("attribute", found[0], attribute=attribute, value=value)
        return found[1]

    def _skipped(self, i: int) -> int:
        """Past "unlike the square", "rather than a star", which claims nothing."""
        while self.kind(i) in ("skip", "of", "than", "prep", "not", "as"):
            i += 1
        while found := (self.noun_phrase(i) if self.kind(i) in STARTS else None):
            i = found[1]
            if self.kind(i) not in ("and", "or", ",") or self._opens_clause(i + 1) or self.kind(i + 1) not in STARTS:
                break
            i += 1
        return i

    def _thing(self, i: int) -> tuple[Description, int] | None:
        """A noun phrase with a noun in it, after a preposition: no place, no "in the picture"."""
        found = self.noun_phrase(i) if self.kind(i) in ("det", "n") else None
        return found if found and found[0].name else None

    def _gapped(self, i: int, began: int) -> int | None:
        """ "The star is red, the circle blue": a clause without its copula. Adds its claims; where it ends."""
        found = self.noun_phrase(i) if self.kind(i) == "det" else None
        if not found or len(self.response.claims) == began:
            return None
        d, end = found
        last = self.response.claims[-1].attribute
        if not d.definite or last is None:
            return None
        if last == "cells" and d.cells and (d.name or d.color or d.size or d.other):
            self._attributes(d.without("cells"), Description(cells=d.cells))
            return end
        value = self.noun_phrase(end) if self.kind(end) in ("c", "s", "t", "prep", "L", "det", "n") else None
        if value and last in value[0].given() and not value[0].definite | bool(value[0].name and last != "name"):
            self._attributes(d, value[0])
            return value[1]
        return None

    def _distribute(self, began: int) -> None:
        """ "The stars are red and blue": each value holds for some of them, not for all."""
        claims = [c for c in self.response.claims[began:] if c.kind == "attribute" and c.subject is not None]
        for claim in claims:
            same = [c for c in claims if c.subject is claim.subject and c.attribute == claim.attribute]
            if len(same) > 1 and claim.subject.plural:
                spread = claim.subject.without("plural", "whole")
                for c in same:
                    c.subject = spread
