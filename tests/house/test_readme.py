"""Every command of the READMEs and of run.sh is one that works: scripts, presets, configs and flags exist.

`./run.sh smoke` itself is run by test_pipeline.py; here each command is checked without running it.
"""

import functools
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAGES = ["dataset_generation", "tuning_sft", "tuning_grpo", "inference"]
READMES = ["README.md", *(f"{stage}/README.md" for stage in STAGES)]
SCRIPTS = {stage: f"tuning_{stage}/train.py" for stage in ("sft", "grpo")} | {"predict": "inference/predict.py"}
SHELL_BLOCK = re.compile(r"^```(?:bash|sh|shell|console)\n(.*?)^```", flags=re.M | re.S)


def commands(text):
    """The commands of a shell text, each as a list of words, with continued lines joined and comments left out."""
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip().removeprefix("$ ")
        for part in re.split(r"\s(?:&&|\|\||\||;)\s", line):
            words = shlex.split(part, comments=True)
            while words and re.fullmatch(r"[A-Z_][A-Z0-9_]*=.*", words[0], flags=re.S):
                words = words[1:]  # an environment variable set for one command
            if words and words[0] != "export":
                yield words


def readme_commands(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    return [words for block in SHELL_BLOCK.findall(text) for words in commands(block)]


@functools.cache
def help_of(*command):
    ask = functools.partial(subprocess.run, cwd=ROOT, capture_output=True, text=True, timeout=300)
    result = ask([sys.executable, *command, "--help"])
    if "with --help_all:" in result.stdout:
        result = ask([sys.executable, *command, "--help_all"])
    assert result.returncode == 0, f"{' '.join(command)} --help: {result.stderr[-2000:]}"
    return set(re.findall(r"--[A-Za-z][A-Za-z0-9_-]*", result.stdout))


def presets(stage):
    return {path.stem for path in (ROOT / stage / "configs").glob("*.yaml")}


def check(words):
    """Raise AssertionError, with the command and what is wrong with it, where it could not run."""
    said = " ".join(words)
    program, arguments = words[0], words[1:]
    if program in ("python", "python3") and arguments and arguments[0].endswith(".py"):
        script = arguments[0]
        assert (ROOT / script).is_file(), f"no {script}, in: {said}"
        rest = arguments[1:]
        subcommand = [word for word in rest[:1] if word.isalpha()]
        known = help_of(script, *subcommand)
        flags = [word.split("=")[0] for word in rest if re.match(r"--[A-Za-z]", word)]
        for stage, key in (flag[2:].split(".") for flag in flags if "." in flag):  # of main.py sweep
            assert f"--{key}" in help_of(SCRIPTS[stage]), f"{SCRIPTS[stage]} knows no --{key}, in: {said}"
        flags = [flag for flag in flags if "." not in flag]
        unknown = sorted(set(flags) - known - {"--help"})
        assert not unknown, f"{script} knows no {', '.join(unknown)}, in: {said}"
        for flag, value in zip(rest, rest[1:], strict=False):
            if flag == "--config" and "$" not in value:
                assert (ROOT / value).is_file(), f"no {value}, in: {said}"
    elif program == "./run.sh":
        if arguments and not arguments[0].startswith("-"):
            for stage in STAGES[1:]:  # a preset of a model takes any data
                assert arguments[0] in presets(stage), f"no {stage}/configs/{arguments[0]}.yaml, in: {said}"
    elif program == "sbatch":
        (script,) = (word for word in arguments if word.endswith(".sbatch"))
        assert (ROOT / script).is_file(), f"no {script}, in: {said}"
        rest = arguments[arguments.index(script) + 1 :]
        check(["python", *rest] if rest[0].endswith(".py") else ["./run.sh", *rest])
    elif program in ("source", "."):
        assert (ROOT / arguments[0]).is_file() or arguments[0] == ".venv/bin/activate", f"no {arguments[0]}, in: {said}"
    elif "/" in program:
        path = ROOT / program
        assert path.is_file() and path.stat().st_mode & 0o111, f"{program} is no script that can be run, in: {said}"
    else:
        known = {"python", "python3", "pip", "uv", "git", "cd", "vllm", "accelerate", "torchrun", "unzip", "curl"}
        assert program in known or shutil.which(program), f"unknown program {program}, in: {said}"


@pytest.mark.parametrize("name", READMES)
def test_readme_commands_work(name):
    """A README that shows a flag, script, config or preset that was renamed."""
    found = readme_commands(name)
    assert found, f"{name} shows no command"
    for words in found:
        check(words)


NAMED = re.compile(r"(?<![\w./<{-])([\w-]+(?:/[\w.-]+)+\.(?:py|sh|yaml|md|css|html|sbatch))\b")
OURS = ("configs", "scripts", "slurm", "models", "tests", "benchmarks", "clarifyvlm", *STAGES)


def texts():
    """Every file of ours that people read, code included."""
    for folder in (".", "configs", "scripts", "slurm", "models", "benchmarks", "clarifyvlm", ".ci", *STAGES):
        for path in sorted((ROOT / folder).glob("*" if folder == "." else "**/*")):
            if path.suffix in (".py", ".md", ".yaml", ".sh", ".toml", ".html", ".sbatch") or path.name == "run":
                if path.is_file() and "results" not in path.parts:
                    yield path


def test_files_that_are_named_are_there():
    """A README, help text or docstring that names a file by its old place."""
    lost = []
    for path in texts():
        stage = path.relative_to(ROOT).parts[0]
        rooms = {p.name for p in (ROOT / stage).glob("*") if p.is_dir()} if stage in STAGES else set()
        for name in NAMED.findall(path.read_text(encoding="utf-8")):
            top = name.split("/")[0]
            where = [ROOT / name] if top in OURS else [ROOT / stage / name] if top in rooms else []
            if where and not where[0].is_file():
                lost.append(f"{path.relative_to(ROOT)}: {name}")
    assert not lost, lost


def test_the_readme_says_how_to_run_and_test():
    """The two commands a newcomer and CI start with, missing from the README."""
    found = readme_commands("README.md")
    assert ["./run.sh"] in found and ["./tests/run.sh"] in [words[:1] for words in found]
    assert re.search(r"^\./tests/run\.sh$", (ROOT / ".ci/run").read_text(), flags=re.M)


@pytest.mark.parametrize("name", ["README.md", "tuning_grpo/README.md"])
def test_tables_are_what_was_measured(monkeypatch, name):
    """Figures of the README that no result holds: typed in, or left behind by a later measurement."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import table

    text = (ROOT / name).read_text(encoding="utf-8")
    assert text.partition(table.BEGIN)[2].partition(table.END)[0] == "\n" + table.tables()[name]


def test_run_sh_commands_work():
    """run.sh passing a flag that a stage no longer knows, found only when the pipeline gets there."""
    text = (ROOT / "run.sh").read_text().replace("\\\n", " ")
    text = text.replace('"${several[@]}"', "python")
    steps = re.findall(r"^\s*(?:\[.*\] \|\|\s+)?step (?:[A-Z_]+|\"[A-Z_ ]+\") (python .*)$", text, flags=re.M)
    assert len(steps) == 7  # generate, audit of the judge, SFT, GRPO, predict, judge, report
    for line in steps:
        check(line.split())


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_the_embedded_presets(stage):
    """A preset that run.sh offers and one stage lacks."""
    assert {"tiny", "smoke", "coco"} <= presets(stage)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("python inference/nothing.py", "no inference/nothing.py"),
        ("./run.sh nothing", "nothing.yaml"),
        ("./scripts/nothing.sh", "no script"),
        ("frobnicate --all", "unknown program"),
    ],
)
def test_check_finds_faults(line, complaint):
    """A check that passes whatever it is given."""
    (words,) = commands(line)
    with pytest.raises(AssertionError, match=complaint):
        check(words)


def test_commands_reads_shell_blocks():
    """Continued lines, comments, prompts and variables read as commands of their own."""
    text = "# a comment\n$ A=1 ./run.sh tiny \\\n    runs/x   # why\ncd x && python a.py --b 'c d'\n"
    assert list(commands(text)) == [["./run.sh", "tiny", "runs/x"], ["cd", "x"], ["python", "a.py", "--b", "c d"]]
