"""`main.py sweep`: which runs it makes of a grid, what they take over from each other, and the table in the end."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import main
from clarifyvlm.app import sweep
from clarifyvlm.errors import UserError
from stages import ROOT

RATES = ["--grpo.learning_rate", "2e-5", "5e-5"]


def planned(capsys, *arguments) -> list[tuple[dict[str, str], list[str]]]:
    """(variables, words) of each command that --dry_run prints, the folder of the sweep left out."""
    assert main.main(["sweep", "smoke", "runs/some", *map(str, arguments), "--dry_run"]) == 0
    found = []
    for line in capsys.readouterr().out.replace("runs/some/", "").splitlines():
        words = shlex.split(line)
        first = words.index("./run.sh")
        found.append((dict(word.split("=", 1) for word in words[:first]), words[first:]))
    return found


def test_the_commands_of_a_grid(capsys, monkeypatch):
    """A combination left out, or a setting that reaches another stage, replaces those of the user, or falls apart."""
    monkeypatch.setenv("GRPO_ARGS", "--max_steps 3")
    stuff = ["--data.image_dir=my photographs", "--grpo.learning_rate=2e-5", "5e-5", "--seeds", "0", "1"]
    rest = "data.image_dir=my_photographs,grpo.learning_rate"
    assert planned(capsys, *stuff) == [
        (
            {"GENERATE_ARGS": "--image_dir='my photographs'", "GRPO_ARGS": f"--max_steps 3 --learning_rate={rate}"},
            ["./run.sh", "smoke", f"{rest}={rate},seed={seed}", "--seed", str(seed)]
            + (["--reuse", f"{rest}=2e-5,seed={seed}"] if rate == "5e-5" else []),
        )
        for rate in ("2e-5", "5e-5")
        for seed in (0, 1)
    ]
    assert planned(capsys, "--cell", 0, "--predict.turns", 1) == [
        ({"PREDICT_ARGS": "--turns=1"}, ["./run.sh", "smoke", "predict.turns=1"])
    ]


@pytest.mark.parametrize(
    ("flags", "one"),
    [
        ([*RATES, "--sft.learning_rate", "1", "2"], [None, 0, 0, 1]),  # that with the same SFT, not the first one
        (["--sft.learning_rate", "1", "2", *RATES], [None, 0, 0, 2]),
        (["--predict.turns", "1", "2", *RATES], [None, 0, 0, 1]),
        (["--judge.judge", "a", "b", *RATES], [None, 0, 0, 2]),  # GRPO is of its judge: no more is shared than by 0
    ],
)
def test_what_shares_most_is_taken_over(flags, one):
    """A training that is done twice, though an earlier run has it."""
    _, values, _ = sweep._split(flags)
    cells = sweep.grid(values, [])
    shared = [max(cells[:i], key=cell.shares_with, default=None) for i, cell in enumerate(cells)]
    assert [found and cells.index(found) for found in shared] == one


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--grpo.learning_rat", "1"], "train.py: error: unknown flag --learning_rat. Did you mean --learning_rate"),
        (["--grpo.learning_rate", "1", "2", "x"], "invalid float value: 'x'"),
        (["--gpro.learning_rate", "1"], "there is no stage gpro. There are: data, sft"),
        (["--learning_rate", "1"], "unknown flag --learning_rate"),
        (["--grpo.learning_rate", "--seeds", "1"], "needs one value or more"),
        ([*RATES, *RATES], "is there twice"),
        ([*RATES, "2e-5"], "two combinations would be called grpo.learning_rate=2e-5"),
        ([*RATES, "--cell", "2"], "there are 2 combinations, 0 to 1"),
        (["--seeds", "-1"], "must be at least 0"),
        ([], "nothing to vary"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(tmp_path, flags, message):
    """A typing error that is found after hours, in the last run of a sweep."""
    with pytest.raises(UserError, match=re.escape(message)):
        main.main(["sweep", "smoke", str(tmp_path / "some"), *flags])
    assert not list(tmp_path.iterdir())


def test_a_preset_and_a_folder_are_needed():
    """A preset that is taken for the folder."""
    with pytest.raises(UserError, match="a preset and a folder"):
        main.main(["sweep", "runs/some", *RATES])


def test_a_job_takes_over_from_complete_runs_only(tmp_path, capsys, monkeypatch):
    """Hard links to files that another job of the array is writing."""
    monkeypatch.setattr(main, "ROOT", tmp_path)
    assert "--reuse" not in planned(capsys, *RATES, "--cell", 1)[0][1]
    record = tmp_path / "runs/some/grpo.learning_rate=2e-5/report/run.json"
    record.parent.mkdir(parents=True)
    for status, taken in (("running", False), ("complete", True)):
        record.write_text(json.dumps({"status": status}))
        assert ("--reuse" in planned(capsys, *RATES, "--cell", 1)[0][1]) == taken


def test_the_job_script_runs_its_own_cell(tmp_path):
    """A job of an array that runs the whole sweep, or another's part."""
    given = {"SLURM_SUBMIT_DIR": str(ROOT), "SLURM_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"}
    command = ["bash", "slurm/sweep.sbatch", "smoke", str(tmp_path / "some"), *RATES, "--dry_run"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"GRPO_ARGS=--learning_rate=5e-5 ./run.sh smoke {tmp_path}/some/grpo.learning_rate=5e-5\n"


def start(log: Path, folder: Path) -> subprocess.Popen:
    command = [sys.executable, "main.py", "sweep", "smoke", str(folder), *RATES, "--seeds", "0"]
    environment = os.environ | {"CLARIFYVLM_PYTHON": sys.executable}
    with open(log, "wb") as out:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True)


@pytest.mark.slow
def test_a_sweep_trains_once_what_is_shared_and_goes_on(tmp_path):
    """SFT trained for every rate of GRPO; a kill that loses a run; a second call that does all again; a lost row."""
    log, folder = tmp_path / "log", tmp_path / "rates"
    killed = start(log, folder)
    while log.read_text().count("tuning_grpo/train.py --config") < 2:
        assert killed.poll() is None, log.read_text()[-2000:]
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert start(log, folder).wait(timeout=1200) == 0, log.read_text()[-2000:]
    one, other = (folder / f"grpo.learning_rate={rate},seed=0" for rate in ("2e-5", "5e-5"))
    assert os.path.samefile(one / "sft/model.safetensors", other / "sft/model.safetensors")
    rates = [json.loads((run / "grpo/run.json").read_text())["args"]["learning_rate"] for run in (one, other)]
    assert rates == [2e-5, 5e-5]
    table = (folder / "sweep.md").read_text()
    assert [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| grpo.")] == [
        "grpo.learning_rate=2e-5",
        "grpo.learning_rate=5e-5",
    ]
    assert table in log.read_text()
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and "report" not in p.parts}
    assert start(log, folder).wait(timeout=1200) == 0, log.read_text()[-2000:]
    after = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and "report" not in p.parts}
    assert [p for p in after if after[p] != before.get(p)] == [folder / "sweep.md"]
