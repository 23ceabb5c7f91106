"""Which reading is guessed, and length against score: planted biases, other computations of the same numbers, edges."""

import itertools
import json
import random

import numpy as np
import pytest
from scipy import stats

from clarifyvlm import rewards
from clarifyvlm.records import CRITERIA, Ambiguity, Dialogue, Example, Facts, Object, Prediction, Reading, Verdict
from closed_forms import share_interval
from measures import guesses
from measures.judged import Judged
from reports import HOSTILE, parse, section_html

COLORS = ("red", "blue", "green", "pink", "brown", "purple")
SHAPES = ("star", "circle", "square")


def example(number: int, answers: list[str | None], xs: list[float] | None = None, *, strategy="clarify", **change):
    """Objects in a row at the x given, one reading and colour each, in pictures of 100 x 100 with two questions."""
    rng = random.Random(number)
    xs = xs or [10.0 + 15 * p for p in rng.sample(range(6), len(answers))]
    objects = [
        Object(
            id=f"o{i}",
            name=rng.choice(SHAPES),
            box=(x - 4, (y := rng.uniform(10, 90)) - 4, x + 4, y + 4),
            place="center",
            salience=1,
            color=answer,
            size=rng.choice(["small", "large"]),
        )
        for i, (x, answer) in enumerate(zip(xs, answers, strict=True))
    ]
    readings = [Reading(objects=[o.id], expression="it", answer=a) for o, a in zip(objects, answers, strict=True)]
    dialogue = Dialogue(reading=0, question="Which?", reply="This.", answer="Red.") if strategy == "clarify" else None
    values = {
        "id": f"e{number}",
        "split": "test",
        "image": "a.png",
        "image_sha256": f"p{number // 2}",
        "question": "What colour?",
        "kind": "color",
        "ambiguity": Ambiguity(type="referential", level=3, readings=readings),
        "strategy": strategy,
        "reference": "Which one?",
        "dialogue": dialogue,
        "facts": Facts(source="test", width=100, height=100, objects=objects),
    }
    return Example(**values | change)


def scenes(count: int) -> list[Example]:
    rng = random.Random(1)
    return [example(i, rng.sample(COLORS, rng.randint(2, 5))) for i in range(count)]


def model(examples, texts: list[str], name="m", used="answer", failed=()) -> Judged:
    verdicts = {}
    for i, e in enumerate(examples):
        criteria = dict.fromkeys(CRITERIA) | {"strategy_right": float(i % 3 == 0), "grounded": 1.0}
        good = Verdict(example_id=e.id, judge="test", used_strategy=used, criteria=criteria)
        verdicts[e.id] = Verdict(example_id=e.id, judge="test", failure="timeout") if i in failed else good
    said = {e.id: Prediction(example_id=e.id, text=t) for e, t in zip(examples, texts, strict=True)}
    return Judged(name, said, verdicts)


def picks(examples, choose, name="m") -> Judged:
    """A model that says the answer of the reading whose index `choose` gives."""
    return model(examples, [f"It is {e.ambiguity.readings[choose(e)].answer}." for e in examples], name)


def leftmost(e: Example) -> int:
    return min(range(len(e.facts.objects)), key=lambda i: e.facts.objects[i].box[0])


def measure(examples, *models, resamples=200) -> dict:
    return guesses.measure(examples, models, seed=0, resamples=resamples)


def attributes(found: dict, name="m") -> dict[str, dict]:
    return {row["attribute"]: row for row in found["models"][name]["attributes"]}


def test_a_planted_preference_for_the_leftmost_is_found():
    """Positions compared wrongly, or the sign turned round."""
    examples = scenes(120)
    rows = attributes(measure(examples, picks(examples, leftmost)))
    assert rows["leftmost"]["observed"] == 1.0 and rows["leftmost"]["p_holm"] < 1e-6
    assert rows["rightmost"]["observed"] == 0.0 and rows["rightmost"]["p_holm"] < 1e-6
    assert rows["rightmost"]["difference"]["value"] < 0 < rows["leftmost"]["difference"]["low"]
    assert all(row["p_holm"] > 0.05 for name, row in rows.items() if name.startswith(("color", "size", "shape")))
    assert list(rows)[:2] in (["leftmost", "rightmost"], ["rightmost", "leftmost"])  # the smallest p first


