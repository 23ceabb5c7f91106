"""Runs on changed pictures and words against the original: planted flips, other computations, edges, the page."""

import json

import numpy as np
import pytest

from clarifyvlm.errors import UserError
from clarifyvlm.records import CRITERIA, Ambiguity, Dialogue, Example, Facts, Prediction, Reading, Verdict
from clarifyvlm.strategies import STRATEGIES
from closed_forms import share_interval
from measures import robustness
from measures.judged import Judged
from reports import HOSTILE, parse, section_html


def examples_of(strategies: list[str]) -> list[Example]:
    """One example per strategy, two on each picture."""
    dialogue = Dialogue(reading=0, question="Which?", reply="This.", answer="Red.")
    return [
        Example(
            id=f"e{i}",
            split="test",
            image="a.png",
            image_sha256=f"p{i // 2}",
            question="What colour?",
            kind="color",
            ambiguity=Ambiguity(type="none", level=0, readings=[Reading(objects=[], expression="it", answer="red")]),
            strategy=strategy,
            reference="Red.",
            dialogue=dialogue if strategy == "clarify" else None,
            facts=Facts(source="test", width=8, height=8, objects=[]),
        )
        for i, strategy in enumerate(strategies)
    ]


EXAMPLES = examples_of([s for _ in range(20) for s in STRATEGIES])  # 120


def run(examples, rights, *, name="m", used=None, answers=None, failed=(), of=None) -> Judged:
    """A model that is right on examples[i] if rights[i]; `of`: the indices that it was run on."""
    verdicts, said = {}, {}
    for i, (e, right) in enumerate(zip(examples, rights, strict=True)):
        if of is not None and i not in of:
            continue
        other = "abstain" if e.strategy != "abstain" else "answer"
        criteria = dict.fromkeys(CRITERIA) | {"strategy_right": None if right is None else float(right)}
        criteria["answer_right"] = None if answers is None else answers[i]
        verdict = Verdict(
            example_id=e.id,
            judge="test",
            used_strategy=used[i] if used else (e.strategy if right else other),
            criteria=criteria,
        )
        verdicts[e.id] = Verdict(example_id=e.id, judge="test", failure="timeout") if i in failed else verdict
        said[e.id] = Prediction(example_id=e.id, text="It is red.")
    return Judged(name, said, verdicts)


def measure(models, variants, examples=EXAMPLES, resamples=300) -> dict:
    return robustness.measure(examples, models, variants, seed=0, resamples=resamples)


def row_of(found: dict, variant: str, name="m") -> dict:
    return found["leakage" if variant.startswith("blank_") else "variants"][variant]["models"][name]


def rights(*wrong: int) -> list[bool]:
    return [i not in wrong for i in range(len(EXAMPLES))]


def test_planted_flips_are_counted_exactly():
    """Flips that cancel lost in the difference, or the sign of the difference turned round."""
    original, variant = run(EXAMPLES, rights(0, 1, 2)), run(EXAMPLES, rights(2, 3, 4, 5, 6))
    row = row_of(measure([original], {"mirror": [variant]}), "mirror")
    assert row["n"] == 120 and row["against"] == "original"
    assert row["flips"]["strategy_right"]["value"] == pytest.approx(6 / 120, abs=1e-6)
    assert row["flips"]["used_strategy"]["value"] == pytest.approx(6 / 120, abs=1e-6)
    assert row["accuracy"]["micro"]["original"]["value"] == pytest.approx(117 / 120, abs=1e-6)
    assert row["accuracy"]["micro"]["variant"]["value"] == pytest.approx(115 / 120, abs=1e-6)
    assert row["accuracy"]["micro"]["difference"]["value"] == pytest.approx(-2 / 120, abs=1e-6)
    swapped = row_of(measure([original], {"mirror": [run(EXAMPLES, rights(3, 4, 5))]}), "mirror")
    assert swapped["accuracy"]["micro"]["difference"]["value"] == 0
    assert swapped["flips"]["strategy_right"]["value"] == pytest.approx(0.05, abs=1e-6)


def test_another_wrong_strategy_flips_only_the_strategy_used():
    """The two flip rates taken for one another."""
    original = run(EXAMPLES, [False] * 120, used=["none"] * 120)
    variant = run(EXAMPLES, [False] * 120, used=["none" if i % 4 else None for i in range(120)])
    flips = row_of(measure([original], {"resize": [variant]}), "resize")["flips"]
    assert flips["strategy_right"]["value"] == 0 and flips["used_strategy"]["value"] == 0.25


