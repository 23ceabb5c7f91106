"""Other families of models through every stage, without a word about them in the code."""

import json

import pytest

import judge
import predict
from clarifyvlm import jsonl
from clarifyvlm.records import Prediction, Verdict
from families import HERE, build
from stages import ROOT, run, write_data

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=HERE)
def trained(request, tmp_path_factory):
    """(base, SFT adapter, GRPO adapter, data folder) of a family, two steps each."""
    folder = tmp_path_factory.mktemp(request.param)
    base, data = build(request.param, folder / "base"), write_data(folder / "data", 24, 6)
    for stage, model in (("sft", base), ("grpo", folder / "sft")):
        config = str(ROOT / f"tuning_{stage}" / "configs" / "smoke.yaml")
        flags = ["--model_name_or_path", str(model), "--data_dir", str(data), "--output_dir", str(folder / stage)]
        flags += ["--use_peft", "--learning_rate", "0.01"] if stage == "sft" else ["--learning_rate", "0.01"]
        done = run(f"tuning_{stage}/train.py", "--config", config, *flags, "--max_steps", "2")
        assert done.returncode == 0, done.stderr[-3000:]
    return base, folder / "sft", folder / "grpo", data


def said(model, data, output, *flags) -> list[Prediction]:
    files = ["--data_file", str(data / "validation.jsonl"), "--output_file", str(output / "predictions.jsonl")]
    length = ["--max_new_tokens", "6", "--device", "cpu"]
    assert predict.main(["--model_name_or_path", str(model), *files, *length, *flags]) == 0
    return jsonl.read(output / "predictions.jsonl", Prediction)


def test_every_stage_changes_the_model(trained, tmp_path):
    """An adapter that is not loaded, so that GRPO trains the base or inference shows it; a log without a loss."""
    base, sft, grpo, data = trained
    scores = []
    for name, model in (("base", base), ("sft", sft), ("grpo", grpo)):
        rows = said(model, data, tmp_path / name, "--turns", "2")
        assert len(rows) == 6 and all(row.completion_tokens[0] >= 1 and row.logprob < 0 for row in rows)
        scores.append([row.logprob for row in rows])
    assert scores[0] not in scores[1:]
    assert json.loads((grpo / "run.json").read_text())["status"] == "complete"


def test_the_picture_is_seen(trained, tmp_path):
    """Image tokens that are cut off, or pixel values that never reach the model."""
    _, sft, _, data = trained
    seen, blank = (said(sft, data, tmp_path / str(len(flags)), *flags) for flags in ([], ["--blank_image"]))
    assert [row.logprob for row in seen] != [row.logprob for row in blank]


def test_batches_say_what_single_questions_say(trained, tmp_path):
    """Padding on the wrong side, or pictures that are dealt to other questions of the batch."""
    _, sft, _, data = trained
    together, alone = (said(sft, data, tmp_path / size, "--batch_size", size) for size in ("4", "1"))
    assert [row.text for row in together] == [row.text for row in alone]
    for a, b in zip(together, alone, strict=True):
        assert a.logprob == pytest.approx(b.logprob, abs=1e-3)


def test_responses_are_judged(trained, tmp_path):
    """Special tokens of a family left in its words."""
    _, _, grpo, data = trained
    rows = said(grpo, data, tmp_path)
    assert not any("<" + word in row.text for row in rows for word in ("image", "|", "start_of_image", "fake_token"))
    files = ["--predictions", str(tmp_path / "predictions.jsonl"), "--output_file", str(tmp_path / "verdicts.jsonl")]
    assert judge.main(["--data_file", str(data / "validation.jsonl"), *files]) == 0
    assert len(jsonl.read(tmp_path / "verdicts.jsonl", Verdict)) == 6
