"""The words of a reply, from the forms in replies.yaml: what is told comes from clarifyvlm/language/asks.py.

What is drawn depends on the example and the kind of user, never on the reading in mind: where two readings are told by
the same, the words are the same, too.
"""

import random
import re
from pathlib import Path
from typing import NamedTuple

import yaml

from clarifyvlm.language.asks import ASKED, UNKNOWN, Told
from clarifyvlm.language.descriptions import Description
from clarifyvlm.language.facts import Case
from clarifyvlm.language.fitting import YES
from clarifyvlm.language.items import CORNERS
from clarifyvlm.language.offers import ORDINALS, Offer, in_a_row, near, offers_of
from clarifyvlm.records import Object
from clarifyvlm.world.places import PLACES, SIDES, at

FORMS = yaml.safe_load((Path(__file__).parent / "replies.yaml").read_text(encoding="utf-8"))
WORD_ORDER = ("size", "pattern", "color")  # "the large striped red one"
SIDE_WORDS = {"on the left": "left", "on the right": "right", "at the top": "top", "at the bottom": "bottom",
              "in the middle": "middle", "in the corner": "corner"}  # fmt: skip
MIDDLE_ROW, MIDDLE_COLUMN = frozenset(PLACES[3:6]), frozenset(PLACES[1::3])
PROPERTIES = {
    "color": "color",
    "name": "shape",
    "size": "size",
    "cells": "place",
    "pattern": "pattern",
    "count": "number",
}


class Speech(NamedTuple):
    """How a user speaks: `forms` is "train" or "held_out"; what is drawn, is drawn by `key`."""

    forms: str
    short: bool
    key: str

    def draw(self, kind: str, **words: str) -> str:
        """A form of this kind, of replies.yaml, with its words in place."""
        known = FORMS[kind][self.forms]
        forms = known if isinstance(known, list) else known["short"] if self.short else known["full"] + known["short"]
        said = random.Random(f"{self.key}:{kind}").choice(forms).format(**words)
        return said[:1].upper() + said[1:]

    def typed(self, said: str) -> str:
        """As it is typed: "top left" or "Top left."."""
        rng = random.Random(f"{self.key}:typing")
        weights = FORMS["typing"][self.forms]
        how = rng.choices(list(weights), weights.values())[0]
        if "lower" in how:
            said = re.sub(r"\bi\b", "i", said.lower())
        if "no_stop" in how:
            said = said.removesuffix(".")
        return _mistyped(said, how, rng) if how in ("swapped", "dropped") else said


def _mistyped(said: str, how: str, rng: random.Random) -> str:
    """One slip in a long word: two letters swapped, or one left out."""
    words = said.split(" ")
    slot = rng.random()
    long = [i for i, word in enumerate(words) if len(word.strip(".,")) > 5]
    if not long:
        return said
    i = long[int(slot * len(long))]
    word = words[i]
    words[i] = f"{word[0]}{word[2]}{word[1]}{word[3:]}" if how == "swapped" else f"{word[:2]}{word[3:]}"
    return " ".join(words)


def say(case: Case, asks: list, told: tuple[Told, ...], reading: int, speech: Speech) -> str:
    """What is told, in words."""
    values = [pair for part in told if part.kind == "values" for pair in part.values]
    sentences = []
    for part in told:
        if part.kind == "values":
            continue
        sentences.append(_said(case, asks, part, reading, speech))
    if values:
        sentences.insert(0, _values(case, dict(values), reading, speech))
    return " ".join(sentences)


def _said(case: Case, asks: list, part: Told, reading: int, speech: Speech) -> str:
    match part.kind:
        case "yes" | "no":
            return speech.draw(part.kind)
        case "property":
            return speech.draw("property", property=PROPERTIES.get(part.values[0], part.values[0]))
        case "which":
            return single_out(case, reading, speech)
        case "offer":
            return _offer(case, offers_of(case, asks[part.ask]), part.index, speech)
    if part.index in (ASKED, UNKNOWN):
        return speech.draw("asked" if part.index == ASKED else "unknown")
    return speech.draw("unclear", noun=_as_asked(case))


