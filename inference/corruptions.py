"""Responses with known labels, for the audit of a judge: reference responses, and what is made of them by one fault.

Each label follows from how the response was built and from the example's readings, by the definitions in
`clarifyvlm/judges/scene.py`; no judge is asked. A criterion that the construction does not settle is left out.
Questions for a color or a shape of generated scenes are corrupted; references of every kind are taken as they are.
"""

import random
import re
from dataclasses import dataclass, field

from clarifyvlm.records import Example, Reading

VALUES = {
    "color": ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown"),
    "shape": ("circle", "square", "triangle", "star"),
}
EMPTY = 0.1  # share of the examples that get an empty response, too: all of them are alike
_NOUN = re.compile(r"^the (.+?) (?:at|in) the ")


@dataclass
class Labelled:
    """One response to `example`; `labels` hold `used_strategy` and the criteria that its construction settles."""

    example: Example
    fault: str  # "reference", or what was done
    text: str
    labels: dict[str, str | float | None] = field(default_factory=dict)


def labelled(examples: list[Example], seed: int) -> list[Labelled]:
    """Every reference and every corruption that applies, in an order drawn from `seed`."""
    rng = random.Random(f"{seed}:corruptions")
    found = [response for example in examples for response in _of(example, rng)]
    rng.shuffle(found)
    return found


def _of(e: Example, rng: random.Random) -> list[Labelled]:
    readings, right = e.ambiguity.readings, e.strategy
    made = [Labelled(e, "reference", e.reference, _labels(e, right, grounded=1.0, answer_right=1.0, complete=1.0))]
    if rng.random() < EMPTY:
        made.append(Labelled(e, "empty", "", _labels(e, "none", grounded=0.0)))
    if e.kind not in VALUES:
        return made
    wrong = _untrue(e, rng)
    several = right in ("infer", "enumerate", "clarify") and len(readings) > 1
    ask = "Which one do you mean?"
    if several:
        guess = readings[0]
        known = {"grounded": 1.0, "overconfident": 1.0}
        if right != "infer":  # which reading is salient is not for this file to say
            known["answer_right"] = 0.0
        made.append(Labelled(e, "confident_guess", f"It is {_value(e, guess.answer)}.", _labels(e, "answer", **known)))
    if right in ("infer", "enumerate"):
        made.append(Labelled(e, "asked_instead", ask, _labels(e, "clarify", grounded=1.0, answer_right=0.0)))
    if right == "enumerate" and len(readings) > 1:
        made += _spoilt_lists(e, wrong)
    if right == "answer" and len(readings) == 1:
        asks = _labels(e, "clarify", grounded=1.0, answer_right=0.0, over_asked=1.0)
        made.append(Labelled(e, "asked_instead", ask, asks))
        made.append(
            Labelled(e, "abstained", "I cannot tell from the picture.", _labels(e, "abstain", answer_right=0.0))
        )
        if noun := _NOUN.match(readings[0].expression):
            text = f"There is no {noun.group(1)} in the picture."
            made.append(Labelled(e, "denied", text, _labels(e, "correct", grounded=0.0, answer_right=0.0)))
    if right in ("correct", "abstain"):
        made.append(Labelled(e, "asked_instead", ask, _labels(e, "clarify", over_asked=1.0)))
    if wrong and right == "answer":
        fault = _labels(e, "answer", grounded=0.0, answer_right=0.0)
        made.append(Labelled(e, "wrong_fact", f"It is {_value(e, wrong)}.", fault))
    if wrong and right in ("correct", "abstain"):
        guess = _labels(e, "answer", grounded=0.0, overconfident=1.0)
        made.append(Labelled(e, "guessed_unseen", f"It is {_value(e, wrong)}.", guess))
    return made


def _spoilt_lists(e: Example, wrong: str | None) -> list[Labelled]:
    readings, made = e.ambiguity.readings, []
    n = len(readings)
    if n > 2:
        left_out = _labels(e, "enumerate", grounded=1.0, answer_right=1.0, complete=(n - 1) / n)
        made.append(Labelled(e, "missing_reading", _list(e, readings[1:]), left_out))
    if wrong:
        spoilt = [Reading(objects=[], expression=readings[0].expression, answer=wrong), *readings[1:]]
        labels = _labels(e, "enumerate", grounded=0.0, answer_right=0.0, complete=(n - 1) / n)
        made.append(Labelled(e, "wrong_entry", _list(e, spoilt), labels))
    return made


def _labels(e: Example, used: str, **known: float) -> dict[str, str | float | None]:
    """The labels of a response that follows `used`: what always holds, and what is `known` where it applies."""
    right = e.strategy
    applies = {
        "answer_right": right in ("answer", "infer", "enumerate"),
        "overconfident": right != "answer",
        "over_asked": right in ("answer", "correct", "abstain"),
        "complete": right == "enumerate",
    }
    holds = {"overconfident": 0.0, "over_asked": 0.0, "complete": 0.0} | known
    if used == "none":
        holds["answer_right"] = 0.0
    labels = {"used_strategy": used, "strategy_right": float(used == right)}
    if "grounded" in holds:
        labels["grounded"] = holds["grounded"]
    for name, does in applies.items():
        if not does:
            labels[name] = None
        elif name in holds:
            labels[name] = holds[name]
    return labels


def _untrue(e: Example, rng: random.Random) -> str | None:
    """A value of what is asked that no object in the picture has; None where all values are there."""
    there = {o.color if e.kind == "color" else o.name for o in e.facts.objects}
    free = [value for value in VALUES[e.kind] if value not in there]
    return rng.choice(free) if free else None


def _value(e: Example, answer: str) -> str:
    return answer if e.kind == "color" else f"a {answer}"


def _list(e: Example, readings: list[Reading]) -> str:
    parts = [f"{r.expression} is {_value(e, r.answer)}" for r in readings]
    text = f"{', '.join(parts[:-1])} and {parts[-1]}."
    return text[0].upper() + text[1:]
