"""The simulated user: replies to a clarifying question with one reading in mind.

The user says what was asked for and no more: the place when asked where, the size when asked "the large or the small
one?", yes or no when asked "is it the red one?", and never the answer to their own question. What is told is decided by
clarifyvlm/language/asks.py, which also says what the question is worth; the words are those of replies.yaml.
`dataset_generation` writes its dialogues with this function, too.
Other kinds of users (USER_KINDS in arguments.py) say less, or nothing that helps: what a model does then is no matter
of knowing the answer.
"""

import random

from clarifyvlm.judges.finding import Finding
from clarifyvlm.language.asks import tell
from clarifyvlm.language.descriptions import AskedBack
from clarifyvlm.language.facts import Case
from clarifyvlm.language.offers import offers_of
from clarifyvlm.records import INFORMED, Example
from clarifyvlm.users import wording
from clarifyvlm.world.places import PLACES
from clarifyvlm.world.scenes import COLORS, NAMES, PATTERNS, SIZES, TINY_WORLD

UNSURE = ("I don't know.", "I am not sure.", "No idea, sorry.", "I can't say.", "Hard to say.")
OFF_TOPIC = ("Nice picture, isn't it?", "What is the weather like?", "Thank you.", "I like music.", "Never mind that.")
VALUES = {"cells": PLACES, "color": tuple(COLORS), "size": tuple(SIZES), "pattern": PATTERNS, "name": NAMES}
TINY_VALUES = {"cells": PLACES, "color": TINY_WORLD.colors, "size": TINY_WORLD.sizes, "name": TINY_WORLD.names}


def reply(
    example: Example,
    text: str,
    reading: int,
    kind: str = "helpful",
    turn: int = 1,
    forms: str = "train",
    seed: str = "",
) -> str | None:
    """What a user of a kind who means `example.ambiguity.readings[reading]` says to `text`; None where it asks
    nothing ("it depends on which star: ..." with the answers behind it lists, and asks nothing).

    `forms`: "train" or "held_out", of replies.yaml. The wording is drawn by the example's id, the kind and the `seed`,
    so the same dialogue is the same on every machine. `turn` counts the replies: asked again, who does not help says so
    in other words.
    """
    if not example.facts.annotated:  # whatever is asked, the clear question answers it
        clear = f"I mean: {example.ambiguity.readings[reading].expression}" if "?" in text else None
        return clear if clear is None or kind in INFORMED else _unhelpful(kind, example, reading, turn)
    case = Case(example)
    finding = Finding(case, text)
    asks = [ask for ask in finding.response.asks if finding.used == "clarify" or not ask.wonders]
    if not asks or not 0 <= reading < len(case.readings):
        return None
    speech = wording.Speech(forms, kind == "terse", f"{seed}:{example.id}:{kind}")
    if kind == "wrong":
        described = _described(case, asks, speech)
        if len(described) >= turn:
            return speech.typed(_wrong(case, *described[turn - 1], speech))
    if kind not in INFORMED:
        return _unhelpful(kind, example, reading, turn)
    if kind == "changes_mind" and turn == 1:
        return speech.typed(_changes_mind(case, asks, reading, speech))
    return speech.typed(wording.say(case, asks, tell(case, asks, reading), reading, speech))


def _unhelpful(kind: str, example: Example, reading: int, turn: int) -> str:
    lines = OFF_TOPIC if kind == "off_topic" else UNSURE
    rng = random.Random(f"{kind}:{example.id}:{reading}")
    return rng.sample(lines, len(lines))[(turn - 1) % len(lines)]


def _changes_mind(case: Case, asks: list[AskedBack], reading: int, speech: wording.Speech) -> str:
    """ "The one at the top left. No, the one in the center." """
    told = tell(case, asks, reading)
    meant = wording.say(case, asks, told, reading, speech)
    others: dict[str, None] = {}
    for other in range(len(case.readings)):
        if tell(case, asks, other) != told:
            others.setdefault(wording.say(case, asks, tell(case, asks, other), other, speech))
    others.pop(meant, None)
    if not others:
        return meant
    rng = random.Random(f"{speech.key}:{reading}")
    said = rng.choice(list(others))
    if [part.kind for part in told] == ["no"]:  # "Yes. No, the one at the top left."
        meant = wording.single_out(case, reading, speech)
    elif len(case.readings) == 2 and rng.random() < 0.25:
        return speech.draw("changes_mind_of_two", other=said)
    meant = meant if meant.startswith("I ") else meant[:1].lower() + meant[1:]
    return speech.draw("changes_mind", other=said, meant=meant)


def what_is_not_there(example: Example, text: str) -> tuple[str | None, bool]:
    """("purple object", True): what is asked about, in the question's own words, and whether the first reply of a user
    of the kind `wrong` gives a place where none is, or else a property that none has. (None, False) where something in
    the picture may be what they describe, or they describe nothing."""
    case = Case(example)
    speech = wording.Speech("train", False, f":{example.id}:wrong")
    described = _described(case, Finding(case, text).response.asks, speech)
    if not described or case.by_attribute:
        return None, False
    attribute, value = described[0]
    q = case.question
    asked = {name: word for name in (*wording.WORD_ORDER, "name") if isinstance(word := getattr(q, name), str)}
    for o in case.objects:
        here = (o.place if attribute == "cells" else case.word(o, attribute)) == value
        if (o.hidden or not asked) and (here or (o.hidden and attribute != "cells")):
            return None, False
    words = [asked[name] for name in wording.WORD_ORDER if name in asked] + [asked.get("name", "object")]
    return " ".join(words), attribute == "cells"


def _wrong(case: Case, attribute: str, value: str, speech: wording.Speech) -> str:
    """What is not there, in words."""
    if attribute == "property":
        return speech.draw("property", property=value)
    noun = wording.noun_of(case)
    if attribute == "cells":
        return wording.place_words(noun, value, speech)
    return wording.values_words({attribute: value}, noun, speech)


def _described(case: Case, asks: list[AskedBack], speech: wording.Speech) -> list[tuple[str, str]]:
    """(attribute, value) of the kind that is asked for, none of which fits a reading; [] where every value fits one."""
    if case.by_attribute:
        return [("property", p) for p in ("weight", "price")]
    wanted = {d for ask in asks for d in ask.dimensions}
    wanted |= {a for ask in asks for offer in offers_of(case, ask) for a in offer.given}
    scenes = case.example.facts.source == "scenes"
    known = (TINY_VALUES if case.example.provenance.get("world") == "tiny" else VALUES) if scenes else {"cells": PLACES}
    rng = random.Random(f"{speech.key}:wrong")
    for attribute in [a for a in known if a in wanted] or ["cells"]:
        taken = {o.place if attribute == "cells" else case.word(o, attribute) for o in case.targets}
        free = [value for value in known[attribute] if value not in taken]
        if attribute not in case.asked and free:
            return [(attribute, value) for value in rng.sample(free, min(2, len(free)))]
    return []
