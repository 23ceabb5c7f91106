"""Kind: the machine that stops. Every stage is killed at random moments, and writes to a disk that fills up: the same
command again ends with the outputs of a run that nothing disturbed.

    python -m pytest -n 0 -m endurance tests/outside/test_endurance.py       # all moments

Without -m endurance one moment of each is tried.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stages import ROOT

pytestmark = pytest.mark.slow
KILLS, FULL, OFTEN = 20, 10, 1  # moments of each stage; so many of them in every run of the tests
STAGES = ("generate", "sft", "grpo", "predict", "judge", "report")
PATIENCE_S = 600
PASSING = ("checkpoint-", ".", "run.json", "predictions.run.json", "verdicts.run.json")  # differ from run to run
# Parts of the names of values that are times, or of what the last of several runs did alone.
TIMED = ("seconds", "runtime", "per_second", "time", "judge_share", "train_loss", "total_flos", "num_tokens")


@dataclass
class Line:
    """The pipeline at its smallest, each stage run once without disturbance."""

    root: Path
    seconds: dict[str, float] = field(default_factory=dict)  # of a stage, from its run.json on
    sizes: dict[str, int] = field(default_factory=dict)  # bytes of a stage's output
    right: dict[str, dict] = field(default_factory=dict)  # its outputs

    def make(self, stage: str) -> None:
        """Run the stages up to this one, if they have not been."""
        if stage in self.right:
            return
        for earlier in {"generate": (), "sft": ("generate",), "report": ("judge",)}.get(stage, ("sft",)):
            self.make(earlier)
        if stage == "judge":
            self.make("predict")
        output = self.root / stage
        process = subprocess.Popen(self.command(stage, output), cwd=ROOT, stderr=subprocess.PIPE, text=True)
        began = wait_for(record_of(stage, output), process)
        _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said
        self.seconds[stage] = time.monotonic() - began
        self.sizes[stage], self.right[stage] = size_of(output), outputs(output)
        if stage == "judge":
            (self.root / "inference/sft").mkdir(parents=True)
            for name in ("predict/predictions.jsonl", "judge/verdicts.jsonl"):
                os.link(self.root / name, self.root / "inference/sft" / Path(name).name)

    def command(self, stage: str, output: Path) -> list[str]:
        root = self.root
        where = {
            "generate": ["dataset_generation/generate.py", "--config", "dataset_generation/configs/smoke.yaml"]
            + ["--output_dir", output],
            "sft": ["tuning_sft/train.py", "--config", "tuning_sft/configs/smoke.yaml"]
            + ["--model_name_or_path", "models/tiny", "--data_dir", root / "generate", "--output_dir", output],
            "grpo": ["tuning_grpo/train.py", "--config", "tuning_grpo/configs/smoke.yaml"]
            + ["--model_name_or_path", root / "sft", "--data_dir", root / "generate", "--output_dir", output],
            "predict": ["inference/predict.py", "--config", "inference/configs/smoke.yaml", "--batch_size", "8"]
            + ["--model_name_or_path", root / "sft", "--data_file", root / "generate/test.jsonl"]
            + ["--output_file", output / "predictions.jsonl"],
            "judge": ["inference/judge.py", "--config", "inference/configs/smoke.yaml"]
            + ["--data_file", root / "generate/test.jsonl", "--predictions", root / "predict/predictions.jsonl"]
            + ["--output_file", output / "verdicts.jsonl"],
            "report": ["inference/report.py", "--data_file", root / "generate/test.jsonl"]
            + ["--inference_dir", root / "inference", "--output_dir", output],
        }[stage]
        return [sys.executable, *map(str, where)]


def record_of(stage: str, output: Path) -> Path:
    return output / {"predict": "predictions.run.json", "judge": "verdicts.run.json"}.get(stage, "run.json")


def run(command: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def outputs(folder: Path) -> dict[str, object]:
    """What a stage leaves, without times: file -> content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(PASSING) for part in parts):
            found["/".join(parts)] = _content(path)
    return found


