"""The judge of known flaws: it errs as often as it is told to, in the direction that it is told, and always alike."""

from pathlib import Path

import pytest

from clarifyvlm import jsonl, rewards
from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.records import Example, Prediction
from small_examples import write_examples


@pytest.fixture
def flawed(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import flawed_judge

    return flawed_judge


def paid(judge, examples, texts) -> list[float]:
    said = [Prediction(example_id=e.id, text=text) for e, text in zip(examples, texts, strict=True)]
    return [rewards.total(e, v, p) for e, v, p in zip(examples, judge.judge(examples, said), said, strict=True)]


def test_it_says_the_opposite_as_often_as_told(flawed, tmp_path):
    """A flawed judge that is never wrong, or wrong in one direction only: an ablation of nothing."""
    examples = jsonl.read(write_examples(tmp_path, 400), Example)
    good, bad = [e.reference for e in examples], ["I cannot tell." for _ in examples]
    right, wrong = (paid(SceneJudge(), examples, texts) for texts in (good, bad))
    for texts, before in ((good, right), (bad, wrong)):
        after = paid(flawed.FlawedJudge(flawed.Flaws(wrong=0.2)), examples, texts)
        changed = [a != b for a, b in zip(after, before, strict=True)]
        assert 0.12 < sum(changed) / len(changed) < 0.28
        assert after == paid(flawed.FlawedJudge(flawed.Flaws(wrong=0.2)), examples, texts)
        assert paid(flawed.FlawedJudge(flawed.Flaws()), examples, texts) == before


def test_long_responses_are_favored(flawed, tmp_path):
    """A bias that reaches short responses, too."""
    examples = jsonl.read(write_examples(tmp_path, 40), Example)
    judge = flawed.FlawedJudge(flawed.Flaws(favor_long=1.0))
    long = ["I cannot tell, and I would rather not guess at anything in this picture." for _ in examples]
    assert all(value > 0.5 for value in paid(judge, examples, long))
    short = ["No idea." for _ in examples]
    assert paid(judge, examples, short) == paid(SceneJudge(), examples, short)
