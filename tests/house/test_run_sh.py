"""run.sh: which commands it runs with which words. A recorder takes the place of python; test_pipeline.py runs all."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from small_examples import star_example
from stages import ROOT, script

INFER = ["inference/predict.py", "inference/judge.py"] * 2  # the test set, and questions with one reading
RECORDER = """#!{python}
import json, os, sys
if sys.argv[1] in ("-c", "scripts/plan.py") or "--check" in sys.argv:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
with open({log!r}, "a") as log:
    log.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
"""


@pytest.fixture
def run(tmp_path):
    """run(*arguments, **variables) -> (the finished process, the commands that it ran)."""
    house, programs, log = tmp_path / "house", tmp_path / "bin", tmp_path / "log"
    for name in ("dataset_generation", "tuning_sft", "tuning_grpo", "inference", "scripts", "configs", "run.sh"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        house.mkdir(exist_ok=True)
        copy(ROOT / name, house / name)
    (house / "models").symlink_to(ROOT / "models")
    programs.mkdir()
    for name in ("python", "accelerate"):
        (programs / name).write_text(RECORDER.format(python=sys.executable, log=str(log)))
        (programs / name).chmod(0o755)
    report = house / "runs" / "tiny" / "report" / "report.md"
    report.parent.mkdir(parents=True)
    report.write_text("the report")

    def start(*arguments, **variables):
        environment = os.environ | {"CLARIFYVLM_PYTHON": str(programs / "python")} | variables
        command = [str(house / "run.sh"), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
        return done, [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    return start


def of(script: str, commands: list[list[str]]) -> list[list[str]]:
    return [words for words in commands if script in words]


def test_values_with_spaces_reach_their_stage(run):
    """A folder called "my photographs", or a JSON mapping, taken apart at its spaces; a flag of one stage in all."""
    done, commands = run(
        GENERATE_ARGS="--image_dir 'my photographs' --num_train 60",
        JUDGE_ARGS='--judge scene --judge_model "a model"',
        AUDIT_ARGS="--num_responses 20",
    )
    assert done.returncode == 0 and "the report" in done.stdout, done.stderr
    (generate,) = of("dataset_generation/generate.py", commands)
    assert generate[-4:] == ["--image_dir", "my photographs", "--num_train", "60"]
    judged = of("inference/judge.py", commands)
    assert len(judged) == 6 and all(words[-2:] == ["--judge_model", "a model"] for words in judged)
    (audit,) = of("inference/audit_judge.py", commands)
    assert audit[-4:] == ["--judge_model", "a model", "--num_responses", "20"]
    (grpo,) = of("tuning_grpo/train.py", commands)  # its reward is the same judge's
    assert grpo[-4:] == ["--judge", "scene", "--judge_model", "a model"]
    assert not any("--judge_model" in words for words in of("inference/predict.py", commands))
    assert "--image_dir my\\ photographs" in done.stderr  # as it can be pasted


@pytest.mark.parametrize("seed", [["--seed", "3"], ["--seed=3"]])
def test_flags_for_every_stage(run, seed):
    """A seed that some stage does not get; one that the judge, which knows no seed, is stopped by."""
    done, commands = run("tiny", "runs/tiny", *seed, "--overwrite")
    assert done.returncode == 0 and len(commands) == 17, done.stderr
    for words in commands:
        assert words[-1] == "--overwrite"
        assert (seed == words[-1 - len(seed) : -1]) == ("inference/judge.py" not in words)


@pytest.mark.parametrize(
    ("flags", "scripts"),
    [
        (
            ["--from", "grpo"],
            ["tuning_grpo/train.py", *INFER, "inference/report.py"],
        ),
        (["--until", "audit"], ["dataset_generation/generate.py", "inference/audit_judge.py"]),
        (["--from", "base", "--until", "base"], INFER),
        (["--from", "sft", "--until", "sft"], ["tuning_sft/train.py", *INFER]),
    ],
)
def test_some_stages_only(run, flags, scripts, tmp_path):
    """A stage too many, or one left out; a report that is shown though it was not made."""
    (tmp_path / "house/runs/tiny/sft").symlink_to(ROOT / "models/tiny")
    done, commands = run("tiny", "runs/tiny", *flags)
    assert done.returncode == 0 and [next(w for w in words if w.endswith(".py")) for words in commands] == scripts
    assert f"[{len(scripts)} of {len(scripts)}]" in done.stderr and ("the report" in done.stdout) == ("grpo" in flags)


def test_data_of_ones_own(run, tmp_path):
    """Data of mix.py or written by hand refused as "not of generate.py", or another split than theirs asked about."""
    data = tmp_path / "my data"
    data.mkdir()
    for split in ("train", "validation", "test"):
        done, commands = run(DATA_DIR=str(data))
        assert done.returncode == 2 and f"DATA_DIR: no {data}/{split}.jsonl" in done.stderr and not commands
        (data / f"{split}.jsonl").touch()
    done, commands = run(DATA_DIR=str(data))
    assert "ignored" not in done.stderr
    assert done.returncode == 0 and len(commands) == 10 and not of("dataset_generation/generate.py", commands)
    for words in commands:
        assert str(data) in words or str(data / "test.jsonl") in words
    done, _ = run("tiny", "runs/tiny", "--dry_run", DATADIR=str(data))  # it may be another program's
    assert done.returncode == 0 and "DATADIR is no variable of run.sh, and is ignored" in done.stderr


def test_the_model_of_the_config_or_another(run, tmp_path):
    """A base row of one model beside an SFT that starts from another."""
    (tmp_path / "house/a copy").mkdir()
    (tmp_path / "house/a copy/of it").symlink_to(ROOT / "models/tiny")
    _, commands = run()
    with_model = [[w[w.index("--model_name_or_path") + 1] for w in commands if "--model_name_or_path" in w]]
    assert with_model[0][:3] == ["models/tiny"] * 3  # predictions of the base on two files, SFT
    _, commands = run(MODEL="a copy/of it")
    models = [w[w.index("--model_name_or_path") + 1] for w in commands[17:] if "--model_name_or_path" in w]
    assert models == ["a copy/of it"] * 3 + ["runs/tiny/sft"] * 3 + ["runs/tiny/grpo"] * 2


def test_stages_for_several_gpus_are_launched(run):
    """A launcher for the stages that work in one process, or none for those that train."""
    done, commands = run(ACCELERATE_CONFIG="configs/accelerate/ddp.yaml", ACCELERATE_ARGS="--num_processes 2")
    assert done.returncode == 0, done.stderr
    launched = {next(w for w in words if w.endswith(".py")) for words in commands if words[0] == "accelerate"}
    assert launched == {"inference/predict.py", "inference/judge.py", "tuning_sft/train.py", "tuning_grpo/train.py"}
    (sft,) = of("tuning_sft/train.py", commands)
    assert sft[:4] == ["accelerate", "launch", "--config_file", "configs/accelerate/ddp.yaml"]
    assert sft[sft.index("tuning_sft/train.py") - 2 :][:2] == ["--num_processes", "2"]


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (["tinny"], {}, ["preset 'tinny' has no tuning_sft/configs/tinny.yaml"]),
        ([], {"ACCELERATE_CONFIG": "none.yaml"}, ["ACCELERATE_CONFIG: no file none.yaml"]),
        (["--seed"], {}, ["--seed needs a number"]),
        (["--from", "grpo", "--until", "sft"], {}, ["--from grpo comes after --until sft"]),
        (["--from", "train"], {}, ["--from train: no stage of that name. There are: data audit base sft grpo report"]),
        (["--seed", "x"], {}, ["tuning_sft/train.py: error: argument --seed: invalid int value: 'x'"]),
        ([], {"SFT_ARGS": "--x 'open"}, ["unexpected EOF"]),
        ([], {"GRPO_ARG": "--seed 1"}, ["GRPO_ARG is no variable of run.sh. Did you mean GRPO_ARGS?"]),
        ([], {"JUGDE_ARGS": "--judge openai"}, ["Did you mean JUDGE_ARGS?"]),
        (
            [],
            {"GRPO_ARGS": "--learning_rat 1e-4", "PREDICT_ARGS": "--turns 7", "REPORT_ARGS": "--resamples 5"},
            [
                "tuning_grpo/train.py: error: unknown flag --learning_rat. Did you mean --learning_rate?",
                "inference/predict.py: error: argument --turns: 7 must be at most 3",
                "inference/report.py: error: argument --resamples: 5 must be at least 100",
            ],
        ),
        (
            [],
            {
                "GENERATE_ARGS": "--source coco",
                "SFT_ARGS": "--learning_rate -1",
                "GRPO_ARGS": "--num_generations 5",
                "PREDICT_ARGS": "--user_kinds loud",
                "JUDGE_ARGS": "--judge_max_failure_share 0.2",
                "AUDIT_ARGS": "--num_responses 0",
            },
            [
                "dataset_generation/generate.py: error: source coco needs --coco_annotations",
                "tuning_sft/train.py: error: --learning_rate -1.0: must be at least 0",
                "inference/predict.py: error: --user_kinds: no user is 'loud'",
                "inference/audit_judge.py: error: nothing to audit with",
                "tuning_grpo/train.py: error: unknown flag --judge_max_failure_share. It is a key of inference/",
            ],
        ),
        ([], {"MODEL": "models/tyni"}, ["no model directory models/tyni"]),
        (["--from", "grpo"], {}, ["no model directory runs/tiny/sft"]),
    ],
)
def test_a_mistake_is_told_before_anything_runs(run, arguments, variables, said):
    """A typing error in the options of GRPO that is found when data and SFT are done, hours later; a variable that is
    ignored."""
    done, commands = run(*arguments, **variables)
    assert done.returncode != 0 and not commands and all(words in done.stderr for words in said), done.stderr


@pytest.mark.parametrize("count", [1, 2, 4])
def test_groups_are_counted_over_all_processes(run, count):
    """A group that fits four GPUs refused, or one that does not fit found after SFT, hours later."""
    launcher = {"ACCELERATE_CONFIG": "configs/accelerate/ddp.yaml", "ACCELERATE_ARGS": f"--num_processes {count}"}
    flags = "--per_device_train_batch_size 2 --gradient_accumulation_steps 1 --steps_per_generation 1"
    done, commands = run(GRPO_ARGS=f"{flags} --num_generations 8", **launcher)
    assert (done.returncode, bool(commands)) == ((0, True) if count == 4 else (2, False)), done.stderr
    assert count == 4 or f"{2 * count} responses are made at once" in done.stderr


@pytest.mark.parametrize("stage", ["dataset_generation", "tuning_sft", "tuning_grpo", "inference"])
def test_a_mistake_in_a_config_is_told_before_anything_runs(run, stage, tmp_path):
    """The same in a stage's config."""
    config = tmp_path / "house" / stage / "configs" / "tiny.yaml"
    config.write_text(config.read_text() + "\nnumbr_of_things: 3\n")
    done, commands = run()
    assert done.returncode == 2 and not commands
    assert f"{stage}/configs/tiny.yaml: unknown key 'numbr_of_things'" in done.stderr


