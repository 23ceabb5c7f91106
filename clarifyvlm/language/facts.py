"""Facts as judges ask them: whether a claim is true, and whether a phrase is about what is asked."""

from dataclasses import replace
from difflib import get_close_matches

from clarifyvlm.language.descriptions import Claim, Description
from clarifyvlm.language.fitting import CENTER, NO, NOT_ANNOTATED, YES, Fitting, is_guess, is_one_of, lies
from clarifyvlm.language.lexicon import MEMBERS
from clarifyvlm.records import Object


class Case(Fitting):
    """One example, prepared: which of its objects a description fits, and which claims are true of them."""

    # --- claims

    def true(self, claim: Claim) -> bool | None:
        """Whether a claim holds; None where facts cannot say (a color in an annotation without colors)."""
        d = claim.subject
        if (
            claim.possible
            and claim.kind == "attribute"
            and d is not None
            and d.definite
            and (d.cells or d.hidden)
            and not d.unknown
        ):
            found, unknown = self.find(d, self.objects)  # "the red blob at the top might be a star": is it there?
            return None if found or unknown or claim.negated else False
        if claim.possible and claim.kind != "hidden":
            return None
        match claim.kind:
            case "attribute":
                return self._attribute_true(claim)
            case "fragment":
                return self._fragment_true(d, claim.alone)
            case "exists":
                found, unknown = self.find(d)
                if not found and self._means_other(d):
                    found, unknown = self.find(d, self.find(self.other.without("definite"), self.objects)[0])
                return True if found else (None if unknown or not self.is_told(d) else False)
            case "deny":
                return self._denial_true(d)
            case "count":
                return self._count_true(d, claim.value)
            case "is":
                return self._is_true(d, claim.value)
            case "alike":
                return self._alike_true(claim)
            case "yesno":
                return self._yesno_true(claim) if "yesno" in self.asked else None
            case "hidden":
                return self._hidden_true(claim)
        return None

    def _means_other(self, d: Description | None) -> bool:
        """ "(To the right of the donut, is there a cup?) There is one at the top": a cup."""
        if self.other is None or self.example.kind != "relation" or d is None or not d.one or d.definite:
            return False
        return bool(self.other.given()) and d.noun in (None, self.other.name) and "yesno" in self.asked

    def _attribute_true(self, claim: Claim) -> bool | None:
        if isinstance(claim.value, Description):  # "not red"
            codes = [self.fits(claim.value, o) for o in self.pool(None)]
            return None if not codes or NOT_ANNOTATED in codes else NO in codes
        found, unknown = self.find(claim.subject)
        if claim.value == "blur" and claim.subject is not None and claim.subject.one and claim.subject.cells:
            found = self.find(claim.subject, self.objects)[0] or found  # "the middle one is just a blur"
        if not found and unknown and claim.subject is not None and claim.subject.relation:
            near = self._attribute_true(replace(claim, subject=claim.subject.without("relation")))
            return False if near is False else None  # "the circle next to it is large": no circle is
        if claim.subject is not None and (claim.subject.beside or claim.subject.whole and claim.subject.other):
            said = Description(**{claim.attribute: claim.value})
            beside = self.find(claim.subject.beside)[0] if claim.subject.beside else self.targets
            if not claim.subject.beside:  # "red, like all the others"
                beside = [o for o in beside if self.fits(said, o) == YES] or beside
            found = [o for o in found if o not in beside]
        if not found:
            passed = not self.complete and claim.subject is not None and not self._lacks(claim.subject.relation)
            return None if unknown or passed else False
        if claim.attribute == "name" and self._held_by(found):  # "the man is holding a cup"
            holders = [o for o in found if any(is_one_of(p.name, claim.value) for p in self._held_by([o]))]
            d, able = claim.subject, [o for o in found if self._held_by([o])]
            if holders:
                least = len(able) if d and d.whole and not d.one else d.number if d and d.plural else None
                return (len(holders) >= min(least or 1, len(able))) != claim.negated
        if claim.attribute == "name" and str(claim.value).startswith("?"):
            return None
        held = self.example.kind == "relation" and "name" in self.asked
        if held and claim.attribute == "relation" and (claim.subject is None or claim.subject.one):
            found = [objects[0] for objects, _, _ in self.readings if objects and objects[0] in found] or found
        if claim.attribute in ("color", "pattern"):
            found = self._held_by(found) or found  # "the man is holding a red cup"
        d = Description(**{claim.attribute: claim.value})
        codes = [YES if o in self.find(d, found)[0] else self.fits(d, o) for o in found]
        if d.size in ("max", "min"):
            pool = self.pool(None) if len(self.targets) > 1 else self.objects
            codes = [YES if o in self.find(d, pool)[0] else NO for o in found]
        if NOT_ANNOTATED in codes and YES not in codes:
            return None
        if claim.negated:
            return NO in codes
        subject = claim.subject
        counted = subject is not None and (
            subject.part or (not subject.definite and (subject.name or subject.one and subject.noun))
        )
        if counted and (subject.number or 0) > 1 and not claim.either:
            if sum(code != NO for code in codes) < subject.number:
                return False  # "two of the cars are red"
        if subject is not None and subject.number and not (subject.definite or subject.part):
            several = not subject.one or (subject.number > 1 and not self.targets)  # "two are pink, one is brown"
            if several and not (subject.at_least or claim.either or (self.targets and claim.attribute in self.asked)):
                fitting = sum(code != NO for code in codes)  # "two buses are on the left"
                sure = sum(code == YES for code in codes)
                if not sure <= subject.number <= fitting and (
                    self.complete or fitting < min(subject.number, len(codes))
                ):
                    return False
        if (
            subject is not None
            and subject.definite
            and subject.plural
            and (subject.number or 0) > 1
            and not claim.either
        ):
            return sum(code != NO for code in codes) >= min(subject.number, len(codes))  # "the other three are small"
        if subject is not None and subject.other and subject.definite and subject.plural and not claim.either:
            if self.complete and subject.number is None and len(codes) > 2:
                return sum(code != NO for code in codes) > 1  # "the others are small"
        if subject is not None and subject.most:
            return sum(code == YES for code in codes) * 2 > len(codes)
        if self.example.kind == "comparison" and self.other is not None and subject is not None and subject.whole:
            if subject.one and not subject.given():  # "both": the two that are compared
                second = self.find(self.other.without("definite"), self.objects)[0]
                return YES in codes and any(self.fits(d, o) == YES for o in second)
        if claim.attribute == "relation" and claim.value[0] == "with" and subject is not None and not subject.whole:
            return YES in codes  # "the women are holding a cup and a bag"
        if subject is not None and subject.plural and (subject.whole or (subject.definite and subject.number is None)):
            return all(code == YES for code in codes)
        return YES in codes

    def _yesno_true(self, claim: Claim) -> bool | None:
        """Of the readings that the subject fits, where it names one."""
        answers = {v for _, _, v in self.readings}
        if not answers:
            return None
        d = claim.subject
        if d is None or not (d.given() or d.whole or d.number):
            return claim.value in answers
        found, unknown = self.find(d)
        values = [v for objects, _, v in self.readings if any(o in found for o in objects)]
        fitting = set(values)
        if len(self.readings) > 1 and values:
            if d.most:
                return values.count(claim.value) * 2 > len(values)
            if (d.number or 0) > 1 and (d.part or d.other or not d.definite):  # "two of them match"
                return values.count(claim.value) >= d.number
        if not fitting:
            absent = (
                not found and not unknown and self.complete and (d.definite or d.one) and (d.name or d.color or d.cells)
            )
            return False if absent else None  # "the blue star: yes", where no star is blue
        every = d.whole or (d.definite and d.plural and not d.other)
        return claim.value in fitting if len(fitting) == 1 or not every else False

    def _is_true(self, d: Description | None, value: Description) -> bool | None:
        """ "It is the largest square in the picture": whether what `d` fits is one of those that `value` fits."""
        found, unknown = self.find(d)
        meant, unclear = self.find(value)
        if any(o in meant for o in found):
            return True
        return None if unknown or unclear or (found and not self.complete and not meant) else False

    def _lacks(self, relation: tuple[str, Description | None] | None) -> bool:
        """ "(The man in) the orange hat": whether there is no such thing, though colors are known of others."""
        d = relation[1] if relation else None
        return d is not None and d.name is not None and self.is_told(d) and not any(self.find(d))

    def _alike_true(self, claim: Claim) -> bool | None:
        """ "It has the same color as the star"."""
        mine, others = ([self.word(o, claim.attribute) for o in self.find(d)[0]] for d in (claim.subject, claim.value))
        if not others and claim.value.relation:  # "the star next to it": which, no fact says
            others = [self.word(o, claim.attribute) for o in self.find(claim.value.without("relation"))[0]]
            return False if others and not claim.negated and set(others).isdisjoint(mine) else None
        if not mine or not others or None in mine or None in others:
            return None
        return any(word in others for word in mine) != claim.negated

    def _held_by(self, found: list[Object]) -> list[Object]:
        """What the question "what is the man holding?" is about: the further objects of the readings of `found`."""
        if self.example.kind != "relation" or "name" not in self.asked:
            return []
        return [o for objects, _, _ in self.readings if objects and objects[0] in found for o in objects[1:]]

    def _fragment_true(self, d: Description, alone: bool) -> bool | None:
        """A phrase alone answers the question: it has to fit what was asked about."""
        if d.whole and d.one and d.given() and self.targets:  # "all of them large", "two cars, both on the left"
            named = [o for o in self.objects if (d.cells or d.relation) and o.name == d.noun]
            if named or not d.cells:
                return all(self.fits(d.without("whole"), o) != NO for o in named or self.targets)
        pool = self.targets if alone and self.targets and not self.asked & {"count", "yesno"} else None
        if pool is not None and not d.one and not self.consistent(d, ignore=self.asked):
            pool = None
        found, unknown = self.find(d, pool)
        return True if found else (None if unknown else False)

    def _denial_true(self, d: Description | None) -> bool | None:
        if d is None or (d.one and not d.given()):
            if self.asked & {"count", "yesno"}:
                return any(v in ("no", 0) for _, _, v in self.readings) or not self.readings
            return not self.targets
        of_relation = self.other is not None and self.example.kind == "relation" and not d.anywhere
        of = d.relation[1] if d.relation else None
        told = of is not None and bool(set(of.given()) - set(self.question.given()))  # "none left of the large star"
        alike = of_relation and not told and (d.name or d.color)
        if alike and self.consistent(d, to=self.other) and not self.consistent_name(d):
            there = self.find(d.without("cells", "relation", "one"), self.objects)[0]
            if any(not any(lies(o, self.side, t) for o in there if o is not t) for t in self.targets):
                return True  # of one of them
        if d.unknown and not d.given():
            return None  # "there is no gred object": no such word
        found, unknown = self.find(d)
        if found:
            return d.cells == CENTER and not any(o.place in CENTER for o in found)  # beside the center
        return None if unknown else True

    def _count_true(self, d: Description | None, n: int) -> bool | None:
        at_least = d is not None and d.at_least
        if d is not None and d.other and d.definite and not d.given():
            return None  # "the other two": than which?
        # "There are two" (of them), "two gred objects": as many as the question is about, or as its answer says.
        bare = d is None or (not d.given() and (not d.unknown or self.is_question_word(d.unknown)))
        counts = {v for _, a, v in self.readings if a == "count"} if bare or self._is_asked_count(d) else set()
        if bare and "count" not in self.asked:
            counts |= {len(self.targets), len(self.readings)}
        unknown = False
        if d is not None and not d.one:
            found, unknown = self.find(d.without("definite") if d.cells else d)
            counts.add(len(found))
            if d.relation and d.relation[0] in ("on", "near"):  # "four chairs around the table"
                counts.add(len(self.find(d.without("relation"))[0]))
        elif d is not None and d.given():
            counts.add(len(self.find(d)[0]))
        elif d is not None and d.noun:
            counts.add(sum(o.name == d.noun for o in self.objects))  # "triangles (there are two)"
        if bare and "count" in self.asked and not any(isinstance(c, int) for c in counts):
            sure = len(self.find(self.question, self.objects)[0])
            return True if at_least and sure >= n else (False if n < sure and not at_least else None)
        if any(isinstance(c, int) and (c >= n if at_least else c == n) for c in counts):
            return True
        if unknown or (not self.complete and counts and n > max(c for c in counts if isinstance(c, int))):
            return None
        return False

    def has_too_few(self, d: Description) -> bool:
        """Whether a number is said of more than there are: "all five are red", "the three on the left"."""
        if not d.number or d.number == 1 or d.at_least or d.unknown or d.abstract or not self.complete:
            return False
        kind = Description(name=d.name, color=d.color, pattern=d.pattern)
        if d.number > sum(self.fits(kind, o) != NO for o in self.objects):
            return True
        if not d.definite or d.one or d.other or d.part or d.whole or d.relation or d.name is None:
            return False
        return self._count_true(d, d.number) is False and len(self.find(d)[0]) != d.number

    def _is_asked_count(self, d: Description) -> bool:
        """Whether a number of `d` can be what the question asks for: not the "yellow objects", asked for stars."""
        return self.consistent(d) and (d.one or d.name is not None or self.question.name is None)

    def _hidden_true(self, claim: Claim) -> bool | None:
        if claim.attribute == "count":
            return None
        found, unknown = self.find(claim.subject)
        if not found and claim.subject is not None and not claim.subject.given():
            found = self.objects
        if not found:
            return None if unknown else False
        d = claim.subject
        if d is not None and d.whole and d.one and not d.given() and self.example.kind == "comparison" and self.other:
            found = [*found, *self.find(self.other.without("definite"), self.objects)[0]]  # "both are wrapped"
        shown = [bool(o.hidden) if claim.attribute is None else claim.attribute in o.hidden for o in found]
        if claim.attribute == "color" and not any(shown) and self.example.facts.source != "scenes":
            return None
        if d is not None and not claim.negated and (d.whole or d.number):  # "they are all wrapped", "two are wrapped"
            return sum(shown) >= (len(found) if d.whole else d.number)
        return (not any(shown)) if claim.negated else any(shown)

    # --- the question

    def known(self, d: Description) -> Description:
        """Without a noun that facts do not know: "the red double decker" is the red one."""
        if not d.unknown or self.is_question_word(d.unknown):
            return d
        known = d.without("unknown")
        known.one = True
        return known

    def is_absent_part(self, d: Description) -> bool:
        """Whether `d` is one of the two things that a question compares, and is not in the picture."""
        if self._is_elsewhere(d):
            return False
        parts = [q for q in (self.question, self.other) if q is not None and self.consistent(d, to=q)]
        return any(is_one_of(q.name, d.name) for q in parts) and (
            d.name is not None and self.example.kind == "comparison" or self.consistent_name(d)
        )

    def _is_elsewhere(self, d: Description) -> bool:
        """ "No star in your hat": beside something that nobody asked about and no fact knows. "No fork on the desk"
        says of a photograph where one might look for it."""
        beside = d.relation[1].unknown if d.relation is not None else None
        if beside and self.example.facts.source != "scenes":
            return beside.startswith("your ")
        return bool(beside) and not self.is_question_word(beside)

    def consistent_name(self, d: Description) -> bool:
        """Whether `d` repeats what the question names first."""
        q = self.question
        return d.name == q.name and d.color == q.color and bool(q.name or q.color)

    def consistent(self, d: Description, ignore: frozenset[str] = frozenset(), to: Description | None = None) -> bool:
        """Whether `d` could be about what the question names (or about `to`): no attribute of both differs."""
        q = to or self.question
        if q.group and isinstance(d.name, str) and d.name not in MEMBERS[q.group]:
            return False
        for attribute in ("name", "color", "size", "pattern"):
            mine, asked = getattr(d, attribute), getattr(q, attribute)
            if attribute not in ignore and mine is not None and asked is not None and not is_one_of(asked, mine):
                return False
        return not (d.cells and q.cells and "cells" not in ignore and not d.cells & q.cells)

    def denies_question(self, d: Description | None) -> bool:
        """Whether saying that there is no `d` says that what the question names is not there."""
        if d is None or (d.one and not d.given() and not d.unknown):
            return True
        if d.abstract or self._is_elsewhere(d):
            return False  # "no reason"
        if d.unknown:
            alike = self.guesses and get_close_matches(d.unknown, self.question_tokens, n=1, cutoff=0.7)
            return bool(alike) or self.is_question_word(d.unknown)
        q = self.question.given()
        if d.name is None and d.given() == {} and not d.other:
            return True  # "there is no object": nor the one asked for
        for attribute, value in d.given().items():
            asked = q.get(attribute)
            if asked is None and attribute != "cells" and is_guess(value, self.guesses):
                continue
            if attribute == "cells" and asked is not None and asked <= value:
                continue
            if attribute == "relation" and (asked is not None or not self.targets):
                continue
            if isinstance(value, tuple) and asked in value:
                continue  # "nobody", of a woman
            if asked != value and not (attribute == "size" and {asked, value} <= {"large", "max"}):
                return False
        return bool(d.given())
