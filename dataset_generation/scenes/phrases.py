"""The wording of reference responses, from the templates in clarifyvlm/world/phrasings.yaml."""

import random

from clarifyvlm.records import Facts, Reading
from clarifyvlm.world.places import PLACES, at
from clarifyvlm.world.queries import NUMBERS, Query
from clarifyvlm.world.wording import PHRASINGS, other_noun, with_articles
from scenes.questions import OVERALL, YES_NO, answer_for, meant_noun, noun_for, separator


def reference(query: Query, strategy: str, readings: list[Reading], facts: Facts, rng: random.Random) -> str:
    """A response that follows `strategy`."""
    np, nps, number = meant_noun(query), meant_noun(query, plural=True), NUMBERS[len(readings)]
    fitting = [_object(r, facts) for r in readings] if query.kind not in OVERALL else []
    match strategy:
        case "answer":
            return direct(query, readings[0].answer, rng, np if len(readings) == 1 else None)
        case "infer":
            return _infer(query, fitting, facts, rng)
        case "enumerate" if query.form == "attribute":
            parts = {r.expression.split()[1]: r.answer for r in readings}
            return with_articles(_pick("enumerate_attribute", rng).format(np=np, **parts))
        case "enumerate":
            templates = "enumerate_yes_no" if query.kind in YES_NO else "enumerate"
            text = _pick(templates, rng).format(np=np, nps=nps, number=number, list=_list(query, fitting, facts, rng))
        case "clarify":
            by = separator(query, fitting)
            templates = "clarify" if by == "place" else "clarify_by"
            templates = "clarify_yes_no" if query.kind in YES_NO else templates
            attribute = {"color": "color", "name": "shape"}.get(by)
            text = _pick(templates, rng).format(np=np, nps=nps, number=number, attribute=attribute)
        case "correct":
            text = _pick("correct", rng).format(np=np)
        case "abstain":
            np = noun_for(query, fitting[0]) if query.word else np
            if query.kind == "comparison" and not fitting[0].hidden:
                np = query.other_name
            more = {"other": other_noun(query), "direction": query.direction}
            text = rng.choice(PHRASINGS["abstain"][query.kind]).format(np=np, nps=nps, **more)
    return with_articles(text)


def direct(query: Query, answer: str, rng: random.Random, np: str | None = None) -> str:
    """A plain answer; `np` is the subject where there is only one thing that it can mean."""
    templates = PHRASINGS["answers"][query.kind]
    if query.kind == "existence" or query.kind in YES_NO:
        return rng.choice(templates[answer])
    templates = [t for t in templates if np or "{np" not in t]
    if query.kind != "count":
        return with_articles(rng.choice(templates).format(np=np, answer=in_words(query.kind, answer)))
    template = rng.choice(templates)
    if answer == "no" and "{nps}" not in template:
        answer = "none"
    nps = query.noun_phrase(plural=answer != "one")
    return template.format(answer=answer, nps=nps, is_are="is" if answer == "one" else "are")


def in_words(kind: str, answer: str) -> str:
    """ "red", "a star", "large", "at the top left": what follows "it is"."""
    if kind == "shape":
        return f"a {answer}"
    return at(answer) if kind == "position" else answer


def _infer(query: Query, fitting: list, facts: Facts, rng) -> str:
    o = max(fitting, key=lambda o: o.salience)
    answer = answer_for(query, o, facts.objects)
    claim = answer if query.kind in YES_NO else f"it is {in_words(query.kind, answer)}"
    if len(fitting) == 1:
        meant = getattr(o, query.misspells)
        return with_articles(_pick("infer_word", rng).format(word=query.word, meant=meant, claim=claim))
    # Its size tells it from the others, unless the size is what is asked for.
    reading = f"{noun_for(query, o)} {at(o.place)}" if query.kind == "size" else f"{o.size} {noun_for(query, o)}"
    return with_articles(_pick("infer", rng).format(reading=reading, claim=claim))


def _list(query: Query, fitting: list, facts: Facts, rng) -> str:
    fitting = sorted(fitting, key=lambda o: PLACES.index(o.place))  # as one reads: left to right, top to bottom
    if query.kind == "position":
        by = separator(query, fitting) if rng.random() < 0.5 else None
        subjects = [f"the {_told_apart(o, by)}" if by else "one" for o in fitting]
    else:
        subjects = [f"the {'one' if not query.word else noun_for(query, o)} {at(o.place)}" for o in fitting]
    if query.kind in YES_NO:
        parts = [f"for {s}, {answer_for(query, o, facts.objects)}" for s, o in zip(subjects, fitting, strict=True)]
        return ", and ".join(parts)
    parts = [f"{s} is {in_words(query.kind, query.answer_for(o))}" for s, o in zip(subjects, fitting, strict=True)]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _told_apart(o, by: str) -> str:
    return f"{o.color} one" if by == "color" else o.name


def _object(reading: Reading, facts: Facts):
    return next(o for o in facts.objects if o.id == reading.objects[0])


def _pick(key: str, rng: random.Random) -> str:
    return rng.choice(PHRASINGS[key])
