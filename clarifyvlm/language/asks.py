"""What a clarifying question is worth: which readings a helpful user's reply to it can tell apart."""

from clarifyvlm.language.facts import FIELDS, Case
from clarifyvlm.language.phrases import Ask, Description
from clarifyvlm.records import Object


def question_value(case: Case, asks: list[Ask]) -> float:
    """Share of the readings that a helpful user's reply to these questions singles out."""
    groups: dict[tuple, int] = {}
    keys = [reply_key(case, asks, r) for r in range(len(case.readings))]
    for key in keys:
        if key is not None:
            groups[key] = groups.get(key, 0) + 1
    return sum(1 for key in keys if key is not None and groups[key] == 1) / len(keys)


def reply_key(case: Case, asks: list[Ask], reading: int) -> tuple | None:
    """What a helpful user who means `reading` could say to `asks`; None where the questions are not about it."""
    objects, attribute, _ = case.readings[reading]
    key = []
    for ask in asks:
        if ask.restrict and not any(fits_reading(case, d, objects) for d in ask.restrict):
            return None
        if case.by_attribute:
            key.append(attribute if not ask.dimensions or attribute in ask.dimensions else None)
            continue
        if ask.alternatives:
            for d in ask.alternatives:
                d = d.without(*(case.asked & set(d.given())))
                key.append(fits_reading(case, d, objects) if d.given() else None)
        elif ask.open:
            hidden = case.asked
            key += [case.word(o, a) for o in objects for a in FIELDS if a not in hidden]
            if "cells" not in hidden:
                key += [o.id for o in objects]  # a place can be said as finely as it takes
        for dimension in sorted(ask.dimensions - case.asked):
            key += [case.word(o, dimension) for o in objects if dimension in FIELDS]
    return tuple(key)


def fits_reading(case: Case, d: Description, objects: list[Object]) -> bool:
    """Whether a phrase of a question could mean a reading of these objects."""
    if not d.given():
        return not d.unknown or case.is_question_word(d.unknown)
    found, unknown = case.find(d, case.targets) if not d.size or d.size not in ("max", "min") else case.find(d)
    return any(o in found for o in objects) or (not found and unknown)
