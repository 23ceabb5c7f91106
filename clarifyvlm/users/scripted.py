"""The simulated user: replies to a clarifying question with one reading in mind.

The user says what was asked for and no more: the place when asked where, the size when asked "the large or the small
one?", and never the answer to their own question. A question that cannot tell the readings apart gets a reply that does
not either, so that a poor question pays poorly. `dataset_generation` writes its dialogues with this function, too.
Other kinds of users (KINDS) say less, or nothing that helps: what a model does then is no matter of knowing the answer.
"""

import random
import re
from collections.abc import Sequence

from clarifyvlm.config import parse_weights
from clarifyvlm.errors import UserError
from clarifyvlm.judges.finding import Finding
from clarifyvlm.language.asks import fits_reading
from clarifyvlm.language.facts import Case
from clarifyvlm.language.phrases import Ask
from clarifyvlm.records import Example, Object
from clarifyvlm.world.places import PLACES, SIDES, at
from clarifyvlm.world.scenes import COLORS, NAMES, PATTERNS, SIZES

KINDS = {
    "helpful": "says what was asked for, and no more",
    "terse": "says the same in as few words as will do",
    "changes_mind": "names another reading first, and then the one they mean",
    "unsure": "does not know",
    "wrong": "describes something that is none of the readings",
    "off_topic": "talks of something else",
}
UNSURE = ("I don't know.", "I am not sure.", "No idea, sorry.", "I can't say.", "Hard to say.")
OFF_TOPIC = ("Nice picture, isn't it?", "What is the weather like?", "Thank you.", "I like music.", "Never mind that.")
VALUES = {"cells": PLACES, "color": tuple(COLORS), "size": tuple(SIZES), "pattern": PATTERNS, "name": NAMES}

PROPERTIES = {
    "color": "color",
    "name": "shape",
    "size": "size",
    "cells": "place",
    "pattern": "pattern",
    "count": "number",
}
WORD_ORDER = ("size", "pattern", "color")  # "the large striped red one"


def parse_kinds(tokens: Sequence[str], flag: str) -> dict[str, float]:
    """["helpful=0.6", "terse=0.4"], ["helpful"] -> weight per kind of user. UserError, with the `flag`, for others."""
    weights = parse_weights(flag, tokens, "kind=weight, as in terse=0.2", alone=1.0)
    if unknown := [kind for kind in weights if kind not in KINDS]:
        raise UserError(f"{flag}: no user is {unknown[0]!r}; there are {', '.join(KINDS)}.")
    return weights


def reply(example: Example, text: str, reading: int, kind: str = "helpful", turn: int = 1) -> str | None:
    """What a user of a kind (KINDS) who means `example.ambiguity.readings[reading]` says to `text`; None where it asks
    nothing ("it depends on which star: ..." with the answers behind it lists, and asks nothing).

    The wording is drawn by the example's id and the reading, so the same dialogue is the same on every machine. `turn`
    counts the replies: asked again, who does not help says so in other words.
    """
    case = Case(example) if example.facts.annotated else None
    helpful = _helpful(example, case, text, reading)
    if helpful is None or kind == "helpful":
        return helpful
    if kind == "terse":
        return _short(helpful)
    rng = random.Random(f"{kind}:{example.id}:{reading}")
    if kind == "changes_mind":
        return _changes_mind(example, case, text, reading, helpful, rng) if turn == 1 else helpful
    if kind == "wrong" and case:
        said = _wrong(case, text, rng)
        if len(said) >= turn:
            return said[turn - 1]
    lines = OFF_TOPIC if kind == "off_topic" else UNSURE
    return rng.sample(lines, len(lines))[(turn - 1) % len(lines)]


def _short(said: str) -> str:
    """ "I mean the one at the top left." -> "Top left." """
    words = re.sub(r"^(I mean:? |Its |The one |the one )+", "", said)
    words = re.sub(r"^((at|in|on) )?the ", "", words.removesuffix(" one.").removesuffix("."), flags=re.IGNORECASE)
    return _sentence(f"{words[:1].upper()}{words[1:]}")


def _changes_mind(
    example: Example, case: Case | None, text: str, reading: int, helpful: str, rng: random.Random
) -> str:
    """ "The one at the top left. No, the one in the center." """
    others = [_helpful(example, case, text, i) for i in range(len(example.ambiguity.readings)) if i != reading]
    others = [other for other in others if other not in (None, helpful)]
    if not others:
        return helpful
    meant = helpful if helpful.startswith("I ") else helpful[:1].lower() + helpful[1:]
    return f"{_sentence(rng.choice(others))} No, {meant}"


def _sentence(words: str) -> str:
    """With its full stop, where it has none of its own."""
    return words if words.endswith((".", "?", "!")) else f"{words}."


