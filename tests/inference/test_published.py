"""Published benchmarks from rows to report: their own metrics by hand, and what nobody annotated is no number."""

import itertools
import json
import re

import numpy as np
import pytest

import judge
from benchmark_rows import PEOPLE, ROWS, converter
from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.judges import rubric
from clarifyvlm.records import CRITERIA, Prediction, Verdict
from clarifyvlm.users import scripted
from judge_server import GOOD, completion
from measures import detection, intervals, published
from measures.judged import Judged
from reports import make_report, parse
from stages import script

benchmark = script("dataset_generation/benchmark.py")


@pytest.fixture
def convert(tmp_path):
    return converter(tmp_path)


@pytest.mark.parametrize("response", ["red", "Dark red.", "brown", "The red!", "blue"])
def test_vqa_accuracy_is_the_mean_over_sets_of_nine(response):
    """Another mean than the published one; a response that differs by an article or a stop."""
    agree = [published.normalized(response) == published.normalized(word) for word in PEOPLE]
    nine = [min(1.0, sum(others) / 3) for others in itertools.combinations(agree, 9)]
    assert published.vqa_accuracy(response, PEOPLE, published.same) == pytest.approx(np.mean(nine), abs=1e-12)
    assert published.vqa_accuracy(response, ["red"], published.same) == float(response in ("red", "The red!"))


@pytest.mark.parametrize(
    ("text", "answer", "same", "named"),
    [
        ("It is two.", "2", False, True),
        ("Two", "2", True, True),
        ("1,000", "1000", True, True),
        ("2.5", "2.5", True, True),
        ("reddish", "red", False, False),
        ("a cat's bowl", "cats bowl", True, True),
        ("", "", True, False),
    ],
)
def test_normalised(text, answer, same, named):
    """Spellings of one answer that count as two, or a part of a word that counts as the word."""
    assert published.same(text, answer) is same and published.named(text, answer) is named


def test_noticing_by_hand(convert):  # noqa: F811
    """Precision and recall swapped; a question of another benchmark counted; what the judge failed on counted."""
    rows = [{"image": "a.png", "question": f"Q{i}?", "ambiguous": i < 6} for i in range(10)]
    examples = convert("vq_focusambiguity", rows)
    used = ["clarify", "infer", "enumerate", "answer", "answer", "clarify", "clarify", "answer", "abstain", "answer"]
    verdicts = {
        e.id: Verdict(example_id=e.id, judge="t", used_strategy=u, criteria=dict.fromkeys(CRITERIA))
        for e, u in zip(examples, used, strict=True)
    }
    verdicts[examples[5].id] = Verdict(example_id=examples[5].id, judge="t", failure="timeout")
    said = {e.id: Prediction(example_id=e.id, text="x") for e in examples}
    rows = published.measure(examples, [Judged("m", said, verdicts)], seed=0, resamples=200)["m"]
    noticed = {key: (round(row["value"], 6), row["n"]) for key, row in rows["ambiguous"].items()}
    assert noticed == {"precision": (0.75, 4), "recall": (0.6, 5), "f1": (0.666667, 9), "accuracy": (0.666667, 9)}
    assert list(rows) == ["ambiguous"]


def test_differences_by_hand(convert):  # noqa: F811
    """A difference with its sign turned, over examples that one of the models lacks, or of F1 over unlike questions."""
    rows = [{"imageId": "ab"[i % 2], "question": f"Q{i}?", "answer": "cup"} for i in range(6)]
    examples = convert("gqa", {str(i): row for i, row in enumerate(rows)})
    verdicts = {
        e.id: Verdict(example_id=e.id, judge="t", used_strategy="answer", criteria=dict.fromkeys(CRITERIA))
        for e in examples
    }

    def model(name: str, words: list[str | None]) -> Judged:
        said = {e.id: Prediction(example_id=e.id, text=w) for e, w in zip(examples, words, strict=True) if w}
        return Judged(name, said, {i: verdict for i, verdict in verdicts.items() if i in said})

    models = [model("base", ["cup"] * 3 + ["no"] * 3), model("tuned", ["cup"] * 2 + ["A cup here."] * 3 + [None])]
    draws = {"seed": 0, "resamples": 200}
    found = {
        (d["a"], d["metric"]): (d["b"], d["value"], d["n"]) for d in published.differences(examples, models, **draws)
    }
    assert found == {("tuned", "vqa_accuracy"): ("base", -0.2, 5), ("tuned", "vqa_named"): ("base", 0.4, 5)}
    turned = published.differences(examples, models, "tuned", **draws)
    assert [(d["a"], d["b"], d["value"]) for d in turned] == [("base", "tuned", 0.2), ("base", "tuned", -0.4)]
    assert published.differences(examples, models, "another", **draws) == []


