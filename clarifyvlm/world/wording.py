"""The wording of questions about generated scenes, from the templates in phrasings.yaml."""

import random
import re
from pathlib import Path

import yaml

from clarifyvlm.world.queries import Query

PHRASINGS = yaml.safe_load((Path(__file__).parent / "phrasings.yaml").read_text(encoding="utf-8"))


def question(query: Query, rng: random.Random, held_out: bool = False) -> str:
    """`held_out`: in words that are kept for test.jsonl."""
    return rng.choice(questions(query, held_out))


def questions(query: Query, held_out: bool = False) -> list[str]:
    """Every wording of a query."""
    words = {
        "np": query.noun_phrase(),
        "nps": query.noun_phrase(plural=True),
        "other": other_noun(query),
        "direction": query.direction,
    }
    forms = PHRASINGS["questions_held_out" if held_out else "questions"][query.kind]
    return [with_articles(form.format(**words)) for form in forms]


def other_noun(query: Query) -> str:
    """What the object is set beside: "red object", "circle"."""
    return f"{query.other_color} object" if query.other_color else query.other_name or ""


def with_articles(text: str) -> str:
    return re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text)
