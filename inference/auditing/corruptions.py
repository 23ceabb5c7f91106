"""Responses with known labels, for the audit of a judge: reference responses, and what is made of them by one fault.
Also what should change no verdict: the same response padded (`padded`), and in other words (`reworded`).

Each label follows from how the response was built and from the example's readings, by the definitions in
`clarifyvlm/judges/scene.py`; no judge is asked. A criterion that the construction does not settle is left out.
Questions for a color or a shape of generated scenes are corrupted; references of every kind are taken as they are.
"""

import random
import re

from clarifyvlm.judges.gate import MAX_CHARACTERS
from clarifyvlm.records import Example, Object, Reading
from measures.agreement import Labeled

VALUES = {
    "color": ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown"),
    "shape": ("circle", "square", "triangle", "star"),
}
EMPTY = 0.1  # share of the examples that get an empty response, too: all of them are alike
_NOUN = re.compile(r"^the (.+?) (?:at|in) the ")
# Claims nothing, asks nothing, and is neither sure nor unsure. Shortest first.
PADDING = (
    "Here goes.", "Thank you.", "Now then.", "I am done.", "All the best.", "Thanks for waiting.", "I hope this helps.",
    "This took me a moment.", "That is all from me.", "That was a good question.", "Thank you for the question.",
    "I took my time with this.", "I have checked this twice.", "I am glad that you asked.",
    "I have read your words with care.", "I have looked at the picture with care.",
    "Reading slowly helps me, so I read slowly.", "I went over everything once more before I wrote this.",
    "I try to be brief and to write as clearly as I can.",
    "I was asked to look closely and to be brief, and so I was.",
    "As always, I did not hurry, and I kept looking until I was done.",
    "I have been thinking about this for a while and have now written it down.",
)  # fmt: skip
_V = r"(an? \w+|\w+|(?:at|in|on) the [\w ]+?)"  # "a star", "red", "at the top left"
_LISTED = re.compile(rf"(.+?) is {_V}")
# A whole response, as the generator or `labeled` writes it -> the same in other words. {0}: the first group; {list}:
# the pattern's group of that name, in other words.
REWORDINGS = tuple((re.compile(pattern), words) for pattern, words in (
    (rf"It is {_V}\.", "I would say {0}."),
    (rf"(?:Its|The) (color|shape) is {_V}\.", "The {0} that I see is {1}."),
    (rf"The ([\w ]+) is {_V}\.", "I would say that the {0} is {1}."),
    (r"(?:There (?:is|are)|I count) (\w+)\.", "The number is {0}."),
    (r"(?:There is no|I see no|The picture shows no) ([\w ]+?)(?: in the picture| here| to be seen)?\.",
     "I do not find any {0}."),
    (r"I see (\w+) ([\w ]+)\.", "The number of {1} is {0}."),
    (r"Yes, (?:there is|I see one)\.", "Yes, one is there."),
    (r"No, (?:there is not|I see none)\.", "No, there is none."),
    (rf"(?:I take you to|Assuming you|If you|You most likely) mean the ([\w ]+)[:,] it is {_V}\.",
     "I believe that you are asking about the {0}; it is {1}."),
    (rf"(?:I read|Assuming|If) (\w+) (?:as|means) ([\w ]+)[:,] it is {_V}\.", "I take {0} to mean {1}; it is {2}."),
    (r"(?:There are|I see) (\w+) ([\w ]+): (?P<list>.+)\.", "I count {0} {1}. {list}"),
    (r"It depends on which ([\w ]+): (?P<list>.+)\.", "That depends on the {0} that you are asking about. {list}"),
    (r"(?P<list>.+ is .+ and .+ is .+)\.", "{list}"),
    (r"Which one do you mean\?", "Could you tell me which one you are asking about?"),
    (r"Which ([\w ]+) do you mean\? Please tell me where it is\.",
     "Could you tell me where the {0} is that you are asking about?"),
    (r"Which ([\w ]+) do you mean\? Please tell me its (\w+)\.",
     "Could you tell me which {0} you are asking about, and what {1} it has?"),
    (r"(?:There are|I see) (\w+) ([\w ]+)\. (?:Which one do you mean, and w|W)here is (?:it|the one that you mean)\?",
     "I count {0} {1}. Could you tell me which one you are asking about, and where it is?"),
    (r"There are (\w+) ([\w ]+)\. Which one do you mean, and what (\w+) is it\?",
     "I count {0} {1}. Could you tell me which one you are asking about, and what {2} it has?"),
    (r"I see (\w+) ([\w ]+)\. What (\w+) is the one that you mean\?",
     "I count {0} {1}. Could you tell me what {2} the one has that you are asking about?"),
    (r"Which of the (\w+) ([\w ]+) do you mean\? Where is it\?",
     "Could you tell me which of the {0} {1} you are asking about, and where it is?"),
    (r"Which of the (\w+) ([\w ]+) do you mean\? What (\w+) is it\?",
     "Could you tell me which of the {0} {1} you are asking about, and what {2} it has?"),
    (r"What (\w+) is the one that you mean\?", "Could you tell me what {0} the one has that you are asking about?"),
    (r"Do you mean a large one or a small one\?", "Are you asking about a large one or about a small one?"),
    (r"I cannot tell from the picture\.", "The picture does not let me see that."),
    (r"I cannot tell: the ([\w ]+) is (wrapped|blurred), so its (\w+) is hidden\.",
     "The {2} of the {0} cannot be seen, since it is {1}."),
    (r"The ([\w ]+) is (?:too )?(wrapped|blurred)(?: in paper)?, so I cannot see its (\w+)\.",
     "The {2} of the {0} cannot be seen, since it is {1}."),
    (r"The picture does not show the (\w+): the ([\w ]+) is (wrapped|blurred)\.",
     "The {0} of the {1} cannot be seen, since it is {2}."),
    (r"(?:I cannot tell: a|A)n object is hidden, so I cannot count the ([\w ]+)\.",
     "Since an object is hidden, the {0} cannot be counted."),
    (r"(?:I cannot tell: a|A)n object is hidden, so (?:there may be|I cannot see if there is) (an? [\w ]+)\.",
     "Since an object is hidden, I have no way to know if there is {0}."),
))  # fmt: skip


