"""Checkpoints: loaded whole and with their adapter, or refused with the reason."""

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clarifyvlm.errors import UserError
from clarifyvlm.models import loading

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy(tmp_path):
    def run(source: Path) -> Path:
        return Path(shutil.copytree(source, tmp_path / f"copy_of_{source.name}"))

    return run


def edit_json(path: Path, **changes) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in {**content, **changes}.items() if v is not None}))


def weights(path: Path) -> dict:
    from safetensors.torch import load_file

    return load_file(path)


def logits(model, processor):
    import torch
    from PIL import Image

    from clarifyvlm import chat
    from clarifyvlm.models.generation import encode

    inputs = encode(processor, [chat.user_turn("What is it?")], [Image.new("RGB", (96, 96), "red")])
    with torch.inference_mode():
        return model(**inputs).logits


def test_adapter_changes_what_the_model_says(tiny_model_dir, tiny_adapter_dir):
    """GRPO or inference that silently runs the base without its adapter."""
    base, processor = loading.load(tiny_model_dir, device="cpu")
    tuned, _ = loading.load(tiny_adapter_dir, device="cpu")
    before, after = logits(base, processor), logits(tuned, processor)
    assert (before - after).abs().max() > 0.01
    assert (logits(loading.merged(tuned), processor) - after).abs().max() < 1e-4


def test_trainable_adapter_asks_for_gradients(tiny_adapter_dir):
    """A frozen adapter, so that GRPO trains nothing; or the whole base unfrozen."""
    model, _ = loading.load(tiny_adapter_dir, device="cpu", trainable=True)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained and all("lora_" in name for name in trained) and model.training
    model, _ = loading.load(tiny_adapter_dir, device="cpu")
    assert not any(weight.requires_grad for weight in model.parameters()) and not model.training


def test_adapter_with_missing_or_foreign_weights_is_refused(tiny_adapter_dir, copy):
    """peft only warns about a missing adapter weight (strict=False) and leaves it at zero."""
    from safetensors.torch import save_file

    adapter = copy(tiny_adapter_dir)
    whole = weights(adapter / loading.ADAPTER_WEIGHTS)
    dropped = sorted(whole)[0]
    save_file({k: v for k, v in whole.items() if k != dropped}, adapter / loading.ADAPTER_WEIGHTS)
    with pytest.raises(UserError) as error:
        loading.load(adapter, device="cpu")
    assert dropped in str(error.value) and "lacks 1" in str(error.value)
    save_file(
        {**whole, "base_model.model.other.lora_A.weight": whole[dropped].clone()}, adapter / loading.ADAPTER_WEIGHTS
    )
    with pytest.raises(UserError, match="does not take"):
        loading.load(adapter, device="cpu")


def test_base_of_an_adapter_is_found_beside_it(tmp_path, tiny_model_dir, tiny_adapter_dir, monkeypatch):
    """A run folder that was moved or copied to another machine and lost its base."""
    shutil.copytree(tiny_model_dir, tmp_path / "run/base")
    adapter = shutil.copytree(tiny_adapter_dir, tmp_path / "run/sft")
    edit_json(adapter / "adapter_config.json", base_model_name_or_path="../base")
    monkeypatch.chdir(tmp_path.parent)
    assert Path(loading.base_of(adapter)).resolve() == (tmp_path / "run/base").resolve()
    loading.load(adapter, device="cpu")
    edit_json(adapter / "adapter_config.json", base_model_name_or_path="run/tiny/gone")
    with pytest.raises(UserError, match="run/tiny/gone.*adapter_config.json"):
        loading.check_checkpoint(adapter)
    edit_json(adapter / "adapter_config.json", base_model_name_or_path="owner/gone")
    with pytest.raises(UserError, match="(?s)base model of the adapter.*owner/gone.*--local-dir"):
        loading.load(adapter, device="cpu")


def break_directory(how: str, folder: Path) -> None:
    if how == "empty":
        shutil.rmtree(folder)
        folder.mkdir()
    elif how == "torn weights":
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(data[:-100])
    elif how == "empty weights":
        (folder / "model.safetensors").write_bytes(b"")
    elif how == "no weights":
        (folder / "model.safetensors").unlink()
    elif how == "torn config":
        (folder / "config.json").write_text((folder / "config.json").read_text()[:40])
    elif how == "no config":
        (folder / "config.json").unlink()
    elif how == "no processor":
        (folder / "processor_config.json").unlink()
    elif how == "unfinished":
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / "run.json").write_text('{"stage": "tuning_sft", "status": "running"}')
    elif how == "a level too high":
        inner = folder / "checkpoint-5"
        inner.mkdir()
        for path in [p for p in folder.iterdir() if p.is_file()]:
            path.rename(inner / path.name)


