"""What a language model read in a response -> the project's own Response, which Finding checks against the facts.

The model quotes (extract_schema.py); what the quoted words mean is decided here, by the vocabulary of the scene judge:
"crimson" is red, "upper left-hand corner" a place. Words that it does not know are unchecked; where the answer or the
reading hangs on them, the response is not understood.
"""

from clarifyvlm.language.descriptions import SLOTS, AskedBack, Claim, Description, Response
from clarifyvlm.language.facts import Case
from clarifyvlm.language.items import items_of
from clarifyvlm.language.normal import TOKEN, normalize
from clarifyvlm.language.offers import offers_of

# A property of the schema -> the attribute of Description, and what claims of hidden things call it.
ATTRIBUTE = {
    "color": "color",
    "kind": "name",
    "size": "size",
    "pattern": "pattern",
    "place": "cells",
    "number": "count",
}
HIDDEN = ATTRIBUTE | {"place": "place", "none": None}
_PASSED = frozenset(("det", "prep", "pic", "of", "with", "attr", "g", "cop", "than", "#"))  # beside a value


def response_of(found: dict, case: Case) -> tuple[Response, list[str]]:
    """(everything that was read, the words that are not understood and that the verdict hangs on)."""
    reader = _Reader(found, case)
    return reader.response(), reader.missing


