"""Failure modes: each is found where it was planted, none elsewhere, and a wrong strategy has one name."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from clarifyvlm.judges.gate import gate
from clarifyvlm.records import CRITERIA, Example, Prediction, Verdict
from clarifyvlm.strategies import STRATEGIES
from closed_forms import share_interval
from measures import failures, intervals
from measures.judged import Judged
from reports import HOSTILE, judged, make_report, parse
from small_examples import star_example

DOCS = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"

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
        ("It seems red.", True),
        ("I'd say red.", True),
        ("I\u2019d guess red.", True),
        ("It is red.", False),
        ("The mightier star is red.", False),
        ("It looks red.", False),
        ("A red star appears there.", False),
    ],
)
def test_hedges(text, hedged):
    """A hedge that is overlooked, or one found inside another word."""
    fault = {"answer_right": 1.0, "text": text}
    assert ("hedged" in failures.of(*response(make_example(0, "answer"), **fault))) == hedged


# What a share is of, told once more by other means: mode -> whether (right strategy, used strategy) counts in its n.
SOME_RESPONSES = {
    "confident_guess": lambda right, used: right in {"infer", "enumerate", "clarify"},
    "false_premise": lambda right, used: right == "correct",
    "invents_hidden": lambda right, used: right == "abstain",
    "over_ask": lambda right, used: right == "answer",
    "needless_question": lambda right, used: right in {"infer", "enumerate", "abstain"},
    "under_ask": lambda right, used: right == "clarify",
    "under_list": lambda right, used: right == "enumerate",
    "over_list": lambda right, used: right in {"answer", "infer"},
    "abstains": lambda right, used: right != "abstain",
    "denies": lambda right, used: right != "correct",
    "hallucinated_reading": lambda right, used: right == used and used in {"infer", "enumerate"},
    "partial_list": lambda right, used: right == used == "enumerate",
    "wrong_thing": lambda right, used: right == used == "clarify",
    "useless_question": lambda right, used: right == used == "clarify",
    "weak_question": lambda right, used: right == used == "clarify",
    "wrong_fact": lambda right, used: right == used and used in {"answer", "infer", "enumerate", "correct", "abstain"},
}


def test_a_thousand_planted_failures_are_counted_exactly():
    """A failure invented among right responses, a share of the wrong responses, a response counted that was not judged
    or not given, an example that does not show its mode, an interval that is not the bootstrap's."""
    rng = random.Random(0)
    modes = [rng.choice([*PLANTED, None, None, None]) for _ in range(1000)]
    good = {"complete": 1.0, "question_value": 1.0}
    rows = [
        planted(mode, i) if mode else response(make_example(i, rng.choice(list(STRATEGIES))), **good)
        for i, mode in enumerate(modes)
    ]
    examples = [example for example, _, _ in rows]
    verdicts = {e.id: v for e, v, _ in rows}
    for example in examples[::10]:
        verdicts[example.id] = Verdict(example_id=example.id, judge="j", failure="timeout")
    left = [i for i in range(1000) if i % 10 and i % 7]  # a tenth was not judged, a seventh never answered
    answered = {e.id for i, e in enumerate(examples) if i % 7}
    model = Judged(
        "m",
        {e.id: p for e, _, p in rows if e.id in answered},
        {i: v for i, v in verdicts.items() if i in answered},
    )
    found = failures.measure(examples, [model, Judged("none", {}, {})], seed=0, resamples=300)

    truth = Counter(modes[i] for i in left)
    assert {mode: found["m"][mode]["count"] for mode in PLANTED} == {mode: truth[mode] for mode in PLANTED}
    assert (found["m"]["any"]["n"], found["m"]["any"]["count"]) == (len(left), len(left) - truth[None])
    assert {row["n"] for row in found["none"].values()} == {0}
    planted_at = {e.id: mode for e, mode in zip(examples, modes, strict=True)}
    for mode in PLANTED:
        row = found["m"][mode]
        if mode in SOME_RESPONSES:
            used = [(rows[i][0].strategy, rows[i][1].used_strategy) for i in left]
            assert row["n"] == sum(SOME_RESPONSES[mode](*pair) for pair in used), mode
        assert row["value"] == pytest.approx(row["count"] / row["n"], abs=1e-6)
        assert [planted_at[i] for i in row["examples"]] == [mode] * min(3, row["count"])

    column = np.full(1000, np.nan)
    column[left] = [modes[i] == "cut_off" for i in left]
    clusters = intervals.Clusters([e.image_sha256 for e in examples])
    draws = intervals.bootstrap(column[:, None], clusters, seed=0, resamples=300)[:, 0]
    share = np.nanmean(column)
    low, high = share_interval(
        share, min(np.sum(~np.isnan(column)), share * (1 - share) / draws.var()), clusters.touched(column)
    )
    assert (found["m"]["cut_off"]["low"], found["m"]["cut_off"]["high"]) == pytest.approx((low, high), abs=1e-6)


def test_the_examples_shown_do_not_depend_on_the_order_of_the_file():
    """Examples picked from the head of the file, which may be sorted by what is easy."""
    rows = [planted("over_ask", i) for i in range(40)]
    shown = []
    for some in (rows, rows[::-1]):
        model = Judged("m", {e.id: p for e, _, p in some}, {e.id: v for e, v, _ in some})
        shown.append(failures.measure([e for e, _, _ in some], [model], seed=0, resamples=100)["m"]["over_ask"])
    assert shown[0]["examples"] == shown[1]["examples"] != [e.id for e, _, _ in rows[:3]]


@pytest.mark.parametrize("text", ["", " ... ", "_ _", "?!\u200b", "\U0001f600", "a", "7", "\u00b2", "_a_", "\u8272"])
def test_empty_is_what_the_gate_calls_empty(text):
    """A response without a letter or digit under another name than the judges' gate gives it."""
    row = response(make_example(0, "answer"), "none", text)
    assert failures.of(*row) == ["empty" if gate(row[0], text) == "empty" else "malformed"]


def test_the_words_that_were_judged_are_the_words_that_count():
    """A mode that reads a turn, where another tool's `text` is what the judge read."""
    said = {"hedged": ("answer", "Maybe it is red."), "empty": ("none", ""), "repeated": ("none", "a " * 20)}
    for mode, (used, text) in said.items():
        example, verdict, _ = response(make_example(0, "answer"), used, answer_right=1.0)
        turns = [{"role": "assistant", "text": "It is red."}]
        prediction = Prediction(example_id=example.id, text=text, turns=turns)
        assert failures.of(example, verdict, prediction) == [mode]


def test_the_readme_has_the_table_of_the_code():
    """Definitions in docs/metrics.md that the code no longer has."""
    assert failures.readme_table() in DOCS.read_text(encoding="utf-8")


def test_hostile_words_are_text_in_the_section(tmp_path, test_file):
    """A script in a response that runs where its failure is shown."""
    judged(tmp_path / "inference", "base", test_file, lambda example: HOSTILE)
    html = make_report(tmp_path / "report", tmp_path / "inference", test_file)[2]
    section = parse(html.split('<section id="failures">')[1].split("</section>")[0])
    assert any(HOSTILE in text for text in section.text) and "script" not in section.tags
    assert all(value.startswith("data:image/") for _, name, value in section.attributes if name == "src")


def test_hostile_words_fail_like_others():
    """A response that breaks the search for hedges or repetitions."""
    example, verdict, prediction = response(make_example(0, "answer"), "none", HOSTILE * 200)
    assert set(failures.of(example, verdict, prediction)) <= {"repeated", "malformed"}
