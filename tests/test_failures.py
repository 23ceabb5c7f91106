"""Failure modes: each is found where it was planted, none elsewhere, and a wrong strategy has one name."""

import random
from collections import Counter
from pathlib import Path

import failures
import intervals
import numpy as np
import pytest
import results
from conftest import star_example
from reports import HOSTILE

from clarifyvlm.records import CRITERIA, Example, Prediction, Verdict

README = Path(__file__).resolve().parent.parent / "inference" / "README.md"

FINE = {"strategy_right": 1.0, "grounded": 1.0}


def make_example(index: int, strategy: str) -> Example:
    row = star_example(index, "x.png", f"picture{index // 2}", stars=4 if strategy == "clarify" else 1)
    return Example.model_validate(row | {"strategy": strategy})


def response(example, used: str | None = None, text: str = "It is red.", *, after=None, finish="stop", **criteria):
    """(example, verdict, prediction) of a response that is right but for what is given."""
    used = example.strategy if used is None else used
    values = dict.fromkeys(CRITERIA) | FINE | {"strategy_right": float(used == example.strategy)} | criteria
    verdict = Verdict(
        example_id=example.id, judge="j", used_strategy=used, criteria=values, answer_right_after_reply=after
    )
    return example, verdict, Prediction(example_id=example.id, text=text, finish_reasons=[finish])


# mode -> (right strategy, what the response is): nothing but the planted fault.
PLANTED = {
    "empty": ("answer", {"used": "none", "text": " ... "}),
    "repeated": ("answer", {"used": "none", "text": "the red star " * 12}),
    "malformed": ("infer", {"used": "none", "text": "Solution:"}),
    "confident_guess": ("clarify", {"used": "answer", "overconfident": 1.0}),
    "false_premise": ("correct", {"used": "answer", "overconfident": 1.0}),
    "invents_hidden": ("abstain", {"used": "enumerate", "grounded": 0.0}),
    "over_ask": ("answer", {"used": "clarify", "text": "Which one?"}),
    "needless_question": ("enumerate", {"used": "clarify", "text": "Which one?"}),
    "under_ask": ("clarify", {"used": "enumerate"}),
    "under_list": ("enumerate", {"used": "infer"}),
    "over_list": ("infer", {"used": "enumerate"}),
    "abstains": ("answer", {"used": "abstain"}),
    "denies": ("answer", {"used": "correct"}),
    "hallucinated_reading": ("enumerate", {"grounded": 0.0, "complete": 0.5}),
    "partial_list": ("enumerate", {"complete": 0.5}),
    "wrong_thing": ("clarify", {"grounded": 0.0, "question_value": 0.0}),
    "useless_question": ("clarify", {"question_value": 0.0}),
    "weak_question": ("clarify", {"question_value": 0.5}),
    "wrong_fact": ("answer", {"answer_right": 0.0}),
    "hedged": ("answer", {"answer_right": 1.0, "text": "I think it is red."}),
    "ignores_reply": ("clarify", {"question_value": 1.0, "after": 0.0}),
    "cut_off": ("answer", {"answer_right": 1.0, "finish": "length"}),
}


def planted(mode: str, number: int = 0):
    strategy, fault = PLANTED[mode]
    return response(make_example(number, strategy), **fault)


@pytest.mark.parametrize("mode", failures.MODES)
def test_a_planted_failure_is_found_alone(mode):
    """A mode that is not found, or one fault counted as two."""
    assert failures.of(*planted(mode)) == [mode]


@pytest.mark.parametrize("strategy", ["answer", "infer", "enumerate", "clarify", "correct", "abstain"])
def test_what_is_right_has_no_failure(strategy):
    """A failure invented in a right response: a full list, a good question, an answer in plain words."""
    good = {"complete": 1.0, "question_value": 1.0, "after": 1.0, "answer_right": 1.0}
    example, verdict, prediction = response(make_example(0, strategy), text="It is the red star there.", **good)
    assert failures.of(example, verdict, prediction) == []


def test_whatever_is_used_in_place_of_the_right_strategy_has_one_name():
    """A wrong strategy that no mode counts, or that two do: shares would not add up to what is wrong."""
    used = ("answer", "infer", "enumerate", "clarify", "correct", "abstain", "none")
    for strategy in used[:-1]:
        for other in used:
            found = failures.of(*response(make_example(0, strategy), other))
            groups = [failures.MODES[mode].group for mode in found]
            wrong = sum(group in ("unusable", "strategy") for group in groups)
            assert wrong == (strategy != other), (strategy, other, found)


def test_a_failed_verdict_says_nothing():
    """A failure of the judge counted as one of the model."""
    example, _, prediction = planted("empty")
    assert failures.find(example, Verdict(example_id=example.id, judge="j", failure="timeout"), prediction) == {}


@pytest.mark.parametrize(
    ("text", "hedged"),
    [
        ("Maybe it is red.", True),
        ("It seems to be red.", True),
        ("I'm not sure, but red.", True),
        ("It might be red.", True),
        ("It is red.", False),
        ("The mightier star is red.", False),
        ("It looks red.", False),
    ],
)
def test_hedges(text, hedged):
    """A hedge that is overlooked, or one found inside another word."""
    fault = {"answer_right": 1.0, "text": text}
    assert ("hedged" in failures.of(*response(make_example(0, "answer"), **fault))) == hedged


def test_a_thousand_planted_failures_are_counted_exactly():
    """A share over the wrong examples, a count of another model, or an interval that is not the bootstrap's."""
    rng = random.Random(0)
    rows = [planted(rng.choice(list(PLANTED)), i) for i in range(1000)]
    truth = Counter(failures.of(*row)[0] for row in rows)
    examples = [example for example, _, _ in rows]
    model = results.Judged("m", {e.id: p for e, _, p in rows}, {e.id: v for e, v, _ in rows})
    other = results.Judged("none", {}, {})
    found = failures.measure(examples, [model, other], seed=0, resamples=300)
    assert {mode: found["m"][mode]["count"] for mode in PLANTED} == {mode: truth[mode] for mode in PLANTED}
    assert found["m"]["any"]["value"] == 1.0 and found["none"]["any"]["n"] == 0
    for mode in PLANTED:
        row = found["m"][mode]
        assert row["value"] == pytest.approx(row["count"] / row["n"], abs=1e-6)
        assert len(row["examples"]) == min(3, row["count"])
        for shown in row["examples"]:
            assert failures.of(*next(r for r in rows if r[0].id == shown)) == [mode]
    column = np.array([float(failures.of(*row) == ["cut_off"]) for row in rows])
    clusters = intervals.Clusters([e.image_sha256 for e in examples])
    draws = intervals.bootstrap(column[:, None], clusters, seed=0, resamples=300)[:, 0]
    low, high = np.percentile(draws, [2.5, 97.5])
    assert (found["m"]["cut_off"]["low"], found["m"]["cut_off"]["high"]) == pytest.approx((low, high), abs=1e-6)


def test_the_readme_has_the_table_of_the_code():
    """Definitions in the README that the code no longer has."""
    assert failures.readme_table() in README.read_text(encoding="utf-8")


def test_hostile_words_fail_like_others():
    """A response that breaks the search for hedges or repetitions."""
    example, verdict, prediction = response(make_example(0, "answer"), "none", HOSTILE * 200)
    assert set(failures.of(example, verdict, prediction)) <= {"repeated", "malformed"}