@pytest.mark.parametrize(
    "how,words",
    [
        ("empty", "empty"),
        ("torn weights", "torn"),
        ("empty weights", "torn"),
        ("no weights", "model.safetensors is missing"),
        ("torn config", "config.json is torn"),
        ("no config", "neither config.json nor adapter_config.json"),
        ("no processor", "processor"),
        ("unfinished", "tuning_sft.*has not finished"),
        ("a level too high", "checkpoint-5"),
    ],
)
def test_broken_directories_are_named_without_torch(tiny_model_dir, copy, how, words):
    """A torn checkpoint found minutes later, deep in a traceback, or loaded with random weights."""
    folder = copy(tiny_model_dir)
    break_directory(how, folder)
    with pytest.raises(UserError, match=words) as error:
        loading.check_checkpoint(folder)
    assert str(folder) in str(error.value)


def test_weights_that_do_not_fit_are_refused(tiny_model_dir, copy):
    """transformers fills missing weights with random ones and only warns."""
    from safetensors.torch import save_file

    folder = copy(tiny_model_dir)
    whole = weights(folder / "model.safetensors")
    dropped = next(k for k in sorted(whole) if "q_proj" in k)
    save_file({k: v for k, v in whole.items() if k != dropped}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="missing from the file.*q_proj"):
        loading.load(folder, device="cpu")


def test_text_only_model_is_refused(tmp_path, tiny_model_dir):
    """A language model that runs and never sees the picture."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=64
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    shutil.copy(tiny_model_dir / "tokenizer.json", tmp_path)
    with pytest.raises(UserError, match="text-only"):
        loading.check_checkpoint(tmp_path)


def test_wrong_paths_and_hub_names(tmp_path, monkeypatch):
    """A misspelt path sent to the hub; no network that ends in a traceback without the local way out."""
    monkeypatch.chdir(tmp_path)
    for name in ("runs/tiny/grpo", "./grpo", str(tmp_path / "grpo"), "runs/grpo"):
        with pytest.raises(UserError, match="no model directory"):
            loading.load(name)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        loading.load(tmp_path / "file")
    with pytest.raises(UserError, match="owner/model.*--local-dir"):
        loading.load("owner/model", device="cpu")


def test_no_network_is_said_within_seconds(monkeypatch):
    """A minute of retries, one per file, before the user learns that a local path is needed."""

    def no_network(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    began = time.monotonic()
    with pytest.raises(UserError, match="cannot reach the hub.*--local-dir"):
        loading.check_checkpoint("owner/model")
    assert time.monotonic() - began < 30


def test_processor_that_needs_torchvision_says_so(tiny_model_dir, copy):
    """Qwen's processor on a CPU build: an ImportError that does not say what to install."""
    try:
        import torchvision  # noqa: F401

        pytest.skip("torchvision is installed")
    except ImportError:
        pass
    folder = copy(tiny_model_dir)
    edit_json(folder / "processor_config.json", processor_class="Qwen2_5_VLProcessor")
    config = json.loads((folder / "processor_config.json").read_text())
    config["video_processor"] = {"video_processor_type": "Qwen2VLVideoProcessor"}
    (folder / "processor_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="torchvision") as error:
        loading.load(folder, device="cpu")
    assert "clarifyvlm[gpu]" in str(error.value)


def test_local_path_never_asks_the_hub(tiny_adapter_dir, monkeypatch):
    """A cluster node without network that waits a minute per file for a hub it does not need."""

    def refuse(*args, **kwargs):
        raise AssertionError("a local model asked for the network")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    loading.load(tiny_adapter_dir, device="cpu")


def test_checks_do_not_import_torch(tiny_model_dir):
    """A cheap check that costs five seconds."""
    code = (
        "import sys\nfrom clarifyvlm import images, jsonl, chat, run_record, config\n"
        "from clarifyvlm.models import loading\n"
        "loading.check_checkpoint(sys.argv[1])\nassert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tiny_model_dir)], check=True, cwd=ROOT)
