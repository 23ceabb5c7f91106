"""Sentences of the base's pretraining that are to be repeated."""

import random

from clarifyvlm.users.wording import FORMS as REPLIES
from clarifyvlm.world.places import PLACES, SIDES, at
from clarifyvlm.world.plain_questions import COLORS, NAMES, PHRASES, SIZES, WORDS
from clarifyvlm.world.queries import MISSPELLINGS, NUMBERS
from clarifyvlm.world.wording import PHRASINGS

MORE_WORDS = PHRASES["words_to_repeat"].split()


def said(rng: random.Random) -> tuple[str, str]:
    """Words to repeat: a piece of a sentence, or common words in any order."""
    words = rng.choices(WORDS + MORE_WORDS, k=8) if rng.random() < 0.3 else sentence(rng).split()
    start = rng.randrange(max(1, len(words) - 4))
    piece = " ".join(words[start : start + rng.randint(3, 8)])
    return f"Say: {piece}", piece


def _reply_forms() -> list[str]:
    """Every form of a simulated user's reply that training may see."""
    kinds = [kind["train"] for name, kind in REPLIES.items() if "train" in kind and name != "typing"]
    groups = [forms if isinstance(forms, list) else forms["full"] + forms["short"] for forms in kinds]
    return [form for forms in groups for form in forms]


_REPLIES = _reply_forms()


def sentence(rng: random.Random) -> str:
    """A sentence of the responses' and replies' words with random values in it: true of nothing, asked by nobody."""
    pools = [PHRASINGS[k] for k in ("infer", "infer_word", "enumerate", "clarify", "clarify_by", "correct")]
    pools += [PHRASINGS["answers"][kind] for kind in ("color", "shape", "size", "position", "count")]
    pools += [PHRASINGS["abstain"][kind] for kind in ("color", "shape", "count", "existence")]
    pools += [_REPLIES, _REPLIES]
    name, color, size = rng.choice(NAMES), rng.choice(COLORS), rng.choice(SIZES)
    place, side = rng.choice(PLACES), rng.choice(list(SIDES))
    claim = rng.choice((f"it is {color}", f"it is a {name}", f"it is {at(place)}", f"it is {size}"))
    word, nth = rng.choice(list(MISSPELLINGS)), rng.choice(("first", "second", "third", "fourth", "last"))
    answers = (rng.choice(COLORS), f"a {rng.choice(NAMES)}")
    listed = " and ".join(
        f"the {rng.choice(('one', name))} {at(rng.choice(PLACES))} is {rng.choice(answers)}"
        for _ in range(rng.randint(2, 3))
    )
    noun = rng.choice((name, f"{color} object", f"{color} {name}", f"big {name}", "small object", word))
    words = {"np": noun, "nps": f"{noun}s", "reading": f"{size} {noun}", "claim": claim, "word": word}
    words |= {"meant": rng.choice((name, color)), "number": rng.choice(NUMBERS), "list": listed}
    words |= {"answer": rng.choice((name, color)), "is_are": rng.choice(("is", "are")), "attribute": "shape"}
    words |= {"noun": rng.choice((name, "one")), "what": f"{color} one", "values": f"{size} {color}", "place": place}
    words |= {"at": at(place), "upper": REPLIES["upper"][place], "spot": REPLIES["spot"][place], "side": "left"}
    words |= {"on": at(side), "most": "rightmost", "nth": nth, "from": "left", "landmark": f"the {color} {name}"}
    words |= {"mark": "B", "property": "color", "other": name, "direction": "left"}
    return rng.choice(rng.choice(pools)).format(**words)
