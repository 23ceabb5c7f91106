"""One response read against one case: what it answers, the strategy that it used, its criteria."""

from clarifyvlm.language.asks import question_value
from clarifyvlm.language.facts import Case
from clarifyvlm.language.foreign import is_foreign
from clarifyvlm.language.items import speaks_of_pictures
from clarifyvlm.language.layout import plain
from clarifyvlm.language.lexicon import PEOPLE
from clarifyvlm.language.normal import TOKEN, normalise
from clarifyvlm.language.parse import read
from clarifyvlm.language.phrases import Ask, Claim, Description, Response


class Finding:
    """One response read against one case.

    `pairs`: what it answers, as (readings, value, either): the indices of the readings that the subject fits (None: the
    subject does not tell them apart; empty: it fits no reading), and the value of the asked attribute.
    """

    def __init__(self, case: Case, text: str, response: Response | None = None):
        """`response`: what was read from `text` already; None: it is read here."""
        self.case = case
        before, text = plain(text)
        extracted = response is not None
        if response is None:
            response = (
                read(case.readable(text), case.words, case.asked, case.question_words)
                if not self._is_echo(text)
                else Response()
            )
        self.response = response
        reasoned = read(case.readable(before), case.words, case.asked, case.question_words) if before else Response()
        self.before, self.reasoned = reasoned.claims, reasoned.named
        self.pairs: list[tuple[frozenset[int] | None, object, bool]] = []
        self.several = False  # knows that there are several: "both are red", "one is red"
        self.whole = False  # "both are red"
        self.blurred = False  # "it is a blur"
        self.plural: list[tuple[frozenset[int], object]] = []  # what is said of several readings at once
        self.told_apart = False  # describes one of several, wrongly
        self.denied = False
        self.implied: list[tuple] = []  # yes or no, from what is said to be there: counts where neither word is said
        self.total = False  # of a count: "three in all"
        if case.other is not None and len(self.response.named) == 1 and not self._guessed():
            for claim in self.response.claims:  # "I take you to mean the large star. Yes."
                if claim.kind == "yesno" and claim.subject is None and self.response.named[0].given():
                    claim.subject = self.response.named[0]
        if all(c.kind == "fragment" and not c.either for c in self.response.claims):  # "Red, blue": all of them answer
            for claim in self.response.claims:
                claim.alone |= bool(set(claim.subject.given()) & case.asked)
        for claim in self.response.claims:
            self._read(claim)
        if not self.pairs and not self.denied:
            self.pairs = self.implied
        self.lists = self.response.depends and len(self.pairs) > 1  # "it depends on which: ...", whatever is said then
        self.pairs = _merged(self.pairs)
        if self.response.depends:
            self.pairs = [(readings, value, False) for readings, value, _ in self.pairs]
        self.response.asks = [ask for ask in self.response.asks if not self._asks_nothing(ask)]
        self.used = self._strategy()
        self.failure, self.unread = None, ""
        if not extracted and is_foreign(text):
            self.failure = "other_language"
        elif not extracted and not self._is_understood(text):
            self.failure, self.unread = "not_understood", " ".join(self.response.skipped) or text[:200]

    def _is_understood(self, text: str) -> bool:
        """Whether what the words of a response say was read from them. A response that says nothing is understood."""
        response, said = self.response, [c for c in self.response.claims if not c.aside]
        if self.used == "none" and response.empty and not response.skipped:
            return True
        silent = not (said or response.asks or response.named or response.polite)
        if self.used == "none" and (response.skipped or silent) and not self._is_echo(text):
            return not speaks_of_pictures(text, self.case.words)
        if any(str(value).startswith("?") for _, value, _ in self.pairs):
            return False  # "it is a rabbit"
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

    def _is_echo(self, text: str) -> bool:
        said, asked = TOKEN.findall(normalise(" ".join(text[:4000].split()))), self.case.question_tokens
        return said == asked * max(1, len(said) // max(1, len(asked)))

    def _asks_nothing(self, ask: Ask) -> bool:
        """ "That star? It is red.", "What star? There is none.": repeats the question's words, and goes on."""
        named = self.case.question.given()
        plain = all(a in named for d in (*ask.alternatives, *ask.restrict) for a in d.given())
        if ask.elliptic:
            return plain and bool(self.pairs or self.denied)
        return self.denied and plain and not ask.means and not ask.dimensions

    # --- what is answered

    def _read(self, claim: Claim) -> None:
        """Sort one claim: an answer, a denial of what the question presupposes, or neither."""
        case, d = self.case, claim.subject
        if claim.aside or (claim.possible and self.response.unsure):
            return
        if claim.kind == "deny":
            if case.other is not None and "yesno" in case.asked:
                if d is not None and not (d.one and not d.given()) and case.is_absent_part(d):
                    self.denied = True
                elif case.example.kind == "relation" and (d is None or d.one or case.consistent(d, to=case.other)):
                    self.implied.append((None, "no", False))
            elif "yesno" in case.asked or "count" in case.asked:
                if case.denies_question(d) or (d is not None and self._on_target(d)):
                    (self.implied if "yesno" in case.asked else self.pairs).append(
                        (None, "no" if "yesno" in case.asked else 0, False)
                    )
            elif case.denies_question(d):
                self.denied = True
        elif claim.kind == "attribute":
            if claim.negated:
                value = claim.value.given() if isinstance(claim.value, Description) else {claim.attribute: claim.value}
                q = case.question.given()
                about = d is None or d.one or case.consistent(d, ignore=frozenset(value))
                if about and any(q.get(a) == v for a, v in value.items()) and not case.asked & set(value):
                    self.denied = True
            elif "yesno" not in case.asked and self._contradicts_question(claim):
                self.denied = True
            elif d is not None and not d.definite and claim.attribute not in case.asked and not d.one:
                self._read_mention(claim, d)  # "a red star is at the top left"
            elif d is not None and claim.attribute == "cells" and case.asked & set(d.given()) and d.one and not d.cells:
                placed = d.without()  # "the red one is at the top left"
                placed.cells = claim.value
                self._read_mention(claim, placed)
            elif claim.attribute == "name" and claim.value == "blur":
                self.blurred = True  # "it is just a smudge"
            elif claim.attribute in case.asked and self._on_target(d):
                self._answer(d, claim.attribute, claim.value, claim.either)
                self.several |= d is not None and d.one and not (d.definite or d.given() or d.number)
        elif claim.kind == "yesno":
            if "yesno" in case.asked:
                self.pairs.append((self._readings_of(d, "yesno"), claim.value, False))
        elif claim.kind in ("exists", "fragment", "count"):
            self._read_mention(claim, d)

    def _contradicts_question(self, claim: Claim) -> bool:
        """ "The star is blue", asked about a red star that is not there."""
        case, d = self.case, claim.subject
        asked = case.question.given().get(claim.attribute)
        if case.targets or asked is None or claim.attribute in case.asked or claim.attribute in ("cells", "relation"):
            return False
        if d is None or d.name != case.question.name or (d.name is None and d.one):
            return False
        return asked != claim.value and case.consistent(d, ignore=frozenset([claim.attribute]))

    def _read_mention(self, claim: Claim, d: Description | None) -> None:
        case = self.case
        if "yesno" in case.asked:
            if claim.kind == "fragment" and d is not None and d.modified:
                return  # "great star!"
            if case.other is not None:
                told = d is not None and (d.cells or d.relation or (claim.kind != "fragment" and not d.definite))
                alike = (
                    told and case.example.kind == "relation" and d is not None and set(d.given()) - {"cells", "size"}
                )
                if alike and case.consistent(d, to=case.other) and not case.consistent_name(d):
                    of = d.relation[1] if d.relation and d.relation[0] == case.side else None
                    self.implied.append((self._readings_of(of, "yesno"), "yes" if claim.value != 0 else "no", False))
            elif case.question.name and d is not None and d.name is None and not (d.one or d.unknown):
                pass  # "a blue object", asked about a blue star
            elif d is not None and (d.given() or d.unknown) and self._on_target(d) and case.true(claim) is not None:
                self.implied.append((None, "yes" if claim.value != 0 else "no", False))
            elif claim.kind == "count":
                self.implied.append((None, "yes" if claim.value else "no", False))
            return
        if "count" in case.asked:
            number = claim.value if claim.kind == "count" else 1
            if d is not None and not d.given() and (d.modified or claim.kind != "count"):
                return  # "great object!", "one of the usual ones"
            at_least = d is not None and d.at_least
            part = (
                d is not None
                and set(self._told(d)) - set(case.question.given())
                and self._readings_of(d, "count") is None
            )
            whole = d is None or set(self._told(d)) <= set(case.question.given())
            if not at_least and not part and (d is None or self._on_target(d)):
                if claim.kind == "count" and whole:
                    self.pairs = [] if not self.total else self.pairs
                    self.total = True
                elif self.total:
                    return  # "three: one at the top ..."
                self._answer(d, "count", number, claim.either)
            elif at_least and d.one and claim.kind == "count" and not d.given():
                self.pairs.append((None, f"at least {number}", False))
            return
        if d is None:
            return
        given = d.given()
        for attribute in case.asked & set(given):
            same = given[attribute] == case.question.name or {given[attribute], case.question.name} <= set(PEOPLE)
            if attribute == "name" and same and case.example.kind == "relation":
                continue  # "there are two men: ...": what they hold is asked
            if attribute == "cells" and case.question.cells and case.question.cells <= given[attribute]:
                continue  # "on the right there is a star": the question says so
            rest = d.without(attribute)
            rest.number = None
            if self._on_target(rest):
                self._answer(rest, attribute, given[attribute], claim.either)

    def _told(self, d: Description) -> dict:
        """What `d` gives, without what all of them are on or in: "(two cups) on the table"."""
        return d.without("relation").given() if d.relation and d.relation[0] == "on" else d.given()

    def _on_target(self, d: Description | None) -> bool:
        """Whether a claim about `d` is about what the question asks about."""
        case = self.case
        if d is None or (d.one and not d.given()) or not (d.given() or d.unknown):
            return True
        if d.unknown and any(d is named for named in self.response.named):
            d = self._known(d)
        if d.unknown and not case.is_question_word(d.unknown):
            return False
        if case.asked & {"count", "yesno"}:
            return case.consistent(d)
        if (self._guessed() or not case.targets) and any(d is named for named in self.response.named):
            return True  # whatever the misspelt word is taken for
        if case.targets:
            found, unknown = case.find(d)
            if found or unknown:
                return any(o in case.targets for o in found) or unknown
        return case.consistent(d, ignore=case.asked)

    def _answer(self, d: Description | None, attribute: str, value: object, either: bool) -> None:
        if attribute == "size":
            value = {"max": "large", "min": "small"}.get(value, value)
        if d is not None:
            self.whole |= bool(d.whole)
            self.several |= bool(d.whole)
        readings = self._readings_of(d, attribute)
        if readings == frozenset() and d is not None:  # "the star at the top left", where there is none
            self.told_apart |= bool(set(d.given()) - set(self.case.question.given()) - self.case.asked)
        if readings is None and d is not None and d.beside is not None:  # "the stars are red, except for ..."
            readings = frozenset(range(len(self.case.readings))) - (
                self._readings_of(d.beside, attribute) or frozenset()
            )
        if readings and d is not None and d.plural:
            self.plural.append((readings, value))
        self.pairs.append((readings, value, either))

    def _readings_of(self, d: Description | None, attribute: str) -> frozenset[int] | None:
        """The readings that a subject fits; None when it tells none apart."""
        case = self.case
        if case.by_attribute:
            return frozenset(i for i, (_, a, _) in enumerate(case.readings) if a == attribute)
        if d is None or d.whole or not (d.given() or d.unknown) or not case.readings:
            return None
        if d.unknown and any(d is named for named in self.response.named):
            d = self._known(d)
        found, unknown = case.find(d)
        if not found and unknown and d.relation:
            self.told_apart |= d.definite and not d.plural and case.question.relation is None
            found = case.find(d.without("relation"))[0]
        if (
            not found and d.cells and (d.name or d.color or d.size or d.pattern)
        ):  # "a small star at the top": a large one
            found = [o for o in case.targets if o.place in d.cells]
            found = found if len(found) == 1 else []
        fitting = frozenset(i for i, (objects, _, _) in enumerate(case.readings) if any(o in found for o in objects))
        return None if len(fitting) == len(case.readings) else fitting

    # --- strategy

    def _strategy(self) -> str:
        case, response = self.case, self.response
        if self.pairs:
            if self.denied and (
                not case.targets or all(readings is not None and not readings for readings, _, _ in self.pairs)
            ):
                return "infer" if response.named and not case.targets else "correct"
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
        return any(c.kind == "attribute" and c.attribute in self.case.asked and c.value != "blur" for c in claims)

    def _names_reading(self, subjects: set[frozenset[int]]) -> bool:
        case, response = self.case, self.response
        if subjects and next(iter(subjects)) and len(case.readings) > 1 and not case.by_attribute:
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
        return {
            "strategy_right": float(used == right),
            "grounded": grounded,
            "answer_right": self._answer_right(right),
            "overconfident": overconfident,
            "over_asked": float(asks) if right in ("answer", "correct", "abstain") else None,
            "complete": listed,
            "question_value": question_value(case, self.response.asks)
            if used == "clarify" and len(case.readings) > 1
            else None,
        }, evidence

    def _could_tell(self) -> bool:
        """Whether a response says of what the picture shows, or of what is not there, that it cannot be told; "I cannot
        tell" alone says nothing of the picture."""
        case = self.case
        hidden = any(answer is None for _, _, answer in case.readings)
        return not hidden and bool(self.response.claims)

    def _grounded(self, evidence: dict[str, str]) -> bool:
        case, right = self.case, self.case.example.strategy
        if case.example.strategy == "abstain" and self.pairs and self.used != "abstain":
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
            true and (c.kind != "count" or (c.subject and c.subject.given())) for c, true in truths
        ):
            return False  # nothing claimed
        either = any(claim.either and true for claim, true in truths)  # "red or blue": one of them is enough
        for claim, true in truths:
            if claim.kind == "hidden" and self.denied and not case.targets:
                continue  # "so it has no color"
            if true is False and (claim.possible or not (claim.either and (either or self.used == "abstain"))):
                evidence["grounded"] = f"not so: {_words(claim)}"
                return False
        if self.denied and not case.targets:
            return True  # "you ask about a star, but there is none"
        asked = [d for ask in self.response.asks for d in (*ask.restrict, *ask.alternatives)]
        said = [claim.subject for claim in self.response.claims if claim.subject is not None]
        for d in (*said, *self.response.named, *asked):  # "one of the three stars"
            if d.total is not None and case.true(Claim("count", d.total, value=d.total.number)) is False:
                evidence["grounded"] = f"not so many: {_phrase(d.total)}"
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
        if offered and not d.definite and d.number is None and not d.cells:
            return True
        if d.number is not None and case.true(Claim("count", d, value=d.number)) is False and not d.one:
            return False
        if d.one and not d.definite and set(d.given()) <= case.asked:
            return True  # "red or blue?"
        found, unknown = case.find(d)
        if offered and not found and d.one and "count" in case.asked:
            found = case.find(d, case.objects)[0]  # "should I count the blurred one?"
        return bool(found) or unknown or not case.complete or (not d.given() and bool(d.number))

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
            if d.given() and not any(o in objects for o in case.find(self._known(d))[0]):
                return 0.0
        return 1.0

    def _known(self, d: Description) -> Description:
        """Without a noun that facts do not know: "the red double decker" is the red one."""
        if not d.unknown or self.case.is_question_word(d.unknown):
            return d
        known = d.without("unknown")
        known.one = True
        return known

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


def _merged(pairs: list) -> list:
    """Without repetitions, and without a vaguer place beside an exact one: "on the left, at the top left"."""
    kept = []
    for pair in pairs:
        readings, value, _ = pair
        if pair in kept:
            continue
        vaguer = isinstance(value, frozenset) and any(
            p is not pair
            and (readings is None or p[0] in (readings, None))
            and isinstance(p[1], frozenset)
            and p[1] < value
            for p in pairs
        )
        same = any(p is not pair and p[1] == value and p[0] is not None and readings is None for p in pairs)
        if not vaguer and not same:
            kept.append(pair)
    return kept


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