def test_a_judge_that_does_not_answer_is_told_before_anything_runs(run):
    """An endpoint that is down, or a panel that is not there, found when the data are made."""
    down = "--judge openai --judge_model m --judge_base_url http://127.0.0.1:9/v1"
    done, commands = run(JUDGE_ARGS=down, OPENAI_API_KEY="key")
    assert done.returncode == 2 and not commands and "127.0.0.1:9" in done.stderr, done.stderr
    user = down.replace("judge", "user") + " --turns 2"
    done, commands = run(GRPO_ARGS=user, OPENAI_API_KEY="key")
    assert done.returncode == 2 and not commands and "127.0.0.1:9" in done.stderr, done.stderr
    done, commands = run(JUDGE_ARGS="--judge panel --judge_panel none.yaml")
    assert done.returncode == 2 and not commands and "none.yaml" in done.stderr, done.stderr
    done, commands = run("tiny", "runs/tiny", "--dry_run", JUDGE_ARGS="--judge openai")
    assert done.returncode == 2 and "an endpoint needs --judge_model" in done.stderr, done.stderr


def test_a_picture_that_is_not_there_is_told_before_anything_runs(run, tmp_path):
    """A picture of one's own data that is missed when training begins."""
    row = {"provenance": {"image": "COCO_1.jpg"}} | star_example(0, "images/a é.png", "")
    for split in ("train", "validation", "test"):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
    done, commands = run(DATA_DIR=str(tmp_path))
    assert done.returncode == 2 and not commands and "of 1 examples are not there (images/a é.png" in done.stderr
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a é.png").touch()
    done, commands = run(DATA_DIR=str(tmp_path))  # a field of that name inside is no picture of the example
    assert done.returncode == 0 and commands, done.stderr


