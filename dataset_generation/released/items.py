"""What the modules of the benchmarks make of rows, and what several of them need for it.

A module has WHAT (one line for the card), COLUMNS (without which a row is none of it), PICTURE (the column of the
picture), ID (the columns that name a row; else its number does) and items(row). Ambiguity and strategy are what the
benchmark's labels say; ValueError where a label is none that is known.
"""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Item:
    """What a row says of one question."""

    question: str
    strategy: str
    type: str = "unknown"
    level: int | None = None
    readings: list[tuple[str, str]] = field(default_factory=list)  # (expression, answer)
    reference: str = ""
    kind: str = "other"
    version: str = ""  # where a row gives several examples
    about: dict = field(default_factory=dict)  # into provenance; `pair` is what rows of one group have in common


def plain(row: dict, answers: list[str], kind: str, gold: str | None = None) -> Item:
    """One reading, with the answer that most people gave (the first of those, on a tie)."""
    if not answers:
        raise ValueError("answers is empty")
    gold = gold or Counter(answers).most_common(1)[0][0]
    return Item(row["question"], "answer", "none", 0, [(row["question"], gold)], gold, kind, about={"answers": answers})


def answers_of(row: dict) -> list[str]:
    """The words of [{"answer": ...}, ...], of a list of words, or of parquet's {"answer": [...]}."""
    given = row.get("answers")
    given = given.get("answer") if isinstance(given, dict) else given
    return [str(a["answer"] if isinstance(a, dict) else a) for a in (given if given is not None else [])]


def number(value, allowed: range, name: str) -> int:
    """A label that is a number. ValueError for one that is not allowed."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = None
    if number not in allowed:
        raise ValueError(f"{name} is {value!r}: {', '.join(map(str, allowed))} was expected")
    return number
