"""vLLM as the backend of predictions. Without it installed: what is said about that."""

import importlib.util
import json
import shutil

import pytest

import predict
from clarifyvlm.errors import UserError
from clarifyvlm.models import vllm_engine
from stages import write_data

installed = importlib.util.find_spec("vllm") is not None


def pretend(folder, version: str) -> None:
    """A package vllm of that version in `folder`, as pip would leave it."""
    (folder / "vllm").mkdir()
    (folder / "vllm" / "__init__.py").write_text("")
    info = folder / f"vllm-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
    (info / "RECORD").write_text("vllm/__init__.py,,\n")


@pytest.mark.skipif(installed, reason="vLLM is installed")
@pytest.mark.parametrize(
    ("version", "fits"), [("0.21.9", False), ("0.22.0", True), ("0.31.0+cu130", True), ("0.31.1", False)]
)
def test_versions_outside_the_range_are_refused(version, fits, tmp_path, monkeypatch):
    """A vLLM that TRL does not know, found out by rollouts that are wrong."""
    with pytest.raises(UserError, match="pip install 'clarifyvlm.vllm.'"):
        vllm_engine.check_version()
    pretend(tmp_path, version)
    monkeypatch.syspath_prepend(tmp_path)
    if fits:
        vllm_engine.check_version()
    else:
        with pytest.raises(UserError, match=r"0\.22\.0 to 0\.31\.0 are supported"):
            vllm_engine.check_version()


def test_an_adapter_with_other_pictures_is_refused(tiny_adapter_dir, tiny_model_dir, tmp_path):
    """Rollouts about pictures of another size than those that the loss is on: TRL has vLLM load the base alone."""
    for fine in (tiny_model_dir, tiny_adapter_dir):
        vllm_engine.check_adapter(fine)
    changed = shutil.copytree(tiny_adapter_dir, tmp_path / "changed")
    settings = json.loads((changed / "processor_config.json").read_text())
    settings["image_processor"]["resample"] = 0
    (changed / "processor_config.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match=r"otherwise than its base \(resample\).*publish .*--merge"):
        vllm_engine.check_adapter(changed)


def test_flags_that_do_not_fit(tiny_model_dir, tmp_path):
    """Engine arguments that are passed over in silence."""
    data = write_data(tmp_path / "data", 6, 6)
    files = ["--data_file", str(data / "train.jsonl"), "--output_file", str(tmp_path / "predictions.jsonl")]
    with pytest.raises(UserError, match="needs --backend vllm"):
        predict.main(["--model_name_or_path", str(tiny_model_dir), *files, "--vllm_args", "{}"])
