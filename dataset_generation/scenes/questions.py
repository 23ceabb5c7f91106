"""Which questions can be asked of the generated world, and what is right to say to them.

`draw_query` draws what is asked (a `Query`); `classify` and `readings` compute from the objects what a question of them
means: its ambiguity type, the right strategy and every reading with its answer.
"""

import dataclasses
import random
from typing import NamedTuple

from clarifyvlm.records import Facts, Reading
from clarifyvlm.strategies import strategy_for
from clarifyvlm.world.places import PLACES, SIDES, at
from clarifyvlm.world.queries import MISSPELLINGS, Query
from clarifyvlm.world.scenes import World

OVERALL = ("count", "existence")  # asked of the whole picture: one reading, which may be "no"
FORMS = ("referential", "vague", "spatial", "lexical", "attribute", "place")
PROPERTIES = ("color", "size", "pattern")  # that "what is it like?" may ask for
YES_NO = ("relation", "comparison")
UNSURE = "unsure"  # people would not agree on the answer


class _Objects(NamedTuple):
    """What `Query` needs of Facts: anything with objects."""

    objects: list


class _Answer(NamedTuple):
    answer: str | None


def classify(query: Query, objects: list) -> tuple[str, str] | None:
    """(ambiguity type, strategy) of a question about `objects`; None where people would not agree.

    An object needs name, color, size, place, hidden and salience.
    """
    if query.kind in OVERALL:
        known = query.answer_over(_Objects(objects)) is not None
        return ("none", "answer") if known else ("unanswerable", "abstain")
    fitting = [o for o in objects if query.fits(o)]
    if not fitting:  # an object that may be what is asked for: the premise may hold
        return None if any(query.could_fit(o) for o in objects) else ("premise", "correct")
    if query.form == "attribute":  # the readings are properties, not objects
        return ("attribute", "enumerate") if len(fitting) == 1 and not fitting[0].hidden else None
    answers = [answer_for(query, o, objects) for o in fitting]
    if UNSURE in answers:
        return None
    if None in answers:
        return ("unanswerable", "abstain") if len(answers) == 1 else None
    strategy = strategy_for([_Answer(a) for a in answers], [o.salience for o in fitting], guessed_word=bool(query.word))
    if strategy is None:
        return None
    if query.kind in YES_NO and strategy == "enumerate" and len(fitting) != 2:
        return None  # "yes, no and no" is no list that one can follow
    if strategy == "clarify" and separator(query, fitting) is None:
        return None
    if query.form == "place" or (len(fitting) == 1 and not query.word):
        return "none", strategy
    return query.form, strategy


def answer_for(query: Query, o, objects: list) -> str | None:
    """The answer if `o` is meant; None where the picture hides it, UNSURE where it is a matter of taste."""
    if query.kind == "comparison":
        others = [p for p in objects if p.name == query.other_name]
        if len(others) != 1 or others[0] is o:
            return UNSURE
        if o.hidden or others[0].hidden:
            return None
        return "yes" if o.color == others[0].color else "no"
    if query.kind != "relation":
        return query.answer_for(o)
    sign = 1 if query.direction == "left" else -1
    other = Query("existence", name=query.other_name, color=query.other_color)
    own, nearer = sign * (PLACES.index(o.place) % 3), False
    for p in objects:
        column = sign * (PLACES.index(p.place) % 3)
        if p is not o and other.fits(p):
            if column < own:
                return "yes"
            nearer = nearer or column == own
    if any(other.could_fit(p) and sign * (PLACES.index(p.place) % 3) <= own for p in objects if p is not o):
        return None
    return UNSURE if nearer else "no"


def separator(query: Query, fitting: list) -> str | None:
    """The attribute by which a clarifying question tells the readings apart: "place", or, where the place is what is
    asked for, "color" or "name"; None where neither does."""
    if query.kind != "position":
        return "place"
    for attribute in ("color", "name"):
        values = [getattr(o, attribute) for o in fitting if attribute not in o.hidden]
        if len(set(values)) == len(fitting):
            return attribute
    return None


def readings(query: Query, facts: Facts) -> list[Reading]:
    """Every reading with its objects, an expression that means only it, and its answer."""
    fitting = query.matches(facts)
    if query.kind in OVERALL:
        answer = query.answer_over(facts)
        expression = f"the {query.noun_phrase(plural=True)}" if query.kind == "count" else f"a {query.noun_phrase()}"
        return [Reading(objects=[o.id for o in fitting], expression=expression, answer=answer)]
    if query.form == "attribute":
        return [
            Reading(objects=[o.id], expression=f"the {p} of the {query.noun_phrase()}", answer=getattr(o, p))
            for o in fitting
            for p in PROPERTIES
        ]
    return [
        Reading(
            objects=[o.id],
            expression=f"the {noun_for(query, o)} {at(o.place)}",
            answer=answer_for(query, o, facts.objects),
        )
        for o in fitting
    ]