def test_a_planted_preference_for_a_color_is_found():
    """Attributes that are words taken from another object than the one picked."""
    examples = scenes(200)
    rng = random.Random(0)

    def red_if_there(e: Example) -> int:
        answers = [r.answer for r in e.ambiguity.readings]
        return answers.index("red") if "red" in answers else rng.randrange(len(answers))

    rows = attributes(measure(examples, picks(examples, red_if_there)))
    assert rows["color: red"]["observed"] == 1.0 and rows["color: red"]["p_holm"] < 1e-6
    assert rows["leftmost"]["p_holm"] > 0.05


def test_uniform_picks_are_seldom_flagged():
    """A test that finds a bias by chance in more than 5 % of unbiased models (plus the error of 200 simulations)."""
    examples = scenes(100)
    rng = random.Random(0)
    flagged = 0
    for _ in range(200):
        found = measure(examples, picks(examples, lambda e: rng.randrange(len(e.facts.objects))), resamples=2)
        flagged += any(row["p_holm"] < 0.05 for row in attributes(found).values())
    assert flagged / 200 <= 0.05 + 2.33 * np.sqrt(0.05 * 0.95 / 200)


def test_uniform_picks_are_seldom_flagged_where_readings_share_answers():
    """Chance counted over readings whose pick could not be told: an unbiased model would seem to shun them."""
    rng = random.Random(3)
    examples = []
    for i in range(300):  # the two leftmost objects have one colour more often than not
        colors = rng.sample(COLORS, 4)
        shared = [colors[0], colors[0] if rng.random() < 0.7 else colors[1], *colors[2:]]
        examples.append(example(i, shared, [10, 30, 50, 70]))
    flagged = 0
    for _ in range(20):
        found = measure(examples, picks(examples, lambda e: rng.randrange(4)), resamples=2)
        flagged += any(row["p_holm"] < 0.05 for row in attributes(found).values())
    assert flagged <= 4  # 1 expected


def test_numbers_against_a_plain_computation():
    """Shares, chances and n off: against loops over the examples; p against scipy's own distribution."""
    examples = scenes(90)
    rng = random.Random(5)
    chosen = {e.id: rng.randrange(len(e.facts.objects)) for e in examples}
    rows = attributes(measure(examples, picks(examples, lambda e: chosen[e.id])))
    for name, has in {
        "leftmost": lambda e, o: o.box[0] <= min(other.box[0] for other in e.facts.objects) + 2,
        "bottommost": lambda e, o: o.box[1] >= max(other.box[1] for other in e.facts.objects) - 2,
        "most central": lambda e, o: _far(o) <= min(_far(other) for other in e.facts.objects) + 2,
        "last reading": lambda e, o: o is e.facts.objects[-1],
        "color: blue": lambda e, o: o.color == "blue",
        "shape: star": lambda e, o: o.name == "star",
        "size: small": lambda e, o: o.size == "small",
    }.items():
        hits, chances = [], []
        for e in examples:
            having = [has(e, o) for o in e.facts.objects]
            if 0 < sum(having) < len(having):
                hits.append(having[chosen[e.id]])
                chances.append(sum(having) / len(having))
        row = rows[name]
        assert row["n"] == len(hits)
        assert (row["observed"], row["expected"]) == pytest.approx((np.mean(hits), np.mean(chances)), abs=1e-6)
        assert row["difference"]["value"] == pytest.approx(np.mean(hits) - np.mean(chances), abs=1e-6)
        law = stats.poisson_binom(chances)
        tail = min(law.cdf(sum(hits)), law.sf(sum(hits) - 1))
        assert row["p"] == pytest.approx(min(1.0, 2 * tail), abs=1e-8)


def _far(o: Object) -> float:
    return float(np.hypot((o.box[0] + o.box[2]) / 2 - 50, (o.box[1] + o.box[3]) / 2 - 50))


def test_p_is_exact():
    """An approximation in the place of the exact distribution: against every outcome of a few trials, and scipy."""
    chances = np.array([0.5, 0.25, 1 / 3, 0.25, 0.6, 2 / 3])
    mass = np.zeros(len(chances) + 1)
    for outcome in itertools.product((0, 1), repeat=len(chances)):
        mass[sum(outcome)] += np.prod(np.where(outcome, chances, 1 - chances))
    for count in range(len(mass)):
        expected = min(1.0, 2 * min(mass[: count + 1].sum(), mass[count:].sum()))
        assert guesses.two_sided_p(count, chances) == pytest.approx(expected, abs=1e-12)
    many = 1 / np.random.default_rng(0).integers(2, 8, 2000)
    law = stats.poisson_binom(many)
    for count in (0, 560, int(many.sum()), 640, 2000):
        assert guesses.two_sided_p(count, many) == pytest.approx(
            min(1.0, 2 * min(law.cdf(count), law.sf(count - 1))), abs=1e-9
        )