def _wrong(case: Case, text: str, rng: random.Random) -> list[str]:
    """Replies of the kind that `text` asks for, none of which fits a reading; [] where every value fits one."""
    if case.by_attribute:
        return ["Its weight.", "Its price."]
    asks = Finding(case, text).response.asks
    wanted = {d for ask in asks for d in ask.dimensions} | {
        a for ask in asks for d in ask.alternatives for a in d.given()
    }
    known = VALUES if case.example.facts.source == "scenes" else {"cells": PLACES}
    for attribute in [a for a in known if a in wanted] or ["cells"]:
        taken = {o.place if attribute == "cells" else case.word(o, attribute) for o in case.targets}
        free = [value for value in known[attribute] if value not in taken]
        if attribute not in case.asked and free:
            form = {"cells": "I mean the one {}.", "name": "I mean the {}."}.get(attribute, "The {} one.")
            drawn = rng.sample(free, min(2, len(free)))
            return [form.format(at(value) if attribute == "cells" else value) for value in drawn]
    return []


def _helpful(example: Example, case: Case | None, text: str, reading: int) -> str | None:
    if case is None:  # whatever is asked, the clear question answers it
        return f"I mean: {example.ambiguity.readings[reading].expression}" if "?" in text else None
    finding = Finding(case, text)
    asks = [ask for ask in finding.response.asks if finding.used == "clarify" or not ask.wonders]
    if not asks or not 0 <= reading < len(case.readings):
        return None
    rng = random.Random(f"{example.id}:{reading}")
    objects, attribute, _ = case.readings[reading]
    if case.by_attribute:
        return rng.choice(["Its {}.", "I mean its {}."]).format(PROPERTIES.get(attribute, attribute))
    own_words = f"I mean the {_noun(case)}." if case.question.name else "I mean that one."
    if any(ask.restrict and not any(fits_reading(case, d, objects) for d in ask.restrict) for ask in asks):
        return own_words  # "Which square?" about stars
    expression = example.ambiguity.readings[reading].expression
    if len(objects) != 1:
        return f"I mean {expression}."
    told = _told(case, asks, objects[0])
    if not told:
        asks_answer = any(ask.dimensions & case.asked or ask.alternatives for ask in asks)
        return "That is what I am asking." if asks_answer else own_words
    if told == ["cells"] and sum(o.place == objects[0].place for o in case.targets) > 1:
        return f"I mean {expression}."  # photographs: two in one cell
    return _phrase(case, objects[0], told, rng, _side(asks, objects[0]))


def _told(case: Case, asks: list[Ask], o: Object) -> list[str]:
    """The attributes that the questions ask for, without what the user wants to know."""
    wanted: set[str] = set()
    for ask in asks:
        wanted |= ask.dimensions
        for d in ask.alternatives:
            wanted |= set(d.given())
    told = [a for a in ("cells", *WORD_ORDER, "name") if a in wanted - case.asked and _has(case, o, a)]
    if told or wanted or not any(ask.open for ask in asks):
        return told
    return ["cells"] if "cells" not in case.asked else _distinguishing(case, o)


def _has(case: Case, o: Object, attribute: str) -> bool:
    return attribute == "cells" or case.word(o, attribute) is not None


def _distinguishing(case: Case, o: Object) -> list[str]:
    """The fewest attributes but the asked one by which `o` alone is meant; all of them where none suffices."""
    usable = [a for a in ("size", "color", "pattern", "name") if a not in case.asked and _has(case, o, a)]
    told: list[str] = []
    for attribute in usable:
        if all(p is o or any(case.word(p, a) != case.word(o, a) for a in told) for p in case.targets) and told:
            break
        if any(case.word(p, attribute) != case.word(o, attribute) for p in case.targets):
            told.append(attribute)
    for attribute in told:  # one may do alone
        if all(p is o or case.word(p, attribute) != case.word(o, attribute) for p in case.targets):
            return [attribute]
    return told or usable[:1]


def _noun(case: Case) -> str:
    return case.question.name if case.question.name and "name" not in case.asked else "one"


def _side(asks: list[Ask], o: Object) -> str | None:
    """ "on the left" where the question was "left or right?"."""
    offered = [d.cells for ask in asks for d in ask.alternatives if d.cells and o.place in d.cells]
    return next((side for side, cells in SIDES.items() if frozenset(cells) in offered), None)


def _phrase(case: Case, o: Object, told: list[str], rng: random.Random, side: str | None) -> str:
    noun = o.name if "name" in told else rng.choice(["one", _noun(case)])
    words = [w for a in WORD_ORDER if a in told and (w := case.word(o, a))]
    place = f" {at(side or o.place)}" if "cells" in told else ""
    return f"{rng.choice(['The', 'I mean the'])} {' '.join([*words, noun])}{place}."
