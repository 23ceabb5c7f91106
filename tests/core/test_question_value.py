"""What a clarifying question is worth: as labeled by careful reading, and as the simulated user replies."""

import json
from pathlib import Path

import pytest

from clarifyvlm import jsonl
from clarifyvlm.judges.finding import Finding
from clarifyvlm.language.asks import question_value
from clarifyvlm.language.facts import Case
from clarifyvlm.records import Example

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "inference" / "auditing" / "natural" / "examples.jsonl"
LABELED = ROOT / "tests" / "data" / "question_values.jsonl"  # written before the code was tried on them


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    return {e.id: Case(e) for e in jsonl.read(EXAMPLES, Example)}


def value(case: Case, text: str) -> float:
    return question_value(case, Finding(case, text).response.asks)


def test_labeled_questions(cases):
    """A question that is paid more, or less, than the reply to it is worth."""
    rows = [json.loads(line) for line in LABELED.read_text(encoding="utf-8").splitlines()]
    wrong = [
        (r["text"], cases[r["example_id"]].example.question, r["question_value"])
        for r in rows
        if abs(value(cases[r["example_id"]], r["text"]) - r["question_value"]) > 0.01
    ]
    assert len(rows) >= 200 and len(wrong) <= 0.03 * len(rows), wrong
