"""Calibration and the price of asking: against other computations of the same numbers, and at the edges."""

import itertools
import json
import re
import time
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from clarifyvlm.errors import UserError
from clarifyvlm.records import CRITERIA, Ambiguity, Dialogue, Example, Facts, Prediction, Reading, Verdict
from measures import calibration, intervals
from measures.judged import Judged
from reporting import plots
from reports import section_html

ESTIMATES = ("mean_confidence", "right", "brier", "ece", "auroc", "aurc", "excess_aurc")


def example(number: int, strategy: str = "answer", picture: int | None = None) -> Example:
    dialogue = Dialogue(reading=0, question="Which?", reply="This.", answer="Red.") if strategy == "clarify" else None
    return Example(
        id=f"e{number}",
        split="test",
        image="a.png",
        image_sha256=f"p{number if picture is None else picture}",
        question="What colour?",
        kind="color",
        ambiguity=Ambiguity(type="none", level=0, readings=[Reading(objects=[], expression="it", answer="red")]),
        strategy=strategy,
        reference="Red.",
        dialogue=dialogue,
        facts=Facts(source="test", width=8, height=8, objects=[]),
    )


def verdict(number: int, used: str = "answer", after: float | None = None, **criteria: float | None) -> Verdict:
    values = dict.fromkeys(CRITERIA) | criteria
    return Verdict(
        example_id=f"e{number}", judge="test", used_strategy=used, criteria=values, answer_right_after_reply=after
    )


def answers(confidences, rights, *, name: str = "m", failed: int | None = None) -> Judged:
    """One-reading answers, right or wrong, with their confidences; the judge fails on number `failed`."""
    predictions = {
        f"e{i}": Prediction(example_id=f"e{i}", text="It is red.", confidence=None if c is None else float(c))
        for i, c in enumerate(confidences)
    }
    verdicts = {f"e{i}": verdict(i, strategy_right=1.0, answer_right=float(r)) for i, r in enumerate(rights)}
    if failed is not None:
        verdicts[f"e{failed}"] = Verdict(example_id=f"e{failed}", judge="test", failure="timeout")
    return Judged(name, predictions, verdicts)


def measure(*models: Judged, examples: list[Example] | None = None, resamples: int = 200) -> dict:
    count = max(len(m.verdicts) for m in models)
    content = calibration.measure(examples or [example(i) for i in range(count)], models, seed=0, resamples=resamples)
    json.dumps(content, allow_nan=False)
    return content


def exact(confidences, rights, weights=None) -> dict:
    """The statistics of responses drawn `weights` times, not rounded."""
    ranked = calibration.Ranked(np.asarray(confidences, float), np.asarray(rights))
    weights = np.ones((1, len(rights)), np.int64) if weights is None else np.asarray(weights)[None]
    return {key: value[0] for key, value in ranked.statistics(weights).items()}


def slow_risks(confidences, rights) -> list[float]:
    """The expected risk of the k most confident, k = 1..n, one at a time."""
    pairs = sorted(zip(confidences, rights, strict=True), key=lambda pair: -pair[0])
    risks, expected = [], 0.0
    for _, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
        wrong = [1 - r for _, r in group]
        for _ in wrong:
            expected += sum(wrong) / len(wrong)
            risks.append(expected / (len(risks) + 1))
    return risks


def slow_ece(confidences, rights) -> float:
    pairs, n = sorted(zip(confidences, rights, strict=True)), len(rights)
    bins: dict[int, list] = {}
    for level in sorted(set(confidences)):
        at = [i for i, (c, _) in enumerate(pairs) if c == level]
        middle = (at[0] + at[-1] + 1) / 2 / n
        bins.setdefault(int(middle * 10 + 1e-9), []).extend(pairs[i] for i in at)
    return sum(len(b) / n * abs(np.mean([r for _, r in b]) - np.mean([c for c, _ in b])) for b in bins.values())


def drawn(seed: int, n: int = 157, digits: int = 9) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    confidences = np.round(rng.uniform(size=n), digits)
    return confidences, (rng.uniform(size=n) < confidences**2).astype(int)