def test_against_plain_loops():
    """Macro, micro, their intervals or p off: against a bootstrap of pictures in plain loops, over the same draws."""
    rng = np.random.default_rng(0)
    examples = examples_of([str(s) for s in rng.choice(["answer", "clarify", "infer"], 150, p=[0.6, 0.3, 0.1])])
    before, after = rng.random((2, 150)) < [[0.7], [0.55]]
    pair = [run(examples, before), run(examples, after)]
    row = row_of(measure(pair[:1], {"reworded": pair[1:]}, examples, resamples=400), "reworded")
    strategies = [e.strategy for e in examples]

    def macro(values, weights):
        means = []
        for s in ("answer", "clarify", "infer"):
            inside = [i for i in range(150) if strategies[i] == s and weights[i]]
            if inside:
                means.append(sum(values[i] * weights[i] for i in inside) / sum(weights[i] for i in inside))
        return sum(means) / len(means)

    def micro(values, weights):
        return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)

    generator = np.random.default_rng(0)
    drawn = [np.bincount(generator.integers(75, size=75), minlength=75) for _ in range(400)]
    names = sorted({e.image_sha256 for e in examples})
    weights = [[int(draw[names.index(e.image_sha256)]) for e in examples] for draw in drawn]
    for kind, of in (("macro", macro), ("micro", micro)):
        found = row["accuracy"][kind]
        for side, values in (("original", before), ("variant", after)):
            share, draws = of(values, [1] * 150), [of(values, w) for w in weights]
            expected = [share, *share_interval(share, share * (1 - share) / np.var(draws), 75)]
            assert [found[side][key] for key in ("value", "low", "high")] == pytest.approx(expected, abs=1e-6)
        differences = np.array([of(after, w) - of(before, w) for w in weights])
        low, high = np.percentile(differences, [2.5, 97.5])
        expected = [of(after, [1] * 150) - of(before, [1] * 150), low, high]
        got = found["difference"]
        assert [got[key] for key in ("value", "low", "high")] == pytest.approx(expected, abs=1e-6)
        tail = min((differences <= 0).sum(), (differences >= 0).sum())
        assert got["p"] == pytest.approx(min(1, 2 * (tail + 1) / 401), abs=1e-6)
    assert row["accuracy"]["macro"]["original"]["value"] != row["accuracy"]["micro"]["original"]["value"]


def test_answers_are_compared_on_answer_examples_and_no_answer_is_wrong():
    """Answer accuracy over all examples, or over those alone on which both runs gave an answer."""
    before = [1.0] * 120
    after: list = [1.0] * 120
    indices = [i for i, e in enumerate(EXAMPLES) if e.strategy == "answer"]
    for i in range(120):
        after[i] = after[i] if i in indices else 0.0
    after[indices[0]], after[indices[1]] = 0.0, None
    pair = [run(EXAMPLES, rights(), answers=a) for a in (before, after)]
    answer = row_of(measure(pair[:1], {"background": pair[1:]}), "background")["answer"]
    assert (answer["value"], answer["n"]) == (-0.1, 20)


def test_only_what_both_runs_were_judged_on_counts():
    """Failed verdicts or examples without a response in one run taken for wrong ones."""
    original = run(EXAMPLES, rights(), failed=(0, 1), of=range(50))
    variant = run(EXAMPLES, rights(3), failed=(2,), of=range(40))
    row = row_of(measure([original], {"mirror": [variant]}), "mirror")
    assert row["n"] == 37
    assert row["flips"]["strategy_right"]["value"] == pytest.approx(1 / 37, abs=1e-6)
    unsure = run(EXAMPLES, [None if i < 10 else True for i in range(120)])
    row = row_of(measure([run(EXAMPLES, rights(*range(10)))], {"mirror": [unsure]}), "mirror")
    assert row["flips"]["strategy_right"]["n"] == row["accuracy"]["micro"]["original"]["n"] == 110
    assert row["accuracy"]["micro"]["original"]["value"] == row["accuracy"]["macro"]["original"]["value"] == 1.0


