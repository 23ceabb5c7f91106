"""The questions of the base's pretraining, each with its direct answer and the objects that fit it.

Nothing here asks back, lists readings unasked, corrects or abstains: an ambiguous question is answered for one
reading drawn by chance, as untuned VLMs do. The words that tuning needs later come in through `say`
exercises (repeat these words), which teach no strategy.
"""

import dataclasses
import random
import re

from clarifyvlm.records import Facts
from clarifyvlm.world.places import PLACES, SIDES, at
from clarifyvlm.world.queries import MISSPELLINGS, NUMBERS, Query
from clarifyvlm.world.scenes import BLUR, TINY_WORLD
from clarifyvlm.world.wording import PHRASINGS

# The kinds and how often each is asked. All weigh the same per question, whatever their length.
KIND_WEIGHTS = {
    "color": 14,
    "shape": 15,
    "size": 8,
    "position": 17,
    "count": 17,
    "existence": 13,
    "list": 9,
    "say": 4,
    "describe": 3,
    "compare": 70,  # most draws of it come to nothing: about one question in six
}
KINDS = tuple(KIND_WEIGHTS)
NAMES, COLORS, SIZES = TINY_WORLD.names, TINY_WORLD.colors, TINY_WORLD.sizes


def _expression(o, kind: str, rng: random.Random) -> dict:
    """Attributes that refer to `o` without giving the answer away."""
    forms = {
        "color": ["name", "name", "name", "place", "side", "size", "name+size"],
        "shape": ["color", "color", "color", "place", "side", "size", "color+size"],
        "size": ["name", "color", "name+color", "name+color"],
        "position": ["name", "color", "name+color", "name+color", "size", "name+size"],
        "existence": ["name", "color", "name+color", "name+color", "name+size"],
        "count": [
            "name",
            "color",
            "name",
            "color",
            "size",
            "name+color",
            "name+size",
            "side",
            "all",
        ],
        "list": ["name", "color"],
    }[kind]
    picked = {}
    for part in rng.choice(forms).split("+"):
        if part != "all":
            picked |= _expression_by(o, part, rng)
    return picked


def compare(facts: Facts, rng: random.Random) -> tuple[str, str, list] | None:
    """A question about several objects, or about what can be seen of one; yes and no come equally often."""
    o = rng.choice(facts.objects)
    asked = rng.choice(("same", "same", "larger", "which", "many", "hidden"))
    if asked == "hidden":
        o = rng.choice([p for p in facts.objects if p.hidden] or [o])
    by = rng.choice(("name", "color", "name", "color", "size", "side"))
    if asked in ("larger", "which") and by == "size":
        by = "name"
    query = Query("color", **_expression_by(o, by, rng))
    if query.noun_phrase() == "object":
        return None
    found = query.matches(facts)
    np, nps = query.noun_phrase(), query.noun_phrase(plural=True)
    large = [p for p in found if p.size == "large"]
    one_larger = len(found) > 1 and len(large) == 1
    attribute = rng.choice([a for a in ("color", "name") if a != by])
    word = "shape" if attribute == "name" else attribute
    if asked == "which":
        answer = dataclasses.replace(query, kind=word).answer_for(large[0]) if one_larger else None
        return (f"What {word} is the larger {np}?", _direct(word, answer), large) if answer else None
    if asked == "hidden":
        if len(found) != 1:
            return None
        question, yes = f"Is the {np} {'wrapped' if attribute == 'color' else 'blurred'}?", attribute in o.hidden
    elif len(found) < 2:
        return None
    elif asked == "same":
        if rng.random() < 0.4 and by != "size":
            attribute = word = "size"
        values = [getattr(p, attribute) for p in found]
        if None in values or BLUR in values:
            return None
        question, yes = f"Are the {nps} the same {word}?", len(set(values)) == 1
    elif asked == "larger":
        question, yes = f"Is one {np} larger?", one_larger
    else:
        question, yes = f"Are there many {nps}?", len(found) >= 4
    if yes != (rng.random() < 0.5):
        return None
    return question, "Yes." if yes else "No.", found


def _expression_by(o, part: str, rng: random.Random) -> dict:
    """One attribute that refers to `o`; a side is one of those that it is on. Empty where it is hidden."""
    if part == "side":
        sides = [side for side, places in SIDES.items() if o.place in places]
        return {"side": rng.choice(sides)} if sides else {}
    value = getattr(o, part)
    return {} if value in (None, BLUR) else {part: value}


def _direct(kind: str, answer: str) -> str:
    if kind == "shape":
        return f"It is a {answer}."
    if kind == "position":
        return f"It is {at(answer)}."
    if kind == "count":
        return {"no": "There are none.", "one": "There is one."}.get(answer, f"There are {answer}.")
    if kind == "existence":
        return {"yes": "Yes, there is.", "no": "No, there is not."}[answer]
    return f"It is {answer}."


