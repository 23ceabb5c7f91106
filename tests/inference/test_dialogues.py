"""Whole dialogues in the report: shares and costs against counts by hand, other users, edges."""

import random

import numpy as np
import pytest

from clarifyvlm.records import CRITERIA, Ambiguity, Dialogue, Example, Facts, Prediction, Reading, Turn, Verdict
from measures import dialogues
from measures.judged import Judged

ANSWERS = ["red", "red", "blue", "green"]
NOTHING = {"value": None, "low": None, "high": None, "n": 0}


def example(i: int, strategy: str) -> Example:
    readings = [Reading(objects=[str(k)], expression=f"star {k}", answer=a) for k, a in enumerate(ANSWERS)]
    asked = strategy == "clarify"
    return Example(
        id=f"e{i}",
        split="test",
        image="a.png",
        image_sha256=f"p{i}",
        question="What color is the star?",
        kind="color",
        ambiguity=Ambiguity(type="referential" if asked else "none", level=0, readings=readings if asked else []),
        strategy=strategy,
        reference="Which star do you mean?",
        dialogue=Dialogue(reading=0, question="Which?", reply="This.", answer="Red.") if asked else None,
        facts=Facts(source="test", width=8, height=8, objects=[]),
    )


EXAMPLES = [example(i, "clarify" if i < 40 else "correct") for i in range(60)]


def meant(i: int, seed: int = 0) -> int:
    return random.Random(f"{seed}:e{i}").randrange(4)


def verdict(i: int, used: str, after: str | None = None, right: float | None = None, failed: bool = False) -> Verdict:
    if failed:
        return Verdict(example_id=f"e{i}", judge="test", failure="timeout")
    criteria = dict.fromkeys(CRITERIA) | {"strategy_right": float(used == EXAMPLES[i].strategy)}
    return Verdict(
        example_id=f"e{i}",
        judge="test",
        used_strategy=used,
        criteria=criteria,
        answer_right_after_reply=right,
        used_after_reply=after,
    )


def said(i: int, *texts: str, tokens: int = 5) -> Prediction:
    turns = [Turn(role="assistant" if k % 2 == 0 else "user", text=text) for k, text in enumerate(texts)]
    return Prediction(
        example_id=f"e{i}",
        turns=turns,
        seed=0,
        completion_tokens=[tokens] * len([t for t in turns if t.role != "user"]),
    )


def judged(rows: dict[int, tuple[Prediction, Verdict]], name: str = "m") -> Judged:
    return Judged(name, {p.example_id: p for p, _ in rows.values()}, {v.example_id: v for _, v in rows.values()})


def measure(*models: Judged, **variants: list[Judged]) -> dict:
    return dialogues.measure(EXAMPLES, models, variants, seed=0, resamples=400)


def share(row: dict, value: float, n: int) -> bool:
    return row["value"] == pytest.approx(value, abs=1e-6) and row["n"] == n and row["low"] <= value <= row["high"]


def asks(replies: int = 1) -> Judged:
    """Asks on the 40 (right after the reply on 30 of them), corrects on the 20."""
    rows = {}
    for i in range(40):
        texts = ["Which star?", "The one on the left.", "Which?", "Left.", "It is red."][: 1 + 2 * replies]
        rows[i] = said(i, *texts), verdict(i, "clarify", "answer", float(i < 30))
    for i in range(40, 60):
        rows[i] = said(i, "There is no star."), verdict(i, "correct")
    return judged(rows)


def test_right_answers_by_replies():
    """An answer after the reply that is counted before it, or a share over the wrong questions."""
    row = measure(asks())["models"]["m"]
    for key, value, n in (("direct", 0.0, 40), ("one_reply", 0.75, 40)):
        assert share(row["accuracy"][key], value, n)
    assert row["accuracy"]["two_replies"] == row["served"]["two_replies"] == NOTHING
    assert share(row["served"]["direct"], 20 / 60, 60) and share(row["served"]["one_reply"], 50 / 60, 60)
    assert (row["questions"]["value"], row["questions"]["n"]) == (1.0, 40)


def test_tokens_of_all_over_the_questions_served():
    """A cost that leaves out the dialogues that failed."""
    cost = measure(asks())["models"]["m"]["tokens_per_served"]
    assert cost["value"] == pytest.approx((40 * 10 + 20 * 5) / 50) and cost["low"] < cost["value"] < cost["high"]
    assert cost["n"] == 60