class _Reader:
    def __init__(self, found: dict, case: Case):
        self.found, self.case = found, case
        self.synonyms = {said: s["means"] for s in found["synonyms"] if (said := _plain(s["said"]))}
        self.missing: list[str] = []
        self._things: dict[int, Description | None] = {0: None}
        self._vague: dict[int, dict[str, str]] = {}  # thing -> field -> its words that are not understood
        self._again: dict[int, Description] = {}  # things that were said to be there, as what "they" means then

    def response(self) -> Response:
        found = self.found
        response = Response(
            unsure=bool(found["cannot_tell"].strip()),
            hedged=bool(found["hedges"].strip()),
            depends=bool(found["depends"].strip()),
        )
        for item in found["claims"]:
            response.claims += self._claim(item)
        _spread(response.claims)
        for item in found["readings"]:
            if item["thing"]:
                response.named.append(self._needed(item["thing"]))
            elif item["property"] != "none":
                response.named.append(Description(attribute=HIDDEN[item["property"]]))
        response.asks = [self._ask(item) for item in found["questions"]]
        if response.depends and not response.asks:
            response.asks = [AskedBack(open=True, means=True, wonders=True)]
        return response

    # --- things

    def thing(self, number: int) -> Description | None:
        if number not in self._things:
            self._things[number] = self._description(number, self.found["things"][number - 1])
        return self._things[number]

    def _needed(self, number: int) -> Description | None:
        """A thing that the verdict hangs on."""
        d = self.thing(number)
        self.missing += self._vague.get(number, {}).values()
        return d

    def _description(self, number: int, item: dict) -> Description:
        d = Description(definite=item["definite"], plural=item["plural"], whole=item["all"], other=item["other"])
        self._noun(d, item["noun"])
        for field in ("color", "size", "pattern", "place", "hidden"):
            if not item[field].strip():
                continue
            attribute = ATTRIBUTE.get(field, field)
            value = self._value(item[field], attribute)
            if value is not None:
                setattr(d, attribute, value)
            elif not self.case.is_question_word(_plain(item[field])):  # the question's own misspelt word
                self._vague.setdefault(number, {})[field] = item[field]
        if item["number"].strip() and not (d.one and _plain(item["number"]) == "one"):
            d.number, d.at_least = self._number(item["number"])
            d.plural |= d.number not in (None, 1)
        if item["to"]:
            d.relation = (self._relation(item["relation"]) or "near", self.thing(item["to"]))
        d.plural |= d.whole
        return d

    def _noun(self, d: Description, words: str) -> None:
        """ "stars", "red star", "object", "one", "it", or a noun that nobody knows."""
        items = self._items(words)
        if "n" not in dict(items) and (synonym := self.synonyms.get(_plain(words))):
            items = self._items(synonym)
        kinds = [kind for kind, _ in items]
        d.one = not words.strip()
        for kind, value in items:
            if kind in SLOTS and getattr(d, SLOTS[kind]) is None:
                setattr(d, SLOTS[kind], value)
        if "n" in kinds:
            d.name, plural = next(value for kind, value in items[::-1] if kind == "n")
            d.plural |= plural
        elif "g" in kinds:
            d.plural |= bool(dict(items)["g"])
        elif "pron" in kinds:
            d.one = d.definite = True
            d.whole |= d.plural
        elif words.strip() and set(kinds) <= {"#", "det", "all", "other", "none", *SLOTS}:
            d.one = True  # "one", "both"
        elif words.strip():
            d.unknown = (_plain(words) or words).split()[-1]

    # --- words

    def _items(self, words: str) -> list[tuple]:
        return items_of(TOKEN.findall(normalize(words)), self.case.words)

    def _value(self, words: str, attribute: str) -> object | None:
        """What the words say of an attribute; None where the vocabulary knows neither them nor their synonym."""
        for said in (words, self.synonyms.get(_plain(words), "")):
            items = self._items(said)
            values = [value for kind, value in items if SLOTS.get(kind, "name" if kind == "n" else "") == attribute]
            known = _PASSED | {kind for kind, _ in items if SLOTS.get(kind, "name" if kind == "n" else "") == attribute}
            if values and all(kind in known for kind, _ in items):
                return values[-1][0] if attribute == "name" else values[-1]
        return None

    def _number(self, words: str) -> tuple[int | None, bool]:
        """(how many, whether it may be more)"""
        for said in (words, self.synonyms.get(_plain(words), "")):
            items = self._items(said)
            for kind, value in items:
                if kind == "many":
                    return value, True
                if kind == "#":
                    more = any(k == "than" for k, _ in items)
                    return value + more, more or any(k == "least" for k, _ in items)
                if kind in ("no", "none"):
                    return 0, False
        return None, False

    def _relation(self, words: str) -> str | None:
        """ "to the left of", "bigger than", "next to" """
        for said in (words, self.synonyms.get(_plain(words), "")):
            if said.strip():
                for kind, value in self._items(f"{said} the thing"):
                    if kind == "R" or (kind == "s" and value in ("max", "min")):
                        return value
        return None

    # --- claims

    def _claim(self, item: dict) -> list[Claim]:
        subject, kind = self.thing(item["thing"]), item["kind"]
        if kind in ("exists", "count") and subject is not None and item["thing"] not in self._again:
            self._again[item["thing"]] = subject.without()
            self._again[item["thing"]].definite = True
        said = {"possible": item["possible"], "either": item["either"]}
        if kind in ("yes", "no"):
            return [Claim("yesno", value=kind, **said)]
        if kind == "hidden":
            return [Claim("hidden", subject, HIDDEN[item["property"]], negated=item["negated"], **said)]
        if kind == "absent" or (kind == "exists" and item["negated"]):
            bare = subject is None or (subject.one and not subject.given())
            return [Claim("deny", None if bare else subject, **said)]
        if kind == "count" or item["property"] == "number":
            number, at_least = self._number(item["value"])
            return self._counted(subject, number, at_least, item["value"], said)
        if kind == "exists":
            return self._mentioned(subject, said)
        subject = self._again.get(item["thing"], subject)
        if kind == "related":
            return self._related(subject, item, said)
        return self._attribute(subject, item, said)

    def _mentioned(self, d: Description | None, said: dict) -> list[Claim]:
        if d is None or (d.one and not d.given() and d.number is None):
            return [Claim("yesno", value="yes", **said)]
        if d.number is not None:
            return [Claim("count", d, value=d.number, **said)]
        if d.plural and not d.definite and d.cells is None:
            return self._counted(d, 2, True, "", said)
        return [Claim("exists", d, **said)]

    def _counted(self, d: Description | None, number: int | None, at_least: bool, words: str, said: dict) -> list:
        if number is None:
            self.missing += [words] if "count" in self.case.asked else []
            return []
        if number == 0:
            return [Claim("deny", d, **said)]
        d = (d or Description(one=True)).without()
        d.number, d.at_least, d.plural = number, at_least, d.plural or number > 1
        return [Claim("count", d, value=number, **said)]

    def _related(self, subject: Description | None, item: dict, said: dict) -> list[Claim]:
        other, relation = self.thing(item["to"]), self._relation(item["value"])
        if relation is None and "name" in self.case.asked and other.name:  # "he holds a cup": what he holds is asked
            return [Claim("attribute", subject, "name", other.name, negated=item["negated"], **said)]
        return [Claim("attribute", subject, "relation", (relation or "near", other), negated=item["negated"], **said)]

    def _attribute(self, subject: Description | None, item: dict, said: dict) -> list[Claim]:
        attribute = ATTRIBUTE[item["property"]]
        said |= {"negated": item["negated"]}
        if isinstance(hidden := self._value(item["value"], "hidden"), str):  # "it is wrapped"
            return [Claim("hidden", subject, hidden, **said)]
        if attribute in self.case.asked:
            self._needed(item["thing"])
        value = self._value(item["value"], attribute)
        if value is not None:
            return [Claim("attribute", subject, attribute, value, **said)]
        if attribute in self.case.asked:
            self.missing.append(item["value"])
        return [Claim("attribute", subject, "name", f"?{_plain(item['value'])}", **said)]

    # --- questions

    def _ask(self, item: dict) -> AskedBack:
        offered = [number for number in item["offers"] if number]
        ask = AskedBack(
            words=tuple(TOKEN.findall(" or ".join(self._phrase(number) for number in offered))),
            open=item["open"],
            dimensions={ATTRIBUTE[name] for name in item["properties"] if name != "none"},
            alternatives=[self.thing(number) for number in offered],
            restrict=[self.thing(number) for number in item["about"] if number],
            means=True,
        )
        known = ("place",) if len(offers_of(self.case, ask)) == len(offered) else ()  # "the second from the left"
        for number in offered:
            self.missing += [said for field, said in self._vague.get(number, {}).items() if field not in known]
        return ask

    def _phrase(self, number: int) -> str:
        """A thing in the plain words of a noun phrase."""
        item = self.found["things"][number - 1]
        quoted = [item["size"], item["pattern"], item["color"], item["noun"] or "one"]
        quoted += [item["relation"], self._phrase(item["to"])] if item["to"] else []
        words = [self.synonyms.get(_plain(quote), _plain(quote)) for quote in (*quoted, item["place"])]
        return " ".join(["another" if item["other"] else "the", *filter(None, words)])


def _spread(claims: list[Claim]) -> None:
    """ "The stars are red and blue": each value holds for some of them, not for all."""
    said = [c for c in claims if c.kind == "attribute" and c.subject is not None and c.subject.plural]
    for claim in said:
        same = [c for c in said if c.subject is claim.subject and c.attribute == claim.attribute]
        if len(same) > 1:
            subject = claim.subject.without("plural", "whole")
            for c in same:
                c.subject = subject


def _plain(words: str) -> str:
    return " ".join(TOKEN.findall(normalize(words)))
