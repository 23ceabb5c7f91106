"""Measure models on released files of published benchmarks: convert, predict, judge, report, and one table of it all.

    python main.py benchmarks FOLDER MODEL [MODEL ...] --output_dir DIR [--judge openai --judge_base_url URL ...]
    python main.py benchmarks released models/tiny tuned=runs/tiny/grpo --output_dir runs/benchmarks --judge openai ...

FOLDER has a folder for each benchmark, named as dataset_generation/benchmark.py names it (FOLDER/pope, FOLDER/vizwiz),
with its data file and its pictures, these also in folders below. A benchmark.yaml in it gives further options of
benchmark.py (data_file, where there are several; annotations, image_dir, columns, ...; benchmark, where the folder has
another name); its paths start at that folder. MODEL is a directory, an adapter or a hub name; NAME=MODEL names its
column, and differences are to the first. The pictures are not annotated, so the judge must be one that sees them.

--config has the settings of predict.py and judge.py, --predict.KEY VALUE is an option of predict.py, and --judge... are
those of judge.py. DIR gets benchmarks.md, benchmarks.json and, for each benchmark, data, predictions, verdicts and the
whole report. What cannot be measured is named with the reason, and the rest goes on. Given again, the command goes on
where it stopped.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from clarifyvlm import jsonl
from clarifyvlm.app import benchmarks_table
from clarifyvlm.config import REDO, option, parse_args, read_yaml, take_config
from clarifyvlm.errors import UserError
from clarifyvlm.judges import JudgeArguments, refuse_unannotated
from clarifyvlm.models import loading
from clarifyvlm.records import Example

CONVERT, PREDICT = "dataset_generation/benchmark.py", "inference/predict.py"
JUDGE, REPORT = "inference/judge.py", "inference/report.py"
DATA = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".arrow")
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
KEPT = 20_000  # bytes of what a script says on stderr that its error is looked for in


@dataclass
class BenchmarksArguments:
    output_dir: str = option("folder for benchmarks.md, benchmarks.json and the files of each benchmark")
    num_rows: int | None = option("only the first N rows of each benchmark", None, min=1)
    judge_max_failure_share: float = option("as in judge.py: stop it above this share of failures", 0.05, min=0, max=1)
    redo: bool = option(REDO, False)


class Failed(Exception):
    """A script ended with an error: its words."""


@dataclass
class Stages:
    """The scripts of the stages, each in a process of its own, with the flags of this command."""

    root: Path
    args: BenchmarksArguments
    judge: JudgeArguments
    predict: list[str]  # flags of predict.py
    skipped: list[dict] = field(default_factory=list)

    def skip(self, benchmark: str, why: Exception, model: str | None = None) -> None:
        """Remember what is not measured, and why."""
        line = {"benchmark": benchmark, "model": model, "why": str(why), "failed": isinstance(why, Failed)}
        self.skipped.append(line)
        print(f"{' with '.join(filter(None, (benchmark, model)))} is skipped: {why}", file=sys.stderr)

    def check_models(self, models: dict[str, str]) -> None:
        """UserError for a flag of predict.py or a model that cannot be used, before anything runs."""
        words = self._predict(next(iter(models.values())), Path("data.jsonl"), Path("predictions.jsonl"))
        if json.loads(self._checked(PREDICT, words))["args"]["backend"] != "openai":
            for model in models.values():
                loading.check_checkpoint(model)

    def convert(self, source: Path, folder: Path) -> Path:
        """The examples of a benchmark. UserError where it is not plain which it is and what its rows are."""
        options = source / "benchmark.yaml"
        given = read_yaml(options) if options.is_file() else {}
        words = ["--config", str(options)] if given else []
        words += ["--benchmark", str(given.get("benchmark", source.name)), "--output_dir", str(folder / "data")]
        try:
            self._checked(CONVERT, words)
        except UserError as error:
            if "benchmark" in given or "argument --benchmark" not in str(error):
                raise
            raise UserError(
                f"{source.name} is the name of no benchmark, and {options} does not say which it is ({error})"
            ) from None
        words += [word for name, path in paths(source, given).items() for word in (f"--{name}", path)]
        words += [] if self.args.num_rows is None else ["--num_rows", str(self.args.num_rows)]
        self._run(CONVERT, words)
        data = folder / "data" / f"{given.get('split', 'test')}.jsonl"
        refuse_unannotated(self.judge, jsonl.read(data, Example), data)
        return data

    def answer(self, model: str, data: Path, folder: Path) -> None:
        """Predictions and verdicts of a model."""
        predictions = folder / "predictions.jsonl"
        self._run(PREDICT, self._predict(model, data, predictions))
        values = {k: v for k, v in asdict(self.judge).items() if v != getattr(JudgeArguments(), k)}
        values["judge_max_failure_share"] = self.args.judge_max_failure_share
        flags = [word for name, value in values.items() for word in (f"--{name}", str(value))]
        words = ["--data_file", data, "--predictions", predictions, "--output_file", folder / "verdicts.jsonl"]
        self._run(JUDGE, [*map(str, words), *flags])

    def report(self, data: Path, folder: Path, baseline: str | None) -> dict:
        """metrics.json of a benchmark."""
        words = ["--data_file", data, "--inference_dir", folder / "inference", "--output_dir", folder / "report"]
        self._run(REPORT, [*map(str, words), *(["--baseline", baseline] if baseline else [])], redo=False)
        return json.loads((folder / "report" / "metrics.json").read_text(encoding="utf-8"))

    def _predict(self, model: str, data: Path, output: Path) -> list[str]:
        words = ["--model_name_or_path", model, "--data_file", str(data), "--output_file", str(output)]
        return [*self.predict, *words]

    def _checked(self, script: str, words: list[str]) -> str:
        """What a script says of its options. UserError with its words where it refuses them."""
        command = [sys.executable, str(self.root / script), *words, "--check"]
        found = subprocess.run(command, capture_output=True, text=True)
        if found.returncode:
            raise UserError(f"{Path(script).name}: {error_of(found.stderr)}")
        return found.stdout

    def _run(self, script: str, words: list[str], redo: bool = True) -> None:
        """Run a script, show what it says, and raise Failed with its error where it ends with one."""
        words = [script, *words, *(["--redo"] if redo and self.args.redo else [])]
        print(shlex.join(["python", *words]), flush=True)
        said = b""
        with subprocess.Popen(
            [sys.executable, str(self.root / script), *words[1:]], stderr=subprocess.PIPE, bufsize=0
        ) as process:
            while piece := process.stderr.read(65536):
                sys.stderr.buffer.write(piece)
                sys.stderr.flush()
                said = (said + piece)[-KEPT:]
        if process.returncode < 0:
            raise Failed(f"{Path(script).name} was ended by signal {-process.returncode}.")
        if process.returncode:
            raise Failed(f"{Path(script).name}: {error_of(said.decode(errors='replace'))}")


def main(argv: list[str], root: Path) -> int:
    """`root`: the folder of the stages."""
    places, rest, predict = _split(argv)
    args, judge = parse_args([BenchmarksArguments, JudgeArguments], rest, description=__doc__, section="judge")
    if len(places) < 2:
        raise UserError(
            "benchmarks needs a folder of released files and one model or more, as in: main.py benchmarks released "
            "models/tiny --output_dir runs/benchmarks. --help says how the folder is laid out."
        )
    folder, output, models = Path(places[0]), Path(args.output_dir), named(places[1:])
    sources = find(folder, output)
    config = take_config(rest)[1]
    stages = Stages(root, args, judge, [*(["--config", config] if config else []), *predict])
    stages.check_models(models)
    data, found, first = {}, {}, next(iter(models))
    for source in sources:
        try:
            if source.is_file():
                raise UserError("it is a file; each benchmark has a folder of its own, with its name")
            data[source.name] = stages.convert(source, output / source.name)
        except (UserError, Failed) as error:
            stages.skip(source.name, error)
    for name, examples in data.items():
        done = []
        for model, path in models.items():
            try:
                stages.answer(path, examples, output / name / "inference" / model)
                done.append(model)
            except Failed as error:
                stages.skip(name, error, model)
        try:
            baseline = first if first in done and len(done) > 1 else None
            metrics = stages.report(examples, output / name, baseline) if done else None
        except Failed as error:
            stages.skip(name, error)
            continue
        if metrics:
            found[name] = benchmarks_table.of_benchmark(metrics, examples.parent, done, baseline)
    content = {"models": models, "first": first, "num_rows": args.num_rows}
    content |= {"benchmarks": found, "skipped": stages.skipped}
    text = benchmarks_table.markdown(content)
    output.mkdir(parents=True, exist_ok=True)
    jsonl.write_text_atomic(output / "benchmarks.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    jsonl.write_text_atomic(output / "benchmarks.md", text)
    print(f"\n{text}\nThe table: {output / 'benchmarks.md'}")
    if not found:
        raise UserError(f"no benchmark of {folder} could be measured; the reasons are above, and in the table.")
    if failed := sum(line["failed"] for line in stages.skipped):
        print(f"benchmarks: {failed} failed. Once that is mended, the same command goes on there.", file=sys.stderr)
    return 1 if failed else 0


def named(words: list[str]) -> dict[str, str]:
    """Name -> model: NAME of NAME=MODEL, else the last part of a path or hub name. UserError where two have one."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, model = word.partition("=")
        if not equals or "/" in name or Path(word).exists():
            name, model = loading.model_label(word).rpartition("/")[2], word
        name = re.sub(r"[^\w.,=+-]+", "_", name)
        if not (name.strip(".") and model):
            raise UserError(f"{word}: a model, or NAME=MODEL, was expected.")
        if name in found:
            raise UserError(f"two models would be called {name}: {found[name]}, {model}. Name them: a={model}")
        found[name] = model
    return found


