"""The rules of the layout hold, and each of them is seen to break."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from house_rules import FOLDERS, NO_SCRIPTS, ROOT, STAGES, violations

SCRIPTS = [path.relative_to(ROOT).as_posix() for stage in STAGES for path in sorted((ROOT / stage).glob("*.py"))]


def test_the_rules_hold():
    """A stage that imports another, clarifyvlm that imports a stage, rooms in a circle, a module that is no script."""
    assert violations() == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("house")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=lambda path, names: _no_code(path, names))
    shutil.copy(ROOT / "main.py", folder)
    return folder


def _no_code(path: str, names: list[str]) -> list[str]:
    return [n for n in names if not n.endswith(".py") and not os.path.isdir(os.path.join(path, n))]


LAZY = "def later():\n    {}"
TYPES = "if TYPE_CHECKING:\n    {}"
CIRCLE, ROOMS, SCRIPT = "circle of modules", "circle of rooms", "imports the script"
BROKEN = [  # file, what is added to it, what is said of it
    ("tuning_sft/train.py", "from measures import intervals", "which is of inference/"),
    ("dataset_generation/mix.py", LAZY.format("import measures.metrics"), "which is of inference/"),
    ("inference/report.py", "from dataset_generation import mix", "which is of dataset_generation/"),
    ("inference/report.py", "import inference.judge", "which is of inference/"),
    ("inference/judge.py", "importlib.import_module('reward_functions')", "which is of tuning_grpo/"),
    ("inference/measures/metrics.py", "import scenes.layout", "which is of dataset_generation/"),
    ("dataset_generation/folder/card.py", LAZY.format("import predict"), "which is of inference/"),
    ("clarifyvlm/records.py", "from folder import card", "which is of dataset_generation/"),
    ("clarifyvlm/judges/scene.py", LAZY.format("import rollouts"), "which is of tuning_grpo/"),
    ("clarifyvlm/chat.py", TYPES.format("from measures.results import Judged"), "which is of inference/"),
    ("clarifyvlm/processes.py", "from clarifyvlm import jsonl", CIRCLE),
    ("inference/measures/intervals.py", "from .results import Judged", CIRCLE),
    ("inference/measures/metrics.py", "import reporting.page", ROOMS),
    ("inference/measures/intervals.py", LAZY.format("from auditing import corruptions"), ROOMS),
    ("clarifyvlm/endpoint/client.py", TYPES.format("import clarifyvlm.judges.gate"), ROOMS),
    ("dataset_generation/shards.py", LAZY.format("from generate import main"), SCRIPT),
    ("inference/measures/metrics.py", "import judge", SCRIPT),
    ("inference/report.py", "import sys\nsys.path.append('x')", "touches sys.path"),
    ("tuning_grpo/train.py", LAZY.format("from sys import path"), "touches sys.path"),
    ("inference/helpers.py", "ONE = 1", "cannot be run"),
    ("tuning_sft/measures/__init__.py", "", "has a room of that name"),
]


@pytest.mark.parametrize(("file", "added", "fault"), BROKEN)
def test_a_broken_rule_is_seen(file, added, fault, whole):
    """A check of the rules that passes whatever the code does: in a script, in a room, lazy, for types only."""
    path = whole / file
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{before or ''}\n\n{added}\n")
    try:
        new = set(violations(whole)) - set(violations())
    finally:
        path.write_text(before) if before is not None else path.unlink()
    named = file if fault not in (ROOMS, "has a room of that name") else ""
    assert any(fault in one and named in one for one in new), new


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """(a clone in a path with a space, run(script, *arguments) -> (its output, what it imported) from another folder,
    with packages first on the path that are called as our stages and rooms are and cannot be imported)."""
    clone = tmp_path_factory.mktemp("house") / "a clone"
    for name in (*STAGES, "clarifyvlm", "main.py"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        clone.mkdir(exist_ok=True)
        copy(ROOT / name, clone / name)
    others = clone.parent / "others"
    rooms = [path.parent.name for stage in STAGES for path in (ROOT / stage).glob("*/__init__.py")]
    for name in (*STAGES, *rooms):
        (others / name).mkdir(parents=True)
        (others / name / "__init__.py").write_text(f"raise ImportError('a package of the index, called {name}')")

    def run(script: str, *arguments) -> tuple[str, set[str]]:
        command = [sys.executable, "-X", "importtime", str(clone / script), *map(str, arguments)]
        environment = os.environ | {"PYTHONPATH": str(others)}
        done = subprocess.run(command, capture_output=True, text=True, cwd=clone.parent, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout, {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}

    return clone, run


@pytest.mark.parametrize("script", [*(s for s in SCRIPTS if s not in NO_SCRIPTS), "main.py"])
def test_help_from_any_folder(script, elsewhere):
    """`from inference import ...`, which finds the package of that name on the index; a path with a space; --help that
    imports torch."""
    said, imported = elsewhere[1](script, "--help")
    assert len(said) > 100 and "argparse" in imported and not {"torch", "transformers", "trl"} & imported


def test_data_to_report_from_any_folder(elsewhere, tmp_path):
    """A late import, a template, a worker's import that works from one folder or beside no other package only."""
    clone, run = elsewhere
    data = tmp_path / "the data"
    sizes = ["--num_train", 0, "--num_validation", 0, "--num_test", 60, "--num_test_ood", 0, "--num_workers", 2]
    config = clone / "dataset_generation" / "configs" / "smoke.yaml"
    run("dataset_generation/generate.py", "--config", config, *sizes, "--audit", "off", "--output_dir", data)
    rows = [json.loads(line) for line in (data / "test.jsonl").read_text().splitlines()]
    model = tmp_path / "models" / "one"
    model.mkdir(parents=True)
    said = [{"example_id": row["id"], "text": row["reference"]} for row in rows]
    (model / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said))
    files = ["--data_file", data / "test.jsonl"]
    run(
        "inference/judge.py",
        *files,
        "--predictions",
        model / "predictions.jsonl",
        "--output_file",
        model / "verdicts.jsonl",
    )
    run("inference/report.py", *files, "--inference_dir", model.parent, "--output_dir", tmp_path / "report")
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["models"]["one"]["strategy_accuracy_macro"]["value"] == 1.0
    assert "<html" in (tmp_path / "report" / "report.html").read_text()
