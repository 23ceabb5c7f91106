"""What run.sh is about to do: looks at the options of all stages before one of them runs, and at what is there.

Started by run.sh, with the stages' folders on PYTHONPATH. Reads commands from stdin, as run.sh prints them (each as its
number of words and the words, separated by NUL). Writes nothing. Exit code 2 where an option of any stage is wrong,
where a picture or the judge is not there, or where an output is out of date and --redo was not given. The stages look
once more, and more closely, when they run.
"""

import contextlib
import difflib
import io
import json
import multiprocessing
import os
import re
import runpy
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

from clarifyvlm import jsonl, processes
from clarifyvlm.config import option, parse_args, read_yaml
from clarifyvlm.errors import UserError, run_main
from clarifyvlm.records import SPLITS, Example

MADE, GOES_ON, OUT_OF_DATE, FOLLOWS, COMPLETE = "made", "continued", "out of date", "follows", "complete"
OWN = (
    "--model_name_or_path",
    "--data_file",
    "--output_file",
    "--predictions",
)  # flags in which the runs of one script differ
IMAGE = re.compile(r'"image": *("(?:[^"\\]|\\.)*")')


@dataclass
class Options:
    new: str = option("folder of the run")
    old: str | None = option("folder of the run that it takes over from, where it is not there yet", None)
    redo: bool = option("what is out of date will be made anew", False)
    dry_run: bool = option("show the plan", False)
    variables: list[str] = option("those of the environment that run.sh reads", factory=list)


@dataclass
class Step:
    script: str
    options: dict  # "args": all of them, or "given": those that are not left at their defaults
    state: str = COMPLETE
    why: str = ""

    @property
    def values(self) -> dict:
        return self.options.get("args") or self.options["given"]

    @property
    def output(self) -> Path:
        return Path(self.values.get("output_file") or self.values["output_dir"])


def main(argv: list[str] | None = None) -> int:
    (options,) = parse_args([Options], argv, description=__doc__)
    check_variables(options.variables)
    steps = checked(commands(sys.stdin.read()))
    old = Path(options.old) if options.old and not Path(options.new).exists() else None
    made: list[Step] = []
    for step in steps:
        step.state, step.why = look(step, made, Path(options.new), old)
        if step.state != COMPLETE:
            made.append(step)
    table = "\n".join(f"  {step.state:12} {step.output}{step.why and '  '}{step.why}" for step in steps)
    out_of_date = any(step.state == OUT_OF_DATE for step in steps)
    if options.dry_run:
        print(table + (f"\n{advice()}" if out_of_date and not options.redo else ""))
    elif out_of_date and not options.redo:
        raise UserError(f"something was changed since this run was made.\n{table}\n{advice()}")
    check_pictures(made)
    check_records(made)
    check_models(made, {str(step.output) for step in steps}, options.dry_run)
    check_endpoints(made, options.dry_run)
    return 0


def check_variables(known: list[str]) -> None:
    """UserError for a variable such as GRPO_ARG, which means GRPO_ARGS and would be ignored; a warning where another
    program may have such a name."""
    for name in sorted(set(os.environ) - set(known)):
        flags = re.search("_?ARGS?$", name)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75 if flags else 0.9)
        if near and flags:
            raise UserError(f"{name} is no variable of run.sh. Did you mean {near[0]}? There are: {', '.join(known)}.")
        if near:
            print(f"warning: {name} is no variable of run.sh, and is ignored. Did you mean {near[0]}?", file=sys.stderr)


def commands(text: str) -> list[tuple[list[str], int]]:
    """The script and the flags of each command, and how many processes its launcher makes of it."""
    words, found = iter(text.split("\0")), []
    while count := next(words):
        command = [next(words) for _ in range(int(count))]
        first = next(i for i, word in enumerate(command) if word.endswith(".py"))
        found.append((command[first:], launched(command[:first])))
    return found


def launched(words: list[str]) -> int:
    """The number of processes of `accelerate launch`: its last --num_processes, or else that of its file."""
    given = {name: value for name, value in zip(words, words[1:], strict=False) if name.startswith("--")}
    if "--num_processes" in given:
        return int(given["--num_processes"])
    file = given.get("--config_file")
    return int((read_yaml(file) if file else {}).get("num_processes", 1))


