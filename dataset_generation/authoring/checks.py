"""Checks of a wording, each with a reason to reject it: by code here, by models in `asked_*`.

schema      JSON of the form asked for; not empty, not too long; no markup, links, orders, or talk of the data
language    letters and words of English
leak        the question names nothing that its plan's does not: no color, size, place, number, answer or hint
readings    it keeps what the plan's names, and an independent model finds the plan's readings and answers
blind       a model that sees the words alone does not answer rightly twice (answer and infer only)
reference   a judge finds the strategy followed, every claim true and the answers right; for `clarify`, the reply
            means the drawn reading only, and the final answer is right
duplicate   not the same words about the same picture, nor the same words too often in the set
"""

import re
from collections import Counter
from functools import lru_cache

from authoring.calls import Asker, ParsedReply
from authoring.prompts import BLIND_HOW, Dialogue, blind_prompt, readings_prompt, salient
from clarifyvlm.endpoint.client import Endpoint
from clarifyvlm.language.facts import Case
from clarifyvlm.language.fitting import answer_of
from clarifyvlm.language.items import COLUMNS, MIDDLE, PLACE_TAILS, RELATIONS, ROWS, items_of
from clarifyvlm.language.lexicon import COLORS, PATTERNS, SHAPES, SYNONYMS
from clarifyvlm.language.normal import TOKEN, normalize
from clarifyvlm.language.offers import ORDINALS, readings_named
from clarifyvlm.records import Example, Prediction, Turn, Verdict

STEPS = ("schema", "language", "leak", "readings", "blind", "reference", "duplicate")  # in the order of their cost
MOST_WORDS = {"question": 30, "response": 80, "reply": 20, "answer": 40}
LETTERS = 0.98  # share of a text's letters that are of A to Z, at least
KNOWN = 0.6  # share of a text's words that are everyday English, of the lexicon or of the plan, at least
MIN_WORDS = {"question": 2, "response": 1, "reply": 1, "answer": 1}

Fault = tuple[str, str]  # (step, reason)

_MARKUP = re.compile(r"[<>{}\[\]`|\\^~#*_=@]|https?:|www\.|\.(com|org|net)\b|[\x00-\x1f\x7f\u200b-\u200f\u2028-\u202e]")
_ORDERS = re.compile(
    r"\b(ignore|disregard|instructions?|prompt|system|json|jailbreak|override)\b"
    r"|\b(accept|approve|mark) (this|it|all)\b"
    r"|\b(as an ai|language model|i('m| am) sorry|apologi[sz]e)\b"
    r"|\b(can ?not|can't|unable to) (help|assist|comply|do)\b",
    re.IGNORECASE,
)
_DATA = re.compile(
    r"\b(the|these|given|provided) (facts?|plan|data|annotations?|strategy)\b|\breadings?\b(?! (a|the|his|her|their)\b)"
    r"|\breading \d|\bambigu\w*|\bo\d+\b|\bsalient\b|\bobject ids?\b|\brejected\b",
    re.IGNORECASE,
)
_HINTS = re.compile(
    r"\b(which one|which of|any of|one of|each|every|all|both|several|multiple|many|only|single|ambigu\w*|unclear|"
    r"specific\w*|particular\w*|if (there|it|any|you can)|hidden|visible|wrapped|blurred|or)\b"
)
_MEANING = frozenset("not no never none without other another same than different further neither nor".split())
_PROPERTIES = ("c", "s", "t", "n", "hide", "#", "many")  # kinds of items (lexicon.py) that say what a thing is like
_SPOKEN = frozenset("please can could would you tell me hey hi just so i like to know the a an is of s poss".split())


