"""Questions that are answered at once: about every object of a kind, one place, the whole picture, and yes or no.

Nobody has to ask back about them. The base learns them in pretraining (models/tiny), and SFT replays them (replay.jsonl
of generate.py), so that learning when to ask does not cost what the model could do.
"""

import random
import re
import string
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import yaml

from clarifyvlm.records import Facts, Object
from clarifyvlm.world.places import PLACES, SIDES, at
from clarifyvlm.world.queries import MISSPELLINGS, NUMBERS, Query
from clarifyvlm.world.scenes import BLUR, TINY_WORLD
from clarifyvlm.world.wording import question as worded

PHRASES = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
WORDS = PHRASES["words"].split()
NAMES, COLORS, SIZES = TINY_WORLD.names, TINY_WORLD.colors, TINY_WORLD.sizes
NOUNS = ("thing", "one")  # what people say for "object"
KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


class Asked(NamedTuple):
    """`objects`: those that fit the question; None where it refers to nothing. `before`: earlier turns, as text."""

    question: str
    answer: str
    objects: list[Object] | None
    before: str = ""


def ask(facts: Facts, kind: str, rng: random.Random, strict: bool = False) -> Asked | None:
    """A question of a kind (KINDS) with its answer; None where the draw gave none. `strict`: where it is about one
    object, only one fits."""
    asked = KINDS[kind](facts, rng)
    one = kind in ("verify", "describe")
    return None if asked is None or (strict and one and len(asked.objects) != 1) else asked


# --- what refers to objects -----------------------------------------------------------------------------------------

FORMS = {
    "color": "name name name place side size name+size",
    "shape": "color color color place side size color+size",
    "size": "name color name+color name+color place",
    "position": "name color name+color name+color size name+size",
    "existence": "name color name+color name+color name+size",
    "count": "name color name color size name+color name+size side all",
    "list": "name name name color color color size side",
}


def expression(o: Object, kind: str, rng: random.Random) -> dict:
    """Attributes that refer to `o` without giving the answer away."""
    parts = {}  # type: dict[str, str]
    for part in rng.choice(FORMS[kind].split()).split("+"):
        if part != "all":
            parts |= given_by(o, part, rng)
    return parts


def given_by(o: Object, part: str, rng: random.Random) -> dict:
    """One attribute that refers to `o`; a side is one of those that it is on. Empty where it is hidden."""
    if part == "side":
        sides = [side for side, places in SIDES.items() if o.place in places]
        return {"side": rng.choice(sides)} if sides else {}
    value = getattr(o, part)
    return {} if value in (None, BLUR) else {part: value}


def is_bare(query: Query) -> bool:
    return query.noun_phrase() == "object"


def picked(fitting: list, rng: random.Random) -> Object:
    """The object that an untuned VLM takes the question to be about: the one that is larger, else any."""
    large = [o for o in fitting if o.size == "large"]
    return large[0] if len(large) == 1 else rng.choice(fitting)


def direct(kind: str, answer: str) -> str:
    if kind == "shape":
        return f"It is a {answer}."
    if kind == "position":
        return f"It is {at(answer)}."
    if kind == "count":
        return {"no": "There are none.", "one": "There is one."}.get(answer, f"There are {answer}.")
    if kind == "existence":
        return {"yes": "Yes, there is.", "no": "No, there is not."}[answer]
    return f"It is {answer}."


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


# --- the kinds ------------------------------------------------------------------------------------------------------


def _verify(facts: Facts, rng: random.Random) -> Asked | None:
    """ "Is the star yellow?": yes and no come equally often; no says what it is."""
    kind = rng.choice(("color", "color", "shape", "size", "position"))
    query = Query(kind, **expression(rng.choice(facts.objects), kind, rng))
    fitting = query.matches(facts)
    if is_bare(query) or len(fitting) > 1 and rng.random() < 0.5:
        return None
    answer = query.answer_for(picked(fitting, rng))
    if answer is None:
        return None
    values = {"color": COLORS, "shape": NAMES, "size": SIZES, "position": PLACES}[kind]
    asked = answer if rng.random() < 0.5 else rng.choice([v for v in values if v != answer])
    words = {"color": asked, "shape": f"a {asked}", "size": asked, "position": at(asked) if kind == "position" else ""}
    question = rng.choice(PHRASES["verify"]).format(np=query.noun_phrase(), value=words[kind])
    start = "Yes, it" if asked == answer else "No, it"
    return Asked(question, direct(kind, answer).replace("It", start, 1), fitting)