def test_records_of_ones_own_are_read_before_anything_runs(run, tmp_path):
    """A line of train.jsonl that is no example, or data without facts for a judge that reads them: found when the base
    has answered, or after SFT."""
    row = star_example(0, "a.png", "")
    (tmp_path / "a.png").touch()
    for split in ("train", "validation", "test"):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "train.jsonl").write_text(json.dumps(row | {"strategy": "answr"}) + "\n")
    done, commands = run(DATA_DIR=str(tmp_path))
    assert done.returncode == 2 and not commands and "train.jsonl:1: strategy: Input should be" in done.stderr
    bare = row | {"dialogue": None, "facts": row["facts"] | {"objects": [], "complete": False}}
    (tmp_path / "train.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "test.jsonl").write_text(json.dumps(bare) + "\n")
    (tmp_path / "run.json").write_text("{}")  # of benchmark.py
    done, commands = run(DATA_DIR=str(tmp_path))
    assert done.returncode == 2 and not commands and "--judge scene needs facts" in done.stderr, done.stderr


def test_a_dry_run_makes_nothing(run):
    """A plan that already makes folders, or that hides a mistake."""
    done, commands = run("tiny", "runs/new", "--dry_run")
    assert done.returncode == 0 and not commands, done.stderr
    assert done.stdout.count("  made ") == 17 and "runs/new/inference/grpo/verdicts.jsonl" in done.stdout
    done, commands = run("tiny", "runs/new", "--dry_run", SFT_ARGS="--learning_rat 1")
    assert done.returncode == 2 and not commands


@pytest.mark.parametrize("status", ["complete", "running"])
def test_a_run_beside_shares_no_file_that_is_still_written(status, tmp_path):
    """An old run that was stopped, whose predictions the new one appends to."""
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "inference" / "sft").mkdir(parents=True)
    (old / "inference/sft/predictions.jsonl").write_text("{}\n")
    (old / "inference/sft/predictions.run.json").write_text(json.dumps({"status": status}))
    script("scripts/reuse.py").main(["--old", str(old), "--new", str(new)])
    files = [run / "inference/sft/predictions.jsonl" for run in (old, new)]
    assert files[1].read_text() == "{}\n" and os.path.samefile(*files) == (status == "complete")
