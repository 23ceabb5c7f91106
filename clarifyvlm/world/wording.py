"""The wording of questions about generated scenes, from the templates in phrasings.yaml."""

import random
import re
from pathlib import Path

import yaml

from clarifyvlm.world.queries import Query

PHRASINGS = yaml.safe_load((Path(__file__).parent / "phrasings.yaml").read_text(encoding="utf-8"))


def question(query: Query, rng: random.Random) -> str:
    template = rng.choice(PHRASINGS["questions"][query.kind])
    return with_articles(
        template.format(
            np=query.noun_phrase(),
            nps=query.noun_phrase(plural=True),
            other=other_noun(query),
            direction=query.direction,
        )
    )


def other_noun(query: Query) -> str:
    """What the object is set beside: "red object", "circle"."""
    return f"{query.other_color} object" if query.other_color else query.other_name or ""


def with_articles(text: str) -> str:
    return re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text)