@pytest.mark.parametrize("digits", [9, 1])
def test_statistics_agree_with_other_computations(digits):
    """A wrong formula, and ties (one digit) whose outcome hangs on the order of the file."""
    for seed in range(5):
        c, r = drawn(seed, digits=digits)
        got, risks, n = exact(c, r), slow_risks(c, r), len(r)
        assert got["auroc"] == pytest.approx(roc_auc_score(r, c), abs=1e-9)
        assert got["ece"] == pytest.approx(slow_ece(c.tolist(), r.tolist()), abs=1e-9)
        assert got["aurc"] == pytest.approx(np.mean(risks), abs=1e-9)
        best = np.mean([max(0, k - r.sum()) / k for k in range(1, n + 1)])
        assert got["excess_aurc"] == pytest.approx(got["aurc"] - best, abs=1e-9)
        at = [risks[int(np.ceil(n * share / 20 - 1e-9)) - 1] for share in range(1, 21)]
        np.testing.assert_allclose(got["risk"], at, atol=1e-9)
        order = np.random.default_rng(seed).permutation(n)
        for key, value in exact(c[order], r[order]).items():
            np.testing.assert_allclose(value, got[key], atol=1e-9)


def test_expected_risk_of_ties_is_the_mean_over_all_orders():
    """A formula for ties that agrees with the slow loop since both are wrong."""
    c, r = [0.9, 0.5, 0.5, 0.5, 0.1], [1, 0, 1, 0, 1]
    areas = []
    for middle in itertools.permutations(r[1:4]):
        wrong = np.cumsum(1 - np.array([r[0], *middle, r[4]]))
        areas.append(np.mean(wrong / np.arange(1, 6)))
    assert exact(c, r)["aurc"] == pytest.approx(np.mean(areas), abs=1e-12)


def test_a_draw_counts_like_so_many_copies():
    """Weights that enter one of the statistics wrongly, so that its interval is one of something else."""
    c, r = drawn(3, n=60)
    weights = np.random.default_rng(1).integers(0, 4, size=60)
    copies = np.repeat(np.arange(60), weights)
    for key, value in exact(c, r, weights).items():
        np.testing.assert_allclose(value, exact(c[copies], r[copies])[key], atol=1e-9)


def test_measure_gives_the_same_numbers_with_intervals_around_them():
    """A column of the wrong model, a failed verdict counted, an interval that leaves its value out."""
    c, r = drawn(0, n=120)
    content = measure(answers(c, r, failed=7), answers(1 - c, r, name="other"))
    row, kept = content["models"]["m"], np.arange(120) != 7
    assert row["brier"]["value"] == pytest.approx(brier_score_loss(r[kept], c[kept]), abs=1e-6)
    assert row["auroc"]["value"] == pytest.approx(roc_auc_score(r[kept], c[kept]), abs=1e-6)
    assert row["risk"]["value"][-1] == pytest.approx(1 - r[kept].mean(), abs=1e-6)
    assert row["accuracy_at_coverage"]["0.5"]["value"] == pytest.approx(1 - slow_risks(c[kept], r[kept])[59], abs=1e-6)
    assert content["models"]["other"]["auroc"]["value"] == pytest.approx(roc_auc_score(r, 1 - c), abs=1e-6)
    for key in ESTIMATES:
        assert row[key]["low"] <= row[key]["value"] <= row[key]["high"] and row[key]["n"] == 119
    assert sum(b["right"]["n"] for b in row["reliability"]) == 119 and len(row["reliability"]) == 10
    assert max(b["right"]["n"] for b in row["reliability"]) <= 12


