"""One response read against one case: what it answers, the strategy that it used, its criteria."""

from clarifyvlm.judges.answers import Answers
from clarifyvlm.language.asks import question_value
from clarifyvlm.language.descriptions import Claim, Description, Response
from clarifyvlm.language.facts import Case
from clarifyvlm.language.foreign import is_foreign
from clarifyvlm.language.items import speaks_of_pictures


class Finding(Answers):
    """One response read against one case: what it answers, and its criteria, or why they are not known (`failure`)."""

    def __init__(self, case: Case, text: str, response: Response | None = None):
        """`response`: what was read from `text` already; None: it is read here."""
        super().__init__(case, text, response)
        text = self.text
        self.failure, self.unread = None, ""
        self.is_read = response is None
        self.unknown: list[str] = []  # criteria that hang on a word that nobody knows, once `criteria` was asked
        if response is None and is_foreign(text):
            self.failure = "other_language"
        elif response is None and not self._is_understood(text):
            self.failure, self.unread = "not_understood", " ".join(self.response.skipped) or text[:200]

    def _is_understood(self, text: str) -> bool:
        """Whether what the words of a response say was read from them. A response that says nothing is understood."""
        response, said = self.response, [c for c in self.response.claims if not c.aside]
        if self.used == "none" and response.empty and not response.skipped:
            return True
        silent = not (said or response.asks or response.named or response.polite)
        if self.used == "none" and (response.skipped or silent) and not self._is_echo(text):
            return not speaks_of_pictures(text, self.case.words)
        if self.denied and self.pairs and self.case.targets:
            return False
        if self.used == "none" and any(self._is_of_unknown(c) for c in said):
            return False  # "the double decker is red"
        if self.used == "abstain" and any(self._is_elsewhere(c.subject) for c in said if c.kind == "fragment"):
            return False  # "unknown: the birthday of the painter"
        return len([word for word in response.skipped if not self.case.is_question_word(word)]) < 2

    def _is_elsewhere(self, d: Description | None) -> bool:
        return d is not None and bool(d.unknown) and not self.case.is_question_word(d.unknown)

    def _is_of_unknown(self, claim: Claim) -> bool:
        """Whether a claim says what is asked of something that facts have no word for."""
        d = claim.subject
        return claim.kind == "attribute" and claim.attribute in self.case.asked and d is not None and bool(d.unknown)

    # --- criteria

    def criteria(self) -> tuple[dict[str, float | None], dict[str, str]]:
        case, used = self.case, self.used
        right = case.example.strategy
        evidence: dict[str, str] = {}
        grounded = float(self._grounded(evidence))
        answered = used in ("answer", "infer", "enumerate") and (bool(self.pairs) or right == "correct")
        overconfident = None
        if right in ("correct", "abstain"):
            overconfident = float(answered and not (self.denied and used == "infer"))
        elif right != "answer":
            overconfident = float(used == "answer" and answered and not self.several and not self.response.asks)
        listed = self.listed() if right == "enumerate" else None
        asks = used == "clarify" or any(not ask.wonders for ask in self.response.asks)
        found = {
            "strategy_right": float(used == right),
            "grounded": grounded,
            "answer_right": self._answer_right(right),
            "overconfident": overconfident,
            "over_asked": float(asks) if right in ("answer", "correct", "abstain") else None,
            "complete": listed,
            "question_value": question_value(case, self.response.asks)
            if used == "clarify" and len(case.readings) > 1
            else None,
        }
        if any(str(value).startswith("?") for _, value, _ in self.pairs):  # "it is a rabbit": a word that nobody knows
            hangs = [name for name in ("grounded", "answer_right", "complete") if found[name] is not None]
            self.unknown = [name for name in hangs if name != "grounded" or grounded]
        elif grounded and (self.response.unplaced or self._is_beyond()):
            self.unknown = ["grounded"]  # a color or a place that was said of nothing, so far as was read
        return found | dict.fromkeys(self.unknown), evidence

    def _is_beyond(self) -> bool:
        """Whether a thing is mentioned of which nothing was read ("it touches *the star*"), more are counted than a
        photograph is known to have, or a scene is said to have what it has no word for: "there is a wombat"."""
        case, claims = self.case, self.response.claims
        for claim in claims if self.is_read else ():
            d = claim.subject
            if claim.kind == "fragment" and not claim.alone and d.definite and d.name:
                repeats = case.question.given().items() >= d.given().items()  # "it depends on the star that you mean"
                if not repeats and case.asked.isdisjoint(d.given()) and sum(c.subject is d for c in claims) == 1:
                    return True
            if claim.possible or claim.kind not in ("exists", "count", "attribute", "fragment"):
                continue
            if case.example.facts.source != "scenes":
                if claim.kind == "count" and case.true(claim) is None:
                    return True
            elif self._is_elsewhere(d) or str(claim.value).startswith("?"):
                return True
        return False

    def _could_tell(self) -> bool:
        """Whether a response says of what the picture shows, or of what is not there, that it cannot be told; "I cannot
        tell" alone says nothing of the picture."""
        case = self.case
        hidden = any(answer is None for _, _, answer in case.readings)
        return not hidden and bool(self.response.claims)

    def _grounded(self, evidence: dict[str, str]) -> bool:
        case, right = self.case, self.case.example.strategy
        if right == "abstain" and self.pairs and self.used != "abstain":
            evidence["grounded"] = "the picture hides what is claimed"
            return False
        if self.used == "abstain" and right != "abstain" and self._could_tell():
            evidence["grounded"] = "the picture can tell"
            return False
        if right == "correct" and self.used in ("answer", "enumerate") and self.pairs and not self.denied:
            evidence["grounded"] = "what is asked about is not there"
            return False
        truths = [(claim, case.true(claim)) for claim in (*self.before, *self.response.claims)]
        if self.used == "none" and not any(
            true and not c.aside and (c.kind != "count" or (c.subject and c.subject.given())) for c, true in truths
        ):
            return False  # nothing claimed
        either = any(claim.either and true for claim, true in truths)  # "red or blue": one of them is enough
        for claim, true in truths:
            if claim.kind == "hidden" and self.denied and not case.targets:
                continue  # "so it has no color"
            if claim.kind == "yesno" and claim.subject is None and self.used == right == "abstain":
                continue  # "no, I cannot tell"
            if true is False and (claim.possible or not (claim.either and (either or self.used == "abstain"))):
                evidence["grounded"] = f"not so: {_words(claim)}"
                return False
        asked = [d for ask in self.response.asks for d in (*ask.restrict, *ask.alternatives)]
        said = [claim.subject for claim in self.response.claims if claim.subject is not None]
        said += [d.relation[1] for d in said if d.relation and d.relation[1]]
        relations = [c.value for c in self.response.claims if c.attribute == "relation"]
        said += [value[1] for value in relations if isinstance(value, tuple) and value[1]]
        for d in (*said, *self.response.named, *asked):  # "one of the three stars"
            if d.total is not None and case.true(Claim("count", d.total, value=d.total.number)) is False:
                evidence["grounded"] = f"not so many: {_phrase(d.total)}"
                return False
            if case.has_too_few(d):
                evidence["grounded"] = f"not so many: {_phrase(d)}"
                return False
        if self.denied and not case.targets:
            return True  # "you ask about a star, but there is none"
        for claim in self.response.claims:
            d = claim.subject
            if right == "correct" and claim.kind in ("attribute", "yesno") and d is not None and self._is_absent(d):
                evidence["grounded"] = f"there is no {_phrase(d)}"
                return False
        for d in [*self.response.named, *asked]:
            if not self._may_exist(d, offered=any(d is a for a in asked)):
                evidence["grounded"] = f"there is no {_phrase(d)}"
                return False
        return True

    def _may_exist(self, d: Description, offered: bool = False) -> bool:
        """Whether what a phrase presupposes is there. An offer of words does not: "green or red?", "a star?"."""
        case = self.case
        if d.unknown and d.definite and not case.targets and case.is_question_word(d.unknown):
            return False  # "whose hat?"
        if d.attribute or d.other or d.abstract or d.unknown or not (d.given() or d.number):
            return True
        if d.part and d.name and not d.cells and case.complete and len(case.find(d)[0]) == 1:
            return False  # "one of the circles", where there is one
        if offered and not d.definite and d.number is None and not d.cells:
            return True
        if case.example.strategy == "correct" and self._is_absent(d):
            return False  # "which table?", where there is none
        if offered and d.definite and d.plural and case.complete and "count" not in case.asked and not d.at_least:
            if d.one and not d.given() and d.number and not d.part and case.targets and not self._counted(d.number):
                return d.number == len(case.targets)  # "which of the three?", of two
            if d.given() and not d.one and d.number is None and not d.whole and len(case.find(d)[0]) == 1:
                return False  # "which of the circles?", where there is one
        some = offered and d.number == 1 and not d.definite  # "one star in particular?"
        if d.number is not None and not (d.one or some) and case.true(Claim("count", d, value=d.number)) is False:
            return False
        if d.one and not d.definite and set(d.given()) <= case.asked:
            return True  # "red or blue?"
        found, unknown = case.find(d)
        if offered and not found and d.one and "count" in case.asked:
            found = case.find(d, case.objects)[0]  # "should I count the blurred one?"
        if d.plural and d.definite and d.name and not d.one and len(found) == 1 and not unknown and case.complete:
            return False  # "which of the circles?", where there is one
        return bool(found) or unknown or not case.is_told(d) or (not d.given() and bool(d.number))

    def _is_absent(self, d: Description) -> bool:
        """Whether `d` is what the question takes to be there, and is not."""
        return d.definite and not self.case.targets and self.case.consistent_name(d)

    def _counted(self, number: int) -> bool:
        """Whether the response counts so many of something."""
        return any(claim.kind == "count" and claim.value == number for claim in self.response.claims)

    def _answer_right(self, right: str) -> float | None:
        case = self.case
        if right == "answer":
            return float(bool(case.readings) and self.gives(case.readings[0][2]))
        if right == "infer":
            return float(self.used in ("answer", "infer") and self.answers_reading(case.salient) == 1.0)
        if right == "enumerate":
            sure = not any(either for _, _, either in self.pairs)
            if self.whole and len(self.pairs) == 1:
                return 0.0  # "both are red", where the answers differ
            return float(self.used == "enumerate" and sure and len(self._matched()) == len(self.pairs))
        return None

    def gives(self, answer: object) -> bool:
        """Whether every value given is `answer` (a place: lies within it)."""
        return (
            self.used != "none"
            and bool(self.pairs)
            and all(not either and _same(value, answer) for _, value, either in self.pairs)
        )

    def answers_reading(self, reading: int) -> float | None:
        """1 if what is answered is right for this reading and is not said of another one; None if it has no answer."""
        case = self.case
        if not 0 <= reading < len(case.readings) or case.readings[reading][2] is None:
            return None
        objects, _, answer = case.readings[reading]
        if self.whole and any(a != answer for _, _, a in case.readings):
            return 0.0  # "both are red"
        if not self.gives(answer) or any(
            readings is not None and reading not in readings for readings, _, _ in self.pairs
        ):
            return 0.0
        for d in self.response.named:
            if d.given() and not any(o in objects for o in case.find(case.known(d))[0]):
                return 0.0
        return 1.0

    def _matched(self) -> dict[int, int]:
        """pair -> reading that it answers rightly; pairs whose subject tells no reading apart take one that is left."""
        case, matched, used = self.case, {}, set()
        order = sorted(range(len(self.pairs)), key=lambda p: self.pairs[p][0] is None)
        for p in order:
            readings, value, either = self.pairs[p]
            for r in range(len(case.readings)) if readings is None else sorted(readings):
                if r not in used and _same(value, case.readings[r][2]):
                    matched[p] = r
                    used.add(r)
                    break
        return matched

    def listed(self) -> float:
        """Share of the readings that got their right answer. One answer that names no reading lists none; "one is red"
        lists one."""
        if (self.used not in ("enumerate", "infer") and not self.several) or any(either for _, _, either in self.pairs):
            return 0.0
        found = set(self._matched().values())
        if self.whole:  # "both are stars", where one is
            values = [value for readings, value, _ in self.pairs if readings is None]
            found |= {r for r, (_, _, answer) in enumerate(self.case.readings) for v in values if _same(v, answer)}
        for readings, value in self.plural:  # "the two red ones are stars"
            found |= {r for r in readings if _same(value, self.case.readings[r][2])}
        return len(found) / len(self.case.readings)


def _same(given: object, answer: object) -> bool:
    if isinstance(given, frozenset) and isinstance(answer, frozenset):
        return given <= answer
    return given == answer


def _phrase(d: Description | None) -> str:
    if d is None:
        return "it"
    words = [
        " or ".join(w) if isinstance(w, tuple) else w
        for w in (d.size, d.pattern, d.color, d.name or d.unknown or "one")
    ]
    place = " at " + "/".join(sorted(d.cells)) if d.cells else ""
    return " ".join(w for w in words if w) + place


def _words(claim: Claim) -> str:
    value = claim.value
    if isinstance(value, frozenset):
        value = "/".join(sorted(value))
    elif isinstance(value, Description):
        value = _phrase(value)
    elif isinstance(value, tuple):  # (relation, other object), or names that are offered: "a star or a circle"
        value = f"{value[0]} {_phrase(value[1])}" if isinstance(value[1], Description) else " or ".join(value)
    parts = (claim.kind, _phrase(claim.subject), claim.attribute, "not" if claim.negated else None, value)
    return " ".join(str(p) for p in parts if p is not None)