def _as_asked(case: Case) -> str:
    """ "purple object": the question's own words."""
    q = case.question
    return " ".join([*(w for a in WORD_ORDER if isinstance(w := getattr(q, a), str)), q.name or "object"])


def noun_of(case: Case) -> str:
    return case.question.name if case.question.name and "name" not in case.asked else "one"


def single_out(case: Case, reading: int, speech: Speech, where: bool = False) -> str:
    """Words that only this reading fits, without what the user wants to know. `where`: asked for the place."""
    objects = case.readings[reading][0]
    if len(objects) != 1 or _twins(case, objects[0]):
        return f"I mean {case.example.ambiguity.readings[reading].expression}."
    rng = random.Random(f"{speech.key}:means")
    means = sorted(FORMS["means"], key=lambda m: -(rng.random() ** (1 / FORMS["means"][m])))
    if "cells" in case.asked:  # in a row from the left, where nothing else is left
        means = [m for m in means if m in ("values", "relation")] + ["order"]
    for name in means:
        if not (where and name == "values") and (said := _MEANS[name](case, objects[0], speech)):
            return said
    return f"I mean {case.example.ambiguity.readings[reading].expression}."


def _twins(case: Case, o: Object) -> bool:
    """Another reading in the same place of a photograph, that nothing else tells from this one: its own words do."""
    return "cells" not in case.asked and sum(p.place == o.place for p in case.targets) > 1


def _by_place(case: Case, o: Object, speech: Speech) -> str | None:
    return place_words(noun_of(case), o.place, speech)


def place_words(noun: str, place: str, speech: Speech) -> str:
    words = {"place": place, "at": at(place), "upper": FORMS["upper"][place], "spot": FORMS["spot"][place]}
    return speech.draw("place", noun=noun, **words)


def _by_side(case: Case, o: Object, speech: Speech) -> str | None:
    for side, cells in SIDES.items():
        if o.place in cells and sum(p.place in cells for p in case.targets) == 1:
            word = SIDE_WORDS[side]
            return speech.draw("side", noun=noun_of(case), side=word, on=side, most=f"{word}most")
    return None