def test_second_replies_count_for_themselves():
    """What is only right after two replies counted after one; a question asked in the last turn not counted."""
    row = measure(asks(replies=2))["models"]["m"]
    assert [row["accuracy"][key]["value"] for key in dialogues.REPLIES] == [0.0, 0.0, 0.75]
    assert row["questions"]["value"] == 2.0
    rows = {i: (said(i, "Which star?", "Left.", "Which?"), verdict(i, "clarify", "clarify", 0.0)) for i in range(40)}
    assert measure(judged(rows))["models"]["m"]["questions"]["value"] == 2.0


def test_lucky_guesses():
    """A guess that counts as right for another reading than the one in mind, or a list that counts as a guess."""
    rows = {i: (said(i, "It is red."), verdict(i, "answer")) for i in range(40)}
    found = measure(judged(rows))
    lucky = np.mean([ANSWERS[meant(i)] == "red" for i in range(40)])
    assert found["models"]["m"]["accuracy"]["direct"]["value"] == pytest.approx(lucky, abs=1e-6)
    assert found["models"]["m"]["served"]["one_reply"]["value"] == 0.0
    assert found["by_chance"] == pytest.approx((4 + 1 + 1) / 16)
    for text, used in (("It is red or blue or green.", "answer"), ("It is red.", "enumerate"), ("Reddish.", "answer")):
        rows = {i: (said(i, text), verdict(i, used)) for i in range(40)}
        assert measure(judged(rows))["models"]["m"]["accuracy"]["direct"]["value"] == 0.0


def test_other_users():
    """A right answer expected of who was told nothing; a guess after "I don't know" that is not shown."""
    did = ["answer"] * 20 + ["clarify"] * 12 + ["abstain"] * 6 + ["none"] * 2
    rows = {i: (said(i, "Which?", "I don't know.", "Red."), verdict(i, "clarify", did[i], 0.0)) for i in range(40)}
    users = measure(asks(), user_unsure=[judged(rows)], user_terse=[asks()], mirror=[asks()])["users"]
    assert list(users) == ["helpful", "terse", "unsure"]
    unsure = users["unsure"]["m"]
    assert {k: v["value"] for k, v in unsure["then"].items() if v["value"]} == {
        "answer": 0.5,
        "clarify": 0.3,
        "abstain": 0.15,
        "none": 0.05,
    }
    assert share(unsure["confident_guess"], 0.5, 40) and "right" not in unsure
    assert users["terse"]["m"]["right"]["value"] == 0.75 and "confident_guess" not in users["terse"]["m"]


def test_users_of_several_kinds_in_one_run():
    """All of a run's dialogues called helpful, and who told nothing counted as a wrong answer."""
    rows = {i: (said(i, "Which?", "Left.", "Red."), verdict(i, "clarify", "answer", float(i < 15))) for i in range(40)}
    for i, (prediction, _) in rows.items():
        prediction.user_kind = "helpful" if i < 20 else "unsure"
    found = measure(judged(rows))
    assert list(found["users"]) == ["helpful", "unsure"]
    assert share(found["users"]["helpful"]["m"]["right"], 0.75, 20)
    assert share(found["users"]["unsure"]["m"]["confident_guess"], 1.0, 20)
    assert share(found["models"]["m"]["accuracy"]["one_reply"], 0.75, 20)


def test_failed_verdicts_and_no_dialogues_are_left_out():
    """A judge's failure counted as a wrong answer; a section of zeros for a model that never asks."""
    rows = {i: (said(i, "Which?", "Left.", "Red."), verdict(i, "clarify", "answer", 1.0, i >= 10)) for i in range(40)}
    found = measure(judged(rows))
    assert share(found["models"]["m"]["accuracy"]["one_reply"], 1.0, 10)
    assert found["users"]["helpful"]["m"]["dialogues"] == 10
    rows = {i: (Prediction(example_id=f"e{i}", text="There is no star."), verdict(i, "correct")) for i in range(40, 60)}
    found = measure(judged(rows))
    assert found["users"] == {} and found["models"]["m"]["accuracy"]["one_reply"] == NOTHING
    assert found["models"]["m"]["tokens_per_served"] == NOTHING  # another tool's predictions know no tokens