def ask(facts: Facts, kind: str, rng: random.Random, strict: bool = False) -> tuple[str, str, list | None] | None:
    """A question, its direct answer and the objects that fit it; None where the draw gave none.

    `strict`: exactly one reading and a visible answer. The objects are None where the question refers to nothing.
    """
    o = rng.choice(facts.objects)
    if kind == "say":
        words = sentence(rng).split()
        start = rng.randrange(max(1, len(words) - 4))
        said = " ".join(words[start : start + rng.randint(3, 8)])
        return f"Say: {said}", said, None
    if kind == "describe":
        return (
            f"Describe the object {at(o.place)}.",
            f"A {o.size} {o.color or 'wrapped'} {o.name}.",
            [o],
        )
    query = Query("position" if kind == "list" else kind, **_expression(o, kind, rng))
    if kind not in ("count",) and query.noun_phrase() == "object":
        return None
    if kind == "list":
        found = _in_reading_order(query.matches(facts))
        asked = rng.choice(("position", "shape" if query.color else "color"))
        answers = [dataclasses.replace(query, kind=asked).answer_for(p) for p in found]
        if None in answers:
            return None
        nps = query.noun_phrase(plural=True)
        if asked == "position":
            return (
                f"Where are the {nps}?",
                " and ".join(at(a) for a in answers) + ".",
                found,
            )
        return f"What {asked}s are the {nps}?", " and ".join(answers) + ".", found
    if kind == "existence" and rng.random() < 0.5:  # a near miss: one attribute of the expression changed
        query = _miss(query, rng)
    if kind == "count" and not strict and rng.random() < 0.1:
        query = _miss(query, rng)
    template = rng.choice(PHRASINGS["questions"][kind])
    question = template.format(np=query.noun_phrase(), nps=query.noun_phrase(plural=True))
    if kind in ("count", "existence"):
        answer = query.answer_over(facts)
        return (question, _direct(kind, answer), query.matches(facts)) if answer else None
    found = query.matches(facts)
    if len(found) > 1 and (strict or rng.random() < 0.4):
        return None
    answer = query.answer_for(_picked(found, rng))
    if answer is None and not strict and rng.random() < 0.3:  # hidden: a guess
        answer = rng.choice(COLORS if kind == "color" else NAMES)
    return (question, _direct(kind, answer), found) if answer else None


def _picked(found: list, rng: random.Random):
    """The object that an untuned VLM takes the question to be about: the one that is larger, else any."""
    large = [o for o in found if o.size == "large"]
    return large[0] if len(large) == 1 else rng.choice(found)


def _miss(query: Query, rng: random.Random) -> Query:
    attribute = rng.choice([a for a in ("name", "color") if getattr(query, a)] or ["size"])
    values = {"name": NAMES, "color": COLORS, "size": SIZES}[attribute]
    return dataclasses.replace(query, **{attribute: rng.choice(values)})


def guess(facts: Facts, rng: random.Random) -> tuple[str, str, list]:
    """What an untuned VLM does with a false premise or an unknown word: answer for some object all the same."""
    kind = rng.choice(("color", "shape"))
    if rng.random() < 0.5:
        word = rng.choice([w for w in MISSPELLINGS if (MISSPELLINGS[w][0] in COLORS) == (kind == "shape")])
        query = Query(kind, word=word)
    else:
        query = Query(
            kind,
            **({"name": rng.choice(NAMES)} if kind == "color" else {"color": rng.choice(COLORS)}),
        )
    o = rng.choice(query.matches(facts) or facts.objects)
    answer = query.answer_for(o) or rng.choice(COLORS if kind == "color" else NAMES)
    question = rng.choice(PHRASINGS["questions"][kind]).format(np=query.noun_phrase())
    return question, _direct(kind, answer), query.matches(facts)


def _in_reading_order(objects):
    return sorted(objects, key=lambda o: (int(o.box[1] + o.box[3]) // 64, o.box[0]))


def sentence(rng: random.Random) -> str:
    """A sentence of the responses' vocabulary with random words in it: true of nothing, asked by nobody."""
    pools = [PHRASINGS[k] for k in ("infer", "infer_word", "enumerate", "clarify", "clarify_by", "correct", "replies")]
    pools += [PHRASINGS["answers"][kind] for kind in ("color", "shape", "size", "position", "count")]
    pools += [PHRASINGS["abstain"][kind] for kind in ("color", "shape", "count", "existence")]
    name, color, place = (
        rng.choice(NAMES),
        rng.choice(COLORS),
        at(rng.choice(list(SIDES) + list(PLACES))),
    )
    claim = rng.choice(
        (
            f"it is {color}",
            f"it is a {name}",
            f"it is {place}",
            f"it is {rng.choice(SIZES)}",
        )
    )
    word = rng.choice(list(MISSPELLINGS))
    answers = (rng.choice(COLORS), f"a {rng.choice(NAMES)}")
    listed = " and ".join(
        f"the {rng.choice(('one', name))} {at(rng.choice(PLACES))} is {rng.choice(answers)}"
        for _ in range(rng.randint(2, 3))
    )
    noun = rng.choice(
        (
            name,
            f"{color} object",
            f"{color} {name}",
            f"big {name}",
            "small object",
            word,
        )
    )
    return rng.choice(rng.choice(pools)).format(
        np=noun,
        nps=f"{noun}s",
        reading=f"{rng.choice(SIZES)} {noun}",
        claim=claim,
        word=word,
        meant=rng.choice((name, color)),
        number=rng.choice(NUMBERS),
        list=listed,
        at_place=place,
        answer=rng.choice((name, color)),
        is_are=rng.choice(("is", "are")),
        attribute=rng.choice(("color", "shape")),
    )


def questions(facts: Facts, rng: random.Random):
    """Endless (kind, question, answer, fitting objects) about one picture."""
    weights = list(KIND_WEIGHTS.values())
    while True:
        kind = rng.choices(KINDS, weights)[0]
        if kind in ("color", "shape") and rng.random() < 0.12:
            yield kind, *guess(facts, rng)
        elif asked := compare(facts, rng) if kind == "compare" else ask(facts, kind, rng):
            question, *rest = asked
            yield kind, re.sub(r"\b([Aa]) (?=orange)", r"\1n ", question), *rest
