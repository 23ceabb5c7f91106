"""What tuning cost: plain questions, each kind weighing the same, beside the model before tuning."""

import re

import pytest

from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example
from reports import judged, make_report
from stages import script


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """50 questions about color and 50 that count, all of one reading."""
    folder = tmp_path_factory.mktemp("plain")
    sizes = ["--num_train", 0, "--num_validation", 0, "--num_test", 60, "--num_unambiguous", 100, "--audit", "off"]
    kinds = ["--kinds", "color=6", "count=1", "--shares", "none:answer=1", "referential:clarify=1", "--world", "tiny"]
    assert (
        script("dataset_generation/generate.py").main([*map(str, [*sizes, *kinds]), "--output_dir", str(folder)]) == 0
    )
    return folder


def test_every_kind_has_as_many_questions_of_one_reading(plain):
    """Catches a set in which the rare kind, which tuning forgets first, has a dozen questions."""
    examples = jsonl.read(plain / "unambiguous.jsonl", Example)
    assert [sum(e.kind == kind for e in examples) for kind in ("color", "count")] == [50, 50]
    assert {e.strategy for e in examples} == {"answer"} and {e.ambiguity.type for e in examples} == {"none"}


def test_a_model_that_no_longer_counts(plain, tmp_path):
    """Catches a loss on one kind that drowns in the others, abstention that is nobody's, and a pair without a sign."""

    def forgets(example):
        unable = "I cannot tell: an object is hidden, so I cannot count them."
        return unable if example.kind == "count" else example.reference

    inference, test, other = tmp_path / "inference", plain / "test.jsonl", plain / "unambiguous.jsonl"
    for model, say in (("base", lambda e: e.reference), ("sft", forgets)):
        judged(inference, model, test, lambda e: e.reference)
        judged(inference / model, "unambiguous", other, say)
    judged(inference, "other", test, lambda e: e.reference)  # has not answered these questions
    content, text, html = make_report(tmp_path / "report", inference, test, "--unambiguous_file", str(other))
    found = content["tuning_cost"]
    assert list(found["models"]) == ["base", "sft"]
    assert any("What tuning cost other is not known" in note for note in content["notes"])
    assert found["before"] == "base" and found["kinds"] == {"color": 50, "count": 50}
    base, sft = found["models"]["base"], found["models"]["sft"]
    assert base["accuracy"]["value"] == 1 and base["abstained"]["value"] == 0 and base["difference"] is None
    assert sft["accuracy"]["value"] == 0.5 and sft["abstained"]["value"] == 0.5
    assert sft["by_kind"]["color"]["value"] == 1 and sft["by_kind"]["count"]["value"] == 0
    assert sft["difference_by_kind"]["count"]["value"] == -1 and sft["difference_by_kind"]["color"]["value"] == 0
    assert "## What tuning cost" in text and "Largest loss: count" in re.sub(r"<[^>]+>", "", html)


def test_ambiguous_questions_are_refused(plain, tmp_path):
    """Catches a test set given by mistake: asking would count as a loss."""
    test = plain / "test.jsonl"
    judged(tmp_path / "inference", "base", test, lambda e: e.reference)
    with pytest.raises(UserError, match="not of the strategy `answer`"):
        make_report(tmp_path / "report", tmp_path / "inference", test, "--unambiguous_file", str(test))
    with pytest.raises(UserError, match="no model has answered it"):
        make_report(
            tmp_path / "r", tmp_path / "inference", test, "--unambiguous_file", str(plain / "unambiguous.jsonl")
        )
