"""run.json: what made an output, whether it is complete, and the lock on it."""

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clarifyvlm.errors import UserError
from clarifyvlm.run_record import RunRecord, hash_input


@pytest.fixture
def start(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.jsonl").write_text("1\n")

    def run(stage="sft", output="out", inputs=None, **args):
        args = {"data_dir": str(data), "steps": 3, "device": "cpu", "overwrite": False, "redo": False, **args}
        return RunRecord.start(tmp_path / output, stage, args, inputs or [data / "train.jsonl"], ignore=["device"])

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


@pytest.mark.parametrize("output", ["out", "out/audit.json"])
def test_what_a_kill_left_half_written_is_gone(tmp_path, start, output):
    """A temporary file of a killed run that stays for ever; that of another run beside it, deleted while it writes."""
    (tmp_path / "out").mkdir()
    torn = tmp_path / "out" / (".audit.run.json.js7xnxh3.tmp" if output.endswith(".json") else ".run.json.js7xnxh3.tmp")
    other = tmp_path / "out/.audit.more.json.js7xnxh3.tmp"
    (other if output.endswith(".json") else torn).write_text("{")
    torn.write_text("{")
    with start(output=output):
        assert not torn.exists() and other.exists() == output.endswith(".json")


def test_changed_settings_are_refused_by_name(tmp_path, start):
    """A resume that mixes two configs, or a refusal that does not say what changed."""
    with start() as run:
        run.finish()
    (tmp_path / "data/train.jsonl").write_text("2\n")
    with pytest.raises(UserError) as error:
        start(steps=4, new=True)
    message = str(error.value)
    assert "steps: 3 -> 4" in message and "new: None -> True" in message and "train.jsonl" in message
    assert "--redo" in message and "--overwrite" in message and "--output_dir" in message
    with start(steps=4, overwrite=True) as run:
        assert not run.complete


def fill(run: RunRecord, words: str) -> None:
    """An output of a folder with a file in it, or of one file."""
    if run.output.suffix:
        run.output.write_text(words)
    else:
        (run.output / "part").mkdir(exist_ok=True)
        (run.output / "model.bin").write_text(words)
        (run.output / "part" / "weights.bin").write_text(words)
    run.finish()


def words_in(place: Path) -> list[str]:
    files = [place] if place.is_file() else [p for p in place.rglob("*") if p.is_file()]
    return [p.read_text() for p in files if not p.name.endswith("run.json") and not p.name.startswith(".")]


@pytest.mark.parametrize("output", ["out", "out.jsonl"])
def test_redo_makes_anew_what_is_out_of_date_and_keeps_the_last(tmp_path, start, output):
    """An edit that costs what was there; a complete output made anew without need; an old version kept in pieces."""
    kept = tmp_path / ".replaced" / output
    with start(output=output, redo=True) as run:
        fill(run, "first")
    with start(output=output, redo=True) as run:
        assert run.complete and not kept.exists()
    for steps, words, before in ((4, "second", "first"), (5, "third", "second")):
        with start(output=output, steps=steps, redo=True) as run:
            assert run.anew and not run.complete and words_in(tmp_path / output) == []
            assert set(words_in(kept)) == {before}
            fill(run, words)
    with start(output=output, steps=6, redo=True):
        pass  # stopped before it was done: what was put away is the last whole one
    with start(output=output, steps=7, redo=True) as run:
        assert run.anew and set(words_in(kept)) == {"third"}
        fill(run, "fourth")
    assert set(words_in(tmp_path / output)) == {"fourth"} and set(words_in(kept)) == {"third"}
    record = next(kept.glob("*run.json"))
    assert json.loads(record.read_text())["args"]["steps"] == 5 and len(list((tmp_path / ".replaced").iterdir())) == 1


class Killed(BaseException):
    pass


@pytest.mark.parametrize("output", ["out", "out.jsonl"])
@pytest.mark.parametrize("then", ["again", "reverted"])
def test_redo_that_is_killed_at_any_moment(tmp_path, start, output, then, monkeypatch):
    """A kill between two moves that leaves the old output in two places, or costs a part of it."""
    kept = tmp_path / ".replaced" / output
    rename = Path.rename
    for moment in range(8):
        shutil.rmtree(tmp_path / ".replaced", ignore_errors=True)
        for path in tmp_path.glob("out*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        with start(output=output) as run:
            fill(run, "old")
        left = [moment]

        def killed(path, target, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", killed)
        with contextlib.suppress(Killed):
            start(output=output, steps=4, redo=True).__exit__()
        monkeypatch.undo()
        if then == "reverted":
            if not (tmp_path / output).exists() or not words_in(tmp_path / output):
                continue  # it had come so far that the old one is put away
            with start(output=output) as run:
                assert run.complete and set(words_in(tmp_path / output)) == {"old"}
        else:
            with start(output=output, steps=4, redo=True) as run:
                assert set(words_in(kept)) == {"old"}, moment
                fill(run, "new")
            assert set(words_in(tmp_path / output)) == {"new"} and set(words_in(kept)) == {"old"}
        assert not [p for p in (tmp_path / ".replaced").glob(".*")]


def test_advice_fits_the_way_in_which_one_was_called(start, monkeypatch):
    """run.sh's user told to give a flag that deletes data and checkpoints, or that run.sh does not have."""
    with start() as run:
        run.finish()
    monkeypatch.setenv(
        "CLARIFYVLM_RERUN", "  ./run.sh tiny runs/tiny --redo\n  ./run.sh tiny runs/tiny-2 --reuse runs/tiny"
    )
    with pytest.raises(UserError) as error:
        start(steps=4)
    message = str(error.value)
    assert "steps: 3 -> 4" in message and "\n  ./run.sh tiny runs/tiny --redo\n" in message
    assert "--overwrite" not in message and "--output_dir" not in message


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