def check_text(text: str, part: str, example: Example, steps: set[str]) -> Fault | None:
    """`part`: question, response, reply or answer."""
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)*", text)
    if "schema" in steps:
        if not text.strip() or len(words) < MIN_WORDS[part]:
            return "schema", f"the {part} is empty or too short"
        if len(words) > MOST_WORDS[part] or len(text) > 12 * MOST_WORDS[part]:
            return "schema", f"the {part} has {len(words)} words; at most {MOST_WORDS[part]}"
        for pattern, what in ((_MARKUP, "markup or a link"), (_ORDERS, "an order, an apology or a refusal")):
            if found := pattern.search(text):
                return "schema", f"the {part} has {what}: {found[0]!r}"
        if (found := _DATA.search(text)) and found[0].lower() not in example.question.lower():
            return "schema", f"the {part} speaks of the data: {found[0]!r}"
        if part != "reply" and text.strip()[-1] not in "?.!":
            return "schema", f"the {part} ends in {text.strip()[-1]!r}, not in a mark of punctuation"
    if "language" in steps:
        letters = [c for c in text if c.isalpha()]
        if sum(c.isascii() for c in letters) < LETTERS * len(letters):
            return "language", f"the {part} has letters that are not of A to Z"
        tokens = [t for t in TOKEN.findall(normalize(text)) if t.isalpha()]
        known = _known(example)
        strange = [t for t in tokens if t not in known and t.rstrip("s") not in known]
        if len(tokens) - len(strange) < KNOWN * len(tokens):
            return "language", f"the {part} is not plain English about this picture: {', '.join(strange[:5])}"
    return None


@lru_cache(maxsize=1)
def _english() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return ENGLISH_STOP_WORDS


def _known(example: Example) -> frozenset[str]:
    facts = " ".join(f"{o.name} {o.color} {o.place}" for o in example.facts.objects)
    readings = " ".join(f"{r.expression} {r.answer}" for r in example.ambiguity.readings)
    plan = TOKEN.findall(normalize(f"{facts} {readings} {example.question}"))
    places = frozenset((*ROWS, *COLUMNS, *MIDDLE, *PLACE_TAILS, *RELATIONS, *ORDINALS))
    return _english() | places | frozenset(plan) | frozenset(Case(example).words.one)


def kept_words(example: Example) -> list[str]:
    """The words of the question that say what is asked of what; a rewording keeps them, or a synonym of them."""
    items = _items(example, example.question)
    tokens = TOKEN.findall(normalize(example.question))
    return [t for t in dict.fromkeys(tokens) if t.isalpha() and items & _items(example, t)]


def check_question(text: str, plan: Example, steps: set[str]) -> Fault | None:
    """What code sees: the properties that the words name are those that the plan's question names."""
    old, new = _items(plan, plan.question), _items(plan, text)
    if "leak" in steps:
        if len(re.findall(r"[.?!](?=\s|$)", text)) != 1:
            return "leak", "the question is not one sentence"
        hints = {h[0] for h in _HINTS.finditer(text.lower())} - {h[0] for h in _HINTS.finditer(plan.question.lower())}
        if hints:
            return "leak", f"the question hints at what there is: {', '.join(sorted(hints))}"
        if added := [i for i in new - old if i[0] != "unk"]:
            return "leak", f"the question says more than it may: {_said(added)}"
        spoken, before = text.lower(), plan.question.lower()
        for phrase in (p for r in plan.ambiguity.readings for p in (r.expression, r.answer) if p and len(p) > 2):
            if _stands(phrase, spoken) and not _stands(phrase, before) and _bare(phrase) not in _bare(before):
                return "leak", f"the question says {phrase!r}"
    if "readings" in steps and (lost := old - new):
        return "readings", f"the question leaves out what it has to say: {_said(lost)}"
    return None


def _stands(phrase: str, text: str) -> bool:
    return re.search(rf"\b{re.escape(phrase.lower())}\b", text) is not None


def _bare(text: str) -> str:
    return " ".join(w for w in re.findall(r"[a-z]+", text.lower()) if w not in ("the", "a", "an"))


def _said(items) -> str:
    """Items as words: what to leave out, or to say."""
    names = (v[0] if isinstance(v, tuple) else v if isinstance(v, str) else str(v) for _, v in items)
    return ", ".join(sorted(names))


