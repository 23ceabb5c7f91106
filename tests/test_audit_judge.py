"""The audit of judges: labels that hold by construction, published coefficients, and a bad judge that shows."""

import json
from pathlib import Path

import audit_judge
import numpy as np
import pytest
from corruptions import labelled
from stages import script

from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.records import Example

BAR = 0.99


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("audit") / "data"
    config = Path(__file__).resolve().parent.parent / "dataset_generation/configs/tiny.yaml"
    argv = ["--config", str(config), "--output_dir", str(folder), "--num_train", "240", "--num_validation", "0"]
    argv += ["--num_test", "1400", "--num_test_ood", "0", "--image_size", "48", "--seed", "5"]
    script("dataset_generation/generate.py").main(argv)
    return folder / "test.jsonl"


def run(data: Path, output: Path, *flags) -> dict:
    argv = ["--data_file", str(data), "--output_file", str(output), "--resamples", "200", *map(str, flags)]
    assert audit_judge.main(argv) == 0
    return json.loads(output.read_text())


def test_scene_judge_passes_its_audit(data, tmp_path):
    """A fault of the scene judge on generated wording, with the reward and every number of the report behind it."""
    found = run(data, tmp_path / "audit.json", "--num_responses", 3000)
    assert found["responses"] >= 2000 and found["judge_failures"] == {} and found["canaries"]["passed"] == []
    for name, criterion in found["criteria"].items():
        if name != "question_value":  # nothing that is constructed settles it
            assert criterion["n"] >= 1500 and criterion["accuracy"]["value"] >= BAR, (name, found["disagreements"][:3])
            assert criterion["accuracy"]["low"] <= criterion["accuracy"]["value"] <= criterion["accuracy"]["high"]
    assert set(found["faults"]) == {
        "reference", "empty", "confident_guess", "asked_instead", "abstained", "denied", "missing_reading",
        "wrong_entry", "wrong_fact", "guessed_unseen",
    }  # fmt: skip


def test_bad_judge_shows_as_bad(data, tmp_path, monkeypatch):
    """An audit that any judge passes: here one that finds everything grounded, and takes every strategy for right."""

    class Kind(SceneJudge):
        name = "kind"

        def _verdict(self, example, prediction):
            verdict = super()._verdict(example, prediction)
            kind = {"grounded": 1.0, "strategy_right": 1.0}
            return verdict.model_copy(update={"criteria": verdict.criteria | kind})

    monkeypatch.setattr(audit_judge, "make_judge", lambda args: Kind())
    found = run(data, tmp_path / "audit.json", "--num_responses", 1000)
    for name in ("grounded", "strategy_right"):
        assert found["criteria"][name]["accuracy"]["high"] < 0.85
        assert abs(found["criteria"][name]["kappa"]["value"]) < 0.01, "kappa of a constant judge is 0"
    assert found["criteria"]["over_asked"]["accuracy"]["value"] == 1.0
    assert len(found["canaries"]["passed"]) == found["canaries"]["tried"] > 100
    assert found["faults"]["wrong_fact"]["all_right"] == 0 and len(found["disagreements"]) > 300


def test_coefficients_are_the_published_ones():
    """Cohen's and Gwet's coefficients mixed up. A table with 118 + 2 of 125 agreed: kappa 0.42, AC1 0.95 by hand."""
    table = np.array([[[118.0, 5.0], [0.0, 2.0]]])
    observed = 120 / 125
    chance = (123 / 125) * (118 / 125) + (2 / 125) * (7 / 125)
    assert audit_judge._kappa(table)[0] == pytest.approx((observed - chance) / (1 - chance))
    prevalence = (123 + 118) / 250
    chance = 2 * prevalence * (1 - prevalence)
    assert audit_judge._ac2(table)[0] == pytest.approx((observed - chance) / (1 - chance))
    assert audit_judge._kappa(table)[0] < 0.5 < 0.9 < audit_judge._ac2(table)[0]


def test_same_seed_same_responses(data):
    """An audit that cannot be repeated."""
    examples = jsonl.read(data, Example)[:100]
    texts = [[r.text for r in labelled(examples, seed)] for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_labels_of_people(data, tmp_path):
    """Labels of people that are ignored, or a bad line that is not named."""
    example = jsonl.read(data, Example)[0]
    row = {"example_id": example.id, "text": example.reference, "used_strategy": example.strategy, "criteria": {}}
    labels = tmp_path / "labels.jsonl"
    labels.write_text("".join(json.dumps(row | {"criteria": {"grounded": g}}) + "\n" for g in (1.0, 0.0)))
    found = run(data, tmp_path / "audit.json", "--num_responses", 0, "--labels", labels)
    assert found["criteria"]["used_strategy"]["accuracy"]["value"] == 1.0
    assert found["criteria"]["grounded"]["confusion"] == {"0.00": {"1.00": 1}, "1.00": {"1.00": 1}}
    assert found["criteria"]["complete"] == {"n": 0} and len(found["disagreements"]) == 1
    for bad, message in ((row | {"example_id": "x"}, "line 1.*--data_file"), (row | {"criteria": {"nice": 1}}, "nice")):
        labels.write_text(json.dumps(bad) + "\n")
        with pytest.raises(UserError, match=message):
            run(data, tmp_path / "audit.json", "--labels", labels)
