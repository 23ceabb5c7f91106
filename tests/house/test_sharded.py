"""A model in pieces over two processes (FSDP2, DeepSpeed ZeRO) learns as in one, is saved whole and resumes exactly."""

import importlib.util
import json
import shutil

import pytest
from safetensors.torch import load_file

from launching import SFT, launch, log, sft
from stages import ROOT, run, write_data

pytestmark = pytest.mark.slow
SHIM = "tests/helpers/sharded_on_cpu.py"
ENGINES = {"fsdp2": 1e-4, "zero2": 0.02, "zero3": 0.02}  # how far the loss may be: DeepSpeed's configs are bf16


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("sharded") / "data")


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("alone") / "sft"
    done = run("tuning_sft/train.py", *SFT, *sft(data, output, 4))
    assert done.returncode == 0, done.stderr[-3000:]
    return output


@pytest.mark.parametrize("engine", ENGINES)
def test_sft_and_grpo(engine, data, alone, tmp_path):
    """Pieces that are saved as they are; layers that the engine cannot find; a checkpoint that cannot be resumed."""
    if engine != "fsdp2" and not importlib.util.find_spec("deepspeed"):
        pytest.skip("deepspeed is not installed: it is part of the extra gpu")
    config = ROOT / "configs" / "accelerate" / f"{engine}.yaml"
    output, bf16 = tmp_path / "sft", ["--bf16", str(engine != "fsdp2").lower()]
    how = [ROOT / "tuning_sft/train.py", *SFT, "--save_total_limit", 4, *sft(data, output, 2), *bf16]
    done = launch(SHIM, *how, config=config)
    assert done.returncode == 0, done.stderr[-3000:]
    for ours, theirs in zip(log(output)[:4], log(alone)[:4], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=ENGINES[engine])
    whole = load_file(output / "model.safetensors")
    for name, tensor in load_file(alone / "model.safetensors").items():
        assert whole[name].shape == tensor.shape

    resumed = shutil.copytree(output, tmp_path / "resumed")
    (resumed / "model.safetensors").unlink()
    for step in (3, 4):
        shutil.rmtree(resumed / f"checkpoint-{step}", ignore_errors=True)
    (resumed / "run.json").write_text((output / "run.json").read_text().replace('"complete"', '"running"'))
    again = launch(SHIM, *how, "--output_dir", resumed, config=config)
    assert again.returncode == 0, again.stderr[-3000:]
    for name, tensor in load_file(resumed / "model.safetensors").items():
        assert tensor.equal(whole[name]), name

    grpo = ["--model_name_or_path", output, "--data_dir", data, "--output_dir", tmp_path / "grpo", *bf16]
    grpo += ["--num_prompts", 6, "--max_steps", 1, "--save_steps", 1, "--per_device_train_batch_size", 4]
    grpo += ["--num_generations", 4, "--max_completion_length", 8, "--num_validation_examples", 6]
    done = launch(SHIM, ROOT / "tuning_grpo/train.py", *grpo, "--generation_batch", 3, config=config)
    assert done.returncode == 0, done.stderr[-3000:]
    counts = json.loads((tmp_path / "grpo" / "run.json").read_text())["counts"]
    assert counts["steps"] == 1 and counts["strategy_accuracy"]["macro"] is not None