def labeled(examples: list[Example], seed: int) -> list[Labeled]:
    """Every reference and every corruption that applies, in an order drawn from `seed`."""
    rng = random.Random(f"{seed}:corruptions")
    found = [response for example in examples for response in _of(example, rng)]
    rng.shuffle(found)
    return found


def padded(text: str, factor: float, rng: random.Random) -> str | None:
    """`text` with sentences around it that say nothing, `factor` times its words or the nearest that sentences allow;
    None where that is no longer than it was, or longer than any judge is asked about."""
    left = round((factor - 1) * len(text.split()))
    before, after, unused = [], [], []
    while fitting := [s for s in (unused or PADDING) if len(s.split()) <= left]:
        unused = unused or list(PADDING)
        sentence = rng.choice(fitting[len(fitting) // 2 :])  # the short ones are for the end
        unused.remove(sentence)
        left -= len(sentence.split())
        (before if len(before) <= len(after) else after).append(sentence)
    longer = " ".join([*before, text, *after])
    return longer if text and text != longer and len(longer) <= MAX_CHARACTERS else None


def reworded(text: str) -> str | None:
    """What `text` says in other words; None where it is no wording of the generator's or of `labeled`."""
    for pattern, words in REWORDINGS:
        if match := pattern.fullmatch(text):
            listed = _listed_anew(match["list"]) if "list" in pattern.groupindex else ""
            return None if listed is None else words.format(*match.groups(), list=listed)
    return None


def _listed_anew(text: str) -> str | None:
    """ "the star on the left is red and ..." -> "For the star on the left, red; ..."."""
    entries = [_LISTED.fullmatch(part) for part in re.split(r", | and (?=(?:the|one) )", text[0].lower() + text[1:])]
    if not all(entries):
        return None
    anew = "; ".join(f"one {m[2]}" if m[1] == "one" else f"for {m[1]}, {m[2]}" for m in entries)
    return f"{anew[0].upper()}{anew[1:]}."


def _of(e: Example, rng: random.Random) -> list[Labeled]:
    readings, right = e.ambiguity.readings, e.strategy
    apart = _told_apart(e)
    known = {"grounded": 1.0, "answer_right": 1.0, "complete": 1.0}
    if apart and "where" in e.reference:  # every place can be said as finely as it takes
        known["question_value"] = 1.0
    made = [Labeled(e, "reference", e.reference, _labels(e, right, **known))]
    if rng.random() < EMPTY:
        made.append(Labeled(e, "empty", "", _labels(e, "none", grounded=0.0)))
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
        made.append(Labeled(e, "confident_guess", f"It is {_value(e, guess.answer)}.", _labels(e, "answer", **known)))
    if several and apart:
        made += _poor_questions(e, apart)
    if right in ("infer", "enumerate"):
        made.append(Labeled(e, "asked_instead", ask, _labels(e, "clarify", grounded=1.0, answer_right=0.0)))
    if right == "enumerate" and len(readings) > 1:
        made += _spoilt_lists(e, wrong)
    if right == "answer" and len(readings) == 1:
        asks = _labels(e, "clarify", grounded=1.0, answer_right=0.0, over_asked=1.0)
        made.append(Labeled(e, "asked_instead", ask, asks))
        made.append(Labeled(e, "abstained", "I cannot tell from the picture.", _labels(e, "abstain", answer_right=0.0)))
        if noun := _NOUN.match(readings[0].expression):
            text = f"There is no {noun.group(1)} in the picture."
            made.append(Labeled(e, "denied", text, _labels(e, "correct", grounded=0.0, answer_right=0.0)))
    if right in ("correct", "abstain"):
        made.append(Labeled(e, "asked_instead", ask, _labels(e, "clarify", over_asked=1.0)))
    if wrong and right == "answer":
        fault = _labels(e, "answer", grounded=0.0, answer_right=0.0)
        made.append(Labeled(e, "wrong_fact", f"It is {_value(e, wrong)}.", fault))
    if wrong and right in ("correct", "abstain"):
        guess = _labels(e, "answer", grounded=0.0, overconfident=1.0)
        made.append(Labeled(e, "guessed_unseen", f"It is {_value(e, wrong)}.", guess))
    return made


def _told_apart(e: Example) -> list[Object]:
    """The object of every reading, where each reading is one object and no two are the same; else none."""
    by_id = {o.id: o for o in e.facts.objects}
    ids = [r.objects[0] for r in e.ambiguity.readings if len(r.objects) == 1]
    return [by_id[i] for i in ids] if len(set(ids)) == len(e.ambiguity.readings) else []


def _poor_questions(e: Example, objects: list[Object]) -> list[Labeled]:
    """Questions whose answer tells no readings apart, or not all of them."""

    def asks(fault: str, text: str, value: float) -> Labeled:
        return Labeled(e, fault, text, _labels(e, "clarify", answer_right=0.0, question_value=value))

    made = [asks("useless_question", f"What {e.kind} is the one that you mean?", 0.0)]
    sizes = [o.size for o in objects]
    if set(sizes) == {"large", "small"} and "size" not in [h for o in objects for h in o.hidden]:
        alone = sum(sizes.count(size) == 1 for size in sizes) / len(sizes)
        made.append(asks("partial_question", "Do you mean a large one or a small one?", alone))
    return made


def _spoilt_lists(e: Example, wrong: str | None) -> list[Labeled]:
    readings, made = e.ambiguity.readings, []
    n = len(readings)
    if n > 2:
        left_out = _labels(e, "enumerate", grounded=1.0, answer_right=1.0, complete=(n - 1) / n)
        made.append(Labeled(e, "missing_reading", _list(e, readings[1:]), left_out))
    if wrong:
        spoilt = [Reading(objects=[], expression=readings[0].expression, answer=wrong), *readings[1:]]
        labels = _labels(e, "enumerate", grounded=0.0, answer_right=0.0, complete=(n - 1) / n)
        made.append(Labeled(e, "wrong_entry", _list(e, spoilt), labels))
    return made


def _labels(e: Example, used: str, **known: float) -> dict[str, str | float | None]:
    """The labels of a response that follows `used`: what always holds, and what is `known` where it applies."""
    right = e.strategy
    applies = {
        "answer_right": right in ("answer", "infer", "enumerate"),
        "overconfident": right != "answer",
        "over_asked": right in ("answer", "correct", "abstain"),
        "complete": right == "enumerate",
        "question_value": used == "clarify" and len(e.ambiguity.readings) > 1,
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