def test_intervals_are_over_pictures():
    """Questions about one picture drawn apart: twenty pictures of thirty equal answers look like 600 answers."""
    rights, confidences = np.repeat(np.arange(20) % 2, 30), np.repeat(np.linspace(0.1, 0.9, 20), 30)
    together = [example(i, picture=i // 30) for i in range(600)]
    widths = []
    for examples in (together, [example(i) for i in range(600)]):
        row = measure(answers(confidences, rights), examples=examples)["models"]["m"]
        widths.append([row[key]["high"] - row[key]["low"] for key in ("right", "brier", "auroc", "aurc", "ece")])
    assert np.all(np.array(widths[0]) > 2.5 * np.array(widths[1]))


def test_ranked_draws_are_the_bootstraps_own():
    """Two kinds of interval on one page that come from different pictures."""
    c, r = drawn(2, n=40)
    examples = [example(i, picture=i // 2) for i in range(40)]
    clusters = intervals.Clusters([e.image_sha256 for e in examples])
    table = {"confidence": c, "right": r.astype(float)}
    (_, _, draws) = calibration._ranked_draws({"m": table}, clusters, 5, 50)["m"]
    means = intervals.bootstrap(table["right"][:, None], clusters, seed=5, resamples=200)[:50, 0]
    np.testing.assert_allclose(1 - draws["risk"][:, -1], means, atol=1e-12)


def test_planted_miscalibration_is_found_and_calibration_is_not():
    """An ECE that is blind to the direction or the size of a gap, or that calls noise a fault."""
    rng = np.random.default_rng(0)
    c = rng.uniform(0.5, 1.0, size=4000)
    calibrated = (rng.uniform(size=4000) < c).astype(int)
    too_sure = (rng.uniform(size=4000) < c - 0.2).astype(int)
    models = measure(answers(c, calibrated, name="good"), answers(c, too_sure, name="bad"))["models"]
    assert models["good"]["ece"]["high"] < 0.05
    assert models["bad"]["ece"]["low"] < 0.2 < models["bad"]["ece"]["high"] and models["bad"]["ece"]["low"] > 0.15
    assert models["bad"]["mean_confidence"]["low"] > models["bad"]["right"]["high"]


def test_constant_confidence_tells_nothing():
    """Ties broken by the order of the file: a constant would look informative."""
    r = np.array([1] * 30 + [0] * 10)
    row = measure(answers([0.8] * 40, r))["models"]["m"]
    assert row["auroc"]["value"] == 0.5 and row["aurc"]["value"] == 0.25 and row["ece"]["value"] == 0.05
    assert set(row["risk"]["value"]) == {0.25} and len(row["reliability"]) == 1


@pytest.mark.parametrize("r", [0, 1])
def test_all_right_or_all_wrong(r):
    """A division by none: nothing to tell apart is no AUROC of 0 or NaN."""
    row = measure(answers(np.linspace(0.1, 0.9, 20), [r] * 20))["models"]["m"]
    assert row["auroc"] == {"value": None, "low": None, "high": None, "n": 0}
    assert row["aurc"]["value"] == 1 - r and row["excess_aurc"]["value"] == 0.0
    assert row["right"]["high"] - row["right"]["low"] > 0.05


@pytest.mark.parametrize("confidence", [0.3, None])
def test_a_single_example(confidence):
    """A crash on the smallest input, with and without a confidence."""
    content = measure(answers([confidence], [1]))
    row = content["models"]["m"]
    if confidence is None:
        assert all(row[key]["value"] is None and row[key]["n"] == 0 for key in ESTIMATES)
        assert row["risk"]["value"] == [None] * 20 and row["reliability"] == []
    else:
        assert row["ece"]["value"] == pytest.approx(0.7) and row["brier"]["value"] == pytest.approx(0.49)
    assert row["utility"]["value"] == [1.0] * 21
    assert "</section>" in section_html("calibration", content)


def test_some_or_no_verdicts_and_no_models():
    """A model judged on few examples (draws without any of them), on none, or no model at all."""
    few = Judged("few", answers([0.5], [1]).predictions, answers([0.5], [1]).verdicts)
    c, r = drawn(0, n=30)
    content = measure(few, answers(c, r), Judged("none", {}, {}))
    assert content["models"]["few"]["ece"]["n"] == 1 and content["models"]["none"]["utility"]["n"] == 0
    assert content["models"]["none"]["never_ask"]["value"] is None
    assert "n/a" in section_html("calibration", content)
    assert calibration.measure([example(0)], [], seed=0, resamples=10)["models"] == {}
    assert calibration.measure([], [], seed=0, resamples=10)["models"] == {}


@pytest.mark.parametrize("value", [87.5, -0.1, float("nan")])
def test_a_confidence_that_is_no_probability_is_refused(value):
    """Another tool's per cent taken for a probability: every number here would be nonsense."""
    with pytest.raises(UserError, match="m: the confidence of the prediction on e1 is .*0..1"):
        measure(answers([0.5, value], [1, 1]))


def test_right_needs_strategy_and_answer():
    """A right strategy with a wrong answer, or a right answer by the wrong strategy, taken for right."""
    assert calibration.right(verdict(0, strategy_right=1.0, answer_right=None)) == 1.0
    assert calibration.right(verdict(0, strategy_right=1.0, answer_right=0.0)) == 0.0
    assert calibration.right(verdict(0, strategy_right=0.0, answer_right=1.0)) == 0.0
    assert calibration.right(verdict(0)) is None


@pytest.mark.parametrize(
    ("strategy", "used", "after", "criteria", "value"),
    [
        ("clarify", "clarify", 1.0, {"question_value": 0.2}, 1.0),
        ("clarify", "clarify", 0.0, {"question_value": 1.0}, 0.0),
        ("clarify", "clarify", None, {"question_value": 0.6}, 0.6),
        ("clarify", "enumerate", None, {"grounded": 1.0}, 0.0),
        ("answer", "clarify", None, {"answer_right": 0.0}, 0.0),
        ("answer", "enumerate", None, {"answer_right": 1.0}, 1.0),
        ("infer", "answer", None, {"answer_right": 0.0}, 0.0),
        ("enumerate", "enumerate", None, {"complete": 0.5, "answer_right": 0.0}, 0.5),
        ("enumerate", "answer", None, {"complete": 0.5}, 0.0),
        ("abstain", "abstain", None, {"strategy_right": 1.0}, 1.0),
        ("correct", "answer", None, {"strategy_right": 0.0}, 0.0),
    ],
)
def test_what_a_response_resolves(strategy, used, after, criteria, value):
    """A row of the definition that the code does not follow."""
    said = Prediction(example_id="e0", text="Red.")
    assert calibration.resolved(example(0, strategy), verdict(0, used, after, **criteria), said) == value


def test_what_a_question_resolves_that_nobody_answered():
    """A question that counts as useless because the user did not know what they mean."""
    said, found = (
        Prediction(example_id="e0", text="Which?", user_kind="unsure"),
        verdict(0, "clarify", 0.0, question_value=0.6),
    )
    assert calibration.resolved(example(0, "clarify"), found, said) == 0.6


def test_utility_in_closed_form():
    """A price paid for what was not asked, a policy that pays nothing, a break-even off the crossing of the lines."""
    strategies = ["clarify"] * 4 + ["answer"] * 4 + ["correct"] * 2
    verdicts = [verdict(i, "clarify", after) for i, after in enumerate([1.0, 1.0, 1.0, 0.0])]
    verdicts += [verdict(i, "answer", strategy_right=1.0, answer_right=float(i > 4)) for i in range(4, 8)]
    verdicts += [verdict(i, "correct", strategy_right=1.0) for i in (8, 9)]
    said = {v.example_id: Prediction(example_id=v.example_id, text="Red.") for v in verdicts}
    model = Judged("m", said, {v.example_id: v for v in verdicts})
    content = measure(model, examples=[example(i, s) for i, s in enumerate(strategies)])
    row, prices = content["models"]["m"], np.array(content["prices"])
    np.testing.assert_allclose(row["utility"]["value"], 0.8 - 0.4 * prices, atol=1e-6)
    np.testing.assert_allclose(content["policies"]["always_ask"]["value"], 0.8 - prices, atol=1e-6)
    np.testing.assert_allclose(content["policies"]["oracle"]["value"], 1 - 0.4 * prices, atol=1e-6)
    assert (row["never_ask"]["value"], row["asked"]["value"]) == (0.5, 0.4)
    assert row["break_even"]["value"] == 0.75 and row["break_even"]["n"] == 4
    assert row["utility"]["value"][15] == pytest.approx(row["never_ask"]["value"])  # at the price 0.75
    low, high = np.array(row["utility"]["low"]), np.array(row["utility"]["high"])
    assert np.all(low <= row["utility"]["value"]) and np.all(row["utility"]["value"] <= high)


def test_the_section_is_small_safe_and_the_same_every_time():
    """Ids that meet in one page, a style sheet that reaches the whole page, a date, a name that becomes markup."""
    c, r = drawn(0, n=200)
    names = ["base", "<script>x</script>", "_a$b$"]
    models = [answers(c, np.roll(r, i), name=name) for i, name in enumerate(names)]
    content = measure(*models)
    html = section_html("calibration", content)
    assert html == section_html("calibration", content) and "<script>" not in html and "&lt;script&gt;" in html
    drawings = [plot.svg() for plot in plots.calibration(content)]
    assert len(drawings) == 3 and all(len(drawing) < 30_000 for drawing in drawings)
    for drawing in drawings:
        ElementTree.fromstring(drawing)
        assert "<style" not in drawing and "<metadata" not in drawing
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', "".join(drawings))) and all(
        (a or b) in ids for a, b in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', "".join(drawings))
    )


def test_three_models_take_a_second():
    """A loop over draws: a report of seconds that takes minutes."""
    c, r = drawn(0, n=600)
    models = [answers(c, np.roll(r, i), name=str(i)) for i in range(3)]
    begin = time.process_time()
    measure(*models, resamples=2000)
    assert time.process_time() - begin < 5