def _all_of_them(facts: Facts, rng: random.Random) -> Asked | None:
    """All objects that fit: what a question means that asks for every one of them."""
    query = Query("position", **expression(rng.choice(facts.objects), "list", rng))
    fitting = sorted(query.matches(facts), key=lambda o: PLACES.index(o.place))
    if (
        len(fitting) == 1
        and rng.random() < 0.8
        or (query.size and not (query.name or query.color) and len(fitting) > 4)
    ):
        return None
    form = rng.choice(("values", "values", "pairs", "pairs", "places", "left_to_right"))
    if query.side and form in ("places", "pairs"):
        return None
    asked = "shape" if query.color else "color" if query.name else rng.choice(("color", "shape"))
    if form == "left_to_right":
        middles = sorted((o.box[0] + o.box[2]) / 2 for o in fitting)
        if any(b - a < 6 for a, b in zip(middles, middles[1:], strict=False)):
            return None
        fitting.sort(key=lambda o: o.box[0] + o.box[2])
    answers = [] if form == "places" else [replace(query, kind=asked).answer_for(o) for o in fitting]
    if None in answers:
        return None
    if form == "places":
        answer = _sentence(_joined([at(o.place) for o in fitting]))
    elif form == "pairs":
        answer = _sentence(_joined([f"{o.place} {value}" for o, value in zip(fitting, answers, strict=True)]))
    else:
        answer = _sentence(_joined(answers))
    words = {"np": query.noun_phrase(), "nps": query.noun_phrase(plural=True), "what": asked, "whats": f"{asked}s"}
    return Asked(rng.choice(PHRASES["list"][form]).format(**words), answer, fitting)


def _compare(facts: Facts, rng: random.Random) -> Asked | None:
    """A question about several objects, or about what can be seen of one; yes and no come equally often."""
    o = rng.choice(facts.objects)
    asked = rng.choice(("same", "same", "larger", "which", "many", "hidden", "as"))
    if asked == "hidden":
        o = rng.choice([p for p in facts.objects if p.hidden] or [o])
    if asked == "as":
        return _same_color_as(facts, o, rng)
    by = rng.choice(("name", "color", "name", "color", "size", "side"))
    if asked in ("larger", "which") and by == "size":
        by = "name"
    query = Query("color", **given_by(o, by, rng))
    if is_bare(query):
        return None
    fitting = query.matches(facts)
    np, nps = query.noun_phrase(), query.noun_phrase(plural=True)
    large = [p for p in fitting if p.size == "large"]
    one_larger = len(fitting) > 1 and len(large) == 1
    attribute = rng.choice([a for a in ("color", "name") if a != by])
    word = "shape" if attribute == "name" else attribute
    if asked == "which":
        answer = replace(query, kind=word).answer_for(large[0]) if one_larger else None
        return Asked(f"What {word} is the larger {np}?", direct(word, answer), large) if answer else None
    if asked == "hidden":
        if len(fitting) != 1:
            return None
        question, yes = f"Is the {np} {'wrapped' if attribute == 'color' else 'blurred'}?", attribute in o.hidden
    elif len(fitting) < 2:
        return None
    elif asked == "same":
        if rng.random() < 0.4 and by != "size":
            attribute = word = "size"
        values = [getattr(p, attribute) for p in fitting]
        if None in values or BLUR in values:
            return None
        forms = (f"Are the {nps} the same {word}?", f"Do the {nps} have the same {word}?")
        question, yes = rng.choice(forms), len(set(values)) == 1
    elif asked == "larger":
        question, yes = f"Is one {np} larger?", one_larger
    else:
        question, yes = f"Are there many {nps}?", len(fitting) >= 4
    return Asked(question, "Yes." if yes else "No.", fitting) if yes == (rng.random() < 0.5) else None


def _same_color_as(facts: Facts, o: Object, rng: random.Random) -> Asked | None:
    others = [p for p in facts.objects if p.name not in (o.name, BLUR) and p.color]
    if o.name == BLUR or not o.color or not others:
        return None
    other = rng.choice(others)
    pair = [p for p in facts.objects if p.name in (o.name, other.name)]
    if len(pair) != 2 or (o.color == other.color) != (rng.random() < 0.5):
        return None
    question = worded(Query("comparison", name=o.name, other_name=other.name), rng)
    return Asked(question, "Yes, it does." if o.color == other.color else "No, it does not.", pair)