def _by_order(case: Case, o: Object, speech: Speech) -> str | None:
    for side in ("on the left", "at the top"):
        row = in_a_row(case.targets, side)
        axis = 0 if side == "on the left" else 1
        lines = {PLACES.index(p.place) % 3 if axis == 0 else PLACES.index(p.place) // 3 for p in row}
        if len(lines) == len(row) or ("cells" in case.asked and side == "on the left"):
            return speech.draw("order", noun=noun_of(case), nth=ORDINALS[row.index(o)], **{"from": SIDE_WORDS[side]})
    return None


def _by_relation(case: Case, o: Object, speech: Speech) -> str | None:
    """ "The one next to the blue circle": something that stands alone, and beside no other reading."""
    for p in sorted(case.objects, key=lambda p: PLACES.index(p.place)):
        if p in case.targets or p.hidden or not p.color or not near(case, o, p):
            continue
        d = Description(name=p.name, color=p.color)
        alone = sum(case.fits(d, q) == YES for q in case.objects) == 1
        if alone and not any(near(case, q, p) for q in case.targets if q is not o):
            return speech.draw("relation", noun=noun_of(case), landmark=f"the {p.color} {p.name}")
    return None


def _by_values(case: Case, o: Object, speech: Speech) -> str | None:
    """The fewest attributes by which only this one is meant."""
    usable = [a for a in ("color", "name", "size", "pattern") if a not in case.asked and case.word(o, a) is not None]
    for some in [[a] for a in usable] + [[a, b] for i, a in enumerate(usable) for b in usable[i + 1 :]]:
        if all(p is o or any(case.word(p, a) != case.word(o, a) for a in some) for p in case.targets):
            return values_words({a: case.word(o, a) for a in some}, noun_of(case), speech)
    return None


_MEANS = {"place": _by_place, "side": _by_side, "order": _by_order, "relation": _by_relation, "values": _by_values}


def _values(case: Case, values: dict, reading: int, speech: Speech) -> str:
    """The attributes asked for, in words."""
    objects = case.readings[reading][0]
    if set(values) == {"cells"} or len(objects) != 1:
        return single_out(case, reading, speech, where=True)
    place = at(objects[0].place) if "cells" in values else None
    return values_words(values, noun_of(case), speech, place)


def values_words(values: dict, noun: str, speech: Speech, place: str | None = None) -> str:
    """`values`: attribute -> word. "The small red one.", "Star."."""
    adjectives = [values[a] for a in WORD_ORDER if values.get(a)]
    bare = " ".join(w for w in [*adjectives, values.get("name"), place] if w)
    what = " ".join(w for w in [*adjectives, values.get("name") or noun, place] if w)
    return speech.draw("values", values=bare, what=what)


def _offer(case: Case, offers: list[Offer], index: int | None, speech: Speech) -> str:
    if index is None:
        return speech.draw("neither" if len(offers) == 2 else "none")
    offer = offers[index]
    if offer.mark:
        return speech.draw("marked", mark=offer.mark.upper())
    if offer.other:
        return speech.draw("others")
    words = None if offer.given & case.asked else _offered(case, offer, speech)
    return words or speech.draw("named", nth=ORDINALS[index])


def _offered(case: Case, offer: Offer, speech: Speech) -> str | None:
    """What was offered, said again: "the large one", "on the left"."""
    if offer.extreme or offer.order:
        if offer.descriptions and any(d.given().keys() - {"name"} for d in offer.descriptions):
            return None
        if offer.extreme:
            word = SIDE_WORDS[offer.extreme]
            on = f"furthest to the {word}" if word in ("left", "right") else f"at the very {word}"
            return speech.draw("side", noun=noun_of(case), side=f"{word}most", on=on, most=f"{word}most")
        index, side = offer.order
        nth = "last" if index < 0 else ORDINALS[index]
        return speech.draw("order", noun=noun_of(case), nth=nth, **{"from": SIDE_WORDS[side]})
    if len(offer.descriptions) != 1:
        return None
    d = offer.descriptions[0]
    if d.relation and d.relation[0] == "near" and (landmark := _landmark(d.relation[1])):
        return speech.draw("relation", noun=noun_of(case), landmark=landmark)
    if d.relation or d.hidden or any(isinstance(v, tuple) for v in d.given().values()):
        return None
    values = {a: getattr(d, a) for a in (*WORD_ORDER, "name") if getattr(d, a)}
    values["size"] = {"max": "large", "min": "small"}.get(values.get("size"), values.get("size"))
    place = _place_of(d.cells) if d.cells else None
    if d.cells and place is None:
        return None
    alone = {a for a, v in values.items() if v and getattr(case.question, a) != v}
    if alone or not place:
        return values_words(values, noun_of(case), speech, at_words(place) if place else None)
    if place in PLACES:
        return place_words(noun_of(case), place, speech)
    word = SIDE_WORDS[place]
    return speech.draw("side", noun=noun_of(case), side=word, on=at_words(place), most=word)


def _landmark(d: Description | None) -> str | None:
    """ "the big triangle"; None where it is said in a way that is hard to say again."""
    if d is None or not d.name or d.given().keys() - {*WORD_ORDER, "name"}:
        return None
    return " ".join(["the", *(w for a in WORD_ORDER if isinstance(w := getattr(d, a), str)), str(d.name)])


def at_words(place: str) -> str:
    return place if place in SIDE_WORDS else at(place)


def _place_of(cells: frozenset[str]) -> str | None:
    """A side, a cell, the middle or the corners; None for other sets of places."""
    if len(cells) == 1:
        return next(iter(cells))
    if cells == CORNERS:
        return "in the corner"
    if cells in (MIDDLE_ROW, MIDDLE_COLUMN):
        return "in the middle"
    return next((side for side, places in SIDES.items() if frozenset(places) == cells), None)
