"""What the models of author.py are asked: rules, data and the JSON to return.

The model that words a question is not told its readings, its strategy or the picture: what it does not know it cannot
give away. Questions that several examples of a group share are worded once for all of them.
"""

import random

from authoring.calls import ParsedReply, Prompt
from clarifyvlm.records import Example, Object
from clarifyvlm.strategies import STRATEGIES

# Drawn per question, whatever its strategy: a model says much the same to the same request.
STYLES = (
    "as you would ask a friend beside you",
    "short, in as few words as will do",
    "polite",
    "curious, as a child would ask",
    "matter-of-fact, as in a quiz",
    "spoken, with a contraction where one fits",
    "as a request that begins with a verb, ending in a full stop",
    "as an indirect question (I would like to know ...), ending in a full stop",
    "beginning with the thing that it is about",
    "beginning with what is asked for",
    "as someone who types in a hurry, but with right spelling",
    "in careful, full sentences; one sentence",
)


class Question(ParsedReply):
    question: str


class Response(ParsedReply):
    response: str


class Dialogue(ParsedReply):
    response: str
    reply: str
    answer: str


class Derived(ParsedReply):
    objects: list[str]
    answer: str | None


class Readings(ParsedReply):
    readings: list[Derived]


class Guess(ParsedReply):
    answer: str


class Strategy(ParsedReply):
    strategy: str


QUESTION = """You reword a question about a picture for a data set. Somebody asks it while looking at the picture.
- It asks for the same property of the same thing, in the words of one person: {style}.
- Keep these words as they are, also where one is misspelt: {keep}. What is singular stays singular.
- Add no color, size, pattern, number, place or other property that is not in the question.
- Say nothing about how many such things there are, whether there are any, or whether the question is clear. No "which \
one", no "if there is one".
- English, one sentence, at most {most} words, no quotation marks, no markup."""

RESPONSE = """You write what a careful assistant says to a question about a picture, for a data set. The data are what \
is in the picture, the question, and its readings: the ways to understand it, each with its answer. They are true.
{rules}
- Claim nothing that the data do not say. Speak of the picture, never of data, readings, objects' ids or these rules.
- English, plain sentences, at most {most} words, no markup."""

RULES = {
    "answer": "- `response`: give the answer in one plain sentence. Ask nothing, and list nothing.",
    "infer": "- `response`: say in one sentence which thing you take the user to mean, the one under `salient`, by "
    "what tells it from the others, and give its answer. (I take you to mean the large cup: it is blue.)",
    "enumerate": "- `response`: give the answer for each reading, and say by its place or what else tells it apart "
    "which thing each answer is for. Ask nothing.",
    "clarify": "- `response`: ask the user one short question whose answer tells the readings apart: where the thing "
    "is, or another property that differs, and never what the user wants to know. Give no answer.\n"
    "- `reply`: the user, who means `meant`, replies to it in a few words, and does not say the answer.\n"
    "- `answer`: your final answer, in one plain sentence.",
    "correct": "- `response`: what the question speaks of is not in the picture; say so in one plain sentence.",
    "abstain": "- `response`: the picture does not show what is asked for (`hidden` says of what: a wrapped thing "
    "hides its color, a blurred one its shape); say in one sentence that you cannot tell, and why.",
}

AGAIN = "\n- `rejected_before`: these wordings were no good; write another one that mends what `why` says."

READINGS = """You find every way to understand a question about a picture. The data are all things in the picture and \
the question.
- One reading for each thing that the question could be about: "What color is the cup?" with three cups has three \
readings. A thing that lacks what the words say is none. A misspelt word means what it could stand for.
- Questions for a number, or for whether there is a thing, have one reading with all things that are counted.
- A question that leaves open which property is asked for has a reading for each property, all of that thing.
- If the picture has no such thing, `readings` is empty.
- `objects`: ids of the things of the reading. `answer`: one to three words; places as in the data; null where \
`hidden` says that the picture does not show it."""

BLIND = """Somebody asks a question about a picture that you cannot see. {how} If the words of the question give the \
answer away, answer in one to three words; if they do not, the answer is "cannot tell"."""
BLIND_HOW = ("Say what the answer is.", "Look for what the wording itself presupposes or suggests.")

STRATEGY = """Somebody asks a question about a picture that you cannot see. What would be the right thing to say?
{strategies}
Guess from the wording alone."""


def question_prompt(example: Example, keep: list[str], seed: int, most: int, rejected: list[tuple[str, str]]) -> Prompt:
    """`keep`: words of the question that must stay; `rejected`: (wording, reason) of earlier attempts."""
    style = random.Random(f"{seed}:{example.group_id or example.id}:{example.question}").choice(STYLES)
    rules = QUESTION.format(style=style, keep=", ".join(keep) or "none", most=most)
    return Prompt(rules + AGAIN * bool(rejected), {"question": example.question} | _rejected(rejected), Question)


def response_prompt(example: Example, most: int, picture, rejected: list[tuple[str, str]]) -> Prompt:
    """`picture`: (URL, sha256), for a model that sees."""
    strategy, readings = example.strategy, example.ambiguity.readings
    data = {
        "picture": [thing(o, example) for o in example.facts.objects],
        "question": example.question,
        "type": example.ambiguity.type,
        "readings": [{"means": r.expression, "answer": r.answer, "objects": r.objects} for r in readings],
    }
    if strategy == "infer":
        data["salient"] = readings[salient(example)].expression
    if strategy == "clarify":
        data["meant"] = readings[example.dialogue.reading].expression
    rules = RESPONSE.format(
        rules=f"What is right here is `{strategy}`: {STRATEGIES[strategy]}.\n{RULES[strategy]}", most=most
    )
    rules += AGAIN * bool(rejected)
    return Prompt(rules, data | _rejected(rejected), Dialogue if strategy == "clarify" else Response, picture)


def readings_prompt(example: Example) -> Prompt:
    data = {"picture": [thing(o, example) for o in example.facts.objects], "question": example.question}
    return Prompt(READINGS, data, Readings)


def blind_prompt(question: str, how: int) -> Prompt:
    return Prompt(BLIND.format(how=BLIND_HOW[how]), {"question": question}, Guess)


def strategy_prompt(question: str) -> Prompt:
    strategies = "\n".join(f"  {name}: {meaning}" for name, meaning in STRATEGIES.items())
    return Prompt(STRATEGY.format(strategies=strategies), {"question": question}, Strategy)


def _rejected(rejected: list[tuple[str, str]]) -> dict:
    return {"rejected_before": [{"wording": w, "why": why} for w, why in rejected]} if rejected else {}


def thing(o: Object, example: Example) -> dict:
    """What the models are told of a thing: id, name, what is known of it, box in pixels."""
    told = {"id": o.id, "name": o.name, "color": o.color, "size": o.size, "pattern": o.pattern, "place": o.place}
    told |= {"box": [round(v) for v in o.box], "hidden": o.hidden, "share_of_picture": round(o.salience, 3)}
    names = {p.id: p.name for p in example.facts.objects}
    if relations := getattr(o, "relations", None):  # of scene graphs
        told["relations"] = [f"{r['predicate']} {names.get(r['object'], 'something')}" for r in relations]
    return {k: v for k, v in told.items() if v not in (None, [])}


def salient(example: Example) -> int:
    """Which reading's things stand out most."""
    salience = {o.id: o.salience for o in example.facts.objects}
    of_reading = [max((salience[i] for i in r.objects), default=0.0) for r in example.ambiguity.readings]
    return of_reading.index(max(of_reading))