def checked(found: list[tuple[list[str], int]]) -> list[Step]:
    """The options of each command, as its script reads them. UserError with what all scripts complain of.

    A script is asked once; where it is to run for several models, their flags of names and files differ, no others.
    """
    first = {}
    for command, count in found:
        first.setdefault(command[0], (command, count))
    from clarifyvlm import judges, run_record, users  # noqa: F401 (once, for all scripts)

    if processes.has_workers():
        with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork")) as pool:
            said = dict(zip(first, pool.map(ask, *zip(*first.values(), strict=True)), strict=True))
    else:
        said = {script: ask(*how) for script, how in first.items()}
    if wrong := [f"{script}: {text.strip()}" for script, (code, text) in said.items() if code]:
        raise UserError("\n".join(wrong))
    steps = []
    for (script, *words), _ in found:
        options = json.loads(said[script][1].splitlines()[-1])
        own = {name.lstrip("-"): value for name, value in zip(words, words[1:], strict=False) if name in OWN}
        steps.append(Step(script, {kind: values | own for kind, values in options.items()}))
    return steps


def ask(command: list[str], count: int) -> tuple[int, str]:
    """(exit code, what it printed) of a script with --check, run in this process: its rooms are on PYTHONPATH. It is to
    run in `count` processes."""
    printed = io.StringIO()
    sys.argv = [*command, "--check"]
    os.environ["CLARIFYVLM_PROCESSES"] = str(count)
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            runpy.run_path(command[0], run_name="__main__")
    except SystemExit as end:
        return end.code or 0, printed.getvalue()
    return 0, printed.getvalue()


def look(step: Step, made: list[Step], new: Path, old: Path | None) -> tuple[str, str]:
    """(state, why) of a step whose output is where it belongs, or where `old` has it; `made` are the steps before it
    that will run."""
    from clarifyvlm.run_record import FILE_SUFFIXES, changes, code_bytes, hash_code, hash_input

    def there(path: str | Path) -> Path:
        inside = old is not None and Path(path).is_relative_to(new)
        return old / Path(path).relative_to(new) if inside else Path(path)

    if step.values.get("overwrite"):
        return MADE, "(each time)" if step.script.endswith("report.py") else "(--overwrite)"
    output = there(step.output)
    is_file = output.suffix in FILE_SUFFIXES
    path = output.with_name(f"{output.stem}.run.json") if is_file else output / "run.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return MADE, ""
    except (ValueError, OSError) as error:
        raise UserError(f"{path} is not readable as a run record ({error}); give another place.") from None
    now, from_made = {"inputs": [], "args": step.options.get("args")}, None
    for entry in record["inputs"]:
        path = renamed(entry["path"], record["args"], step.values)
        from_made = from_made or next((m.output for m in made if Path(path).is_relative_to(m.output)), None)
        same = any(Path(path).is_relative_to(m.output) for m in made)
        now["inputs"].append({"path": path, "sha256": entry["sha256"] if same else hash_input(there(path))})
    if now["args"] and "pictures" in record["args"]:  # a hash of their content, which the stage itself compares
        now["args"] = now["args"] | {"pictures": record["args"]["pictures"]}
    if now["args"] is None:
        record, now["args"] = given(record, step.options["given"])
    if "code" in record and code_bytes(record["code"]["paths"]) != record["code"]["bytes"]:
        now["code"] = hash_code(record["code"]["paths"])
    if found := changes(record, now):
        return OUT_OF_DATE, f"({'; '.join(found)})"
    if from_made:
        return FOLLOWS, f"(from {from_made})"
    return (COMPLETE, "") if record.get("status") == "complete" else (GOES_ON, "")


def renamed(path: str, before: dict, after: dict) -> str:
    """An input of before, as the options of now have it: the one that named it, or a folder above it, leads there."""
    for name, value in before.items():
        if isinstance(value, str) and isinstance(after.get(name), str) and Path(path).is_relative_to(value):
            return str(Path(after[name]) / Path(path).relative_to(value))
    return path


def given(record: dict, now: dict) -> tuple[dict, dict]:
    """The options that were given, before and now. Of a record that does not tell them: those that are given now."""
    plain = {name: _plain(value) for name, value in now.items()}
    before = record.get("given") or {name: record["args"].get(name, value) for name, value in now.items()}
    return record | {"args": {name: _plain(value) for name, value in before.items()}}, plain