def _content(path: Path):
    if path.suffix == ".jsonl":
        return [_timeless(json.loads(line)) for line in path.read_text().split("\n") if line]
    if path.suffix == ".json":
        found = _timeless(json.loads(path.read_text()))
        if path.name == "tokenizer.json":
            found.pop("padding")  # of the last batch, which a run that only had to end does not have
        return found
    if path.name in ("training_args.bin", "report.html", "report.md", "README.md"):
        return path.stat().st_size > 0  # with paths, times and dates
    return path.read_bytes()


def _timeless(value):
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if not any(word in k for word in TIMED)}
    return [_timeless(v) for v in value] if isinstance(value, list) else value


def _difference(found, right):
    """What a failed test shows: of rows, the values that differ."""
    if not isinstance(right, list):
        return "differs"
    pairs = [(f, r) for f, r in zip(found, right, strict=False) if f != r]
    return (
        len(found),
        len(right),
        [{k: (f.get(k), r.get(k)) for k in {*f, *r} if f.get(k) != r.get(k)} for f, r in pairs],
    )


def size_of(folder: Path) -> int:
    return sum(-(-p.stat().st_size // 4096) * 4096 for p in folder.rglob("*") if p.is_file())


@pytest.fixture(scope="module")
def line(tmp_path_factory) -> Line:
    return Line(tmp_path_factory.mktemp("line"))


def wait_for(path: Path, process: subprocess.Popen) -> float:
    """The moment at which a file is there, or the process has ended."""
    until = time.monotonic() + PATIENCE_S
    while not path.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    return time.monotonic()


def moments(count: int):
    marks = [pytest.mark.endurance(often=i < OFTEN) for i in range(count)]
    return pytest.mark.parametrize("moment", [pytest.param(i, marks=mark) for i, mark in enumerate(marks)])


def ends_right(line: Line, stage: str, output: Path) -> None:
    done = run(line.command(stage, output))
    assert done.returncode == 0, done.stderr
    found, right = outputs(output), line.right[stage]
    assert found.keys() == right.keys()
    assert not {name: _difference(found[name], right[name]) for name in right if found[name] != right[name]}


@pytest.mark.parametrize("stage", STAGES)
@moments(KILLS)
def test_kill(line, stage, moment, tmp_path):
    """Fault: what a killed run leaves is taken for whole, stops the next run, or changes what comes out of it."""
    line.make(stage)
    output = tmp_path / stage
    after = random.Random(f"{stage}:{moment}").uniform(0, line.seconds[stage])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(line.command(stage, output), cwd=ROOT, start_new_session=True, **quiet)
    wait_for(record_of(stage, output), process)
    time.sleep(after)
    os.kill(process.pid, signal.SIGKILL)  # its workers have to see for themselves
    process.wait()
    ends_right(line, stage, output)


@pytest.fixture
def disk(tmp_path):
    """A function that gives a folder on a disk of so many bytes, or gives it more."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def of(size: int, more: str = "") -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"{more}size={size}", "tmpfs", str(folder)]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            pytest.skip(f"no disk can be made here: {made.stderr.strip()}")
        return folder

    yield of
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


@pytest.mark.parametrize("stage", STAGES)
@moments(FULL)
def test_full_disk(line, stage, moment, tmp_path, disk):
    """Fault: a disk that fills up is a traceback, a torn file, or lost work; or the run does not go on afterwards."""
    line.make(stage)
    share = random.Random(f"{stage}:{moment}").uniform(0, 1)
    output = disk(4096 * (3 + int(share * line.sizes[stage] / 4096))) / stage
    first = run(line.command(stage, output))
    if first.returncode:
        assert first.returncode == 1 and "the disk is full" in first.stderr, first.stderr
    assert "Traceback" not in first.stderr, first.stderr
    rows = {path: path.read_bytes().split(b"\n")[:-1] for path in output.rglob("*.jsonl")}
    disk(2**30, "remount,")
    ends_right(line, stage, output)
    for path, lines in rows.items():
        if path.name in ("predictions.jsonl", "verdicts.jsonl"):
            assert path.read_bytes().split(b"\n")[: len(lines)] == lines, "what was written was done anew"
