"""The claims that the scene reader adds, and what "it" means: the base of its clause parsers."""

from collections.abc import Callable

from clarifyvlm.language.descriptions import SHAPE_NAMES, STARTS, Claim, Description, Response
from clarifyvlm.language.empty import strange
from clarifyvlm.language.items import both_places
from clarifyvlm.language.lexicon import Vocabulary
from clarifyvlm.language.phrases import Phrases

BREAKS = (",", ":", "but", "so", "as")


class Claims(Phrases):
    """Adds claims to `response`, one sentence after another. `subject` is what "it" means by then."""

    _predicate: Callable[[list[Description | None], int], int]  # defined in Predicates

    def __init__(self, response: Response, words: Vocabulary, asked: frozenset[str]):
        super().__init__(words)
        self.response, self.asked = response, asked
        self.subject: Description | None = None
        self.echoed: Description | None = None  # "The zebra? There isn't one."
        self.topic: Description | None = None  # "For the large star: ..."
        self.excused: set[int] = set()  # items of the sentence that are not asserted
        self.landmark: Description | None = None  # what "it" means in "to the right of it"
        self.said: frozenset[str] = frozenset()  # the words of the question
        self.verb = ""  # what the question asks about: "holding", "wearing"
        self.beside: Description | None = None  # "Apart from the star, all are ..."
        self.kind_of: Description | None = None  # "Two red things: a star and a circle"
        self.side: tuple | None = None  # "To the left of the square: a star"
        self.scope: frozenset[str] | None = None  # "At the top: one on the left"

    def add(self, kind: str, subject=None, **more) -> Claim:
        if self.scope and subject is not None and subject.cells and (both := both_places(self.scope, subject.cells)):
            subject.cells = both
        elif (
            self.scope
            and subject is not None
            and (kind in ("exists", "count") or kind == "fragment" and subject.name)
            and not (subject.cells or subject.one or subject.definite)
        ):
            subject.cells = self.scope  # "on the left there is a star"
        if self.kind_of and kind in ("exists", "count", "fragment") and subject and not subject.definite:
            if subject.name and not subject.plural:  # "two red things: a star and a circle" are red
                for attribute in ("color", "size", "pattern"):
                    if getattr(subject, attribute) is None and attribute not in self.asked:
                        setattr(subject, attribute, getattr(self.kind_of, attribute))
        if self.beside and kind == "attribute" and subject is not None and subject.whole and not subject.beside:
            subject.beside = self.beside  # "apart from the star, they are all red"
        claim = Claim(kind, subject, possible=self.possible, **more)
        self.response.claims.append(claim)
        if (
            kind in ("exists", "count", "fragment")
            and subject is not None
            and subject.plural
            and isinstance(subject.color, tuple)
            and subject.number is None  # "two blue or brown objects"
        ):
            for color in subject.color if not more.get("either") else ():  # "purple and green stars": there are both
                one = Description(color=color, name=subject.name)
                self.response.claims.append(Claim("exists", one, possible=self.possible, aside=True))
        if subject is not None and subject.only and kind != "deny":
            self._only(subject)
        return claim

    def _only(self, d: Description) -> None:
        """ "The only star": there is one; "the only two stars"."""
        d.only = False
        if d.one and not d.given() and d.noun:  # "the only one"
            d = d.without("one")
            d.name = d.noun
        alone = d.definite or not d.name or d.name in SHAPE_NAMES  # not "no cats, only dogs"
        if d.given() and not d.whole and d.plural and not d.number and alone:  # "the only stars"
            self.response.unplaced.append("only")
        if d.given() and not d.whole and (d.number or not d.plural):
            subject = d.without("number", "definite")
            self.response.claims.append(Claim("count", subject, value=d.number or 1, aside=True))

    def presuppose(self, d: Description) -> None:
        """What a phrase takes for granted, whatever is said of it: "the wrapped star might be"."""
        self.response.claims.append(Claim("exists", d.without("relation"), aside=True))

    def _answers(self, value: str, subject: Description | None = None) -> None:
        """ "Yes", of what a subject says."""
        self.add("yesno", subject, value=value)

    def _skip(self, i: int) -> int:
        """Past copulas, modals and negations; sets self.negated and self.possible."""
        while self.kind(i) in ("cop", "modal", "not") or (self.kind(i) == "do" and self.kind(i + 1) == "not"):
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
        if self.kind(i) == "R":  # "to its right is a star"
            found = self.related_phrase(i)
            return bool(found) and self.kind(found[1]) == "cop" and self.kind(found[1] + 1) in STARTS
        found = self.noun_phrase(i) if self.kind(i) in STARTS else None
        if not found:
            return False
        j = found[1]
        while self.kind(j) == "and" and self.kind(j + 1) in STARTS and (more := self.noun_phrase(j + 1)):
            if not more[0].definite:
                break
            j = more[1]
        if found[0].whole and found[0].one and not found[0].given() and self.kind(j) in ("c", "s", "t"):
            return True  # "..., all of them large"
        while self.kind(j) in ("modal", "not", "do"):
            j += 1
        return self.kind(j) in ("cop", ":", "poss", "hold") or (
            self.kind(j) == "see" and self.items[j][1] in ("has", "have")
        )

    def _unsure(self, i: int) -> int:
        """ "I cannot tell ...": what follows, up to the next clause, is not asserted; a property in it is not shown."""
        if vain := self._tells_nothing(i):
            self.response.skipped.append("can not tell " + " ".join(str(v or k) for k, v in self.items[i:vain]))
            return vain
        self.response.unsure = True
        subject = None
        start, before = i, len(self.response.claims)
        while i < self.n and self.kind(i) not in BREAKS:
            if self.kind(i) == "attr" and self.kind(i + 1) == "unk":
                pass  # "what color gred is"
            elif self.kind(i) == "attr":
                if self.kind(i + 1) == "of" and (found := self.noun_phrase(i + 2)):
                    subject = found[0]
                self.add("hidden", subject or self.subject, attribute=self.items[i][1])
            elif self.kind(i) in STARTS and (found := self.noun_phrase(i)):
                if subject is None:
                    subject = found[0] if found[0].given() else None
                if found[0].definite and not found[0].plural and found[0].name and len(found[0].given()) > 1:
                    self.presuppose(found[0])  # "compare it with the red star"
                i = found[1]
                continue
            i += 1
        self.excused.update(range(start, i))
        rest = self.items[start:i]
        if ("rel", "where") in rest and "cells" in self.asked:
            self.add("hidden", subject or self.subject, attribute="cells")  # "where the star is"
        elif ("rel", "what") in rest and len(self.response.claims) == before and "name" in self.asked:
            if not any(k in ("mean", "unk", "c") for k, _ in rest):  # "what the woman is holding"
                self.add("hidden", subject or self.subject, attribute="name")
        self.negated = False
        return i

    def related_phrase(self, i: int) -> tuple[Description, int] | None:
        """ "(To the right of) it": of the reading that was named, if any was."""
        found = super().related_phrase(i)
        if (
            found
            and found[0].one
            and found[0].definite
            and not found[0].given()
            and (meant := self.topic or (self.response.named or [self.landmark])[-1]) is not None
        ):
            return meant, found[1]
        return found

    def _between(self, relation: str, i: int) -> int:
        """Past "(between the star) and the square", which is there, too."""
        if relation == "near" and self.kind(i) == "and" and not self._opens_clause(i + 1):
            second = self.noun_phrase(i + 1) if self.kind(i + 1) in ("det", "n") else None
            if second:
                self.presuppose(second[0])
                return second[1]
        return i

    def _tells_nothing(self, i: int) -> int | None:
        """ "I cannot tell *a lie*": where what cannot be told ends, if it is nothing of the picture."""
        j = i
        while j < self.n and self.kind(j) not in BREAKS:
            j += 1
        rest = self.items[i:j]
        kinds = [kind for kind, _ in rest]
        thinks = kinds[-2:] == ["cop", "mean"] and kinds[-3:-2] != ["rel"]  # "what the star is thinking"
        vain = strange(rest) or ("with", "without") in rest or kinds == ["det", "cop"] or thinks
        return j if vain or ("not", "never") in self.items[max(0, i - 2) : i] else None

    def _refer(self, d: Description) -> Description | None:
        """What a pronoun stands for: the subject so far (None: what the question is about)."""
        if not d.one or d.given() or d.other or d.unknown or d.number is not None or d.whole:
            return d
        if not d.definite:  # "one is red"
            return d
        if d.plural:
            return Description(one=True, plural=True, whole=True)
        return self.subject

    def _compared(self, i: int) -> int:
        """Past "... color as the square", which the question says already."""
        while self.kind(i) in ("attr", "as", "prep", "of", "det", "with", "do", "cop") and i < self.n:
            i += 1
        found = (
            self.noun_phrase(i)
            if self.kind(i) in STARTS and self.kind(i - 1) in ("as", "det", "prep", "with")
            else None
        )
        if found and (which := self._said_of(*found)):
            return which
        return found[1] if found else i

    def _said_of(self, d: Description, i: int) -> int | None:
        """ "(the same color as the diamond), which is green": said of the diamond; where it ends."""
        i += self.kind(i) == ","
        if self.kind(i) != "rel" or self.items[i][1] != "which" or self.kind(i + 1) != "cop":
            return None
        subject, negated = self.subject, self.negated
        self.negated = False
        end = self._predicate([d], self._skip(i + 1))
        self.subject, self.negated = subject, negated
        return end

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
        if value.definite and not (negated or either or value.only):
            if value.size in ("max", "min") and (value.name or value.anywhere):  # "it is the largest star"
                self.add("is", subject, value=value.without()).aside = True
            elif value.name and len(given) > 1:
                self.add("exists", value.without()).aside = True  # "it is the red star at the top"
        if value.unknown and not value.given():
            self.add("attribute", subject, attribute="name", value=f"?{value.unknown}", negated=negated, either=either)
