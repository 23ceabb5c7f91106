"""What a user tells when asked: the one place that decides it. The worth of a clarifying question and the simulated
user's reply (clarifyvlm/users/) both come from `tell`.

A helpful user tells what was asked for, and no more: yes or no, which of the things offered, the attributes asked for,
or, asked "which one?", whatever singles out what they mean. They do not say what they want to know themselves.
"""

import re
from collections import Counter
from dataclasses import dataclass, replace

from clarifyvlm.language.descriptions import STARTS, AskedBack, Description
from clarifyvlm.language.facts import Case
from clarifyvlm.language.fitting import FIELDS
from clarifyvlm.language.offers import Offer, offers_of
from clarifyvlm.language.phrases import Phrases
from clarifyvlm.records import Object


@dataclass(frozen=True)
class Told:
    """One thing that a user tells. kind:
    yes, no       to a question that takes them
    offer         the `index`-th of what was offered: `offers[index]`; None: none of these
    values        `values`: (attribute, value) pairs; of a place, the id of what is there
    which         whatever singles out the reading, which is `index`
    property      `values`: the attribute that is asked about, where that is what the question leaves open
    nothing       `index` says why: the question does not say what it wants (UNCLEAR), is about what the user wants to
                  know (ASKED) or about something else (ELSEWHERE), or nobody knows what it asks for (UNKNOWN)
    """

    kind: str
    index: int | None = None
    values: tuple = ()
    ask: int = 0  # of an offer, a yes or a no: which question it replies to


UNCLEAR, ASKED, ELSEWHERE, UNKNOWN = range(4)

# Says that something is not known, or wishes for more, and asks nothing particular: whatever else is asked goes first.
_LOOSE = re.compile(
    r"^(?:not|un|need|would|have|want|like|must|do not|can not|could not|unsure|uncertain|unclear|depends|"
    r"wonder|ambiguous)\b|\b(?:clarify|specify|be (?:more|a bit|a little)|rephrase|elaborate|explain)\b|\bdepends on\b"
)
_DESCRIBE = re.compile(
    r"\b(?:describe|specify|clarify|point (?:to|at|out|him|her|it|them)|show me|identify|indicate|pick|choose|name) "
    r"(?!what|how|why)(?:\w+)"
)
_REQUEST = re.compile(r"^(?:(?:could|can|would|will) you|please|tell me|specify|let me know)\b(?!.*\b(?:if|whether)\b)")


def question_value(case: Case, asks: list[AskedBack]) -> float:
    """Share of the readings that a helpful user's reply to these questions singles out."""
    offers = _offers(case, asks)
    told = [_told(case, asks, offers, r) for r in range(len(case.readings))]
    count = Counter(told)
    return sum(count[t] == 1 and any(part.kind != "nothing" for part in t) for t in told) / len(told)


def tell(case: Case, asks: list[AskedBack], reading: int) -> tuple[Told, ...]:
    """What a helpful user who means `reading` tells; two readings for which it is the same stay together."""
    return _told(case, asks, _offers(case, asks), reading)


def _offers(case: Case, asks: list[AskedBack]) -> list[list[Offer]]:
    """What each of `asks` offers to choose from."""
    found = []
    for ask in asks:
        offers = [] if case.by_attribute or (_describes(ask) and "or" not in ask.words) else offers_of(case, ask)
        free = ask.open or ask.dimensions or _REQUEST.search(" ".join(ask.words))
        if len(offers) == 1 and free and not offers[0].other:
            offers = []  # "Which star, for example the red one?", "Could you specify the star by its color?"
        found.append(offers)
    return found


def _describes(ask: AskedBack) -> bool:
    return not ask.dimensions and _DESCRIBE.search(" ".join(ask.words)) is not None


def _told(case: Case, asks: list[AskedBack], offers: list[list[Offer]], reading: int) -> tuple[Told, ...]:
    parts = []
    for ask in _particular(asks):
        index = asks.index(ask)
        part = _tell(case, ask, offers[index], reading)
        if part.kind in ("yes", "no", "offer"):
            part = replace(part, ask=index)
        if part not in parts:
            parts.append(part)
    if Told("nothing", ELSEWHERE) in parts:  # "Which square? Where is it?", about stars
        return (Told("nothing", ELSEWHERE),)
    useful = [p for p in parts if p.kind != "nothing"]
    if not useful:
        return tuple(parts[:1])
    values = [p for p in useful if p.kind == "values"]
    which = [p for p in useful if p.kind == "which"]
    if which and (_single(case, values, reading) or len(useful) > len(values) + len(which)):
        # "Which one? What color is it?": no more than the color where it will do
        useful = [p for p in useful if p.kind != "which"] if _single(case, values, reading) else which
    return tuple(useful)