def noun_for(query: Query, o) -> str:
    """What the question calls `o`, without where it is and with a misspelt word put right: "big star"."""
    word = getattr(o, query.misspells) if query.word else None
    meant = {query.misspells: word} if query.word else {}
    return dataclasses.replace(query, side=None, place=None, word=None, **meant).noun_phrase()


def meant_noun(query: Query, plural: bool = False) -> str:
    """The noun phrase with a misspelt word replaced by what it could be: "green or red object"."""
    phrase = query.noun_phrase(plural)
    if not query.word:
        return phrase
    if query.misspells == "name" and plural:
        return phrase.replace(query.word + "s", " or ".join(w + "s" for w in MISSPELLINGS[query.word]))
    return phrase.replace(query.word, " or ".join(MISSPELLINGS[query.word]))


def allows(kind: str, form: str, type: str, strategy: str) -> bool:
    """Whether a question of this kind and form can be of this type and strategy in the generated world."""
    harmless = strategy == "answer" and type != "none"
    if form == "place" and strategy not in ("answer", "correct", "abstain"):
        return False
    if form == "vague" and strategy == "infer":  # what is called big is about equally big
        return False
    if form == "spatial" and strategy == "clarify":  # a side has three places
        return False
    if form == "lexical" and strategy == "answer" and not harmless:  # a guessed word has to be named
        return False
    if (kind == "attribute") != (form == "attribute"):
        return False
    match kind:
        case "color" | "shape":
            return True
        case "attribute":
            return strategy in ("enumerate", "correct")
        case "relation" | "comparison":
            return form == "referential"
        case "position":
            return strategy != "abstain" and not harmless and form != "place"
        case "size":
            return strategy in ("answer", "infer", "correct") and form in ("referential", "spatial")
        case "count" | "existence":
            return strategy in ("answer", "abstain") and not harmless and form == "referential"
    return False


def draw_query(
    kind: str, form: str, strategies: set[str], world: World, rng: random.Random, unseen: frozenset = frozenset()
) -> Query:
    """A question of this kind and form that can have each of `strategies`.

    Its expression never joins a (name, color) pair of `unseen`.
    """
    name, color = rng.choice(world.names), rng.choice(world.colors)
    if kind == "attribute":
        return Query(kind, name=name)
    if kind == "comparison":
        return Query(kind, name=name, other_name=rng.choice([n for n in world.names if n != name]))
    if kind == "relation":
        direction = rng.choice(("left", "right"))
        if rng.random() < 0.5:
            return Query(kind, name=name, other_color=color, direction=direction)
        return Query(kind, color=color, other_name=name, direction=direction)
    if form == "vague":
        return Query(kind, size=rng.choice((world.sizes[0], world.sizes[-1])))
    if form == "spatial":
        return Query(kind, side=rng.choice(list(SIDES)))
    if form == "place":
        return Query(kind, place=rng.choice(PLACES))
    if form == "lexical":
        return Query(kind, word=rng.choice(words_for(kind, world)))
    size = {}
    if kind in ("color", "shape", "position") and "infer" not in strategies and rng.random() < 0.12:
        size = {"size": rng.choice((world.sizes[0], world.sizes[-1]))}
    if kind == "color":
        return Query(kind, name=name, **size)
    if kind == "shape":
        return Query(kind, color=color, **size)
    both = ("color", "name")
    choices = [("name",), ("color",)]
    if "clarify" not in strategies and (name, color) not in unseen:
        choices += [both, both]
    picked = rng.choice(choices)
    return Query(kind, name=name if "name" in picked else None, color=color if "color" in picked else None, **size)


def words_for(kind: str, world: World) -> list[str]:
    """The misspellings that a question of this kind may hold: what is asked for is never what is misspelt."""
    known = set(world.names) | set(world.colors)
    return [
        word
        for word, meanings in MISSPELLINGS.items()
        if set(meanings) <= known
        and not (kind in ("color", "shape") and Query(kind, word=word).misspells == _asked(kind))
    ]


def _asked(kind: str) -> str:
    return {"color": "color", "shape": "name"}[kind]