def find(folder: Path, output: Path) -> list[Path]:
    """The folders of benchmarks, and data files that lie beside them. UserError where there are none."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder. Give one with a folder for each benchmark; see --help.")
    if folder.resolve() in (output.resolve(), *output.resolve().parents):
        raise UserError(f"--output_dir {output} lies in {folder}, where the benchmarks are; give another.")
    there = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    found = [p for p in there if p.is_dir() or p.suffix.lower() in DATA]
    if not found:
        raise UserError(f"{folder} has no folders. It needs one for each benchmark, with its name: {folder}/pope, ...")
    return found


def paths(source: Path, given: dict) -> dict[str, str]:
    """Where rows, answers and pictures of a benchmark lie. UserError where its folder has no data file, or several."""
    names = ("data_file", "annotations", "image_dir")
    found = {name: str(source / str(given[name])) for name in names if given.get(name)}
    if "data_file" not in found and not given.get("hub_id"):
        files = [p for p in sorted(source.iterdir()) if p.suffix.lower() in DATA and not p.name.startswith(".")]
        files = [p for p in files if p.is_file() and str(p) != found.get("annotations")]
        if not files:
            raise UserError(f"{source} has no data file ({', '.join(DATA)})")
        if len(files) > 1:
            some = ", ".join([*(p.name for p in files[:5]), *(["..."] if len(files) > 5 else [])])
            line = f"data_file: {files[0].name}"
            raise UserError(f"{source} has {len(files)} data files ({some}). Name one in benchmark.yaml there: {line}")
        found["data_file"] = str(files[0])
    below = (name for _, _, inside in os.walk(source, followlinks=True) for name in inside)
    if "image_dir" not in given and any(name.lower().endswith(PICTURES) for name in below):
        found["image_dir"] = str(source)
    return found


def error_of(said: str) -> str:
    """The error in what a script said on stderr: what follows `error:`, else its last line."""
    found = re.split(r"(?:^|[\r\n])error: ", said)
    lines = (found[-1] if len(found) > 1 else said).strip().splitlines()
    return " ".join(line.strip() for line in (lines if len(found) > 1 else lines[-1:])) or "it said nothing"


def _split(argv: list[str]) -> tuple[list[str], list[str], list[str]]:
    """What stands before the flags, the flags, and those of predict.py (--predict.KEY)."""
    first = next((i for i, word in enumerate(argv) if word.startswith("-")), len(argv))
    rest: list[str] = []
    predict: list[str] = []
    into = rest
    for word in argv[first:]:
        if word.startswith("--"):
            into = predict if word.startswith("--predict.") else rest
            word = word.replace("--predict.", "--", 1)
        into.append(word)
    return argv[:first], rest, predict