def test_no_example_in_common_is_not_available():
    """A crash, NaN, or a made-up 0 where two runs share no example."""
    found = measure([run(EXAMPLES, rights(), of=range(9))], {"mirror": [run(EXAMPLES, rights(), of=range(9, 20))]})
    row = row_of(found, "mirror")
    assert row["n"] == 0 and row["accuracy"]["macro"]["difference"]["p"] is None
    assert row["flips"]["used_strategy"]["value"] is None and row["answer"]["value"] is None
    blank = measure([run(EXAMPLES, rights(), of=[0])], {"blank_image": [run(EXAMPLES, rights(), of=[1])]})
    assert row_of(blank, "blank_image")["constant"] == {"strategy": None, "macro": None, "micro": None}
    for content in (found, blank):
        json.dumps(content, allow_nan=False)
        assert "n/a" in section_html("robustness", content)


def test_nothing_flipped_is_not_certainty():
    """An interval from 0 to 0 because no draw can differ."""
    row = row_of(measure([run(EXAMPLES, rights(0))], {"resize": [run(EXAMPLES, rights(0))]}), "resize")
    _, width = share_interval(0.0, 60, 60)
    for kind in ("macro", "micro"):
        difference = row["accuracy"][kind]["difference"]
        assert (difference["low"], difference["high"]) == pytest.approx((-width, width), abs=1e-5)
        assert difference["value"] == 0 and difference["p"] == 1
    assert row["flips"]["strategy_right"]["high"] == pytest.approx(width, abs=1e-5)


def test_reversed_options_are_compared_with_the_options():
    """The effect of listing options taken for one of their order; a model without that run left out."""
    a, b = run(EXAMPLES, rights(), name="a"), run(EXAMPLES, rights(), name="b")
    options = run(EXAMPLES, rights(*range(60)), name="a")
    turned = [run(EXAMPLES, rights(*range(61)), name=name) for name in ("a", "b")]
    found = measure([a, b], {"options_reversed": turned, "options": [options]})
    first, second = (row_of(found, "options_reversed", name) for name in ("a", "b"))
    assert first["against"] == "options" and first["flips"]["strategy_right"]["value"] == pytest.approx(
        1 / 120, abs=1e-6
    )
    assert second["against"] == "original" and second["flips"]["strategy_right"]["value"] == pytest.approx(
        61 / 120, abs=1e-6
    )


def test_leakage_stands_beside_the_best_constant_policy():
    """A model blind and right by always answering passed off as leakage, or as none."""
    examples = examples_of(["answer"] * 60 + ["clarify"] * 30 + ["infer"] * 10)
    original = run(examples, [True] * 100)
    blind = run(examples, [e.strategy == "answer" for e in examples], used=["answer"] * 100)
    found = measure([original], {"blank_image": [blind], "blank_question": [blind]}, examples)
    row = row_of(found, "blank_image")
    assert row["constant"] == {"strategy": "answer", "macro": pytest.approx(1 / 3, abs=1e-6), "micro": 0.6}
    assert row["accuracy"]["micro"]["variant"]["value"] == 0.6
    assert row["accuracy"]["macro"]["variant"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["variants"] == {} and list(found["leakage"]) == ["blank_image", "blank_question"]


def test_variants_of_others_are_left_out():
    """Runs of the simulated user shown as changed pictures; an empty section where there are no variants."""
    model = run(EXAMPLES, rights())
    assert measure([model], {}) == measure([model], {"user_vague": [model], "mirror": []}) == {}
    assert section_html("robustness", {}).strip() == ""


def test_a_variant_of_an_unknown_model_is_named():
    """A KeyError, or the run dropped without a word."""
    with pytest.raises(UserError, match="variant mirror: other is not one of the report's models \\(m\\)"):
        measure([run(EXAMPLES, rights())], {"mirror": [run(EXAMPLES, rights(), name="other")]})


def test_page_shows_both_tables_and_escapes():
    """A name of a folder run by the page; a model without a variant shifting the columns; leakage left out."""
    a, b = run(EXAMPLES, rights(), name=HOSTILE), run(EXAMPLES, rights(), name="b")
    found = measure([a, b], {"mirror": [b], HOSTILE: [a, b], "blank_image": [a]})
    html = section_html("robustness", found)
    parsed = parse(html)
    assert not {"script", "img"} & set(parsed.tags)
    assert "Leakage: what is left without the picture, or without the question" in parsed.text
    mirror = html[html.index(">mirror<") :]
    assert '<td class="num dim" colspan="2">n/a</td>' in mirror[: mirror.index("</tr>")]
    assert "Leakage" not in section_html("robustness", measure([b], {"mirror": [b]}))