def test_f1_of_two_models_is_compared_where_both_are_judged():
    """F1 of other questions subtracted; a model that never noticed anything that breaks the report."""
    should = np.array([1.0, 1, 0, 0, 1, 1])
    a = np.array([[1.0, 1, 0, 0, np.nan, 0], np.where([0, 0, 0, 0, 1, 0], np.nan, should)])
    b = np.array([[1.0, 0, 1, 0, 1, np.nan], np.where([0, 0, 0, 0, 0, 1], np.nan, should)])
    clusters = intervals.Clusters(list("abcdef"))
    row = detection.difference(a, b, clusters, seed=0, resamples=200)
    assert (row["value"], row["n"]) == (0.5, 4) and row["low"] <= 0.5 <= row["high"]  # 1 on the four, and 1/2
    nothing = np.zeros((2, 6))
    assert detection.difference(nothing, b, clusters, seed=0, resamples=200) is None


def test_unknown_answers_are_no_number(convert):  # noqa: F811
    """A judge without picture or facts that calls a claim false; a list called whole that nobody could list."""
    level = {e.ambiguity.level: e for e in convert("aqua", ROWS["aqua"])}
    for e in level.values():
        blind, _ = rubric.criteria(e, GOOD | {"answered_readings": [{"reading": 0, "right": True}]})
        assert blind["grounded"] is blind["answer_right"] is blind["complete"] is blind["question_value"] is None
        assert rubric.criteria(e, GOOD, sees_image=True)[0]["grounded"] == 1.0
        assert "nothing is known" in rubric.messages(e, "Red.")[1]["content"]
    clear, blurred = convert("clearvqa", ROWS["clearvqa"])
    assert rubric.criteria(clear, GOOD | {"used_strategy": "answer"})[0]["answer_right"] == 1.0
    assert rubric.criteria(blurred, GOOD)[0]["answer_right"] is None
    assert "there are others" in rubric.messages(blurred, "Red.")[1]["content"]
    assert scripted.reply(blurred, "Which one do you mean?", 0) == f"I mean: {clear.question}"
    assert (
        scripted.reply(blurred, "It is red.", 0) is None
        and scripted.reply(blurred, "What?", 0, "wrong") in scripted.UNSURE
    )


def test_rows_to_report(convert, server, tmp_path):  # noqa: F811
    """A benchmark that cannot be judged, or whose report breaks where nothing is annotated."""
    examples = convert("vizwiz", ROWS["vizwiz"]) + convert("mm_upd", ROWS["mm_upd"], images=None)
    data = tmp_path / "out" / "test.jsonl"
    rows = [
        e.model_copy(update={"image": f"{e.provenance['benchmark']}/{e.image}"}).model_dump(mode="json")
        for e in examples
    ]
    jsonl.write_atomic(data, rows)
    words = {"answer": "red", "abstain": "I cannot tell.", "correct": "None of these."}
    said = tmp_path / "inference" / "vlm" / "predictions.jsonl"
    said.parent.mkdir(parents=True)
    jsonl.write_atomic(said, [{"id": e.id, "text": words[e.strategy]} for e in examples])

    def reply(request):
        asked = re.search(
            r"<[0-9a-f]{16}>\n(.*)\n</", json.dumps(request["messages"][-1]["content"]).replace("\\n", "\n")
        )
        if not asked:  # the check at start
            return completion(GOOD)
        used = {text: strategy for strategy, text in words.items()}[asked[1]]
        answered = [{"reading": 1, "right": True}] if used == "answer" else []
        return completion(
            GOOD | {"used_strategy": used, "answered_readings": answered, "states_answer": used == "answer"}
        )

    server.reply = reply
    files = [
        "--data_file",
        str(data),
        "--predictions",
        str(said),
        "--output_file",
        str(said.with_name("verdicts.jsonl")),
    ]
    with pytest.raises(UserError, match="of 4 examples .* nothing is known .* --judge openai"):
        judge.main(files)
    llm = ["--judge", "openai", "--judge_base_url", server.url, "--judge_model", "m", "--no_judge_cache"]
    assert judge.main([*files, *llm, "--judge_sees_image", "yes"]) == 0
    metrics, _, html = make_report(tmp_path / "report", tmp_path / "inference", data)
    own = metrics["published"]["vlm"]
    assert own["vqa_accuracy"]["n"] == 2 and own["vqa_accuracy"]["value"] == 0.5  # "red" by six people; not "a cup"
    assert own["unanswerable"]["f1"]["value"] == 1.0 and own["unanswerable"]["recall"]["n"] == 1
    assert metrics["strata"]["vlm"]["dual"] == metrics["strata"]["vlm"]["dual"] | {"value": 1.0, "n": 1}
    assert metrics["constant_policies"] == {} and "In the benchmark's own metrics" in parse(html).text
