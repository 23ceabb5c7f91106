"""What a clarifying question is worth: as labeled by careful reading, and as the simulated user replies."""

import json
from pathlib import Path

import pytest

from clarifyvlm import jsonl
from clarifyvlm.judges.finding import Finding
from clarifyvlm.language.asks import question_value
from clarifyvlm.language.facts import Case
from clarifyvlm.records import Example
from clarifyvlm.users.scripted import reply

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "inference" / "auditing" / "natural" / "examples.jsonl"
SCENES = ROOT / "tests" / "data" / "judge_scenes.jsonl"
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


@pytest.mark.parametrize("forms", ["train", "held_out"])
def test_replies_single_out_what_they_are_worth(cases, forms):
    """A value that is paid for a reply which the user does not give: two ways to decide what is told."""
    wrong = []
    for row in map(json.loads, LABELED.read_text(encoding="utf-8").splitlines()):
        case = cases[row["example_id"]]
        said = [reply(case.example, row["text"], r, "helpful", 1, forms) for r in range(len(case.readings))]
        alone = sum(said.count(one) == 1 for one in said) / len(said)
        if abs(alone - value(case, row["text"])) > 0.01:
            wrong.append((row["text"], case.example.question, said))
    assert not wrong


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Is it one of the two on the right?", 0.0),
        ("Could you describe the star?", 1.0),
        ("Can you give me more details?", 0.0),
        ("I'm not sure which one you mean. Is it on the left?", 0.25),
        ("Which star do you mean? For example, the one at the top left?", 1.0),
        ("Which star do you mean? Is it the large one?", 1.0),
        ("What color is it?", 0.0),
        ("Which square do you mean?", 0.0),
        ("Do you mean (A) the star at the top left, (B) the one in the center or (C) another one?", 0.5),
    ],
)
def test_kinds_of_questions(text, left):
    """Compound questions, examples in a question, letters and "another one" that are read as something else."""
    example = next(e for e in jsonl.read(SCENES, Example) if e.id == "ask-color")
    assert value(Case(example), text) == left
