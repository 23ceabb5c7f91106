"""Set-up: the pins agree with each other, the lock names no index, and the scripts do what they say."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK_TEXT = (ROOT / "uv.lock").read_text()
REQUIREMENTS = (ROOT / "requirements.txt").read_text()
SETUP_FILES = [
    "requirements.txt",
    *(f"scripts/{n}" for n in ("setup.sh", "lock.sh", "neutral_lock.py", "pip_settings.sh")),
]


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins():
    """(name, version) of each line of requirements.txt."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^ \n]+)( ; .*)?$", REQUIREMENTS, flags=re.M)
    return [(canonical(name), version) for name, version, _ in found]


def exact(dependencies):
    """The exact pins among requirement strings, as {name: version}."""
    found = (re.fullmatch(r"([A-Za-z0-9._-]+)==([^,; ]+)([,;].*)?", line) for line in dependencies)
    return {canonical(match[1]): match[2] for match in found if match}


def shell(script, folder=ROOT, **environment):
    """Run a bash script in a folder without the settings of whoever runs the tests."""
    own = ("CLARIFYVLM_", "UV_", "PIP_")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=clean | environment, capture_output=True, text=True, timeout=600
    )


@pytest.fixture
def checkout(tmp_path):
    """A copy of the files that set-up reads, where it may break things."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ["pyproject.toml", ".python-version", "requirements.txt"]:
        shutil.copy(ROOT / name, folder / name)
    for name in ["scripts", "clarifyvlm"]:
        shutil.copytree(ROOT / name, folder / name)
    return folder


def test_the_lock_names_no_index():
    """A lock made by hand, with the address of somebody's mirror or a path of somebody's machine in it."""
    assert "://" not in LOCK_TEXT
    assert set(re.findall(r'registry = "([^"]*)"', LOCK_TEXT)) == {"wheelhouse"}
    assert not re.findall(r'(?:path|url) = "[^"]*/[^"]*"', LOCK_TEXT)


def test_requirements_are_plain_pins_and_the_project_itself():
    """A file that installs behind one index only, or one build of torch, or after which no stage finds clarifyvlm."""
    lines = [line for line in REQUIREMENTS.splitlines() if not line.startswith("#")]
    assert lines[-1] == "-e ." and len(pins()) == len(lines) - 1 > 50
    assert "+" not in "".join(version for _, version in pins()) and "sha256" not in REQUIREMENTS


def test_every_pin_is_in_the_lock():
    """requirements.txt edited by hand, or exported from another lock than the one that is committed."""
    locked = {(canonical(p["name"]), p.get("version")) for p in tomllib.loads(LOCK_TEXT)["package"]}
    assert [pin for pin in pins() if pin not in locked] == []


def test_direct_dependencies_are_pinned_as_the_project_says():
    """pyproject.toml raised without running scripts/lock.sh."""
    wanted = exact(PROJECT["project"]["dependencies"])
    assert {"torch", "transformers", "trl", "peft", "accelerate", "datasets", "openai", "pillow"} <= set(wanted)
    assert wanted.items() <= dict(pins()).items()
    locked = {(canonical(p["name"]), p.get("version")) for p in tomllib.loads(LOCK_TEXT)["package"]}
    for extra, dependencies in PROJECT["project"]["optional-dependencies"].items():
        assert exact(dependencies).items() <= locked, extra


def test_the_lock_knows_every_extra():
    """An extra added without running scripts/lock.sh."""
    (package,) = [p for p in tomllib.loads(LOCK_TEXT)["package"] if p["name"] == "clarifyvlm"]
    assert set(package["metadata"]["provides-extras"]) == set(PROJECT["project"]["optional-dependencies"])
    assert {"gpu", "vllm", "dev"} <= set(PROJECT["project"]["optional-dependencies"])


def test_the_set_brings_no_cuda_package():
    """Gigabytes of CUDA packages on a laptop, torchvision beside a CPU torch. The CUDA build names its own."""
    names = {name for name, _ in pins()}
    gpu_only = {"torchvision", "torchaudio", "triton", "vllm", "deepspeed", "flash-attn"}
    assert not {name for name in names if name.startswith(("nvidia-", "cuda-"))} | names & gpu_only


def test_set_up_stays_small():
    """Thousands of lines of pins and scripts again, where one file and a few scripts do."""
    assert sum(len((ROOT / name).read_text().splitlines()) for name in SETUP_FILES) <= 400
    assert not list(ROOT.glob("requirements-*.txt"))


def test_python_version_agrees():
    """.python-version outside requires-python, or a CPU wheel locked for another Python."""
    version = (ROOT / ".python-version").read_text().strip()
    floor = re.fullmatch(r">=(\d+)\.(\d+)", PROJECT["project"]["requires-python"])
    assert tuple(map(int, version.split("."))) >= (int(floor[1]), int(floor[2]))
    assert f"+cpu-cp{version.replace('.', '')}-" in LOCK_TEXT
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{floor[1]}{floor[2]}"


def test_only_the_contract_is_packaged():
    """Stage folders installed as top-level packages, where `inference` would shadow somebody's own."""
    assert PROJECT["tool"]["setuptools"]["packages"]["find"]["include"] == ["clarifyvlm", "clarifyvlm.*"]


