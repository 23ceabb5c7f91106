"""What a user can get wrong, at every stage's own command line: one screen that says what, where and what to do,
exit code 2, before a model is loaded, with everything that was written left as it was."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from clarifyvlm.errors import run_main
from clarifyvlm.models import loading
from clarifyvlm.run_record import RunRecord
from stages import ROOT, script, write_data

GENERATE, SFT, GRPO = "dataset_generation/generate.py", "tuning_sft/train.py", "tuning_grpo/train.py"
PREDICT, JUDGE, REPORT = "inference/predict.py", "inference/judge.py", "inference/report.py"
MAIN = "main.py"
TRAINERS = (SFT, GRPO)
READERS_OF_PICTURES = (SFT, GRPO, PREDICT)
STAGES = (GENERATE, SFT, GRPO, PREDICT, JUDGE, REPORT)
LINES_OF_A_SCREEN = 24


class Bench:
    """A folder with data, a model, an SFT checkpoint and predictions; `flags(stage)` is a command that would work."""

    def __init__(self, folder: Path, model: Path):
        self.folder, self.model = folder, model
        self.data = write_data(folder / "data", train=12, validation=6)
        self.sft = shutil.copytree(model, folder / "sft")
        (self.sft / "run.json").write_text(json.dumps({"stage": "tuning_sft", "status": "complete", "args": {}}))
        said = [{"example_id": json.loads(line)["id"], "text": "It is red."} for line in self.lines("validation")]
        self.predictions = folder / "inference/mine/predictions.jsonl"
        self.predictions.parent.mkdir(parents=True)
        self.predictions.write_text("".join(json.dumps(row) + "\n" for row in said))

    def lines(self, split: str) -> list[str]:
        return (self.data / f"{split}.jsonl").read_text().splitlines()

    def flags(self, stage: str) -> dict:
        data_file = self.data / "validation.jsonl"
        out = self.folder / "out"
        return {
            GENERATE: {"config": ROOT / "dataset_generation/configs/smoke.yaml", "output_dir": out},
            SFT: {"model_name_or_path": self.model, "data_dir": self.data, "output_dir": out, "max_steps": 1},
            GRPO: {
                "model_name_or_path": self.sft,
                "data_dir": self.data,
                "output_dir": out,
                "num_prompts": 6,
                "num_generations": 2,
                "per_device_train_batch_size": 4,
                "max_steps": 1,
                "save_steps": 1,
            },
            PREDICT: {
                "model_name_or_path": self.model,
                "data_file": data_file,
                "output_file": out / "predictions.jsonl",
            },
            JUDGE: {
                "data_file": data_file,
                "predictions": self.predictions,
                "output_file": self.predictions.with_name("verdicts.jsonl"),
            },
            REPORT: {"data_file": data_file, "inference_dir": self.folder / "inference", "output_dir": out},
        }[stage]

    def output(self, stage: str) -> Path:
        flags = self.flags(stage)
        return Path(flags.get("output_dir") or flags["output_file"])

    def contents(self) -> dict[str, bytes]:
        """Every file in the folder but locks and records of runs that stopped at once."""
        return {
            str(p.relative_to(self.folder)): p.read_bytes()
            for p in sorted(self.folder.rglob("*"))
            if p.is_file() and not p.name.endswith((".lock", "run.json"))
        }


@pytest.fixture
def bench(tmp_path, tiny_model_dir, monkeypatch) -> Bench:
    def no_load(*args, **kwargs):
        raise AssertionError("a model was loaded before the input was checked")

    monkeypatch.setattr(loading, "load", no_load)
    return Bench(tmp_path, tiny_model_dir)


@pytest.fixture
def refused(bench, capsys):
    """Runs a stage as its script does; returns the message, after all that every refusal must be."""

    def run(stage: str, *words: str, code: int = 2, without: tuple = (), **changes) -> str:
        flags = {k: v for k, v in (bench.flags(stage) | changes).items() if k not in without}
        argv = [part for k, v in flags.items() for part in (f"--{k}", *map(str, v if isinstance(v, list) else [v]))]
        before = bench.contents()
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            run_main(lambda: script(stage).main(argv))
        message = capsys.readouterr().err
        assert stopped.value.code == code, message
        assert "Traceback" not in message and len(message.splitlines()) <= LINES_OF_A_SCREEN
        for word in words:
            assert word in message, f"{stage}: {word!r} is not in: {message}"
        assert bench.contents() == before
        return message

    return run


@pytest.mark.parametrize("stage", STAGES)
def test_unknown_key_or_value(stage, bench, refused, tmp_path):
    """A misspelt key that is passed over, so that a run has other settings than its config says."""
    config = tmp_path / "my.yaml"
    config.write_text("sead: 1\n")
    if stage == JUDGE:
        config.write_text("judge: {judge_max_retrys: 1}\n")
    refused(stage, "my.yaml", "unknown key", "Did you mean", config=config)
    refused(stage, "unknown flag --sead", sead=1)
    bad = {GENERATE: "source", JUDGE: "judge", PREDICT: "dtype"}.get(stage, "seed")
    config.write_text(f"judge: {{{bad}: nonsense}}\n" if stage == JUDGE else f"{bad}: nonsense\n")
    refused(stage, "my.yaml", bad, "nonsense", config=config)
    refused(stage, "no config file", "nowhere.yaml", config=tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        (["vague:infer=1"], "vague:infer cannot be met"),
        (["none:clarify=1"], "none:clarify cannot be met"),
        (["none:answer=x"], "none:answer=x"),
        (["non:answer=1"], "unknown ambiguity type 'non'"),
        (["none:asnwer=1"], "unknown strategy 'asnwer'"),
        (["none:answer=-1"], "from 0 up"),
        (["none:answer=0"], "above 0"),
    ],
)
def test_share_that_cannot_be_met(refused, shares, words):
    """A data set that silently holds other shares than were asked for; minutes of work before the refusal."""
    refused(GENERATE, "shares", words, shares=shares)


@pytest.mark.parametrize("stage", STAGES[1:])
def test_missing_torn_or_invalid_line(stage, bench, refused):
    """A file that is read up to its fault, and an error that does not say where the fault is."""
    broken = bench.predictions if stage == JUDGE else bench.data / "validation.jsonl"
    if stage == REPORT:
        refused(REPORT, "no verdicts", "inference/judge.py", "--output_file")
        bench.predictions.with_name("verdicts.jsonl").write_text("")
    whole = broken.read_text()
    lines = whole.splitlines()
    torn = "\n".join([*lines[:2], lines[2][: len(lines[2]) // 2]]) + "\n"
    row = json.loads(lines[3])
    field = "text" if stage == JUDGE else "strategy"
    invalid = "\n".join([*lines[:3], json.dumps(row | {field: 7})]) + "\n"
    for text, words in (
        (torn, (f"{broken.name}:3", "torn")),
        (invalid, (f"{broken.name}:4: {field}", "7")),
    ):
        broken.write_text(text)
        refused(stage, *words)
    broken.unlink()
    refused(stage, f"no file {broken}", "inference/predict.py" if stage == JUDGE else "dataset_generation/generate.py")


@pytest.mark.parametrize("stage", READERS_OF_PICTURES)
def test_bad_pictures_are_all_listed(stage, bench, refused):
    """One bad picture per attempt, each found minutes after the model loaded."""
    folder = bench.data / "images"
    names = [f"validation000{i}.png" for i in range(4)]
    (folder / names[0]).unlink()
    (folder / names[1]).write_bytes((folder / names[1]).read_bytes()[:-60])
    Image.new("1", (8000, 8000)).save(folder / names[2])
    Image.new("I;16", (10, 10)).save(folder / names[3])
    refused(stage, "4 of", *names, "no such picture", "truncated", "64 Mpx", "8-bit")


@pytest.mark.parametrize("stage", READERS_OF_PICTURES)
def test_directory_that_is_no_checkpoint(stage, bench, refused, tmp_path):
    """A traceback of transformers for a wrong path; a text-only model that fails at the first picture."""
    allowed = {"allow_base_model": "true"} if stage == GRPO else {}
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(stage, "is empty", "config.json", model_name_or_path=empty, **allowed)
    refused(stage, "no model directory", model_name_or_path=tmp_path / "nowhere", **allowed)
    torn = shutil.copytree(bench.model, tmp_path / "torn")
    with open(torn / "model.safetensors", "r+b") as file:
        file.truncate(5000)
    refused(stage, "torn", "model.safetensors", model_name_or_path=torn, **allowed)
    (torn / "model.safetensors").unlink()
    refused(stage, "no weights", model_name_or_path=torn, **allowed)
    text_only = tmp_path / "text_only"
    text_only.mkdir()
    (text_only / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 64}))
    refused(stage, "text-only", "vision-language", model_name_or_path=text_only, **allowed)


def test_grpo_needs_an_sft_checkpoint(bench, refused, tmp_path):
    """GRPO that silently starts from the base, or from a run of SFT that was killed."""
    refused(GRPO, "no SFT checkpoint", "tuning_sft/train.py", "--allow_base_model", model_name_or_path=bench.model)
    killed = tmp_path / "killed"
    killed.mkdir()
    (killed / "run.json").write_text(json.dumps({"stage": "tuning_sft", "status": "running"}))
    refused(GRPO, "tuning_sft", "has not finished", model_name_or_path=killed)


def test_groups_that_do_not_fill_a_batch(refused):
    """A group size that does not divide the batch, found by the trainer after the model is loaded."""
    refused(GRPO, "num_generations", "whole groups", num_generations=3)
    refused(GRPO, "--num_generations 1", "at least 2", num_generations=1)
    refused(GRPO, "--num_prompts 600", "Lower it", num_prompts=600)
    refused(GRPO, "--save_steps", "multiple", save_steps=1, steps_per_generation=2)


@pytest.mark.parametrize("stage", STAGES)
def test_folder_of_another_run(stage, bench, refused):
    """Two configs mixed in one folder; files of another stage, or of the user, taken for one's own."""
    if stage == REPORT:
        bench.predictions.with_name("verdicts.jsonl").write_text("")
    output = bench.output(stage)
    flags = {"overwrite": "false"} if stage == REPORT else {}  # a report is made anew unless told
    is_file = output.suffix == ".jsonl"
    record = output.with_name(f"{output.stem}.run.json") if is_file else output / "run.json"
    output.parent.mkdir(exist_ok=True)
    if is_file:
        output.write_text("{}\n")
    else:
        output.mkdir(exist_ok=True)
        (output / "thesis.tex").write_text("mine")
    refused(stage, str(output), "--overwrite" if is_file else "thesis.tex", **flags)
    name = {GENERATE: GENERATE, SFT: "tuning_sft", GRPO: "tuning_grpo"}.get(stage) or Path(stage).stem
    record.write_text(json.dumps({"stage": name, "status": "complete", "args": {"seed": 77}, "inputs": []}))
    changed = "judge: None -> scene" if stage == JUDGE else "seed: 77 -> "
    refused(stage, "other settings", changed, "--overwrite", **flags)
    record.write_text(json.dumps({"stage": "another", "status": "complete", "args": {}, "inputs": []}))
    refused(stage, "holds the output of another", **flags)


