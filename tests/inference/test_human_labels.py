"""Metrics corrected with people's labels: estimates against a known truth, and labels that reach the right response."""

import json
from pathlib import Path

import numpy as np
import pytest

import report
from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.records import CRITERIA, Example, Prediction, Verdict
from measures import human_labels, intervals, metrics
from measures.judged import Judged
from small_examples import star_example, write_examples

OPTIONS = {"seed": 0, "resamples": 200}


def simulate(
    seed: int, *, sensitivity: float, specificity: float, right=(0.4, 0.3, 0.2), labels: int = 40, n: int = 600
):
    """(judge, people, strata, clusters, truth): 60, 30 and 10 % of n responses, and as many labels of each."""
    rng = np.random.default_rng(seed)
    shares = (0.6, 0.3, 0.1)
    strata = rng.choice(3, n, p=shares)
    truth = (rng.random(n) < np.array(right)[strata]).astype(float)
    judge = np.where(truth == 1, rng.random(n) < sensitivity, rng.random(n) >= specificity).astype(float)
    people = np.full(n, np.nan)
    for s in range(3):
        drawn = rng.permutation(np.flatnonzero(strata == s))[:labels]
        people[drawn] = truth[drawn]
    return judge, people, strata, intervals.Clusters([str(i // 2) for i in range(n)]), float(np.dot(shares, right))


def coverage(sets: int = 200, **settings) -> tuple[float, float]:
    """How often the corrected and the judge's own interval hold the truth, over simulated data sets."""
    held = np.zeros(2)
    for seed in range(sets):
        judge, people, strata, clusters, truth = simulate(seed, **settings)
        row = human_labels.estimate(judge, people, strata, clusters, seed=seed, resamples=200)
        draws = intervals.bootstrap(judge[:, None], clusters, seed=seed, resamples=200)[:, 0]
        own = intervals.estimate(judge, draws, clusters, is_share=True)
        held += [r["low"] <= truth <= r["high"] for r in (row, own)]
    return tuple(held / sets)


def test_a_biased_judge_is_corrected():
    """An interval that trusts the judge, or that is too narrow for how few labels there are."""
    ours, own = coverage(sensitivity=0.9, specificity=0.7)
    assert ours >= 0.9 and own < 0.1


def test_errors_that_no_label_shows_are_reckoned_with():
    """Certainty from 30 labels on which people and judge agree, though the judge misses a few per cent."""
    ours, own = coverage(sensitivity=0.97, specificity=1.0, right=(0.9, 0.9, 0.9), labels=10, n=1800, sets=100)
    assert ours >= 0.9 and own < 0.2


def test_a_perfect_judge_keeps_its_value_and_narrows_the_interval():
    """Labels that move a number which they confirm, or an interval as wide as if there were no judge."""
    judge, people, strata, clusters, _ = simulate(1, sensitivity=1.0, specificity=1.0)
    row = human_labels.estimate(judge, people, strata, clusters, **OPTIONS)
    assert row["value"] == row["judge_value"] == pytest.approx(judge.mean(), abs=1e-6)
    assert (row["lam"], row["n"], row["differ"]) == (1.0, 120, 0)
    alone = human_labels.estimate(np.zeros(600), people, strata, clusters, **OPTIONS)  # a judge that says nothing
    assert row["low"] < row["value"] < row["high"]
    assert row["high"] - row["low"] < 0.6 * (alone["high"] - alone["low"])


def test_a_useless_judge_is_left_out():
    """A coin's noise in the estimate: the interval must be that of the labels alone."""
    judge, people, strata, clusters, _ = simulate(2, sensitivity=0.5, specificity=0.5, labels=100, n=3000)
    one = np.zeros_like(strata)
    row = human_labels.estimate(judge, people, one, clusters, **OPTIONS)
    draws = intervals.bootstrap(people[:, None], clusters, **OPTIONS)[:, 0]
    alone = intervals.estimate(people, draws, clusters, is_share=True)
    assert row["lam"] < 0.15 and row["n"] == 300
    assert row["value"] == pytest.approx(alone["value"], abs=0.02)
    assert row["high"] - row["low"] == pytest.approx(alone["high"] - alone["low"], rel=0.1)


def test_strategies_weigh_as_they_do_in_the_test_set():
    """Labels, as many of every strategy, taken for a sample of the responses: the rare strategy weighs too much."""
    strata = np.repeat([0, 1], [900, 100])
    truth = np.repeat([1.0, 0.0], [900, 100])
    people = np.full(1000, np.nan)
    people[[*range(0, 900, 45), *range(900, 1000, 5)]] = 0.0
    people = np.where(np.isnan(people), np.nan, truth)
    clusters = intervals.Clusters([str(i) for i in range(1000)])
    row = human_labels.estimate(np.full(1000, 0.0), people, strata, clusters, **OPTIONS)
    assert row["n"] == 40 and row["value"] == 0.9 and row["judge_value"] == 0.0
    assert human_labels.estimate(np.full(1000, 0.0), people, strata, clusters, macro=True, **OPTIONS)["value"] == 0.5


def test_a_picture_brings_its_responses_and_labels():
    """Ten alike responses on each picture counted as independent: an interval a third as wide as is true."""
    rng = np.random.default_rng(3)
    truth = np.repeat(rng.integers(0, 2, 40), 10).astype(float)
    judge = np.where(rng.random(400) < 0.8, truth, 1 - truth)
    one, alone = np.zeros(400, int), intervals.Clusters([str(i) for i in range(400)])
    together = intervals.Clusters([str(i // 10) for i in range(400)])
    widths = [
        (r := human_labels.estimate(judge, truth, one, c, **OPTIONS))["high"] - r["low"] for c in (together, alone)
    ]
    assert widths[0] > 2 * widths[1]


def test_too_few_labels_give_no_number():
    """A macro over a strategy of four labels, or a value from a strategy that nobody labeled."""
    strata = np.repeat([0, 1], 50)
    clusters = intervals.Clusters([str(i) for i in range(100)])
    judge, people = np.tile([0.0, 1.0], 50), np.full(100, np.nan)
    people[:20] = judge[:20]
    assert human_labels.estimate(judge, people, strata, clusters, **OPTIONS)["value"] is None
    people[50:54] = judge[50:54]
    assert human_labels.estimate(judge, people, strata, clusters, **OPTIONS)["value"] == 0.5
    row = human_labels.estimate(judge, people, strata, clusters, macro=True, **OPTIONS)
    assert row["value"] is row["low"] is row["high"] is row["lam"] is None and (row["n"], row["judge_value"]) == (
        24,
        0.5,
    )
    nothing = human_labels.estimate(np.full(100, np.nan), people, strata, clusters, **OPTIONS)
    assert nothing["judge_value"] is nothing["value"] is None and nothing["n"] == 0


# --- labels ------------------------------------------------------------------------------------------------------


def examples(count: int) -> list[Example]:
    """Half `answer`, half `clarify`, each on its own picture."""
    return [Example.model_validate(star_example(i, "x.png", f"p{i}", stars=4 if i % 2 else 1)) for i in range(count)]


def criteria(right: bool, **changes) -> dict:
    return dict.fromkeys(CRITERIA) | {"strategy_right": float(right), "grounded": 1.0} | changes


def model(name: str, items: list[Example], said: str = "It is red.", told: str = "unknown") -> Judged:
    """A model that answers everything, judged as such."""
    predictions = {e.id: Prediction(example_id=e.id, text=said, model=told) for e in items}
    verdicts = {
        e.id: Verdict(example_id=e.id, judge="scene", used_strategy="answer", criteria=criteria(e.strategy == "answer"))
        for e in items
    }
    return Judged(name, predictions, verdicts)


def label(example: Example, *, used: str = "answer", annotator: str = "ann", **changes) -> human_labels.Label:
    row = {"example_id": example.id, "model": "sft", "annotator": annotator, "text": "It is red."}
    row |= {"used_strategy": used, "criteria": criteria(used == example.strategy)}
    return human_labels.Label.model_validate(row | changes)


def test_labels_find_their_model_or_are_counted():
    """A label counted for another model, for other words, or for whichever of two models comes first."""
    items = examples(6)
    models = [model("sft", items), model("mine", items, told="theirs"), model("a", items), model("b", items)]
    labels = [
        label(items[0]),
        label(items[1], model="theirs"),
        label(items[2], model="nobody"),
        label(items[3], model="unknown"),  # sft, a and b
        label(items[4], text="It is red. "),
        label(items[5], example_id="elsewhere"),
    ]
    people, said = human_labels.match(labels, models, items, **OPTIONS)
    assert {name: list(found) for name, found in people.items()} == {
        "sft": [items[0].id], "mine": [items[1].id], "a": [], "b": [],
    }  # fmt: skip
    assert said["labels"] == 6 and said["matched"] == {"sft": 1, "mine": 1, "a": 0, "b": 0}
    assert said["unmatched"] == {
        "no model of that name": 1,
        "several models of that name": 1,
        "the response has other words": 1,
        "no response to that example": 1,
    }
    assert said["other_words"] == {"sft": 1} and said["agreement"] is None


def test_the_majority_counts_and_then_who_came_first():
    """The last annotator's word for all, or a strategy_right that does not fit the strategy that was voted for."""
    one, two = examples(2)
    labels = [label(one, used=u, annotator=a) for u, a in (("clarify", "x"), ("answer", "y"), ("answer", "z"))]
    labels += [label(two, used=u, annotator=a) for u, a in (("clarify", "x"), ("infer", "y"), ("answer", "z"))]
    people, said = human_labels.match(labels, [model("sft", [one, two])], [one, two], **OPTIONS)
    found = people["sft"]
    assert (found[one.id].used_strategy, found[one.id].criteria["strategy_right"]) == ("answer", 1.0)
    assert (found[two.id].used_strategy, found[two.id].criteria["strategy_right"]) == ("clarify", 1.0)
    assert said["annotators"] == {"x": 2, "y": 2, "z": 2}


def test_annotators_agreement_is_cohens_kappa():
    """Agreement that credits chance: 18 of 24 agreed with margins of a half each is kappa 0.5."""
    items = examples(24)
    labels = [label(e, used="answer" if i < 12 else "infer") for i, e in enumerate(items)]
    labels += [label(e, used="answer" if 3 <= i < 15 else "infer", annotator="ben") for i, e in enumerate(items)]
    agreement = human_labels.match(labels, [model("sft", items)], items, **OPTIONS)[1]["agreement"]
    assert agreement["annotators"] == ["ann", "ben"]
    assert agreement["criteria"]["used_strategy"]["n"] == 24
    assert agreement["criteria"]["used_strategy"]["kappa"]["value"] == pytest.approx(0.5)
    few = human_labels.match(labels[:24] + labels[24:40], [model("sft", items)], items, **OPTIONS)[1]["agreement"]
    assert few["criteria"] == {}  # 16 in common


def test_metrics_are_over_the_examples_that_their_definitions_say():
    """Over-asking over all examples, no answer left out of answer accuracy, or a failed verdict in a number."""
    items = examples(40)
    mine = model("sft", items)
    for e in items[:30:2]:  # of the 20 answer items
        mine.verdicts[e.id].criteria |= {"over_asked": 0.0, "answer_right": 1.0}
    for e in items[30::2]:
        mine.verdicts[e.id].criteria["over_asked"] = 1.0  # and no answer
    mine.verdicts[items[0].id] = Verdict(example_id=items[0].id, judge="scene", failure="timeout")
    for e in items[1::2]:
        mine.verdicts[e.id].criteria["overconfident"] = 1.0
    people = {e.id: mine.verdicts[e.id].model_copy() for e in items[1:]}
    people[items[0].id] = people[items[2].id].model_copy(update={"example_id": items[0].id})
    found = human_labels.correct(items, mine, people, **OPTIONS)
    assert list(found) == ["strategy_accuracy_micro", metrics.MACRO, "grounded", "overconfident", "over_asked", "answer_accuracy"]  # fmt: skip # noqa: E501
    assert (found["over_asked"]["n"], found["over_asked"]["value"]) == (19, pytest.approx(5 / 19, abs=1e-6))
    assert (found["answer_accuracy"]["n"], found["answer_accuracy"]["value"]) == (19, pytest.approx(14 / 19, abs=1e-6))
    assert (found["overconfident"]["n"], found["overconfident"]["value"]) == (20, 1.0)
    assert found["strategy_accuracy_micro"]["judge_value"] == pytest.approx(19 / 39, abs=1e-6)
    assert found[metrics.MACRO]["value"] == 0.5 and found["grounded"]["n"] == 39


def test_questions_on_one_picture_stand_and_fall_together():
    """Examples drawn instead of pictures, once the estimate is called with examples."""
    widths = []
    for alike in (1, 10):
        rows = [star_example(i, "x.png", f"p{i // alike}", stars=1) for i in range(200)]
        items = [Example.model_validate(row) for row in rows]
        mine = model("sft", items)
        people = {e.id: v.model_copy(deep=True) for e, v in zip(items, mine.verdicts.values(), strict=True)}
        for i, e in enumerate(items):
            people[e.id].criteria["grounded"] = float(i // 10 % 2)
            mine.verdicts[e.id].criteria["grounded"] = float(i % 2)
        row = human_labels.correct(items, mine, dict(list(people.items())[:100]), **OPTIONS)["grounded"]
        widths.append(row["high"] - row["low"])
    assert widths[1] > 2 * widths[0]


# --- the report --------------------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path) -> Path:
    """Data of 48 examples and one model, `sft`, that answers all of them and is judged a little too well."""
    data = write_examples(tmp_path / "data", 48)
    items = jsonl.read(data, Example)
    mine = model("sft", items)
    for file, rows in (("predictions", mine.predictions), ("verdicts", mine.verdicts)):
        jsonl.write_atomic(tmp_path / "inference" / "sft" / f"{file}.jsonl", rows.values())
    return tmp_path


def make(folder: Path, *flags: str) -> dict:
    argv = ["--data_file", str(folder / "data/test.jsonl"), "--inference_dir", str(folder / "inference")]
    argv += ["--output_dir", str(folder / "report"), "--labels", str(folder / "labels.jsonl"), "--resamples", "200"]
    assert report.main([*argv, *flags]) == 0
    return json.loads((folder / "report/metrics.json").read_text())


def test_the_report_shows_what_people_say(folders):
    """Labels read and not used, used and not shown, or a second report that does not notice other labels."""
    items = jsonl.read(folders / "data/test.jsonl", Example)
    rows = [label(e, used="answer" if i % 4 else "none") for i, e in enumerate(items[:24])]
    rows += [label(items[30], model="<i>gone|", annotator="<b>")]
    jsonl.write_atomic(folders / "labels.jsonl", rows)
    content = make(folders)
    row = content["models"]["sft"]["corrected"]["strategy_accuracy_micro"]
    assert set(row) == {"value", "low", "high", "n", "judge_value", "lam", "differ"}
    assert row["judge_value"] == 0.5 and row["n"] == 24 and row["low"] < row["value"] == 0.25 < row["high"]
    assert content["labels"]["matched"] == {"sft": 24} and content["labels"]["file"].endswith("labels.jsonl")
    page, markdown = ((folders / "report" / name).read_text() for name in ("report.html", "report.md"))
    assert 'id="corrected"' in page and "1 of 25 labels match no response" in page and "<i>gone" not in page
    assert "| Strategy accuracy " in markdown and "50.0 → 25.0 [" in markdown
    inputs = [entry["path"] for entry in json.loads((folders / "report/run.json").read_text())["inputs"]]
    assert str(folders / "labels.jsonl") in inputs


def test_labels_that_contradict_themselves_are_named_and_not_used(folders):
    """A correction by labels that no response can have; labels that are gone without a word."""
    items = jsonl.read(folders / "data/test.jsonl", Example)
    rows = [label(e) for e in items[:24]]
    wrong = [label(e, used="enumerate", criteria=criteria(False, overconfident=1.0)) for e in items[24:30]]
    asking = [e for e in items[24:30] if e.strategy == "clarify"]
    jsonl.write_atomic(folders / "labels.jsonl", [*rows, *wrong])
    content = make(folders)
    assert content["labels"]["matched"] == {"sft": 24} and content["labels"]["unmatched"] == {}
    assert content["models"]["sft"]["corrected"]["strategy_accuracy_micro"]["n"] == 24
    page, markdown = ((folders / "report" / name).read_text() for name in ("report.html", "report.md"))
    for text in (page, markdown):
        assert "6 of 30 labels contradict themselves and are not used" in text and asking[0].id in text


def test_few_labels_are_said_and_correct_nothing(folders):
    """A correction from a handful of labels, or silence about them."""
    items = jsonl.read(folders / "data/test.jsonl", Example)
    jsonl.write_atomic(folders / "labels.jsonl", [label(e) for e in items[:19]])
    content = make(folders)
    assert "corrected" not in content["models"]["sft"] and content["labels"]["matched"] == {"sft": 19}
    page, markdown = ((folders / "report" / name).read_text() for name in ("report.html", "report.md"))
    assert all("Too few labeled responses to correct anything: SFT (19)." in text for text in (page, markdown))


def test_bad_labels_are_named(folders):
    """A stack trace for a label without its criteria, for no file, or for labels that the report would delete."""
    with pytest.raises(UserError, match="inference/label.py"):
        make(folders)
    path = folders / "labels.jsonl"
    path.write_text("")
    with pytest.raises(UserError, match="has no labels"):
        make(folders)
    row = label(examples(1)[0]).model_dump()
    path.write_text(json.dumps(row) + "\n" + json.dumps(row | {"criteria": {"grounded": 1}}) + "\n")
    with pytest.raises(UserError, match="labels.jsonl:2: criteria must have exactly the keys"):
        make(folders)
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match="lies in --output_dir"):
        make(folders, "--output_dir", str(folders))
