"""The rule gate in front of every LLM judge: what no judge should be asked about.

Judges pass strings like ":" or "Thought process:" far too often, and words that speak to the judge may sway it. Such a
response follows no strategy: it earns a real 0, costs no call, and the verdict's evidence names the rule.

    empty      no letter and no digit               opener     only words that introduce an answer ("Solution:")
    copied     the question and nothing else        repeated   mostly one phrase, again and again
    unrelated  another script than the question's,  to_judge   delimiters, JSON, grades, orders: it speaks to a judge
               or no word in common with it, the    too_long   above MAX_CHARACTERS
               facts and everyday English

Of a model that thinks aloud, what follows its reasoning block is looked at; an answer between <answer> tags, or as JSON
({"answer": "red", "confidence": 0.9}), is read as the answer that it is.
"""

import re

from clarifyvlm.language.layout import after_reasoning, plain
from clarifyvlm.records import Example

MAX_CHARACTERS = 4000
MIN_UNRELATED = 4  # words from which a response must share one with the question, the facts or everyday English
MIN_REPEATED = 12  # words from which repetition is looked for ...
REPEATED_SHARE = 0.3  # ... and the share of different three-word runs below which it is one

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_TO_JUDGE = re.compile(
    r"</?\w[^<>]*>|<\||\|>|```|\[/?INST\]"  # tags, tokens of chat templates, fences
    r"|^\s*[\[{].*[\]}]\s*$|\"\w+\"\s*:"  # JSON
    r"|\b(used_strategy|false_claims|strategy_right|answer_right|over_asked|question_value)\b|\brubric\b"
    r"|\b(score|grade|rating|verdict|grounded|correct|complete|overconfident)\s*[:=]|\b(all|every) criteri"
    r"|\b(this|the|my) (response|answer) (deserves|gets|earns|passes|follows|is (correct|right|perfect|true|good))\b"
    r"|^\s*(system|user|assistant|judge|evaluator)\s*:"
    r"|\b(ignore|disregard|forget)\b.{0,40}\b(instruction|above|previous|facts|rules)",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)
_ANSWER_TAG = re.compile(r"</?(?:final_?)?answer>", re.IGNORECASE)
_JSON_ANSWER = re.compile(r"^(```\w*\s*)?\{[^{}]*\"(final_)?answers?\"\s*:.*\}(\s*```)?$", re.IGNORECASE | re.DOTALL)
_JSON_KEY = re.compile(r"\"(\w+)\"\s*:")
_GRADES = frozenset("score grade rating verdict grounded correct complete overconfident".split())
_OPENERS = frozenset(
    "solution answer response thought thoughts process reasoning explanation analysis result conclusion output final "
    "step steps by let let's us me solve think about this that the problem question here is my our first so ok okay "
    "sure certainly of course".split()
)
_EVERYDAY = frozenset(
    "a an the it its is are was be there this that these those i you we they he she one ones two three four five six "
    "seven eight nine ten and or but not no yes of in on at to for with from by as if which what where who how do does "
    "did can cannot could would may might will have has many more most both each all some any none only other same "
    "picture image photo see please tell say left right top bottom middle center".split()
)


def gate(example: Example, text: str) -> str | None:
    """The rule that `text`, a response to `example`, breaks; None where a judge is to be asked."""
    text = _answer(after_reasoning(text))
    words = _words(text)
    if not words:
        return "empty"
    if len(text) > MAX_CHARACTERS:
        return "too_long"
    if _TO_JUDGE.search(text):
        return "to_judge"
    question = _words(example.question)
    if words == question * max(1, len(words) // max(1, len(question))):
        return "copied"
    if all(word in _OPENERS for word in words):
        return "opener"
    if len(words) >= MIN_REPEATED:
        runs = list(zip(words, words[1:], words[2:], strict=False))
        if len(set(runs)) < REPEATED_SHARE * len(runs):
            return "repeated"
    if example.question.isascii() and sum(not word.isascii() for word in words) > len(words) / 2:
        return "unrelated"
    if len(words) >= MIN_UNRELATED and not _EVERYDAY.union(question, _about(example)).intersection(words):
        return "unrelated"
    return None


def _answer(text: str) -> str:
    """What is in <answer> tags or in the "answer" of a JSON object; the text as it is where it is neither, or where
    its keys are those of a verdict."""
    text = _ANSWER_TAG.sub(" ", text).strip()
    keys = {key.lower() for key in _JSON_KEY.findall(text)}
    if not _JSON_ANSWER.match(text) or keys & _GRADES or any(_TO_JUDGE.search(key) for key in keys):
        return text
    return plain(text)[1]


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _about(example: Example) -> list[str]:
    """Every word that the facts and the readings use."""
    parts = [text for r in example.ambiguity.readings for text in (r.expression, r.answer or "")]
    parts += [word or "" for o in example.facts.objects for word in (o.name, o.color, o.size, o.pattern, o.place)]
    return _words(" ".join(parts))
