"""Every command of the READMEs, of docs/ and of run.sh is one that works: scripts, presets, configs and flags exist.

`./run.sh smoke` itself is run by test_pipeline.py; here each command is checked without running it. Another test runs
its script with its flags, or NOT_RUN says why none does.
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
READMES = ["README.md", *(f"{stage}/README.md" for stage in STAGES), "models/tiny/README.md"]
DOCS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))
# What no test runs as it stands -> why. The key is the script, or the launcher with its preset or job script.
NOT_RUN = {
    "./run.sh tiny": "12 minutes; test_pipeline.py and test_redo.py run it with the preset smoke",
    "./run.sh qwen3-vl-2b": "needs a GPU and a hub; the stages run on tiny models of the same family",
    "./run.sh qwen2.5-vl-3b": "needs a GPU and a hub, and an endpoint as judge; as above",
    "sbatch slurm/run.sbatch": "needs SLURM; test_slurm.py runs the job script with stand-ins for its commands",
    "sbatch slurm/multinode.sbatch": "needs SLURM and four nodes; as above",
    "pip install": "needs a network; the extras are pinned and in the lock, which test_setup.py compares",
    "benchmarks/demonstrations.py": "half an hour; test_demonstrations.py makes its tables from small runs",
    "models/tiny/pretrain.py": "two hours; no test runs it",
    "models/tiny/evaluate.py": "minutes, and it writes over the model card; no test runs it",
}
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
    """Those of a README's or of a page's shell blocks."""
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
        own = set(re.findall(r"--[a-z_]+", (ROOT / "run.sh").read_text()))
        unknown = {word for word in arguments if word.startswith("--")} - own
        assert not unknown, f"run.sh knows no {', '.join(unknown)}, in: {said}"
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


@pytest.mark.parametrize("name", READMES + DOCS)
def test_readme_commands_work(name):
    """A README or page that shows a flag, script, config or preset that was renamed."""
    found = readme_commands(name)
    assert found or name in DOCS, f"{name} shows no command"
    for words in found:
        check(words)


@functools.cache
def texts_of_tests(script):
    """The text of all tests that run a script: they name it, or take a helper that does."""
    names = re.compile(rf"{re.escape(script)}|\bimport {Path(script).stem}\b|\b{Path(script).stem}\.(?:main|run)\(")
    files = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")}
    helpers = [path.stem for path, text in files.items() if path.parent.name == "helpers" and names.search(text)]
    takes = re.compile(rf"^(?:from|import) (?:{'|'.join(helpers) or '-'})\b", flags=re.M)
    own = {Path(__file__).resolve(), ROOT / "tests/house/test_docs.py"}
    return "\n".join(t for path, t in files.items() if path not in own and (names.search(t) or takes.search(t)))


def not_run(words):
    """What no test runs of a command: its key in NOT_RUN, and the flags that no test gives; None where tests run it."""
    program, rest = words[0], words[1:]
    if program in ("python", "python3"):
        program, rest = rest[0], rest[1:]
        missing = [w for w in rest if re.match("--[a-z]", w) and "." not in w]
        missing = [flag for flag in missing if not re.search(rf"\b{flag[2:].split('=')[0]}\b", texts_of_tests(program))]
        return (program, missing) if missing or not texts_of_tests(program) or program in NOT_RUN else None
    if program == "./run.sh":
        preset = next((word for word in rest if not word.startswith("-")), "tiny")
        return None if re.search(rf"\bRun\(\s*\"{preset}\"", texts_of_tests("run.sh")) else (f"./run.sh {preset}", [])
    if program == "sbatch":
        return f"sbatch {next(word for word in rest if word.endswith('.sbatch'))}", []
    if program == "source" or program == "./tests/run.sh":
        return None  # CI starts with these
    return f"{program} {rest[0]}", []


def test_commands_are_run_by_a_test_or_named():
    """A command that nothing ever runs, shown as if it worked; a reason for a command that is shown no more."""
    shown = [words for name in READMES + DOCS for words in readme_commands(name)]
    found = {key: (missing, words) for words in shown for key, missing in [not_run(words) or (None, None)] if key}
    unnamed = {key: (missing, " ".join(words)) for key, (missing, words) in found.items() if key not in NOT_RUN}
    assert not unnamed, unnamed
    assert set(NOT_RUN) == set(found) and len(NOT_RUN) <= 10


NAMED = re.compile(r"(?<![\w./<{-])([\w-]+(?:/[\w.-]+)+\.(?:py|sh|yaml|md|css|html|sbatch))\b")
OURS = ("configs", "docs", "scripts", "slurm", "models", "tests", "benchmarks", "clarifyvlm", *STAGES)


def texts():
    """Every file of ours that people read, code included."""
    for folder in (".", "configs", "docs", "scripts", "slurm", "models", "benchmarks", "clarifyvlm", ".ci", *STAGES):
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


@pytest.mark.parametrize("name", ["docs/speed.md", "docs/results.md"])
def test_tables_are_what_was_measured(monkeypatch, name):
    """Numbers that no result holds: typed in, or left behind by a later measurement."""
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
        ("./run.sh tiny --sede 1", "knows no --sede"),
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
