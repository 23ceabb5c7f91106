"""Kind: the shell. Whatever else is in it, run.sh takes the pinned packages; and macOS's bash 3.2 is enough."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stages import ROOT

NEEDED = ("pyproject.toml", "requirements.txt", "scripts/setup.sh")
SOURCE = "set -euo pipefail; source scripts/setup.sh; command -v python; echo ${PYTHONPATH:-none}"
# What bash 3.2 has not: {name}> for a file, arrays by name, changes of case, and others.
NEWER = re.compile(
    r"\{[a-z_]+\}[<>]|\b(?:mapfile|readarray|coproc)\b|declare -[An]|local -[An]|\$\{\w+(?:,,?|\^\^?|@[A-Z])\}|&>>|\|&"
    r"|\[\[? -v |wait -n|printf -v \w+\[|printf '%\(|\$\{\w+: -\d|;;&|;&"
)


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A checkout whose set-up is done: .venv's python is the one of the tests."""
    folder = tmp_path / "a clone"
    for name in NEEDED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").symlink_to(sys.executable)
    (folder / ".venv/.stamp-core").write_text(stamp(folder))
    return folder


def stamp(folder: Path) -> str:
    known = "eval \"$(sed -n '/^_setup_fingerprint/,/^}/p' scripts/setup.sh)\""
    return bash(f"{known}; CLARIFYVLM_ROOT=$PWD; _setup_fingerprint cpu", folder).stdout


def bash(script: str, folder: Path, shell: str = "bash", **changes) -> subprocess.CompletedProcess:
    without = ("CLARIFYVLM_DEV", "CLARIFYVLM_PYTHON", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
    env = {name: value for name, value in os.environ.items() if name not in without}
    env |= {"CLARIFYVLM_TORCH": "cpu"} | changes
    return subprocess.run([shell, "-c", script], cwd=folder, env=env, capture_output=True, text=True, timeout=120)


@pytest.fixture
def other(tmp_path) -> Path:
    """The bin folder of another environment."""
    folder = tmp_path / "other" / "bin"
    folder.mkdir(parents=True)
    for name in ("python", "accelerate"):
        (folder / name).write_text("#!/bin/sh\necho another environment\n")
        (folder / name).chmod(0o755)
    return folder


def test_another_environment_that_was_activated_since(checkout, other):
    """Fault: `conda activate` after `source scripts/setup.sh`, and run.sh runs the other environment's python."""
    done = bash(f'source scripts/setup.sh; export PATH="{other}:$PATH"; hash -r; python; {SOURCE}', checkout)
    assert done.stdout.splitlines() == ["another environment", str(checkout / ".venv/bin/python"), "none"], done.stderr


def test_packages_of_another_environment(checkout):
    """Fault: a cluster's module names its site-packages in PYTHONPATH, and they come before the pinned ones."""
    done = bash(SOURCE, checkout, PYTHONPATH="/apps/torch/1.0/lib/python3.11/site-packages")
    assert done.stdout.splitlines()[-1] == "none" and "packages of another environment" in done.stderr
    kept = bash(SOURCE, checkout, PYTHONPATH="/my/modules")
    assert kept.stdout.splitlines()[-1] == "/my/modules" and kept.stderr == ""


def test_an_environment_of_ones_own_without_a_python(checkout, tmp_path, other):
    """Fault: CLARIFYVLM_PYTHON=/usr/bin/python3, and the `python` of run.sh is another environment's."""
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (alone / "python3").chmod(0o755)
    path = f"{other}:{os.environ['PATH']}"
    done = bash(SOURCE, checkout, CLARIFYVLM_PYTHON=str(alone / "python3"), PATH=path, PYTHONPATH=str(ROOT))
    assert done.returncode != 0 and "no 'python' of the same environment" in done.stderr


@pytest.mark.parametrize("flock", ["none", "no locks on this disk", "held by another"])
def test_a_set_up_with_and_without_locks(checkout, tmp_path, flock):
    """Fault: a machine without flock, or a disk without locks, and there is no set-up; or it ends the shell."""
    script = checkout / "scripts/setup.sh"
    text = script.read_text(encoding="utf-8")
    script.write_text(text.replace("_setup_make() {", "_setup_make() { echo made; return;", 1), encoding="utf-8")
    tools = tmp_path / "tools"
    tools.mkdir()
    scripts = {
        "no locks on this disk": 'echo "flock: $1: No locks available" >&2; exit 71',
        "held by another": f'case $1 in -n) exit 1 ;; esac; cp "{tmp_path}/stamp" "{checkout}/.venv/.stamp-core"',
    }
    if flock in scripts:
        (tools / "flock").write_text(f"#!/bin/sh\n{scripts[flock]}\n")
        (tools / "flock").chmod(0o755)
    (tmp_path / "stamp").write_text(stamp(checkout))
    for name in ("cat", "cksum", "tr", "dirname", "sed", "uname", "rm", "mkdir", "touch", "cp", "grep", "tail", "bash"):
        (tools / name).symlink_to(shutil.which(name))
    done = bash("source scripts/setup.sh; echo after", checkout, PATH=str(tools))
    assert done.stdout.splitlines()[-1] == "after", done.stderr
    assert ("made" in done.stdout) == (flock != "held by another")
    assert ("has no locks" in done.stderr) == (flock == "no locks on this disk")


def test_no_words_of_a_newer_bash():
    """Fault: `exec {fd}>`, of bash 4.1, ends the shell of a Mac at set-up."""
    scripts = [ROOT / "run.sh", ROOT / "tests/run.sh", ROOT / ".ci/run", *(ROOT / "scripts").glob("*.sh")]
    code = {p.name: re.sub(r"(?m)(?:^|\s)#.*", "", p.read_text(encoding="utf-8")) for p in scripts}
    assert {name: found[0] for name, text in code.items() if (found := NEWER.search(text))} == {}


@pytest.mark.skipif(not os.environ.get("BASH32"), reason="set BASH32=/path/to/bash-3.2")
def test_in_that_bash(checkout):
    """Fault: what only that bash trips over: empty arrays under `set -u`, `case` within $( )."""
    shell = os.environ["BASH32"]
    done = bash(SOURCE, checkout, shell)
    assert done.stdout.splitlines()[0] == str(checkout / ".venv/bin/python"), done.stderr
    plan = bash("./run.sh smoke runs/never --dry_run", ROOT, shell, CLARIFYVLM_PYTHON=sys.executable)
    assert plan.returncode == 0 and "runs/never/report" in plan.stdout + plan.stderr, plan.stderr
