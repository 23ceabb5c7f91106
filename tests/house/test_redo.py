"""An edit, and ./run.sh again: what is out of date is said, made anew with --redo, or in a run beside with --reuse."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from run_sh import Run
from stages import ROOT

pytestmark = pytest.mark.slow
# variable -> (its flags, what is said of them, what the plan makes anew)
ANSWERED = [f"{folder}{what}.jsonl" for folder in ("", "unambiguous/") for what in ("predictions", "verdicts")]
BASE, SFT, GRPO = ([f"inference/{model}/{name}" for name in ANSWERED] for model in ("base", "sft", "grpo"))
EDITS = {
    "GENERATE_ARGS": (
        "--seed 1",
        "seed: 0 -> 1",
        ["data", "judge_audit.json", *BASE, "sft", *SFT, "grpo", *GRPO],
    ),
    "AUDIT_ARGS": ("--num_canary_examples 5", " -> 5", ["judge_audit.json"]),
    "PREDICT_ARGS": ("--max_new_tokens 3", "max_new_tokens: 24 -> 3", [*BASE, *SFT, *GRPO]),
    # two steps without a gradient: the decay of the weights is what changes the responses
    "GRPO_ARGS": ("--learning_rate 0.1 --weight_decay 3.0", "learning_rate: 5e-05 -> 0.1", ["grpo", *GRPO]),
    "SFT_ARGS": (
        "--learning_rate 2.0e-4",
        "learning_rate: 0.0005 -> 0.0002",
        ["sft", *SFT, "grpo", *GRPO],
    ),
    "JUDGE_ARGS": (
        "--judge_calls per_criterion",
        "judge_calls: joint -> per_criterion",
        ["judge_audit.json", *BASE[1::2], *SFT[1::2], "grpo", *GRPO],
    ),
}
# This judge's rewards stay the same, and on the same threads so does the model: what only follows may stay.
MAY_STAY = {"JUDGE_ARGS": GRPO[::2]}


def remade(said: str, run: Path) -> list[str]:
    """The outputs that were made anew, in order."""
    lines = [line.partition(" is made anew (") for line in said.splitlines()]
    return [output.removeprefix(f"{run}/") for output, there, _ in lines if there]


def planned(said: str, run: Path) -> list[str]:
    """The outputs that the plan would make anew, in order."""
    lines = [line for line in said.splitlines() if line.startswith(("  out of date", "  follows"))]
    return [line.partition(f"{run}/")[2].split()[0] for line in lines]


@pytest.mark.parametrize("variable", EDITS)
def test_an_edit_is_said(finished, tmp_path, variable):
    """A run that goes on with other settings than it began with; a plan for stages that the edit does not concern."""
    flags, change, parts = EDITS[variable]
    run = finished.folder
    refused = Run("smoke", run, log=tmp_path / "refused", **{variable: flags})
    said = refused.wait()
    assert refused.process.returncode == 2 and not refused.steps and change in said
    assert planned(said, run) == parts


@pytest.mark.parametrize(
    "variable",
    [pytest.param(name, marks=pytest.mark.endurance(often=name in ("GRPO_ARGS", "AUDIT_ARGS"))) for name in EDITS],
)
def test_an_edit_is_redone(finished, tmp_path, variable):
    """Stages that the edit does not concern made anew; advice that deletes data; an old output that is lost."""
    flags, _, parts = EDITS[variable]
    run = Path(shutil.copytree(finished.folder, tmp_path / "run"))
    said = Run("smoke", run, log=tmp_path / "refused", **{variable: flags}).wait()
    (command,) = [line.strip() for line in said.splitlines() if line.startswith("  ") and line.endswith("--redo")]
    environment = os.environ | {"CLARIFYVLM_PYTHON": sys.executable}
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    made = remade(done.stdout, run)
    parts = [part for part in parts if part in made or part not in MAY_STAY.get(variable, ())]
    assert made == parts
    for part in parts:
        old = (run / part).parent / ".replaced" / Path(part).name
        assert json.loads(next(old.glob("*run.json")).read_text())["status"] == "complete"
    again = Run("smoke", run, log=tmp_path / "again", **{variable: flags})
    assert "made anew" not in again.wait() and again.process.returncode == 0


def test_an_edit_of_the_report_needs_no_redo(finished, tmp_path):
    """A report of before the edit, or one that the user is sent to --redo for."""
    run = Path(shutil.copytree(finished.folder, tmp_path / "run"))
    done = Run("smoke", run, "--from", "report", log=tmp_path / "log", REPORT_ARGS="--resamples 300")
    said = done.wait()
    assert done.process.returncode == 0 and "made anew" not in said, said[-2000:]
    assert json.loads((run / "report/metrics.json").read_text())["resamples"] == 300


def test_another_run_takes_over_what_is_unchanged(finished, tmp_path):
    """A run beside the old one that makes all of it again, or that writes into files of the old one."""
    old = finished.folder
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in old.rglob("*") if p.is_file()}
    new = tmp_path / "new run"
    run = Run("smoke", new, "--reuse", old, log=tmp_path / "log", GRPO_ARGS="--learning_rate 0.1 --weight_decay 3.0")
    said = run.wait()
    assert run.process.returncode == 0, said[-2000:]
    assert remade(said, new) == ["grpo", *GRPO]
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in old.rglob("*") if p.is_file()} == before
    assert os.path.samefile(new / "sft/model.safetensors", old / "sft/model.safetensors")
    assert (new / "report/report.html").is_file()


def test_other_code_makes_data_anew_and_no_more(finished, tmp_path):
    """Data of other code that is taken for today's; and trainings that are made anew though the data stayed the
    same."""
    run = Path(shutil.copytree(finished.folder, tmp_path / "run"))
    record = json.loads((run / "data/run.json").read_text())
    assert "dataset_generation/scenes" in record["code"]["paths"]
    record["code"] |= {"bytes": "0" * 64, "syntax": "0" * 64}
    (run / "data/run.json").write_text(json.dumps(record))
    refused = Run("smoke", run, log=tmp_path / "refused")
    said = refused.wait()
    assert refused.process.returncode == 2 and "(code of dataset_generation/" in said, said
    dry = Run("smoke", run, "--redo", "--dry_run", log=tmp_path / "dry")
    assert dry.wait().count("  follows ") == 15 and dry.process.returncode == 0 and not dry.steps
    done = Run("smoke", run, "--redo", log=tmp_path / "done")
    assert remade(done.wait(), run) == ["data"] and done.process.returncode == 0


def test_a_killed_redo_goes_on(finished, tmp_path):
    """A redo that is killed in its training and then begins with less than it had."""
    run = Path(shutil.copytree(finished.folder, tmp_path / "run"))
    old = {p.relative_to(run / "grpo"): p.read_bytes() for p in (run / "grpo").rglob("*") if p.is_file()}
    how = {"GRPO_ARGS": "--learning_rate 2.0e-5"}
    first = Run("smoke", run, "--redo", log=tmp_path / "first", **how)
    assert first.wait_for_step(11)
    first.kill()
    second = Run("smoke", run, "--redo", log=tmp_path / "second", **how)
    said = second.wait()
    assert second.process.returncode == 0, said[-2000:]
    kept = run / ".replaced" / "grpo"
    assert {p.relative_to(kept): p.read_bytes() for p in kept.rglob("*") if p.is_file()} == old
    assert json.loads((run / "grpo/run.json").read_text())["args"]["learning_rate"] == 2e-5
