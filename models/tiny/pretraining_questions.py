"""The questions of the base's pretraining, each with its direct answer and the objects that fit it.

Nothing here asks back, lists readings unasked, corrects or abstains: an ambiguous question is answered for one
reading, as untuned VLMs do. Who asks for all of them ("Name the color of every star") gets all of them. The words
that tuning needs later come in through `say` exercises (repeat these words), which teach no strategy.
"""

import random
from dataclasses import replace

from clarifyvlm.language.facts import Case
from clarifyvlm.records import Ambiguity, Example, Facts, Reading
from clarifyvlm.users.wording import Speech, single_out
from clarifyvlm.world import plain_questions
from clarifyvlm.world.places import at
from clarifyvlm.world.plain_questions import (
    COLORS,
    NAMES,
    SIZES,
    Asked,
    direct,
    expression,
    given_by,
    is_bare,
    picked,
    typed,
)
from clarifyvlm.world.queries import MISSPELLINGS, Query
from clarifyvlm.world.wording import question as worded
from clarifyvlm.world.wording import with_articles
from pretraining_words import said

# The kinds and how often each is drawn; draws of some often come to nothing. All weigh the same per question.
KIND_WEIGHTS = {
    "color": 11,
    "shape": 12,
    "size": 7,
    "position": 13,
    "count": 14,
    "existence": 9,
    "list": 36,
    "compare": 50,
    "verify": 6,
    "what_at": 4,
    "describe": 3,
    "scene": 3,
    "meant": 25,
    "misspelt": 10,
    "premise": 4,
    "say": 5,
    "chat": 1,
}
KINDS = tuple(KIND_WEIGHTS)
END = "<|end|>"


def ask(facts: Facts, kind: str, rng: random.Random, strict: bool = False, held_out: bool = False) -> Asked | None:
    """A question with its direct answer; None where the draw gave none.

    `strict`: one reading, a visible answer; `held_out`: in forms that no training uses. Both are for evaluation.
    """
    if kind in plain_questions.KINDS:
        return plain_questions.ask(facts, kind, rng, strict)
    match kind:
        case "say":
            return Asked(*said(rng), None)
        case "meant":
            return _meant(facts, rng, held_out)
        case "misspelt":
            return _misspelt(facts, rng, strict)
        case "premise":
            return _premise(facts, rng)
        case "count" | "existence":
            return _overall(facts, kind, rng, strict, held_out)
    return _of_one(facts, kind, rng, strict, held_out)


# --- questions of one object, and of how many -----------------------------------------------------------------------


def _of_one(facts: Facts, kind: str, rng: random.Random, strict: bool, held_out: bool) -> Asked | None:
    query = Query(kind, **expression(rng.choice(facts.objects), kind, rng))
    fitting = query.matches(facts)
    if is_bare(query) or (len(fitting) > 1 and (strict or rng.random() < 0.4)):
        return None
    answer = query.answer_for(picked(fitting, rng))
    if answer is None and not strict and rng.random() < 0.3:  # hidden: a guess
        answer = rng.choice(COLORS if kind == "color" else NAMES)
    return Asked(worded(query, rng, held_out), direct(kind, answer), fitting) if answer else None


def _overall(facts: Facts, kind: str, rng: random.Random, strict: bool, held_out: bool) -> Asked | None:
    query = Query(kind, **expression(rng.choice(facts.objects), kind, rng))
    if kind == "existence" and is_bare(query):
        return None
    if rng.random() < {"existence": 0.5, "count": 0 if strict else 0.12}[kind]:
        query = _miss(query, rng)
    answer = query.answer_over(facts)
    return Asked(worded(query, rng, held_out), direct(kind, answer), query.matches(facts)) if answer else None


def _miss(query: Query, rng: random.Random) -> Query:
    """A near miss: one attribute of the expression changed."""
    attribute = rng.choice([a for a in ("name", "color") if getattr(query, a)] or ["size"])
    values = {"name": NAMES, "color": COLORS, "size": SIZES}[attribute]
    return replace(query, **{attribute: rng.choice(values)})


def _misspelt(facts: Facts, rng: random.Random, strict: bool) -> Asked | None:
    """ "What color is the trircle?": of the objects that it can be, one; where there is none, any."""
    word = rng.choice(list(MISSPELLINGS))
    names = MISSPELLINGS[word][0] in NAMES
    query = Query(rng.choice(("color", "position", "size") if names else ("shape", "position", "size")), word=word)
    fitting = query.matches(facts)
    if (strict and len(fitting) != 1) or (not fitting and rng.random() < 0.8):
        return None
    answer = query.answer_for(picked(fitting or facts.objects, rng))
    return Asked(worded(query, rng), direct(query.kind, answer), fitting) if answer else None


def _premise(facts: Facts, rng: random.Random) -> Asked | None:
    """What an untuned VLM does with a false premise: answers for some object all the same."""
    kind = rng.choice(("color", "shape"))
    query = Query(kind, **({"name": rng.choice(NAMES)} if kind == "color" else {"color": rng.choice(COLORS)}))
    if query.matches(facts):
        return None
    answer = query.answer_for(rng.choice(facts.objects)) or rng.choice(COLORS if kind == "color" else NAMES)
    return Asked(worded(query, rng), direct(kind, answer), [])


# --- which one is meant ---------------------------------------------------------------------------------------------


def _meant(facts: Facts, rng: random.Random, held_out: bool) -> Asked | None:
    """A question of several objects, and in words of a reply which of them is meant: at once, or in a turn of its own
    after an answer that was about another one. The objects are the one that is meant."""
    kind = rng.choice(("color", "color", "shape", "shape", "position", "size"))
    by = "name" if kind == "color" else "color" if kind == "shape" else rng.choice(("name", "color"))
    query = Query(kind, **given_by(rng.choice(facts.objects), by, rng))
    fitting = query.matches(facts)
    if is_bare(query) or len(fitting) < 2:
        return None
    meant = rng.randrange(len(fitting))
    answer = query.answer_for(fitting[meant])
    if answer is None:
        return None
    question = worded(query, rng)
    readings = [
        Reading(
            objects=[o.id], expression=f"the {query.noun_phrase()} {at(o.place)}", answer=query.answer_for(o) or "?"
        )
        for o in fitting
    ]
    example = Example.model_construct(
        id="", question=question, kind=kind, strategy="clarify", facts=facts,
        ambiguity=Ambiguity(type="referential", level=2, readings=readings),
    )  # fmt: skip
    speech = Speech("held_out" if held_out else "train", rng.random() < 0.4, str(rng.random()))
    reply = speech.typed(single_out(Case(example), meant, speech))
    if reply.startswith("I mean the ") and kind == "position" and " at " in reply:  # nothing else tells it apart
        return None
    if rng.random() < 0.4:
        return Asked(f"{question} {reply}", direct(kind, answer), [fitting[meant]])
    others = [o for i, o in enumerate(fitting) if i != meant and query.answer_for(o)]
    if not others:
        return None
    first = direct(kind, query.answer_for(rng.choice(others)))
    before = with_articles(f"{question}{END}<|assistant|>{first}{END}<|user|>")
    return Asked(reply, direct(kind, answer), [fitting[meant]], before)


def questions(facts: Facts, rng: random.Random):
    """Endless (kind, Asked) about one picture, as people type them."""
    weights = list(KIND_WEIGHTS.values())
    while True:
        kind = rng.choices(KINDS, weights)[0]
        if asked := ask(facts, kind, rng):
            text = asked.question if kind in ("say", "chat", "meant") else typed(asked.question, rng)
            yield kind, asked._replace(question=with_articles(text), answer=with_articles(asked.answer))
