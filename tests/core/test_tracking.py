"""Trackers of training runs: what is not there is told at once, and what is there writes into the output folder."""

import importlib.util
import json
import os
import subprocess
import sys
from unittest import mock

import pytest

from clarifyvlm import tracking
from clarifyvlm.errors import UserError
from stages import ROOT, write_data

TRAINERS = ("tuning_sft/train.py", "tuning_grpo/train.py")


@pytest.fixture(autouse=True)
def own_environment():
    with mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith(("WANDB_", "TRACKIO_", "TENSORBOARD_"))]:
            del os.environ[name]
        yield


@pytest.fixture
def installed(monkeypatch):
    """Make `names` the only trackers that are installed."""
    find_spec = importlib.util.find_spec

    def these(*names: str) -> None:
        def find(name, package=None):
            if name not in tracking.TRACKERS:
                return find_spec(name, package)
            return mock.Mock(origin=f"{name}/__init__.py") if name in names else None

        monkeypatch.setattr(importlib.util, "find_spec", find)

    return these


@pytest.mark.parametrize("stage", TRAINERS)
@pytest.mark.parametrize("check", [[], ["--check"]])
def test_a_typo_is_told_before_anything_is_loaded(stage, check, tmp_path):
    """Seconds of imports and a model before a typo is told, or a run record that the next start has to get around."""
    flags = ["--report_to", "tensorbord", "--output_dir", tmp_path / "out", "--data_dir", tmp_path, *check]
    command = [sys.executable, "-X", "importtime", ROOT / stage, *flags, "--model_name_or_path", tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    (said,) = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 2 and not (tmp_path / "out").exists()
    assert said.startswith("error: --report_to tensorbord: there are tensorboard, trackio, wandb, or none")
    assert said.endswith("Did you mean tensorboard?")
    assert "| torch" not in done.stderr and "| trl" not in done.stderr


@pytest.mark.parametrize(
    ("flags", "config", "said"),
    [
        (["--report_to", "wandb"], "", "wandb is not installed. `pip install -e '.\\[tracking\\]'"),
        (["--report-to=wandb"], "", "wandb is not installed"),
        (["--report_to", "tensorboard", "wandb"], "", "wandb is not installed"),
        ([], "report_to: wandb", "wandb is not installed"),
        ([], "report_to: [tensorboard, trackio]", "trackio is not installed"),
        (["--report_to", "none", "tensorboard"], "", "none alone"),
        ([], "report_to: all", "--report_to all: there are"),  # whatever happens to be installed is nobody's wish
        (["--report_to", "none"], "report_to: wandb", None),
        (["--report_to", "tensorboard"], "report_to: wandb", None),
        ([], "learning_rate: 1", None),
        ([], "report_to:", None),
    ],
)
def test_what_is_not_installed_is_told(flags, config, said, installed, tmp_path):
    """A package that is missed only once the model is loaded; a flag that does not win over the config."""
    installed("tensorboard")
    file = tmp_path / "c.yaml"
    file.write_text(config)
    argv = ["--config", str(file), *flags]
    if said is None:
        return tracking.check(argv)
    with pytest.raises(UserError, match=said):
        tracking.check(argv)


def test_a_folder_of_runs_is_no_package(tmp_path, monkeypatch):
    """`./wandb`, which an earlier run left, taken for the package, whose import then fails behind the model."""
    if importlib.util.find_spec("trackio"):
        pytest.skip("trackio is installed")
    (tmp_path / "trackio").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="trackio is not installed"):
        tracking.check(["--report_to", "trackio"])


def test_nothing_is_reported_unasked(installed, tmp_path, monkeypatch):
    """A tracker that is installed, or a cluster that transformers knows, and gets numbers that nobody sent."""
    from clarifyvlm import training

    installed(*tracking.TRACKERS)
    monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_URL", "http://localhost:1")
    for arguments in (training.SFTArguments, training.GRPOArguments):
        assert arguments(output_dir=str(tmp_path)).report_to == []
        assert arguments(output_dir=str(tmp_path), report_to=["none"]).report_to == []
        assert arguments(output_dir=str(tmp_path), report_to=["trackio"]).report_to == ["trackio"]


def test_trackers_write_to_the_output_folder_and_go_on_there(tmp_path):
    """Runs that lie in ./runs, ./wandb and the home folder; a continued run that is another one to its tracker; a
    folder of the user's own that is passed over."""
    from clarifyvlm.training import SFTArguments

    os.environ["TRACKIO_DIR"] = "mine"
    first, again = (SFTArguments(output_dir=str(tmp_path), report_to=["trackio", "wandb"]) for _ in range(2))
    tracking.prepare(first)
    folders = {name: os.environ[name] for name in ("TENSORBOARD_LOGGING_DIR", "TRACKIO_DIR", "WANDB_DIR")}
    assert folders == {
        "TENSORBOARD_LOGGING_DIR": str(tmp_path / "tensorboard"),
        "TRACKIO_DIR": "mine",
        "WANDB_DIR": str(tmp_path),
    }
    run = os.environ.pop("WANDB_RUN_ID")
    tracking.prepare(again)
    assert again.run_name == first.run_name == f"{tmp_path.name}-{run}" and os.environ["WANDB_RUN_ID"] == run
    other = SFTArguments(output_dir=str(tmp_path / "other"), report_to=["wandb"], run_name="my run")
    (tmp_path / "other").mkdir()
    del os.environ["WANDB_RUN_ID"]
    tracking.prepare(other)
    assert other.run_name == "my run" and os.environ["WANDB_RUN_ID"] != run


@pytest.mark.parametrize("key", [None, "0" * 40])
def test_who_cannot_log_in_is_told_at_once(key, monkeypatch, tmp_path):
    """A traceback of wandb's behind the loading of a model, where there is no key, or no network."""
    if not importlib.util.find_spec("wandb"):
        pytest.skip("wandb is not installed")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    with pytest.raises(UserError, match="--report_to wandb: .*WANDB_MODE=offline"):
        tracking.check(["--report_to", "wandb"])
    tracking.check(["--report_to", "wandb", "--check"])
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracking.check(["--report_to", "wandb"])


@pytest.mark.slow
@pytest.mark.parametrize("name", tracking.TRACKERS)
def test_a_real_tracker_offline(name, tiny_model_dir, tmp_path, monkeypatch):
    """A run that needs the network, that its tracker has nothing of, or that is out of date without its tracker."""
    if not importlib.util.find_spec(name):
        pytest.skip(f"{name} is not installed")
    data, out = write_data(tmp_path / "data", train=12, validation=6), tmp_path / "out"
    flags = ["--model_name_or_path", tiny_model_dir, "--data_dir", data, "--output_dir", out, "--max_steps", 1]
    command = [sys.executable, ROOT / "tuning_sft/train.py", *flags, "--logging_steps", 1, "--max_new_tokens", 4]

    def train(tracker: str) -> dict:
        environment = os.environ | {"WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1"}
        words = list(map(str, [*command, "--report_to", tracker]))
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads((out / "run.json").read_text())

    record = train(name)
    pattern = {"tensorboard": "events.*", "trackio": "*.db", "wandb": "offline-run-*"}[name]
    assert list((out / name).glob(pattern)) and not (tmp_path / name).exists()
    assert record["status"] == "complete" and name not in record["files"]
    assert train("none") == record