def test_neutral_lock(tmp_path):
    """A rewritten lock that keeps an address, or lists the CPU build of torch without its hash."""
    spec = importlib.util.spec_from_file_location("neutral_lock", ROOT / "scripts" / "neutral_lock.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    wheel = tmp_path / "torch-1.0+cpu-cp311-cp311-linux_x86_64.whl"
    wheel.write_bytes(b"wheel")
    text = (
        'source = { registry = "https://index.example/simple" }\n'
        'sdist = { url = "https://files.example/a/b/x-1.0.tar.gz", hash = "sha256:00" }\n'
        f'    {{ path = "/somewhere/{wheel.name}" }},\n'
    )
    digest = sha256(b"wheel").hexdigest()
    assert module.neutral_lock(text, wheel) == (
        'source = { registry = "wheelhouse" }\n'
        'sdist = { path = "x-1.0.tar.gz", hash = "sha256:00" }\n'
        f'    {{ path = "{wheel.name}", hash = "sha256:{digest}" }},\n'
    )
    exported = "torch==1.0+cpu\nx==1 ; sys_platform != 'emscripten'\ny==2 ; sys_platform == 'win32'\n"
    assert module.requirements(exported).endswith("torch==1.0\nx==1\n-e .\n")


def test_a_second_set_up_does_nothing():
    """A set-up that installs again at every start of run.sh."""
    first = shell("set -euo pipefail; CLARIFYVLM_DEV=1; source scripts/setup.sh")
    assert first.returncode == 0, first.stderr
    second = shell("set -euo pipefail; source scripts/setup.sh; command -v python; echo $GOMP_SPINCOUNT; pwd")
    assert second.returncode == 0, second.stderr
    assert second.stderr == ""
    assert second.stdout.split() == [str(ROOT / ".venv/bin/python"), "30000", str(ROOT)]


def test_python_too_old_is_one_clear_line(checkout):
    """A traceback from a package that does not support the Python at hand."""
    old = checkout / "old-python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n')
    old.chmod(0o755)
    result = shell("set -e; source scripts/setup.sh; echo went on", checkout, PYTHON=str(old))
    assert result.returncode != 0 and "went on" not in result.stdout
    assert "needs Python 3.11 or newer" in result.stderr and "Python 3.9.2" in result.stderr
    assert not (checkout / ".venv").exists()


def test_an_interrupted_set_up_starts_anew_and_a_failed_one_leaves_no_stamp(checkout):
    """Half-copied packages that every later install trips over; a stamp on an environment that is not complete."""
    (checkout / ".venv").mkdir()
    (checkout / ".venv/.installing").touch()
    (checkout / ".venv/half-copied").touch()
    result = shell(
        "set -e; source scripts/setup.sh; echo went on",
        checkout,
        PYTHON=sys.executable,
        PIP_NO_INDEX="1",
        PIP_CONFIG_FILE=os.devnull,
        CLARIFYVLM_TORCH="cpu",
    )
    assert result.returncode != 0 and "went on" not in result.stdout
    assert "did not finish: making .venv anew" in result.stderr
    assert "set-up failed" in result.stderr and "PIP_INDEX_URL" in result.stderr
    assert not (checkout / ".venv/half-copied").exists()
    assert (checkout / ".venv/.installing").exists() and not list((checkout / ".venv").glob(".stamp-*"))


def test_an_environment_of_your_own_is_used_as_it_is():
    """CLARIFYVLM_PYTHON ignored, or accepted though it cannot import the project."""
    result = shell("set -e; source scripts/setup.sh; command -v python", CLARIFYVLM_PYTHON=sys.executable)
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.strip()).parent == Path(sys.executable).parent
    result = shell("source scripts/setup.sh; echo went on $?", CLARIFYVLM_PYTHON="/bin/false")
    assert "cannot import clarifyvlm" in result.stderr


