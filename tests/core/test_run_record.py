"""run.json: what made an output, whether it is complete, and the lock on it."""

import json
import subprocess
import sys

import pytest

from clarifyvlm.errors import UserError
from clarifyvlm.run_record import RunRecord, hash_input


@pytest.fixture
def start(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.jsonl").write_text("1\n")

    def run(stage="sft", overwrite=False, output="out", inputs=None, **args):
        args = {"data_dir": str(data), "steps": 3, "device": "cpu", **args}
        inputs = inputs or [data / "train.jsonl"]
        return RunRecord.start(tmp_path / output, stage, args | {"overwrite": overwrite}, inputs, ignore=["device"])

    return run


def test_complete_run_is_recognised(tmp_path, start):
    """Work done twice, or work that was cut taken for done."""
    with start() as run:
        assert not run.complete
        assert json.loads((tmp_path / "out/run.json").read_text())["status"] == "running"
    with start(device="cuda") as run:
        assert not run.complete  # never finished
        (tmp_path / "out/model.bin").write_text("x")
        run.finish(examples=1)
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["status"] == "complete" and record["counts"] == {"examples": 1} and record["resumed"] == 1
    assert {"commit", "versions", "started", "finished", "seconds"} <= set(record)
    with start(device="cuda") as run:
        assert run.complete
    (tmp_path / "out/model.bin").unlink()
    with start() as run:
        assert not run.complete


def test_changed_settings_are_refused_by_name(tmp_path, start):
    """A resume that mixes two configs, or a refusal that does not say what changed."""
    with start() as run:
        run.finish()
    (tmp_path / "data/train.jsonl").write_text("2\n")
    with pytest.raises(UserError) as error:
        start(steps=4, new=True)
    message = str(error.value)
    assert "steps: 3 -> 4" in message and "new: None -> True" in message and "train.jsonl" in message
    assert "--overwrite" in message and "--output_dir" in message
    with start(steps=4, overwrite=True) as run:
        assert not run.complete


def test_moved_inputs_are_no_change(tmp_path, start):
    """A renamed run folder, or a relative path, taken for other data."""
    with start(model="data/train.jsonl") as run:
        run.finish()
    (tmp_path / "data").rename(tmp_path / "moved")
    with start(
        data_dir=str(tmp_path / "moved"), inputs=[tmp_path / "moved/train.jsonl"], model="data/train.jsonl"
    ) as run:
        assert run.complete


def test_two_runs_in_one_folder(tmp_path, start):
    """Two writers in one folder; a lock that outlives a killed run."""
    code = (
        "import sys, time\nfrom clarifyvlm.run_record import RunRecord\n"
        f"RunRecord.start({str(tmp_path / 'out')!r}, 'sft', {{}})\n"
        "print('locked', flush=True); time.sleep(60)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(UserError, match=f"another run .*{other.pid}"):
            start()
    finally:
        other.kill()
        other.wait()
    with start(overwrite=True):
        pass
    assert not (tmp_path / "out/.lock").exists()


def test_overwrite_deletes_only_what_the_stage_wrote(tmp_path, start):
    """--overwrite in the wrong folder that deletes someone's files."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"thesis\.tex"):
            start(overwrite=overwrite)
    with start(output="other") as run:
        run.finish()
    for overwrite in (False, True):
        with pytest.raises(UserError, match="output of sft"):
            start(stage="grpo", output="other", overwrite=overwrite)
    assert (tmp_path / "out/thesis.tex").exists() and (tmp_path / "other/run.json").exists()


def test_record_of_a_file_lies_beside_it(tmp_path, start):
    """predictions.jsonl and verdicts.jsonl in one folder with one record for both."""
    with start(output="i/predictions.jsonl") as a, start(stage="judge", output="i/verdicts.jsonl") as b:
        for run in (a, b):
            run.output.write_text("")
            run.finish()
    names = sorted(p.name for p in (tmp_path / "i").iterdir())
    assert names == ["predictions.jsonl", "predictions.run.json", "verdicts.jsonl", "verdicts.run.json"]
    (tmp_path / "i/loose.jsonl").write_text("")
    with pytest.raises(UserError, match="no record"):
        start(output="i/loose.jsonl")


def test_checkpoint_counts_by_its_weights(tmp_path):
    """A retrained model at the same path taken for the old one; a log line taken for another model."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"1")
    before = hash_input(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    assert hash_input(tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(b"2")
    assert hash_input(tmp_path) != before
