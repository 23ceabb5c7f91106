"""Finer cuts and other benchmarks' tables, against scikit-learn and counts by hand."""

import random
from collections import defaultdict

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from clarifyvlm.records import CRITERIA, Example, Prediction, Verdict
from clarifyvlm.strategies import LEVELS, STRATEGIES
from measures import detection, strata
from measures.judged import Judged
from small_examples import star_example


def example(index: int, strategy: str, **more) -> Example:
    row = star_example(index, "x.png", more.pop("picture", f"picture{index}"), stars=4 if strategy == "clarify" else 1)
    ambiguity = row["ambiguity"] | {"level": LEVELS[strategy]}
    return Example.model_validate(row | {"strategy": strategy, "ambiguity": ambiguity} | more)


def verdict(of: Example, used: str, **criteria) -> Verdict:
    values = dict.fromkeys(CRITERIA) | {"strategy_right": float(used == of.strategy), "grounded": 1.0} | criteria
    return Verdict(example_id=of.id, judge="j", used_strategy=used, criteria=values)


def measure(rows: list[tuple[Example, Verdict | None]], resamples: int = 200) -> dict:
    said = {e.id: Prediction(example_id=e.id, text="x") for e, v in rows if v}
    model = Judged("m", said, {e.id: v for e, v in rows if v})
    return strata.measure([e for e, _ in rows], [model], seed=0, resamples=resamples)["m"]


def drawn(count: int = 400) -> list[tuple[Example, Verdict]]:
    rng = random.Random(1)
    rows = []
    for i in range(count):
        of = example(i, rng.choice(list(STRATEGIES)), picture=f"p{i // 3}", kind=rng.choice(["color", "shape"]))
        used = of.strategy if rng.random() < 0.7 else rng.choice(list(STRATEGIES))
        rows.append((of, verdict(of, used, grounded=float(rng.random() < 0.9))))
    return rows


def test_asking_is_scikit_learns():
    """Precision and recall swapped, or an F1 of other counts."""
    rows = drawn()
    truth = [of.strategy == "clarify" for of, _ in rows]
    asked = [v.used_strategy == "clarify" for _, v in rows]
    theirs = precision_recall_fscore_support(truth, asked, average="binary")[:3]
    ours = measure(rows)["asking"]
    assert [ours[name]["value"] for name in strata.ASKING] == pytest.approx(theirs, abs=1e-6)
    assert (ours["precision"]["n"], ours["recall"]["n"], ours["f1"]["n"]) == (sum(asked), sum(truth), len(rows))
    assert all(row["low"] <= row["value"] <= row["high"] for row in ours.values())


def test_the_ratios_themselves_are_exact():
    """What rounding in the file may hide."""
    ratio = list(detection._ratios(both=7.0, did=9.0, should=11.0).values())
    precision, recall = 7 / 9, 7 / 11
    assert ratio == pytest.approx([precision, recall, 2 * precision * recall / (precision + recall)], abs=1e-12)


def test_cuts_count_each_example_once_and_in_its_place():
    """An example in two strata, in none, or under another's name."""
    rows = drawn()
    found = measure(rows)
    for cut, place in strata.CUTS.items():
        right = defaultdict(list)
        for of, v in rows:
            right[place(of)].append(v.criteria["strategy_right"])
        assert {s: row["n"] for s, row in found[cut].items()} == {s: len(r) for s, r in right.items()}
        for stratum, row in found[cut].items():
            assert row["value"] == pytest.approx(np.mean(right[stratum]), abs=1e-6)


def test_aquas_table_is_over_its_four_levels():
    """False premises and hidden answers, which AQuA does not have, counted in its `all` or `grounded`."""
    rows = [(e := example(i, s), verdict(e, "answer")) for i, s in enumerate(STRATEGIES)]
    rows[4][1].criteria["grounded"] = rows[0][1].criteria["grounded"] = 0.0
    found = measure(rows)["aqua"]
    assert list(found) == ["L0", "L1", "L2", "L3", "all", "grounded"]
    assert [found[key]["value"] for key in found] == [1.0, 0.0, 0.0, 0.0, 0.25, 0.75] and found["all"]["n"] == 4


def test_a_group_counts_only_if_all_of_it_is_right():
    """A group counted for its first member, one with a member that nobody judged, or questions of no group."""
    right, wrong = [], []
    for k, all_right in enumerate((True, False, True)):
        members = [example(10 * k + i, s, group_id=f"g{k}") for i, s in enumerate(("answer", "clarify"))]
        right += [(members[0], verdict(members[0], "answer", answer_right=1.0))]
        wrong += [(members[1], verdict(members[1], "clarify" if all_right else "answer"))]
    alone = example(90, "answer", group_id="g9")
    unjudged = [example(95 + i, "answer", group_id="g8") for i in range(2)]
    rows = [*right, *wrong, (alone, verdict(alone, "answer")), (unjudged[0], verdict(unjudged[0], "answer"))]
    found = measure([*rows, (unjudged[1], None)])["consistency"]
    assert (found["value"], found["n"]) == (pytest.approx(2 / 3, abs=1e-6), 3)


def test_a_right_strategy_with_a_wrong_answer_breaks_its_group():
    """Consistency that looks at the strategy alone."""
    members = [example(i, "answer", group_id="g") for i in range(2)]
    rows = [(e, verdict(e, "answer", answer_right=float(i))) for i, e in enumerate(members)]
    assert measure(rows)["consistency"]["value"] == 0.0


def test_the_dual_score_needs_both_versions_of_one_question():
    """A pair of two questions, of two groups, or of two answerable versions."""
    question = {"question": "What color is the star?"}
    pair = [example(0, "answer", group_id="g", **question), example(1, "correct", group_id="g", **question)]
    other = [example(2, "answer", group_id="g", question="Where?"), example(3, "abstain", group_id="h", **question)]
    rows = [(e, verdict(e, e.strategy)) for e in [*pair, *other]]
    found = measure(rows)["dual"]
    assert (found["value"], found["n"]) == (1.0, 1)
    rows[1] = (pair[1], verdict(pair[1], "answer"))
    assert measure(rows)["dual"]["value"] == 0.0


def test_units_that_share_a_picture_are_drawn_together():
    """Intervals of groups as if they were independent where one picture stands in several."""
    examples = [example(i, "answer", picture=p) for i, p in enumerate(["a", "b", "b", "c", "d", "e"])]
    found = strata._apart([[0, 1], [2, 3], [4, 5]], examples)
    assert found[0] == found[1] != found[2]


def test_nothing_judged_is_not_zero():
    """A model without verdicts that scores 0."""
    found = measure([(example(i, "answer", group_id="g"), None) for i in range(2)])
    assert found["consistency"]["value"] is None and found["asking"]["f1"]["value"] is None
    assert found["kind"] == {} and found["aqua"]["L0"]["value"] is None