def test_pips_settings_reach_uv():
    """uv asking the public index, or missing the CPU build of torch, although pip was told where to look."""
    script = (
        f"PYTHON={sys.executable}; source scripts/pip_settings.sh; pip_settings_to_uv;"
        ' echo "$UV_FIND_LINKS|$UV_DEFAULT_INDEX|$UV_INDEX|$UV_CONSTRAINT"'
    )
    settings = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_FIND_LINKS": "/a /b",
        "PIP_INDEX_URL": "http://mirror.invalid/simple",
        "PIP_EXTRA_INDEX_URL": "http://other.invalid/simple",
        "PIP_CONSTRAINT": "/caps.txt",
    }
    expected = "/a,/b|http://mirror.invalid/simple|http://other.invalid/simple|/caps.txt"
    assert shell(script, **settings).stdout.strip() == expected
    assert shell(script, **settings, UV_FIND_LINKS="/mine").stdout.startswith("/mine|")


def test_pip_conf_reaches_uv(tmp_path):
    """Settings in pip.conf lost, where only the environment is handed on."""
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nfind-links = /wheels\n    /more\n")
    script = f'PYTHON={sys.executable}; source scripts/pip_settings.sh; pip_settings_to_uv; echo "$UV_FIND_LINKS"'
    assert shell(script, PIP_CONFIG_FILE=str(config)).stdout.strip() == "/wheels,/more"


def test_run_sh_names_the_presets_there_are():
    """A typo in the preset that fails only at the stage whose config is missing, or with a traceback."""
    result = shell("./run.sh tinny")
    assert result.returncode == 2
    assert "preset 'tinny'" in result.stderr and "tiny" in result.stderr.split("There is:")[1]


def run(*command, cwd, timeout=900):
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = [str(part) for part in command]
    return subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=timeout)


@pytest.mark.slow
def test_what_everybody_types_first(tmp_path):
    """`python -m venv` and `pip install -r requirements.txt` that fail in a fresh clone, or after which no stage script
    runs from another folder."""
    clone, elsewhere = tmp_path / "a clone", tmp_path / "elsewhere"
    elsewhere.mkdir()
    left_out = shutil.ignore_patterns(".venv", ".git", "runs", "tests", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, clone, ignore=left_out)
    venv = run(sys.executable, "-m", "venv", clone / ".venv", cwd=clone)
    assert venv.returncode == 0, venv.stderr
    python = clone / ".venv/bin/python"
    torch = [line for line in REQUIREMENTS.splitlines() if line.startswith("torch==")]
    offered = run(python, "-m", "pip", "install", "-q", "--dry-run", "--no-deps", "--report", "-", *torch, cwd=clone)
    if offered.returncode != 0 or "+cpu" not in offered.stdout.replace("%2B", "+"):
        pytest.skip("no CPU build of torch is on offer to pip here: this would fetch gigabytes, or nothing")
    installed = run(python, "-m", "pip", "install", "-q", "-r", "requirements.txt", cwd=clone)
    assert installed.returncode == 0, installed.stderr
    told = run(python, clone / "tuning_sft/train.py", "--help", cwd=elsewhere)
    assert told.returncode == 0 and "--learning_rate" in told.stdout, told.stderr
    config = clone / "dataset_generation/configs/smoke.yaml"
    made = run(
        python, clone / "dataset_generation/generate.py", "--config", config, "--output_dir", "data", cwd=elsewhere
    )
    assert made.returncode == 0 and (elsewhere / "data/train.jsonl").is_file(), made.stderr