@pytest.mark.parametrize("stage", STAGES)
def test_two_runs_in_one_folder(stage, bench, refused):
    """Two writers whose lines mix in one file."""
    if stage == REPORT:
        bench.predictions.with_name("verdicts.jsonl").write_text("")
    with RunRecord.start(bench.output(stage), "whatever", {}):
        refused(stage, "another run", str(os.getpid()), str(bench.output(stage)))


def test_no_network_for_a_hub_name(bench):
    """Minutes of retries and a traceback where there is no network, and no word on local paths."""
    environment = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
    flags = bench.flags(PREDICT) | {"model_name_or_path": "nobody/no-such-model"}
    done = subprocess.run(
        [sys.executable, str(ROOT / PREDICT), *(str(part) for k, v in flags.items() for part in (f"--{k}", v))],
        capture_output=True,
        text=True,
        timeout=100,
        env=environment | {"HF_ENDPOINT": "http://127.0.0.1:9"},
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "nobody/no-such-model" in done.stderr and "--local-dir" in done.stderr


@pytest.fixture
def small_disk(tmp_path):
    """A disk of four mebibytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("mount")
    if not mounted or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk]).returncode:
        pytest.skip("needs root, to mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def by_itself(bench: Bench, stage: str, **changes) -> subprocess.CompletedProcess:
    tokens = [str(part) for k, v in (bench.flags(stage) | changes).items() for part in (f"--{k}", v)]
    return subprocess.run([sys.executable, str(ROOT / stage), *tokens], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("stage", "left_kib"),
    [(JUDGE, 8), pytest.param(GENERATE, 40, marks=pytest.mark.slow), pytest.param(SFT, 1000, marks=pytest.mark.slow)],
    ids=lambda value: str(value),
)
def test_full_disk(stage, left_kib, bench, small_disk):
    """Torn files after a full disk, a traceback, or a run that cannot go on, or goes on otherwise, once there is
    space."""
    name = "verdicts.jsonl" if stage == JUDGE else "out"
    flag = "output_file" if stage == JUDGE else "output_dir"
    filler = small_disk / "filler"
    room = os.statvfs(small_disk)
    filler.write_bytes(b"x" * (room.f_bavail * room.f_frsize - left_kib * 1024))
    done = by_itself(bench, stage, **{flag: small_disk / name})
    assert done.returncode == 1, done.stderr
    assert "the disk is full" in done.stderr and "Traceback" not in done.stderr
    assert "run the same command again" in done.stderr
    assert all(path.read_bytes()[-1:] in (b"", b"\n") for path in small_disk.rglob("*.jsonl"))
    filler.unlink()
    whole = bench.folder / "whole"
    for folder in (small_disk, whole):
        done = by_itself(bench, stage, **{flag: folder / name})
        assert done.returncode == 0, done.stderr
    for path in whole.rglob("*.*"):
        if path.suffix in (".png", ".safetensors") or path.name in ("verdicts.jsonl", "train.jsonl", "test.jsonl"):
            assert path.read_bytes() == (small_disk / path.relative_to(whole)).read_bytes()


def test_ask_refuses_in_one_line(bench, tmp_path):
    """`main.py ask` with a traceback for a wrong picture, model or command."""
    picture = next((bench.data / "images").iterdir())
    for words, *arguments in (
        ("no such picture", "ask", "--image", "none.png", "--question", "What?", "--model_name_or_path", bench.model),
        ("no model directory", "ask", "--image", picture, "--question", "What?", "--model_name_or_path", "./none"),
        ("--question is empty", "ask", "--image", picture, "--question", " ", "--model_name_or_path", bench.model),
        ("unknown command", "aks"),
    ):
        done = subprocess.run([sys.executable, str(ROOT / MAIN), *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) < 5, done.stderr