def _plain(value):
    """One form for `cosine` and `["cosine"]`, for `0.1` and `"0.1"`."""
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    try:
        return yaml.safe_load(value) if isinstance(value, str) and value else value
    except yaml.YAMLError:
        return value


def advice() -> str:
    again = os.environ.get("CLARIFYVLM_RERUN", "  the same command with --redo\n  ... NEW_DIR --reuse OLD_DIR")
    return (
        "What is complete stays as it is. To make anew what is out of date, and what follows from it, give one of\n"
        f"{again}\nThe first keeps what it replaces in .replaced; the second makes another run, which takes over what "
        "is complete."
    )


def data_files(steps: list[Step]) -> list[Path]:
    """Those that are there already."""
    files = {Path(step.values["data_file"]) for step in steps if "data_file" in step.values}
    folders = {Path(step.values["data_dir"]) for step in steps if "data_dir" in step.values}
    files |= {folder / f"{split}.jsonl" for folder in folders for split in SPLITS}
    return sorted(file for file in files if file.is_file())


def check_records(steps: list[Step]) -> None:
    """UserError where a line of data of one's own is no example, or where a judge needs facts and there are none."""
    from clarifyvlm.judges import JudgeArguments, refuse_unannotated

    generated = {step.output for step in steps}
    judging = [s.values for s in steps if s.script in ("inference/judge.py", "tuning_grpo/train.py")]
    fields = JudgeArguments.__dataclass_fields__
    judges = [JudgeArguments(**{k: v for k, v in values.items() if k in fields}) for values in judging]
    for file in data_files(steps):
        made_by_script = (file.parent / "run.json").is_file()  # its test set tells whether it knows facts
        if file.parent in generated or (made_by_script and (file.stem != "test" or not judges)):
            continue
        examples = jsonl.read(file, Example, unique="id")
        for judge in judges:
            refuse_unannotated(judge, examples, file)


def check_pictures(steps: list[Step]) -> None:
    """UserError where a data file that is there already names a picture that is not."""
    for file in data_files(steps):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        lacking = [name for line in lines if (name := _lacking(line, file.parent))]
        if lacking:
            raise UserError(f"{file}: the pictures of {len(lacking)} examples are not there ({lacking[0]}, ...).")


def _lacking(line: str, root: Path) -> str | None:
    """The picture that an example names, where it is not there. Most lines need not be parsed to see it."""
    found = IMAGE.search(line)
    if not found or (root / json.loads(found[1])).exists():
        return None
    try:
        name = json.loads(line).get("image")  # what was found may be of something inside
    except (ValueError, AttributeError):
        return None  # the stage that reads it says what is wrong
    return name if isinstance(name, str) and not (root / name).exists() else None


def check_models(steps: list[Step], outputs: set[str], offline: bool) -> None:
    """UserError where a step is to load a model that is none of the run's own `outputs`, and there is none."""
    from clarifyvlm.models import loading

    here = [step.values for step in steps if step.values.get("backend", "transformers") != "openai"]
    for path in dict.fromkeys(values["model_name_or_path"] for values in here if "model_name_or_path" in values):
        if path not in outputs:
            loading.check_checkpoint(path, ask_hub=not offline)


def check_endpoints(steps: list[Step], offline: bool) -> None:
    """A small call, unless `offline`, to every judge and simulated user that answers from outside: UserError where one
    cannot be reached."""
    from clarifyvlm.judges import JudgeArguments, make_judge
    from clarifyvlm.users import UserArguments, make_user

    def those(kind: type, name: str, here: str) -> list:
        fields, found = kind.__dataclass_fields__, []
        for values in (step.values for step in steps if step.values.get(name, here) != here):
            asked = kind(**{key: value for key, value in values.items() if key in fields})
            found += [asked] if asked not in found else []
        return found

    asked = [make_judge(judge) for judge in those(JudgeArguments, "judge", "scene")]
    asked += [make_user(user, turns=2) for user in those(UserArguments, "user", "scripted")]
    for one in asked if not offline else ():
        one.check()


if __name__ == "__main__":
    run_main(main)
