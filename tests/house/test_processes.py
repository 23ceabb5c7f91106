"""Two processes on the CPU (gloo), started by accelerate launch as on GPUs: the same results as one process, and no
job that hangs when a process dies."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from clarifyvlm import processes
from clarifyvlm.models import checkpoints
from clarifyvlm.records import NOT_UNDERSTOOD
from launching import SFT, TINY, command, launch, log, sft, workers
from stages import ROOT, run, write_data

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("processes") / "data")


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    """SFT in one process, batches of 4."""
    output = tmp_path_factory.mktemp("alone") / "sft"
    done = run("tuning_sft/train.py", *SFT, *sft(data, output, 4))
    assert done.returncode == 0, done.stderr[-3000:]
    return output


def started(there: Path, *arguments) -> subprocess.Popen:
    """SFT in two processes, as soon as the file `there` exists."""
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(command("tuning_sft/train.py", *arguments), **both, text=True, cwd=ROOT)
    deadline = time.monotonic() + 200
    while not there.exists():
        assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()[-3000:]
        time.sleep(0.01)
    return process


def weights(folder: Path) -> dict:
    return load_file(folder / "model.safetensors")


def test_predictions_and_verdicts_are_those_of_one_process(data, tmp_path):
    """Examples that no process or two processes take, a share that is not merged in the order of the data."""
    train = data / "train.jsonl"
    how = ["--model_name_or_path", TINY, "--data_file", train, "--max_new_tokens", 8, "--batch_size", 1, "--turns", 2]
    for name, start in (("one", run), ("two", launch)):
        said = tmp_path / name / "predictions.jsonl"
        judged = ["--data_file", train, "--predictions", said, "--output_file", said.with_name("verdicts.jsonl")]
        for done in (start("inference/predict.py", *how, "--output_file", said), start("inference/judge.py", *judged)):
            assert done.returncode == 0, done.stderr[-3000:]
    for name in ("predictions.jsonl", "verdicts.jsonl"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert not list((tmp_path / "two").glob("*share*"))
    again = launch("inference/predict.py", *how, "--output_file", tmp_path / "two" / "predictions.jsonl")
    assert again.returncode == 0 and again.stdout.count("complete already") == 1


def test_a_killed_share_is_kept(data, tmp_path):
    """Predictions of a process that was killed are paid for twice, or stay beside the file for good."""
    train, said = data / "train.jsonl", tmp_path / "predictions.jsonl"
    how = ["--model_name_or_path", TINY, "--data_file", train, "--max_new_tokens", 8, "--batch_size", 1]
    assert run("inference/predict.py", *how, "--output_file", said).returncode == 0
    whole = said.read_text().splitlines(keepends=True)
    record = said.with_name("predictions.run.json")
    record.write_text(record.read_text().replace('"complete"', '"running"'))
    said.write_text("".join(whole[:8]))
    kept = whole[16:24]
    kept[0] = kept[0].replace('"seed": 0', '"seed": 7')  # a mark: this line is taken, not made again
    said.with_name("predictions.share-1.jsonl").write_text("".join(kept) + whole[24][:30])
    again = launch("inference/predict.py", *how, "--output_file", said)
    assert again.returncode == 0, again.stderr[-3000:]
    assert said.read_text() == "".join([*whole[:16], *kept, *whole[24:]])
    assert not list(tmp_path.glob("*share*"))


def test_sft_learns_as_one_process_with_the_same_global_batch(data, alone, tmp_path):
    """Gradients that are not averaged, batches that overlap, two processes that write one folder."""
    output = tmp_path / "sft"
    done = launch("tuning_sft/train.py", *SFT, *sft(data, output, 2))
    assert done.returncode == 0, done.stderr[-3000:]
    ours, theirs = log(output), log(alone)
    for a, b in zip(ours[:4], theirs[:4], strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4) and a["num_tokens"] == b["num_tokens"]
    for name, tensor in weights(alone).items():
        assert weights(output)[name].sub(tensor).abs().max() < 1e-4, name
    assert json.loads((output / "run.json").read_text())["counts"]["strategy_accuracy"].keys() >= {"macro", "answer"}
    assert done.stdout.count("training 4.56 of 4.56 million") == 1


def test_grpo_groups_hold_across_processes(data, alone, tmp_path):
    """A group of four on two processes that answers two prompts, or whose statistics are those of its half."""
    how = ["--model_name_or_path", alone, "--data_dir", data, "--output_dir", tmp_path / "grpo", "--num_prompts", 6]
    how += ["--max_steps", 2, "--save_steps", 1, "--logging_steps", 1, "--per_device_train_batch_size", 2]
    how += ["--num_generations", 4, "--max_completion_length", 8, "--learning_rate", 1e-4, "--log_completions", "true"]
    how += ["--num_validation_examples", 6, "--generation_batch", 6, "--bf16", "false", "--temperature", 5.0]
    done = launch("tuning_grpo/train.py", *how)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [row for row in log(tmp_path / "grpo") if "reward" in row]
    assert len(rows) == 2
    for row in rows:  # what a random model says may not be understood, or be taken for another language; no more
        assert row["judge_failures"] == pytest.approx(sum(row[f"judge_failures/{n}"] for n in NOT_UNDERSTOOD))
        assert row["judge_failures"] < 1
    # One group a step: no signal in it is 0 or 1, never the half of one process.
    assert {row["rewards/total/no_signal"] for row in rows} <= {0, 1}
    import pandas

    for file in sorted((tmp_path / "grpo" / "completions").glob("*.parquet")):
        table = pandas.read_parquet(file)
        assert len(table) == 4 and table["example_id"].nunique() == 1


def test_dialogues_across_processes(data, asking_model_dir, tmp_path):
    """A process that waits for ever since it has no open dialogue, or users of one group who mean different things."""
    how = ["--model_name_or_path", asking_model_dir, "--allow_base_model", "true", "--data_dir", data]
    how += [
        "--output_dir",
        tmp_path / "grpo",
        "--num_prompts",
        12,
        "--round",
        "clarify=7",
        "--turns",
        2,
        "--max_steps",
        8,
    ]
    how += ["--per_device_train_batch_size", 2, "--num_generations", 4, "--max_completion_length", 40]
    how += ["--temperature", 1.2, "--logging_steps", 1, "--save_strategy", "no", "--log_completions", "true"]
    how += ["--num_validation_examples", 6, "--bf16", "false", "--learning_rate", 0.0]
    done = launch("tuning_grpo/train.py", *how)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [row for row in log(tmp_path / "grpo") if "reward" in row]
    assert len(rows) == 8 and any("resolved/helpful" in row for row in rows)
    import pandas

    replies = 0
    for file in sorted((tmp_path / "grpo" / "completions").glob("*.parquet")):
        said = pandas.read_parquet(file)["completion"].astype(str)
        told = {
            place
            for place in ("top left", "top right", "bottom left", "bottom right")
            if said.str.contains(place).any()
        }
        replies += bool(told)
        assert len(told) <= 1
    assert replies


def test_a_killed_process_ends_the_job_and_the_rerun_continues(data, alone, tmp_path):
    """A job that hangs in a collective when a process is gone; a checkpoint that half of the processes wrote."""
    output = tmp_path / "sft"
    process = started(output / "checkpoint-1" / checkpoints.SEAL, *SFT, *sft(data, output, 2))
    os.kill(workers(process)[1], signal.SIGKILL)
    said = process.communicate(timeout=120)[0]
    assert process.returncode != 0
    assert "lost another process of the job" in said or "SIGKILL" in said
    again = launch("tuning_sft/train.py", *SFT, *sft(data, output, 2))
    assert again.returncode == 0 and again.stdout.count("continuing from") == 1, again.stderr[-3000:]
    for name, tensor in weights(alone).items():
        assert weights(output)[name].sub(tensor).abs().max() < 1e-4, name


def test_a_preempted_job_leaves_a_checkpoint(data, alone, tmp_path):
    """SIGTERM that loses the steps since the last checkpoint, or stops the processes at different steps."""
    output = tmp_path / "sft"
    rare = [*SFT, "--save_steps", "4", *sft(data, output, 2)]
    process = started(output / "log.jsonl", *rare)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=120)[0]
    assert process.returncode != 0 and "stopped by SIGTERM at step" in said, said[-3000:]
    (saved,) = output.glob("checkpoint-*")
    assert checkpoints.fault(saved) is None and saved.name != "checkpoint-4"
    again = launch("tuning_sft/train.py", *rare)
    assert again.returncode == 0 and f"continuing from {saved}" in again.stdout, again.stderr[-3000:]
    for name, tensor in weights(alone).items():
        assert weights(output)[name].sub(tensor).abs().max() < 1e-4, name


def test_errors_of_the_input_name_what_is_wrong(data, tmp_path):
    """A mistake in a flag that comes out as a stack of two processes' traces, without the sentence."""
    done = launch("inference/predict.py", "--model_name_or_path", TINY, "--data_file", tmp_path / "no.jsonl",
                  "--output_file", tmp_path / "predictions.jsonl")  # fmt: skip
    assert done.returncode != 0 and "no file" in done.stderr
    alone_only = launch("dataset_generation/generate.py", "--config", ROOT / "dataset_generation/configs/smoke.yaml",
                        "--output_dir", tmp_path / "data")  # fmt: skip
    assert "works in one process" in alone_only.stderr


def test_limits_are_for_all_processes_together(monkeypatch):
    """A budget that every process may spend."""
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    parts = []
    for rank in range(4):
        monkeypatch.setenv("RANK", str(rank))
        parts.append((processes.part_of(10), processes.part_of(2.0), processes.part_of(None)))
    assert sum(p[0] for p in parts) == 10 and sum(p[1] for p in parts) == 2.0 and parts[0][2] is None
