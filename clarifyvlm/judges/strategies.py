"""The strategy that a response used, from what it answers, denies, asks and leaves open."""

from typing import Literal

from clarifyvlm.language.descriptions import Claim, Description, Response
from clarifyvlm.language.facts import Case
from clarifyvlm.records import Strategy


class Strategies:
    """What Answers reads, and the strategy that follows from it."""

    case: Case
    response: Response
    pairs: list[tuple[frozenset[int] | None, object, bool]]
    reasoned: list[Description]
    plural: list[tuple[frozenset[int], object]]
    whole: bool
    lists: bool
    denied: bool
    blurred: bool
    told_apart: bool

    def _on_target(self, d: Description | None) -> bool:
        raise NotImplementedError  # Answers defines it

    def _strategy(self) -> Strategy | Literal["none"]:
        case, response = self.case, self.response
        if self.pairs:
            if self.denied and (not case.targets or all(readings == frozenset() for readings, _, _ in self.pairs)):
                return "infer" if response.named and not case.targets else "correct"
            if response.asks and not response.unsure and all(either for _, _, either in self.pairs):
                return "clarify"  # "red or blue, which one?"
            if self._only_asks():
                return "clarify"  # "some match, some do not: which one do you mean?"
            if response.unsure and all(either for _, _, either in self.pairs):
                return "abstain"
            if response.unsure and case.asked & {"count", "yesno"} and not response.guessed:
                return "abstain"  # what is said to be there explains it
            if response.unsure:  # "I cannot tell, but probably red" answers; "I cannot tell: it is red" says nothing
                partly = [
                    c
                    for c in response.claims
                    if c.kind == "hidden" and c.subject is not None and (c.subject.given() or c.subject.other)
                ]
                if (
                    partly
                    and not response.guessed
                    and all(pair[0] for pair in self.pairs)
                    and not any(case.true(c) is False for c in partly)
                ):  # "the left one is red, the other one is wrapped"
                    return "enumerate"
                return "answer" if response.hedged else "none"
            values = {value for _, value, _ in self.pairs}
            subjects = {readings for readings, _, _ in self.pairs if readings is not None}
            if len({str(answer) for _, _, answer in case.readings}) > 1 and (
                self.whole or any(len(readings) > 1 for readings, _ in self.plural)
            ):
                return "enumerate"  # "both are stars", where one is
            if self.lists or len(values) > 1 or len(subjects) > 1:
                return "enumerate"
            return "infer" if self._names_reading(subjects) else "answer"
        if self.denied:
            return "correct"
        claimed = [c for c in response.claims if c.kind == "hidden" and not c.negated]
        if response.asks and not (self.blurred or any(case.true(c) for c in claimed)):
            return "clarify"
        hidden = self.blurred or bool(claimed)
        if response.unsure or hidden:
            return "none" if self._asserts_asked() else "abstain"
        return "answer" if any(self._tells(c) for c in response.claims) else "none"

    def _tells(self, claim: Claim) -> bool:
        """Whether a claim says of what is asked about what the question does not: "it is red", asked for a shape; "it
        is not red" excludes one value only, "great star!" none."""
        given = claim.subject.given() if claim.subject is not None else {}
        if claim.negated or claim.aside or (claim.subject is not None and claim.subject.modified):
            return False
        if claim.kind == "fragment":
            said, known = given, self.case.question.given()
        else:
            said, known = {claim.attribute: claim.value}, self.case.question.given() | given
        if claim.kind not in ("attribute", "fragment") or not self._on_target(claim.subject):
            return False
        return any(known.get(a) != v and not str(v).startswith("?") for a, v in said.items())

    def _asserts_asked(self) -> bool:
        """Whether something other than what the question is about gets a value of what it asks for."""
        claims = [c for c in self.response.claims if not (c.negated or c.either or c.possible)]
        asserts = [c for c in claims if c.kind == "attribute" and c.attribute in self.case.asked and c.value != "blur"]
        explained = any(c.kind == "hidden" for c in claims)
        return any(not (explained and self._is_beside(c.subject)) for c in asserts)

    def _is_beside(self, d: Description | None) -> bool:
        """Whether `d` is something in the picture that the question is not about: "the circle beside it is red"."""
        if d is None or d.one or not d.given() or not self.case.targets:
            return False
        found = self.case.find(d.without("definite"))[0]
        return bool(found) and not any(o in self.case.targets for o in found)

    def _only_asks(self) -> bool:
        """Whether values are told of no reading in particular, and the user is asked for one."""
        if not any((ask.open or ask.means and ask.dimensions) and not ask.wonders for ask in self.response.asks):
            return False
        if any(readings is not None for readings, _, _ in self.pairs):
            return False
        if "yesno" in self.case.asked:
            return len(self.pairs) > 1
        told = [c.subject for c in self.response.claims if c.kind == "attribute" and c.attribute in self.case.asked]
        return not any(d is None or d.definite or not (d.one and (d.whole or d.number)) for d in told)

    def _names_reading(self, subjects: set[frozenset[int]]) -> bool:
        case, response = self.case, self.response
        if any(subjects) and len(case.readings) > 1 and not case.by_attribute:
            return True
        if self.told_apart and len(case.readings) > 1 and not case.by_attribute:
            return True
        asked = case.question.given()
        for d in [*response.named, *self.reasoned]:
            if d.modified:
                return True
            if d.attribute and case.by_attribute:
                return True
            if any(a not in asked and (a not in case.asked or self._guessed()) for a in d.given()):
                return True
            if d.cells and len(case.readings) > 1 and "cells" not in case.asked:
                if 0 < sum(o in case.targets for o in case.find(d)[0]) < len(case.targets):
                    return True  # "the upper of the two", asked about the object on the right
        offered = [d for ask in response.asks if not ask.open and len(ask.alternatives) == 1 for d in ask.alternatives]
        if any(set(d.given()) - set(asked) - case.asked for d in offered):
            return True  # "Do you mean the large one? It is red."
        if case.example.strategy == "infer" and len(case.readings) == 1:
            return self._resolves_word()
        return False

    def _guessed(self) -> bool:
        return self.case.example.ambiguity.type == "lexical"

    def _resolves_word(self) -> bool:
        """Whether a claim's subject says what the misspelt word was taken to be: "the green object is a star"."""
        case = self.case
        objects = case.readings[0][0]
        missing = {"name", "color"} - set(case.question.given()) - case.asked
        for claim in self.response.claims:
            given = claim.subject.given() if claim.subject is not None else {}
            if set(given) & missing and any(o in objects for o in case.find(claim.subject)[0]):
                return True
        return False
