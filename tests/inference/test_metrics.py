"""What the report measures, against small cases computed by hand."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from clarifyvlm.records import CRITERIA, Example, Prediction, Verdict
from clarifyvlm.strategies import STRATEGIES
from closed_forms import share_interval
from judged_models import example, failed, judged, measure, verdict
from measures import constant_policies, intervals, metrics
from measures.judged import Judged
from reports import parse, section_html
from small_examples import star_example

ROOT = Path(__file__).resolve().parents[2]


# --- what the judge did not understand ---------------------------------------------------------------------------


def lost(of: Example, name: str = "not_understood") -> Verdict:
    return Verdict(example_id=of.id, judge="scene", failure=name)


def test_coverage_and_what_is_not_understood_as_wrong():
    """Numbers over half of a model's responses that look like those over all, a judge that was down taken for one that
    does not understand, and a column that flatters a model whose English the judge does not read."""
    answers, asks = [example(i, strategy="answer") for i in range(4)], [example(i, strategy="clarify") for i in (4, 5)]
    rows = [(e, verdict(e, "answer", answer_right=1.0, over_asked=0.0)) for e in answers[:2]]
    rows += [(answers[2], lost(answers[2])), (answers[3], failed(answers[3]))]
    rows += [(asks[0], verdict(asks[0], "clarify", overconfident=0.0)), (asks[1], lost(asks[1], "other_language"))]
    row = measure(judged("m", rows), examples=answers + asks)["models"]["m"]
    assert (row["coverage"]["value"], row["coverage"]["n"]) == (0.6, 5)
    assert row["coverage_by_strategy"]["clarify"]["value"] == 0.5 and row["coverage_by_strategy"]["answer"]["n"] == 3
    wrong = row["not_understood_as_wrong"]
    assert row["grounded"]["value"] == 1.0 and (wrong["grounded"]["value"], wrong["grounded"]["n"]) == (0.6, 5)
    assert row["strategy_accuracy_macro"]["value"] == 1.0
    assert wrong["strategy_accuracy_macro"]["value"] == pytest.approx((2 / 3 + 1 / 2) / 2, abs=1e-6)
    assert wrong["over_asked"]["value"] == pytest.approx(1 / 3, abs=1e-6) and wrong["overconfident"]["value"] == 0.5
    assert wrong["reward"]["value"] < row["reward"]["value"] and wrong["answer_accuracy"]["n"] == 3


def test_a_criterion_of_which_nothing_is_known_is_left_out():
    """Mumbling that counts as grounded, or as a wrong answer, or that nobody can count."""
    answers = [example(i, strategy="answer") for i in range(3)]
    known = [verdict(e, "answer", answer_right=1.0) for e in answers[:2]]
    values = known[0].criteria | {"grounded": None, "answer_right": None}
    about = {"example_id": answers[2].id, "criteria": values, "unknown": ["grounded", "answer_right"]}
    mumbled = Verdict.model_validate(known[0].model_dump() | about)
    row = measure(judged("m", [*zip(answers, [*known, mumbled], strict=True)]), examples=answers)["models"]["m"]
    assert row["coverage"]["value"] == 1.0 and row["unknown"] == {"answer_right": 1, "grounded": 1}
    for key in ("grounded", "answer_accuracy", "served", "reward"):
        assert (row[key]["value"], row[key]["n"]) == (1.0, 2), key
        assert row["not_understood_as_wrong"][key]["n"] == 3 and row["not_understood_as_wrong"][key]["value"] < 0.9, key
    assert row["strategy_accuracy_micro"]["n"] == 3


# --- metrics -----------------------------------------------------------------------------------------------------


def test_macro_weighs_strategies_alike_whatever_their_numbers():
    """A macro average that is a micro average: the common strategy hides the rare one."""
    common = [example(i, strategy="answer") for i in range(8)]
    rare = [example(10, strategy="clarify"), example(11, strategy="clarify")]
    rows = [(e, verdict(e, "answer", answer_right=1.0)) for e in common]
    rows += [(e, verdict(e, "answer", overconfident=1.0)) for e in rare]
    row = measure(judged("m", rows), examples=common + rare)["models"]["m"]
    assert row["strategy_accuracy_macro"]["value"] == 0.5 and row["strategy_accuracy_macro"]["n"] == 10
    assert row["strategy_accuracy_micro"]["value"] == 0.8
    assert row["strategy_accuracy"]["answer"]["value"] == 1.0 and row["strategy_accuracy"]["clarify"]["value"] == 0.0
    assert row["strategy_accuracy"]["infer"] == {"value": None, "low": None, "high": None, "n": 0}
    assert row["confusion"]["clarify"]["answer"] == 2 and row["confusion"]["answer"]["answer"] == 8


def test_overconfidence_and_over_asking_look_at_their_own_examples():
    """Over-asking that cannot be seen since only ambiguous items count, or overconfidence diluted by easy items."""
    one = [example(i, strategy="answer") for i in range(4)]
    several = [
        example(i, strategy=s) for i, s in enumerate(("infer", "enumerate", "clarify", "correct", "abstain"), 10)
    ]
    rows = [(one[0], verdict(one[0], "clarify", over_asked=1.0, answer_right=0.0))]
    rows += [(e, verdict(e, "answer", over_asked=0.0, answer_right=1.0)) for e in one[1:]]
    rows += [(several[0], verdict(several[0], "answer", overconfident=1.0))]
    rows += [(e, verdict(e, e.strategy, overconfident=0.0, over_asked=1.0)) for e in several[1:]]
    row = measure(judged("m", rows), examples=one + several)["models"]["m"]
    assert (row["over_asked"]["value"], row["over_asked"]["n"]) == (0.25, 4)
    assert (row["overconfident"]["value"], row["overconfident"]["n"]) == (0.2, 5)
    assert (row["answer_accuracy"]["value"], row["answer_accuracy"]["n"]) == (0.75, 4)


def test_no_answer_is_not_a_right_one_nor_left_out():
    """Answer accuracy over the answers given only: a model that asks on everything hard would score 100 %."""
    items = [example(i, strategy="answer") for i in range(2)]
    rows = [(items[0], verdict(items[0], "answer", answer_right=1.0)), (items[1], verdict(items[1], "clarify"))]
    row = measure(judged("m", rows), examples=items)["models"]["m"]
    assert (row["answer_accuracy"]["value"], row["answer_accuracy"]["n"]) == (0.5, 2)


def test_after_the_reply_counts_dialogues_only():
    """Examples without a reply counted as wrong (or right) answers after it."""
    items = [example(i, strategy="clarify") for i in range(3)]
    rows = [(items[0], verdict(items[0], "clarify", 1.0)), (items[1], verdict(items[1], "clarify", 0.0))]
    rows += [(items[2], verdict(items[2], "answer", overconfident=1.0))]
    row = measure(judged("m", rows), examples=items)["models"]["m"]
    assert (row["answer_accuracy_after_reply"]["value"], row["answer_accuracy_after_reply"]["n"]) == (0.5, 2)


def test_judge_failures_are_counted_and_are_in_no_number():
    """A failure of the judge scored as a failure of the model."""
    items = [example(i, strategy="answer") for i in range(4)]
    rows = [(e, verdict(e, "answer", answer_right=1.0)) for e in items[:3]] + [(items[3], failed(items[3]))]
    row = measure(judged("m", rows), examples=items)["models"]["m"]
    assert row["judge_failures"] == 1 and row["judge_failures_by_name"] == {"timeout": 1}
    assert row["answer_accuracy"]["value"] == 1.0 and row["answer_accuracy"]["n"] == 3
    assert row["reward"]["value"] == 1.0 and row["reward"]["n"] == 3


def test_the_page_defines_every_metric():
    """A metric whose definition, or whose examples, are empty or not on the page; a column that is no metric."""
    shown = " ".join("".join(parse(section_html("definitions", {})).text).split())
    for key, metric in metrics.METRICS.items():
        assert min(len(text.split()) for text in (metric.label, metric.of, metric.definition)) >= 1
        assert f"{metric.label}{key}{metric.of}{metric.definition}".replace("`", "") in shown
    assert set(metrics.OVERVIEW) <= {metrics.MACRO, *metrics.METRICS}


# --- intervals ---------------------------------------------------------------------------------------------------


def test_bootstrap_clusters_by_picture():
    """Ten questions on each of 30 pictures taken for 300 independent ones: an interval a third as wide as is true."""
    pictures = [f"p{i // 10}" for i in range(300)]
    values = np.repeat(np.random.default_rng(1).integers(0, 2, 30), 10).astype(float)[:, None]
    clustered = intervals.bootstrap(values, intervals.Clusters(pictures), seed=0, resamples=2000)[:, 0]
    alone = intervals.bootstrap(values, intervals.Clusters([f"p{i}" for i in range(300)]), seed=0, resamples=2000)[:, 0]
    assert 2.5 < clustered.std() / alone.std() < 4.0  # sqrt(10) = 3.2


def test_bootstrap_agrees_with_the_closed_form():
    """Draws with another spread than the standard error of a mean of independent values."""
    values = np.random.default_rng(2).normal(size=(400, 1))
    draws = intervals.bootstrap(values, intervals.Clusters([str(i) for i in range(400)]), seed=0, resamples=4000)
    assert draws.std() == pytest.approx(values.std() / 20, rel=0.06)
    assert draws.mean() == pytest.approx(values.mean(), abs=0.005)


def test_bootstrap_in_pieces_draws_the_same(monkeypatch):
    """Numbers that depend on how much memory the draws were cut into."""
    values = np.random.default_rng(3).integers(0, 2, (50, 2)).astype(float)
    clusters = intervals.Clusters([str(i) for i in range(50)])
    whole = intervals.bootstrap(values, clusters, seed=5, resamples=200)
    monkeypatch.setattr(intervals, "CHUNK", 500)
    assert np.array_equal(whole, intervals.bootstrap(values, clusters, seed=5, resamples=200))


def test_nothing_wrong_in_ten_is_not_certainty():
    """[100, 100] % from ten right answers: percentiles of draws that are all the same."""
    column, clusters = np.ones(10), intervals.Clusters([str(i) for i in range(10)])
    row = intervals.estimate(column, np.ones(100), clusters, is_share=True)
    assert (row["low"], row["high"]) == pytest.approx(share_interval(1.0, 10, 10), abs=1e-6)
    row = intervals.estimate(1 - column, np.zeros(100), clusters, is_share=True)
    assert (row["low"], row["high"]) == pytest.approx(share_interval(0.0, 10, 10), abs=1e-6)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.97])
@pytest.mark.parametrize("trials", [12.5, 80, 1000])
def test_wilsons_interval_is_the_inverted_test(share, trials):
    """An interval of another test, or bounds outside 0..1."""
    found = intervals.wilson(share, trials, intervals.t_value(40))
    assert found == pytest.approx(share_interval(share, trials, 40), abs=1e-9)


def test_a_share_counts_as_many_questions_as_its_spread_is_worth():
    """Ten questions on each of 30 pictures taken for 300 independent ones."""
    values = np.repeat(np.random.default_rng(1).integers(0, 2, 30), 10).astype(float)
    clusters = intervals.Clusters([f"p{i // 10}" for i in range(300)])
    draws = intervals.bootstrap(values[:, None], clusters, seed=0, resamples=2000)[:, 0]
    row = intervals.estimate(values, draws, clusters, is_share=True)
    effective = values.mean() * (1 - values.mean()) / draws.var()
    assert (row["low"], row["high"]) == pytest.approx(share_interval(values.mean(), effective, 30), abs=1e-6)
    assert 25 < effective < 35


def test_pictures_named_like_numbers_stay_apart():
    """Clusters merged or torn by a conversion of their names."""
    clusters = intervals.Clusters(["1", "01", "1", "1.0"])
    assert clusters.count == 3 and clusters.index[0] == clusters.index[2]
    assert clusters.sums(np.array([[1.0], [2.0], [4.0], [8.0]]))[clusters.index[0], 0] == 5.0


# --- differences -------------------------------------------------------------------------------------------------


def two_models(better_right: int = 36) -> tuple[list[Example], Judged, Judged]:
    items = [example(i, strategy="answer") for i in range(40)]
    worse = [(e, verdict(e, "answer" if i < 20 else "clarify")) for i, e in enumerate(items)]
    better = [(e, verdict(e, "answer" if i < better_right else "clarify")) for i, e in enumerate(items)]
    return items, judged("base", worse), judged("grpo", better)


def test_a_difference_is_the_later_minus_the_earlier_and_paired():
    """The sign turned round, or the pairing lost: these two differ on the same 16 of 40 whatever is drawn."""
    items, base, grpo = two_models()
    rows = measure(base, grpo, examples=items)["differences"]
    row = next(d for d in rows if d["metric"] == "strategy_accuracy_macro")
    assert (row["a"], row["b"], row["n"]) == ("grpo", "base", 40) and row["value"] == 0.4
    assert 0 < row["low"] < 0.4 < row["high"] and row["p"] < 0.01
    width = row["high"] - row["low"]
    assert width == pytest.approx(2 * 1.96 * (0.4 * 0.6 / 40) ** 0.5, rel=0.2)  # unpaired: (.25 + .09) in the root


def test_equal_models_do_not_differ():
    """p near 0 for a difference that is exactly 0."""
    items, base, same = two_models(better_right=20)
    rows = measure(base, same, examples=items)["differences"]
    assert rows and all(d["value"] == 0 and d["p"] == 1.0 for d in rows)


def test_models_of_different_examples_meet_on_the_common_ones():
    """A model that only answered the easy half compared with one that answered all."""
    items, base, grpo = two_models()
    half = judged("half", [(e, grpo.verdicts[e.id]) for e in items[20:]])  # base is wrong on all of these
    content = measure(base, half, examples=items)
    row = next(d for d in content["differences"] if d["metric"] == "strategy_accuracy_macro")
    assert row["n"] == 20 and row["value"] == 0.8  # 16 of 20 against 0 of 20, not against 20 of 40
    assert content["models"]["half"]["examples"] == 20


def test_models_of_different_judges_are_not_compared():
    """The kindness of one judge and the strictness of another taken for a difference between two models."""
    items, base, grpo = two_models()
    third = judged(
        "third",
        [(e, v.model_copy(update={"judge": "openai:m"})) for e, v in zip(items, grpo.verdicts.values(), strict=True)],
    )
    both = judged("both", [(e, third.verdicts[e.id] if e.id < "ex0020" else grpo.verdicts[e.id]) for e in items])
    content = measure(base, grpo, third, both, examples=items)
    assert {(d["a"], d["b"]) for d in content["differences"]} == {("grpo", "base")}
    assert content["judges"] == {
        "base": ["scene"],
        "grpo": ["scene"],
        "third": ["openai:m"],
        "both": ["openai:m", "scene"],
    }
    assert [row["judge"] for row in content["models"].values()] == ["scene", "scene", "openai:m", "openai:m, scene"]


def test_same_seed_same_numbers():
    """A report that changes from run to run."""
    items, base, grpo = two_models()
    assert measure(base, grpo, examples=items) == measure(base, grpo, examples=items)
    values, clusters = np.random.default_rng(4).normal(size=(40, 1)), intervals.Clusters([e.id for e in items])
    one, other = (intervals.bootstrap(values, clusters, seed=seed, resamples=100) for seed in (0, 1))
    assert not np.array_equal(one, other)


# --- constant policies -------------------------------------------------------------------------------------------


def test_a_constant_policy_is_right_on_its_own_strategy_only():
    """A response of a policy that the judge reads as another strategy: the floor would be too low."""
    answer, clarify = (Example.model_validate(star_example(i, "x.png", "p", stars=s)) for i, s in ((0, 1), (1, 4)))
    _, played = constant_policies.play([answer, clarify])
    used = {policy.name: [policy.verdicts[e.id].used_strategy for e in (answer, clarify)] for policy in played}
    assert used["always_answer"] == ["answer"] * 2 and used["always_ask"] == ["clarify"] * 2
    assert used["always_correct"] == ["correct"] * 2 and used["always_abstain"] == ["abstain"] * 2
    assert used["always_empty"] == ["none"] * 2
    assert used["always_list"][1] == "enumerate" and used["always_infer"][1] == "infer"


@pytest.mark.parametrize("name", list(constant_policies.POLICIES))
def test_a_constant_policy_sees_no_picture(name):
    """A policy that peeks at the facts, the readings or the label, and so is no floor."""
    row = star_example(0, "x.png", "p", stars=1)
    other = json.loads(json.dumps(row))
    other["facts"]["objects"][0] |= {"color": "blue", "place": "center", "name": "square"}
    other["ambiguity"]["readings"] = []
    other |= {"strategy": "correct", "reference": "There is no star."}
    say = constant_policies.POLICIES[name]
    assert say(Example.model_validate(row)) == say(Example.model_validate(other))


def test_confusion_has_every_strategy():
    """A strategy that never occurs missing from the table."""
    table = metrics.confusion([], Judged("m", {}, {}))
    assert list(table) == list(STRATEGIES) and list(table["answer"]) == [*STRATEGIES, "none"]


def test_the_docs_have_the_definitions_of_the_code():
    """A definition changed in the code and not in docs/metrics.md."""
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    for key, metric in metrics.METRICS.items():
        assert f"| {metric.label} | `{key}` | {metric.of} | {metric.definition} |" in text


def test_served():
    """A user who asked, replied and was answered rightly, counted as badly served; a list with a gap, or a guess at a
    false premise, counted as good service; a number where the model asked and nobody replied."""

    def example(strategy):
        return SimpleNamespace(strategy=strategy, has_answer=strategy not in ("correct", "abstain"))

    def verdict(used, after=None, **criteria):
        known = dict.fromkeys(CRITERIA) | criteria
        return SimpleNamespace(used_strategy=used, criteria=known, answer_right_after_reply=after, unknown=[])

    def served(*args, kind="helpful"):
        said = Prediction(example_id="e0", text="Which?", user_kind=kind)
        return [metrics.METRICS[name].value(*args, said) for name in ("served_at_once", "served")]

    assert served(example("answer"), verdict("answer", answer_right=1.0)) == [1.0, 1.0]
    assert served(example("answer"), verdict("clarify", after=1.0, answer_right=0.0)) == [0.0, 1.0]
    assert served(example("clarify"), verdict("clarify", after=1.0)) == [0.0, 1.0]
    assert served(example("clarify"), verdict("clarify", after=0.0)) == [0.0, 0.0]
    assert served(example("clarify"), verdict("clarify", after=0.0), kind="unsure") == [0.0, None], "nobody can know"
    assert served(example("answer"), verdict("clarify", after=1.0, answer_right=0.0), kind="unsure") == [0.0, 1.0]
    assert served(example("clarify"), verdict("answer")) == [0.0, 0.0]
    assert served(example("enumerate"), verdict("enumerate", answer_right=1.0, complete=0.5)) == [0.0, 0.0]
    assert served(example("enumerate"), verdict("enumerate", answer_right=1.0, complete=1.0)) == [1.0, 1.0]
    assert served(example("correct"), verdict("correct", strategy_right=1.0)) == [1.0, 1.0]
    assert served(example("abstain"), verdict("answer", strategy_right=0.0)) == [0.0, 0.0]
    assert served(example("clarify"), verdict("clarify")) == [0.0, None]
    assert served(example("infer"), verdict("clarify", answer_right=0.0)) == [0.0, None]
    assert served(example("abstain"), verdict("clarify", strategy_right=0.0)) == [
        0.0,
        0.0,
    ]  # no reply could have helped


def test_a_difference_in_service_is_taken_where_both_dialogues_end():
    """The mean over the questions that one model did not ask about, minus that over all: a difference of questions."""
    examples = [example(i, strategy="clarify") for i in range(30)] + [
        example(i, strategy="answer") for i in range(30, 60)
    ]
    asks = [
        (e, verdict(e, "clarify") if i < 30 else verdict(e, "answer", answer_right=1.0)) for i, e in enumerate(examples)
    ]
    guesses = [(e, verdict(e, "answer", answer_right=0.0 if i < 30 else 1.0)) for i, e in enumerate(examples)]
    found = measure(judged("guesses", guesses), judged("asks", asks), examples=examples)
    assert [found["models"][name]["served"]["value"] for name in ("guesses", "asks")] == [0.5, 1.0]
    rows = {row["metric"]: row for row in found["differences"]}
    assert (rows["served"]["value"], rows["served"]["n"]) == (0.0, 30)
    assert (rows["served_at_once"]["value"], rows["served_at_once"]["n"]) == (0.0, 60)