def _items(example: Example, text: str) -> set[tuple]:
    """What the words say: properties, directions, what is asked for, words that turn the meaning around, and words
    that are not known (names, misspellings)."""
    text = re.sub(r"\bhow (big|large|small)\b", "what size", normalize(text))
    text = re.sub(r"\bhow many\b", "what number of", text)
    tokens = [t for t in TOKEN.findall(re.sub(r"\bone\b", "", text)) if t.isalnum()]
    items, times = set(), Counter()
    for kind, value in items_of(tokens, Case(example).words):
        if kind in (*_PROPERTIES, "attr") or (kind == "unk" and value not in _english()):
            items.add((kind, value))
        if kind in _PROPERTIES and kind != "n":
            times[kind, value] += 1
    items |= {(kind, f"{value} {n} times") for (kind, value), n in times.items() if n > 1}  # "the red one of the red"
    items |= {("attr", "place") for t in tokens if t == "where"}
    items |= {("direction", t) for t in tokens if t in ROWS or t in COLUMNS or t in MIDDLE}
    return items | {("turn", t) for t in tokens if t in _MEANING}


# --- models ---------------------------------------------------------------------------------------------------------


async def asked_readings(asker: Asker, verifier: Endpoint, example: Example) -> Fault | None:
    """Whether a model that is given the facts and the question finds the plan's readings, with their answers."""
    found, fault = await asker.ask(verifier, readings_prompt(example))
    if fault:
        return "readings", f"the verifier: {fault}"
    plan = {_reading(r.objects, r.answer, example) for r in example.ambiguity.readings}
    derived = {_reading(r.objects, r.answer, example) for r in found.readings}
    if plan == derived:
        return None
    return (
        "readings",
        f"an independent reader finds {_listed(found.readings)}, not {_listed(example.ambiguity.readings)}",
    )


def _reading(objects: list[str], answer: str | None, example: Example) -> tuple:
    return frozenset(objects), canonical(answer, example)


def _listed(readings: list) -> str:
    return "; ".join(f"{'+'.join(r.objects) or 'nothing'}: {r.answer}" for r in readings[:6]) or "no reading"


def canonical(answer: str | None, example: Example):
    """An answer, whatever its synonym: "a crimson" -> ("color", "red")."""
    if answer is None:
        return None
    words = re.sub(r"^(a|an|the|at the|in the|on the)\s+", "", re.sub(r"[^\w\s]", "", answer.lower()).strip())
    attribute, value = answer_of(words, example.kind if example.ambiguity.type != "attribute" else "")
    if attribute == "cells" and not value:
        return attribute, words
    for table in (COLORS, SHAPES, SYNONYMS, PATTERNS):
        value = table.get(value, value) if isinstance(value, str) else value
    return attribute, value


async def asked_blind(asker: Asker, verifier: Endpoint, example: Example) -> Fault | None:
    """Two guesses from the words alone: both right is no luck. One of them may be: of two options, half are."""
    if example.strategy not in ("answer", "infer"):
        return None
    readings = example.ambiguity.readings
    right = canonical(readings[salient(example) if example.strategy == "infer" else 0].answer, example)
    for how in range(len(BLIND_HOW)):
        guess, fault = await asker.ask(verifier, blind_prompt(example.question, how))
        if fault or "tell" in guess.answer.lower() or canonical(guess.answer, example) != right:
            return None
    return "blind", "the question can be answered without the picture"


# --- responses ------------------------------------------------------------------------------------------------------


def check_response(said: ParsedReply, example: Example, steps: set[str]) -> Fault | None:
    """What code sees of a response and, for `clarify`, of the user's reply."""
    for part, text in said.model_dump().items():
        if fault := check_text(text, part, example, steps):
            return fault
    if "reference" in steps and isinstance(said, Dialogue):
        meant = meant_by(said.reply, example)
        if meant != {example.dialogue.reading}:
            means = "no reading" if not meant else "several readings" if len(meant) > 1 else "another reading"
            return "reference", f"the user's reply means {means}, not the one that was drawn"
    return None