def _particular(asks: list[AskedBack]) -> list[AskedBack]:
    """Without "could you be more specific?", "I am not sure which one you mean", where something is asked beside it."""
    loose = [ask for ask in asks if ask.wonders or _LOOSE.search(" ".join(ask.words))]
    loose = [ask for ask in loose if not ask.dimensions and not (set(ask.words) & {"or"})]
    return [ask for ask in asks if ask not in loose] or list(asks)


def _single(case: Case, values: list[Told], reading: int) -> bool:
    """Whether these values fit no other reading."""
    if not values:
        return False
    attributes = [a for p in values for a, _ in p.values]
    mine = _values(case, attributes, reading)
    return [_values(case, attributes, r) for r in range(len(case.readings))].count(mine) == 1


def _tell(case: Case, ask: AskedBack, offers: list[Offer], reading: int) -> Told:
    objects, attribute, _ = case.readings[reading]
    if case.by_attribute:
        named = [a for _, a, _ in case.readings if a in ask.dimensions]
        if len(named) == 1:  # "Do you mean its color?"
            return Told("yes" if attribute in named else "no")
        if named or (ask.open and not ask.dimensions):
            return Told("property", values=(attribute,))
        return Told("nothing", UNCLEAR)
    if offers:
        return _chosen(case, offers, reading)
    if not _is_about(case, ask, objects):
        return Told("nothing", ELSEWHERE)
    wanted = [a for a in FIELDS if a in ask.dimensions]
    if wanted and not ask.open | bool(set(wanted) - case.asked):
        return Told("nothing", ASKED)
    if told := [a for a in wanted if a not in case.asked]:
        values = _values(case, told, reading)
        if any(value is not None for _, value in values):
            return Told("values", values=values)
        return Told("nothing", UNKNOWN) if not ask.open else Told("which", reading)
    if ask.open or _describes(ask):
        return Told("which", reading)
    return Told("nothing", UNCLEAR)


def _values(case: Case, attributes: list[str], reading: int) -> tuple:
    """(attribute, value) pairs; a place can be said as finely as it takes."""
    objects = case.readings[reading][0]
    said = []
    for a in attributes:
        found = [o.id if a == "cells" else case.word(o, a) for o in objects]
        said.append((a, found[0] if len(found) == 1 else tuple(found) or None))
    return tuple(said)


def _chosen(case: Case, offers: list[Offer], reading: int) -> Told:
    if len(offers) == 1:
        if offers[0].unknown:
            return Told("nothing", UNKNOWN)
        return Told("yes" if reading in offers[0].readings else "no")
    fitting = [i for i, offer in enumerate(offers) if reading in offer.readings]
    return Told("offer", min(fitting, key=lambda i: len(offers[i].readings), default=None))


def _is_about(case: Case, ask: AskedBack, objects: list[Object]) -> bool:
    """Whether "which square?" can be about the reading; what is named further on ("compared with the cross") does not
    matter."""
    named = _asked_of(case, ask) or ask.restrict
    return not named or any(_fits_reading(case, d, objects) for d in named)


def _asked_of(case: Case, ask: AskedBack) -> list[Description]:
    """The noun phrase after "which"."""
    if "which" not in ask.words:
        return []
    phrases = Phrases(case.words)
    phrases.load(list(ask.words))
    for i in range(phrases.n):
        if phrases.items[i] == ("rel", "which"):
            start = i + 2 if phrases.kind(i + 1) == "of" else i + 1
            found = phrases.noun_phrase(start) if phrases.kind(start) in STARTS else None
            return [found[0]] if found else []
    return []


def _fits_reading(case: Case, d: Description, objects: list[Object]) -> bool:
    """Whether a phrase of a question could mean a reading of these objects."""
    if not d.given():
        return not d.unknown or case.is_question_word(d.unknown)
    found, unknown = case.find(d, case.targets) if not d.size or d.size not in ("max", "min") else case.find(d)
    return any(o in found for o in objects) or (not found and unknown)