def test_interval_is_over_pictures_and_certain_of_nothing():
    """Questions on one picture drawn apart; an interval without width because every pick is the leftmost."""
    examples = scenes(80)
    rows = attributes(measure(examples, picks(examples, leftmost)))
    row = rows["leftmost"]
    assert row["difference"]["low"] == pytest.approx(share_interval(1.0, 40, 40)[0] - row["expected"], abs=1e-5)
    alone = [e.model_copy(update={"image_sha256": e.id}) for e in examples]
    together = [e.model_copy(update={"image_sha256": f"p{i // 20}"}) for i, e in enumerate(examples)]
    # Four pictures, on each of which the model picks always the first or always the last reading.
    guess = [e.ambiguity.readings[-(i // 20 % 2)].answer for i, e in enumerate(examples)]
    wide, narrow = (attributes(measure(es, model(es, guess)))["first reading"] for es in (together, alone))
    assert (wide["difference"]["value"], wide["p"]) == (narrow["difference"]["value"], narrow["p"])
    assert _width(wide) > 2 * _width(narrow)


def _width(row: dict) -> float:
    return row["difference"]["high"] - row["difference"]["low"]


@pytest.mark.parametrize(
    ("answers", "text", "expected"),
    [
        (["red", "blue"], "It is red.", 0),
        (["red", "blue"], "RED!", 0),
        (["red", "blue"], "It is reddish, or predred.", None),
        (["red", "blue"], "red or blue", None),
        (["red", "red", "blue"], "It is red.", None),
        (["red", "red", "blue"], "It is blue, blue.", 2),
        (["dog", "hot dog"], "A hot dog, that is a hot dog.", 1),
        (["dog", "hot dog"], "A dog.", 0),
        (["dog", "hot dog"], "A hot dog and a dog.", None),
        (["top left", "top right"], "At the top-left corner.", 0),
        (["top left", "top right"], "At the top.", None),
        (["c++", "c"], "It is a C.", None),
        (["red", "blue"], "", None),
        (["red", "blue"], HOSTILE, None),
    ],
)
def test_which_reading_a_response_names(answers, text, expected):
    """Parts of words, several answers, shared answers and answers within answers taken for a guess."""
    assert guesses.guessed_reading([rewards.words(a) for a in answers], text) == expected


def test_what_is_no_guess():
    """Guesses counted where there is nothing to guess: right inferences, hidden answers, shared answers, groups."""
    assert guesses.open_answers(example(0, ["red", "blue"])) is not None
    assert guesses.open_answers(example(0, ["red", "blue"], strategy="infer")) is None
    assert guesses.open_answers(example(0, ["red", None])) is None
    assert guesses.open_answers(example(0, ["red", "red", "blue"])) is None
    assert guesses.open_answers(example(0, ["red"])) is None
    assert guesses.open_answers(example(0, ["red", "!?"])) is None
    for objects in (["o1"], ["o0", "o1"], [], ["nowhere"]):
        readings = [Reading(objects=objects, expression="a", answer="red"), Reading(**_reading("o1"))]
        odd = example(0, ["red", "blue"], ambiguity=Ambiguity(type="vague", level=3, readings=readings))
        assert guesses.open_answers(odd) is None, objects


def _reading(identity: str) -> dict:
    return {"objects": [identity], "expression": "b", "answer": "blue"}


def test_failed_missing_and_asking_responses_are_left_out():
    """Rows of a failed judge counted; a model that answered only some of the examples breaking the rest."""
    examples = scenes(60)
    texts = [f"It is {e.ambiguity.readings[0].answer}." for e in examples]
    part = model(examples[:30], texts[:30], "part", failed=(0, 1))
    found = measure(examples, part, model(examples, texts, "asks", used="clarify"), model([], [], "silent"))
    assert found["models"]["part"]["guesses"] == 28
    length = found["models"]["part"]["length"]
    assert length["words_right"]["n"] + length["words_wrong"]["n"] == 28
    assert found["models"]["asks"]["guesses"] == 0 and found["models"]["asks"]["attributes"] == []
    assert found["models"]["silent"]["length"]["words_right"] == {"value": None, "low": None, "high": None, "n": 0}
    assert measure([], model([], []))["tests"] == 0


def test_few_guesses_are_not_tested():
    """Attributes on a handful of guesses blowing up Holm's correction."""
    examples = scenes(40)
    rows = attributes(measure(examples, picks(examples, leftmost)))
    assert rows and all(row["n"] >= guesses.MIN_GUESSES for row in rows.values())
    assert measure(examples[:19], picks(examples[:19], leftmost))["models"]["m"]["attributes"] == []


def test_positions_within_2_per_cent_tie():
    """A pixel's difference taken for a preference."""
    examples = [example(i, ["red", "blue", "green"], [30.0, 31.5, 80.0]) for i in range(40)]
    table = dict(guesses.Candidates(examples).attributes())
    assert table["leftmost"].reshape(-1, 3)[0].tolist() == [True, True, False]
    assert table["rightmost"].reshape(-1, 3)[0].tolist() == [False, False, True]
    assert table["largest"].all() and table["smallest"].all()  # boxes of one size


def test_holm_is_over_all_models():
    """Each model corrected on its own, so that more models find more."""
    examples = scenes(100)
    rng = random.Random(2)
    models = [picks(examples, lambda e: rng.randrange(len(e.facts.objects)), f"m{i}") for i in range(3)]
    found = measure(examples, *models, picks(examples, leftmost, "left"))
    rows = [row for name in found["models"] for row in attributes(found, name).values()]
    assert found["tests"] == len(rows)
    smallest = min(rows, key=lambda row: row["p"])
    assert smallest["p_holm"] == pytest.approx(min(1, smallest["p"] * len(rows)), abs=1e-7)


def test_length_against_scipy():
    """Correlation, words or the split into right and wrong off; the interval not that of the correlation."""
    examples = scenes(150)
    rng = random.Random(4)
    texts = [" ".join(["word"] * rng.randint(0, 50)) for _ in examples]
    judged = model(examples, texts)
    length = measure(examples, judged, resamples=2000)["models"]["m"]["length"]
    counts = [len(t.split()) for t in texts]
    scores = [rewards.total(e, judged.verdicts[e.id], judged.predictions[e.id]) for e in examples]
    assert length["rho"]["value"] == pytest.approx(stats.spearmanr(counts, scores).statistic, abs=1e-6)
    assert length["words_right"]["value"] == pytest.approx(np.mean(counts[::3]), abs=1e-6)
    assert length["words_wrong"]["value"] == pytest.approx(
        np.mean([c for i, c in enumerate(counts) if i % 3]), abs=1e-6
    )
    draws = []
    generator = np.random.default_rng(9)
    for _ in range(500):  # ranked anew in each draw of pictures
        rows = [2 * p + q for p in generator.integers(0, 75, 75) for q in (0, 1)]
        draws.append(stats.spearmanr(np.take(counts, rows), np.take(scores, rows)).statistic)
    low, high = np.percentile(draws, [2.5, 97.5])
    assert (length["rho"]["low"], length["rho"]["high"]) == pytest.approx((low, high), abs=0.04)


def test_means_of_ranks_give_the_correlation():
    """The correlation of the draws computed by another formula than Spearman's."""
    x, y = np.random.default_rng(0).integers(0, 9, (2, 200)).astype(float)
    a, b = guesses._centred_ranks(x), guesses._centred_ranks(y)
    rho = (np.mean(a * b) - a.mean() * b.mean()) / (a.std() * b.std())
    assert rho == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)


def test_responses_of_one_length_have_no_correlation():
    """NaN in metrics.json, or a made-up 0."""
    examples = scenes(30)
    found = measure(examples, model(examples, ["red"] * 30))
    assert found["models"]["m"]["length"]["rho"]["value"] is None
    json.dumps(found, allow_nan=False)


def test_page_names_findings_in_words_and_escapes():
    """A finding told by colour alone; markup of a data file's words run by the page; a lone surrogate ending it."""
    examples = scenes(120)
    for e in examples:
        e.facts.objects[0].name = HOSTILE
        e.facts.objects[1].name = "\ud800"
    models = [picks(examples, leftmost, "<b>left</b>"), model([], [], "silent")]
    found = measure(examples, *models)
    html = section_html("bias", found)
    json.dumps(found, allow_nan=False)
    parsed = parse(html)
    assert "prefers it" in parsed.text and "avoids it" in parsed.text and "no bias shown" in parsed.text
    assert "<b>left</b>" not in html and not {"script", "img"} & set(parsed.tags)
    assert any(HOSTILE[:20] in text for text in parsed.text)
    assert "details" in parsed.tags and any("Too few guesses" in text for text in parsed.text)