def meant_by(reply: str, example: Example) -> set[int]:
    """The readings that a user's reply fits; none where it says nothing of them."""
    case = Case(example)
    if case.by_attribute:
        items = {v for k, v in items_of(TOKEN.findall(normalize(reply)), case.words) if k == "attr"}
        return {i for i, (_, attribute, _) in enumerate(case.readings) if attribute in items}
    return set(readings_named(case, reply))


def predictions(said: ParsedReply, example: Example) -> list[tuple[Example, Prediction]]:
    """What a judge is to look at: the response, and a final answer as one to the reading that was drawn."""
    asked = [(example, Prediction(example_id=example.id, text=said.response, model="author"))]
    if isinstance(said, Dialogue):
        reading = example.ambiguity.readings[example.dialogue.reading]
        ambiguity = example.ambiguity.model_copy(update={"readings": [reading], "level": 0})
        left = {"id": f"{example.id}:answer", "ambiguity": ambiguity, "strategy": "answer", "dialogue": None}
        after = Prediction(example_id=left["id"], text=said.answer, model="author")
        turns = [("assistant", said.response), ("user", said.reply), ("assistant", said.answer)]
        turns = [Turn(role=role, text=text) for role, text in turns]
        whole = Prediction(example_id=example.id, turns=turns, reading=example.dialogue.reading, model="author")
        asked = [(example, whole), (example.model_copy(update=left), after)]
    return asked


def not_full_marks(verdict: Verdict, final: bool = False) -> Fault | None:
    """What a judge finds wrong with a reference; `final`: with the final answer of a dialogue."""
    what = "the final answer" if final else "the response"
    if verdict.failure:
        return "reference", f"the judge failed ({verdict.failure})"
    if verdict.unknown:
        return "reference", f"{what}: the judge does not understand the words that {verdict.unknown[0]} hangs on"
    evidence = verdict.evidence
    for name in ("strategy_right", "grounded", "answer_right", "complete", "question_value"):
        value = verdict.criteria[name]
        if value is not None and value < 1:
            return "reference", f"{what}: {name} is {value:g}. {evidence.get(name, '')}".strip()
    if (
        verdict.criteria["strategy_right"] is None
        or verdict.criteria["over_asked"]
        or verdict.criteria["overconfident"]
    ):
        return "reference", f"{what} is overconfident or asks too much"
    if verdict.answer_right_after_reply is not None and verdict.answer_right_after_reply < 1:
        return "reference", "the final answer is not that of the reading that was drawn"
    return None


# --- duplicates -----------------------------------------------------------------------------------------------------


class Wordings:
    """The questions accepted so far: per picture, and how often the set has the same words."""

    def __init__(self, max_repeats: int):
        self.max_repeats = max_repeats
        self.of_picture: set[tuple[str, str]] = set()
        self.times: dict[str, int] = {}

    def fault(self, examples: list[Example], text: str) -> Fault | None:
        plain = self.plain(text)
        if any((self._picture(e), plain) in self.of_picture for e in examples):
            return "duplicate", "this picture is asked the same already"
        if self.times.get(plain, 0) >= self.max_repeats:
            return "duplicate", f"the set has this question {self.times[plain]} times already; word it otherwise"
        return None

    def add(self, examples: list[Example], text: str) -> None:
        plain = self.plain(text)
        self.times[plain] = self.times.get(plain, 0) + 1
        self.of_picture |= {(self._picture(e), plain) for e in examples}

    @staticmethod
    def _picture(example: Example) -> str:
        return example.image_sha256 or example.image

    @staticmethod
    def plain(text: str) -> str:
        """Lower case, without marks and without the words of courtesy: what is left is what is asked."""
        return " ".join(t for t in TOKEN.findall(normalize(text)) if t.isalnum() and t not in _SPOKEN)
