"""What a response answers of what is asked, and the strategy that it used."""

from clarifyvlm.judges.strategies import Strategies
from clarifyvlm.language.descriptions import AskedBack, Claim, Description, Response
from clarifyvlm.language.facts import Case
from clarifyvlm.language.items import both_places
from clarifyvlm.language.layout import plain
from clarifyvlm.language.lexicon import PEOPLE
from clarifyvlm.language.normal import TOKEN, normalize
from clarifyvlm.language.parse import read
from clarifyvlm.world.places import STRIPS

OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}


class Answers(Strategies):
    """What one response answers, and the strategy that it used.

    `pairs`: what it answers, as (readings, value, either): the indices of the readings that the subject fits (None: the
    subject does not tell them apart; empty: it fits no reading), and the value of the asked attribute.
    """

    def __init__(self, case: Case, text: str, response: Response | None = None):
        """`response`: what was read from `text` already; None: it is read here."""
        self.case = case
        before, text = plain(text)
        self.text = text  # without layout, and without what was reasoned before
        if response is None:
            response = Response() if self._is_echo(text) else self._said(text)
        self.response, reasoned = response, self._said(before)
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
        self._cannot_see()
        for claim in self.response.claims:
            self._read(claim)
        if not self.pairs and not self.denied:
            asks = any(ask.open and not ask.wonders for ask in self.response.asks)
            self.pairs = [] if asks else self.implied  # "there is a bus on either side. Which one do you mean?"
        elif len(self.pairs) == len(self.implied) == 1 and self.pairs[0][:2] == (None, self.implied[0][1]):
            if not any(c.kind == "yesno" and c.subject is not None for c in self.response.claims):
                self.pairs = self.implied  # "yes, there is a bird to the left of the large boat"
        self.denied |= self._wonders_what()
        self.lists = self.response.depends and len(self.pairs) > 1  # "it depends on which: ...", whatever is said then
        self.pairs = self._explained() or _merged(self.pairs, len(case.readings))
        if self.response.depends:
            self.pairs = [(readings, value, False) for readings, value, _ in self.pairs]
        self.response.asks = [ask for ask in self.response.asks if not self._asks_nothing(ask)]
        self.used = self._strategy()

    def _said(self, text: str) -> Response:
        return read(self.case.readable(text), self.case.words, self.case.asked, self.case.question_words)

    def _is_echo(self, text: str) -> bool:
        said, asked = TOKEN.findall(normalize(" ".join(text[:4000].split()))), self.case.question_tokens
        return said == asked * max(1, len(said) // max(1, len(asked)))

    def _asks_nothing(self, ask: AskedBack) -> bool:
        """ "That star? It is red.", "What star? There is none.": repeats the question's words, and goes on."""
        named = self.case.question.given()
        plain = all(a in named for d in (*ask.alternatives, *ask.restrict) for a in d.given())
        if ask.elliptic:
            return plain and bool(self.pairs or self.denied)
        return self.denied and plain and not ask.means and not ask.dimensions

    def _explained(self) -> list | None:
        """ "The large circle is blue and the square is brown, so no": the answer for the large one."""
        case = self.case
        if case.example.kind != "comparison" or "yesno" not in case.asked or len(case.readings) < 2:
            return None
        if len(self.pairs) != 1 or self.pairs[0][0] is not None or self.whole:
            return None
        told = [c.subject for c in self.response.claims if c.kind == "attribute" and not (c.aside or c.negated)]
        told = [d for d in told if d is not None and d.definite and not d.plural and d.name == case.question.name]
        named = {readings for d in told if (readings := self._readings_of(d, "yesno"))}
        return [(named.pop(), *self.pairs[0][1:])] if len(named) == 1 else None

    def _wonders_what(self) -> bool:
        """ "What fork? I see books and a laptop.": denies that there is one."""
        case, asks = self.case, self.response.asks
        if self.pairs or self.denied or case.targets or len(asks) != 1 or len(asks[0].words) > 3 or asks[0].means:
            return False
        echoed = [*asks[0].restrict, *asks[0].alternatives]
        told = any(c.kind in ("exists", "count") and not c.aside for c in self.response.claims)
        return told and len(echoed) == 1 and case.consistent_name(echoed[0])

    # --- what is answered

    def _cannot_see(self) -> None:
        """ "It is wrapped, I cannot see it": no denial, where it is said to be hidden."""
        claims = self.response.claims
        hides = any(c.kind == "hidden" or (c.subject is not None and c.subject.hidden) for c in claims)
        bare = [
            c for c in claims if c.kind == "deny" and (c.subject is None or (c.subject.one and not c.subject.given()))
        ]
        if hides and bare and self.case.targets:
            self.response.claims = [c for c in claims if c not in bare]
            self.response.unsure = True

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
                    of = d.relation[1] if d is not None and d.relation and d.relation[0] == case.side else None
                    self.implied.append((self._readings_of(of, "yesno"), "no", False))
            elif "yesno" in case.asked or "count" in case.asked:
                if case.denies_question(d) or (d is not None and self._on_target(d)):
                    (self.implied if "yesno" in case.asked else self.pairs).append(
                        (None, "no" if "yesno" in case.asked else 0, False)
                    )
            elif case.denies_question(d):
                self.denied = True
        elif claim.kind == "attribute" and claim.attribute == "relation" and case.side and "yesno" in case.asked:
            self._read_side(claim)
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
            elif claim.attribute == "name" and case.example.kind == "relation" and _is_person(claim.value):
                pass  # "(a cup.) She is the only person": what they hold is asked
            elif claim.attribute == "name" and claim.value == "blur":
                self.blurred = True  # "it is just a smudge"
            elif claim.attribute in case.asked and self._on_target(d):
                self._answer(d, claim.attribute, claim.value, claim.either)
                self.several |= d is not None and d.one and not (d.definite or d.given() or d.number)
        elif claim.kind == "yesno":
            if "yesno" in case.asked:
                self.whole |= d is not None and d.whole and d.plural
                self.pairs.append((self._readings_of(d, "yesno"), claim.value, False))
        elif claim.kind in ("exists", "fragment", "count"):
            self._read_mention(claim, d)

    def _read_side(self, claim: Claim) -> None:
        """ "The fork is left of the large pizza", asked whether one is right of it: no, for this reading."""
        assert isinstance(claim.value, tuple)  # (relation, other object)
        case, d, (side, of) = self.case, claim.subject, claim.value
        if case.example.kind != "relation" or side not in OPPOSITE or d is None or of is None or d.one:
            return
        if not case.consistent(d, to=case.other) or case.consistent_name(d) or not case.consistent(of):
            return
        if side in (case.side, OPPOSITE[case.side]):
            value = "yes" if (side == case.side) != claim.negated else "no"
            self.implied = [p for p in self.implied if p[0] is not None]
            self.implied.append((self._readings_of(of, "yesno"), value, False))

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
                alike = told and case.example.kind == "relation" and set(d.given()) - {"cells", "size"}
                if alike and case.consistent(d, to=case.other) and not case.consistent_name(d):
                    of = d.relation[1] if d.relation and d.relation[0] == case.side else None
                    self.implied.append((self._readings_of(of, "yesno"), "yes" if claim.value != 0 else "no", False))
            elif case.question.name and d is not None and d.name is None and not (d.one or d.unknown):
                pass  # "a blue object", asked about a blue star
            elif (
                d is not None and d.definite and claim.kind == "exists" and set(case.question.given()) - set(d.given())
            ):
                pass  # "the star in the picture", asked whether there is a blue star
            elif d is not None and (d.given() or d.unknown) and self._on_target(d) and case.true(claim) is not None:
                self.implied.append((None, "yes" if claim.value != 0 else "no", False))
            elif claim.kind == "count" and self._on_target(d):
                self.implied.append((None, "yes" if claim.value else "no", False))
            return
        if "count" in case.asked:
            number = claim.value if claim.kind == "count" else 1
            if d is not None and not d.given() and (d.modified or claim.kind != "count"):
                return  # "great object!", "one of the usual ones"
            at_least = d is not None and d.at_least
            whole = d is None or set(self._told(d)) <= set(case.question.given())
            part = not whole and self._readings_of(d, "count") is None
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
                value = given[attribute]
                listed = attribute == "cells" and d.plural and len(value) > 1 and value not in STRIPS
                for place in [frozenset((p,)) for p in sorted(value)] if listed else [value]:  # "at the top and in ..."
                    self._answer(rest, attribute, place, claim.either)

    def _told(self, d: Description) -> dict:
        """What `d` gives, without what all of them are on or in: "(two cups) on the table"."""
        return d.without("relation").given() if d.relation and d.relation[0] == "on" else d.given()

    def _on_target(self, d: Description | None) -> bool:
        """Whether a claim about `d` is about what the question asks about."""
        case = self.case
        if d is not None and d.other and d.whole and not (d.one or d.name):
            return False  # "everything else is green"
        if d is None or (d.one and not d.given()) or not (d.given() or d.unknown):
            return True
        is_named = any(d is named for named in self.response.named)
        said, d = d, case.known(d) if is_named else d
        if d.unknown and not case.is_question_word(d.unknown):
            return False
        if case.asked & {"count", "yesno"}:
            return case.consistent(d)
        if is_named and d is said and (self._guessed() or not case.targets):
            return True  # whatever the misspelt word is taken for
        if case.targets:
            found, unknown = case.find(d)
            if found or unknown:
                return any(o in case.targets for o in found) or (unknown and case.consistent(d, ignore=case.asked))
        return case.consistent(d, ignore=case.asked)

    def _answer(self, d: Description | None, attribute: str, value: object, either: bool) -> None:
        if attribute == "size" and isinstance(value, str):
            value = {"max": "large", "min": "small"}.get(value, value)
        if attribute == "cells" and isinstance(value, frozenset) and d is not None and d.whole and len(self.pairs) > 1:
            nearer = [both_places(v, value) if isinstance(v, frozenset) else None for _, v, _ in self.pairs]
            if all(nearer):  # "on the left and on the right, both in the middle row"
                self.pairs = [(r, v, e) for (r, _, e), v in zip(self.pairs, nearer, strict=True)]
                return
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
            d = case.known(d)
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


def _is_person(name: object) -> bool:
    return bool({"person", *PEOPLE}.intersection(name if isinstance(name, tuple) else (name,)))


def _merged(pairs: list, count: int) -> list:
    """Without repetitions, and without a vaguer place beside an exact one: "on the left, at the top left". Of as many
    readings as there are pairs (`count`), each may have said the same."""
    each = count == len(pairs) > 2 and all(p[0] is None and isinstance(p[1], str) for p in pairs)  # one by one
    kept = []
    for pair in pairs:
        readings, value, _ = pair
        if pair in kept and not each:
            continue
        others = [p for p in pairs if p is not pair]
        near = [p[1] for p in others if readings is None or p[0] in (readings, None)]
        vaguer = isinstance(value, frozenset) and any(isinstance(v, frozenset) and v < value for v in near)
        same = not each and readings is None and any(p[1] == value and p[0] is not None for p in others)
        if not vaguer and not same:
            kept.append(pair)
    return kept
