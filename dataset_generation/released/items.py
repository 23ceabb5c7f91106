"""What the modules of the benchmarks declare and make of rows, and what several of them need for it.

Ambiguity and strategy are what the benchmark's labels say; ValueError where a label is none that is known. What a
source does not say stays empty: `type` "unknown", `level` None, no readings, no reference.
"""

import ast
import base64
import io
import json
import math
import tokenize
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark is and how its rows are recognized."""

    name: str
    what: str
    home: str
    license: str
    seen: str  # what the module was written after: released rows, code that reads them, or a description only
    becomes: str
    silent: str  # what the source does not say, and so stays empty
    columns: dict[str, tuple[str, ...]]  # released name -> other names for it, of other releases
    pictures: tuple[str, ...]  # columns that may hold the picture or its name, in this order
    key: tuple[str, ...] = ()  # columns that name a row; without them its picture does
    required: tuple[str, ...] = ("question",)
    labels: tuple[str, ...] = ()  # a row that has none of them is of a split without public labels
    unlabeled: str = ""  # where the labels are


@dataclass
class Item:
    """What a row says of one question."""

    question: str
    strategy: str
    type: str = "unknown"
    level: int | None = None
    readings: list[tuple[str, str | None]] = field(default_factory=list)  # (expression, answer)
    reference: str = ""
    kind: str = "other"
    version: str = ""  # where a row gives several examples
    about: dict = field(default_factory=dict)  # into provenance; `pair` is what rows of one group have in common
    dialogue: tuple[str, str, str] | None = None  # question back, the user's reply, final answer; of the first reading

    def answers(self) -> set[str]:
        """Every answer that counts, in lower case; empty where the row gives none, or sentences (`references`), which
        may say the same in other words."""
        if "references" in self.about:
            return set()
        given = [*self.about.get("answers", ()), *(a for _, a in self.readings if a)]
        return {answer.strip().lower() for answer in given}


def answered(row: dict, answers: list[str], kind: str = "other", gold: str | None = None) -> Item:
    """One known reading, with the answer that most people gave (the first of those, on a tie)."""
    if not answers:
        raise ValueError("answers is empty")
    gold = gold or most_common(answers)
    return Item(
        row["question"],
        "answer",
        readings=[(row["question"], gold)],
        reference=gold,
        kind=kind,
        about={"answers": answers},
    )


def most_common(answers: list[str]) -> str:
    return Counter(answers).most_common(1)[0][0]


def answers_of(row: dict, name: str = "answers") -> list[str]:
    """The words of [{"answer": ...}, ...], of a list of words, of parquet's {"answer": [...]}, of any of them as text,
    or of one plain answer. ValueError for what is none of them."""
    given = parsed(row.get(name), name)
    if isinstance(given, dict):
        if "answer" not in given:
            raise ValueError(f"{name} has no `answer`: {_short(given)}")
        given = given["answer"]
    if blank(given):
        return []
    words = []
    for each in given if isinstance(given, list | tuple) else [given]:
        each = parsed(each, name) if isinstance(each, str) and each.lstrip().startswith("{") else each
        word = each.get("answer") if isinstance(each, dict) else each
        if blank(word) or isinstance(word, list | tuple | dict):
            raise ValueError(f"{name} has {_short(each)}, which is no answer")
        words.append(str(word).strip())
    return words


def parsed(value: Any, name: str) -> Any:
    """Text of a JSON or Python list or mapping (a cell of a CSV file) as what it says; all else as it is.
    ValueError for text that looks like one and is none, as numpy prints it."""
    text = value.strip() if isinstance(value, str) else ""
    if not text.startswith(("[", "{", "(", "array(")):
        return value
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if isinstance(found, list | tuple | dict) and not _glued(text):
        return found
    if text.startswith("("):  # a plain answer in parentheses
        return value
    raise ValueError(f"{name} is {_short(value)}: neither a JSON nor a Python list")


def _glued(text: str) -> bool:
    """Whether two strings stand side by side, which Python would make one: ['a' 'b'] of numpy."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    kinds = [token.type for token in tokens if token.type not in (tokenize.NL, tokenize.NEWLINE)]
    return any(a == b == tokenize.STRING for a, b in pairwise(kinds))


def blank(value: Any) -> bool:
    """Whether a cell is empty: None, NaN, no text, an empty list."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and value.strip() in ("", "[]")) or value in ([], (), {})


def number(value: Any, allowed: range, name: str) -> int:
    """A label that is a number. ValueError for one that is not allowed."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = None
    if number not in allowed:
        raise ValueError(f"{name} is {value!r}: {', '.join(map(str, allowed))} was expected")
    return int(number)


def choice(value: Any, allowed: dict[str, Any], name: str) -> Any:
    """What a label stands for, whatever its case. ValueError for one that is not known."""
    word = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip().lower()
    if word not in allowed:
        raise ValueError(f"{name} is {value!r}: {', '.join(allowed)} was expected")
    return allowed[word]


YES_OR_NO = {"1": True, "0": False, "true": True, "false": False, "yes": True, "no": False, "1.0": True, "0.0": False}


def kept(value: Any) -> Any:
    """A released value as JSON holds it: bytes as base64, no NaN, dates as text."""
    if isinstance(value, dict):
        return {str(k): kept(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [kept(v) for v in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