def _looks(o: Object) -> str:
    return f"a {o.size} {o.color or 'wrapped'} {'blurred shape' if o.name == BLUR else o.name}"


def _what_at(facts: Facts, rng: random.Random) -> Asked:
    """ "What is at the top left?"; one of ten asks about an empty place."""
    taken = {o.place: o for o in facts.objects}
    place = rng.choice(PLACES if rng.random() < 0.3 else list(taken))
    question = rng.choice(PHRASES["what_at"]).format(at=at(place))
    there = taken.get(place)
    return Asked(question, _sentence(_looks(there)) if there else "Nothing.", [there] if there else [])


def _describe(facts: Facts, rng: random.Random) -> Asked | None:
    o = rng.choice(facts.objects)
    query = Query("attribute", **expression(o, "position", rng))
    if is_bare(query):
        return None
    fitting = query.matches(facts)
    answer = picked(fitting, rng)
    question = rng.choice(PHRASES["describe"]).format(np=query.noun_phrase())
    return Asked(question, _sentence(f"{_looks(answer)} {at(answer.place)}"), fitting)


def _scene(facts: Facts, rng: random.Random) -> Asked:
    """ "Three stars and a circle.": the shapes, the most frequent first."""
    counts = Counter("blurred shape" if o.name == BLUR else o.name for o in facts.objects)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], (*NAMES, "blurred shape").index(pair[0])))
    parts = [f"a {name}" if n == 1 else f"{NUMBERS[n]} {name}s" for name, n in ranked]
    return Asked(rng.choice(PHRASES["scene"]), _sentence(_joined(parts)), facts.objects)


def _chat(facts: Facts, rng: random.Random) -> Asked:
    """A greeting or other talk that asks nothing of the picture, and what one can ask."""
    return Asked(rng.choice(PHRASES["chat"]["asked"]), PHRASES["chat"]["answer"], None)


KINDS = {
    "list": _all_of_them,
    "compare": _compare,
    "verify": _verify,
    "what_at": _what_at,
    "describe": _describe,
    "scene": _scene,
    "chat": _chat,
}


# --- as people type -------------------------------------------------------------------------------------------------


def typed(text: str, rng: random.Random) -> str:
    """A question as people type it: three of ten without capitals or marks, with courtesies, a slip or a word too few
    or too many. What it asks stays the same."""
    if rng.random() < 0.15:
        text = re.sub(r"\bobject(s?)\b", rf"{rng.choice(NOUNS)}\1", text)
    if rng.random() < 0.7:
        return text
    match rng.choice(("plain", "plain", "before", "after", "slip", "more", "fewer")):
        case "before":
            text = rng.choice(PHRASES["around"]["before"]) + text[0].lower() + text[1:]
        case "after":
            after = rng.choice(PHRASES["around"]["after"])
            text = text + after if after.endswith(".") else text.rstrip(".?") + after + rng.choice(("", "?", "."))
        case "slip":
            text = _slip(text, rng)
        case "more":
            words = text.split(" ")
            words.insert(rng.randrange(len(words)), rng.choice(WORDS))
            text = " ".join(words)
        case "fewer":
            spare = [w for w in re.findall(r"\b(?:the|is|are|do|does|a|of|have)\b", text)]
            text = re.sub(rf"\b{rng.choice(spare)} ", "", text, count=1) if spare else text
    return text.lower().rstrip(".?") if rng.random() < 0.5 else text


def _slip(text: str, rng: random.Random) -> str:
    """One key wrong in one long word; never one of MISSPELLINGS, and never in one."""
    words = text.split(" ")
    long = [i for i, w in enumerate(words) if len(w.strip("?.,:")) > 3 and w.strip("?.,:") not in MISSPELLINGS]
    if not long:
        return text
    i = rng.choice(long)
    word, at_ = words[i], rng.randrange(1, len(words[i].strip("?.,:")) - 1)
    near = next((row for row in KEYS if word[at_] in row), string.ascii_lowercase)
    slipped = rng.choice(
        (
            word[:at_] + word[at_ + 1 :],
            word[:at_] + word[at_] + word[at_:],
            word[:at_] + word[at_ + 1] + word[at_] + word[at_ + 2 :],
            word[:at_] + rng.choice(near) + word[at_ + 1 :],
        )
    )
    words[i] = word if slipped.strip("?.,:") in MISSPELLINGS else slipped
    return " ".join(words)
