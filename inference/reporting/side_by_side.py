r"""Put runs side by side: what each model gets in each run, which settings differ, and by how much runs differ, paired.

    python main.py compare runs/tiny runs/other [--output_file compare.md]

A run is a folder with report/metrics.json, a report's own folder, or a metrics.json. The first one is the baseline.
Where runs answered the same questions and have their predictions and verdicts, each model is compared with that of the
baseline on them. Where runs differ in nothing but the seed, they are repetitions of one recipe, and their mean stands
beside them; of three runs or more it has an interval that holds for the recipe and not for one run of it.

With --summary MODEL it is one table of that model instead: a recipe a row. Runs whose names differ only in their seed
("seed=0", "run-seed1") are one row, their mean.
"""

import argparse
import dataclasses
from collections import defaultdict
from pathlib import Path

from pydantic import ValidationError

from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example
from clarifyvlm.run_record import hash_input
from measures import comparison, metrics, results
from measures.intervals import NO_VALUE
from reporting import model_folders, settings, tables

NAMES = ("report", "metrics.json")  # parts of a path that tell no run from another
FEWEST = 3  # runs, for an interval of their mean: Student's t of two is as good as none


@dataclasses.dataclass
class Run:
    name: str
    folder: Path  # with data/, sft/, ... where these are there
    content: dict  # of metrics.json

    @property
    def questions(self) -> str:
        return self.content["data_sha256"]

    def files(self, model: str) -> list[Path]:
        return [self.folder / "inference" / model / name for name in ("predictions.jsonl", "verdicts.jsonl")]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="main.py compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run or of its report, or a metrics.json")
    parser.add_argument("--output_file", metavar="FILE", help="write the Markdown there, too")
    parser.add_argument("--summary", metavar="MODEL", help="one table: the mean over seeds of this model of the runs")
    args = parser.parse_args(argv)
    names = short_names(args.runs, fewest=1 if args.summary else 2)
    runs = [Run(name, _folder(Path(path)), read(path)) for name, path in names.items()]
    text = summary(runs, args.summary) if args.summary else markdown(runs)
    if args.output_file:
        jsonl.write_text_atomic(Path(args.output_file), text)
    print(text, end="")
    return 0


def short_names(runs: list[str], fewest: int = 2) -> dict[str, str]:
    """Name to show -> path as given: the last telling part of each path, or the whole path where parts are equal."""
    if len({Path(run).resolve() for run in runs}) < max(fewest, len(runs)):
        raise UserError(f"compare: {len(runs)} run(s) given ({', '.join(runs)}); it takes two or more different ones.")
    parts = [next((p for p in reversed(Path(run).resolve().parts) if p not in NAMES), run) for run in runs]
    unique = len(set(parts)) == len(parts)
    return dict(zip(parts if unique else runs, runs, strict=True))


def read(run: str) -> dict:
    """metrics.json of a run. UserError where there is none, or where it is not of this version of report.py."""
    from reporting import schema

    path = Path(run)
    if path.is_dir():
        found = [p for p in (path / "metrics.json", path / "report" / "metrics.json") if p.exists()]
        if not found:
            raise UserError(f"{run} has no metrics.json and no report/metrics.json; inference/report.py makes it.")
        path = found[0]
    try:
        return schema.Metrics.model_validate_json(path.read_bytes()).model_dump()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}.") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise UserError(
            f"{path}: no metrics.json of this version of report.py ({where + ': ' if where else ''}{problem['msg']}). "
            "Make the report anew: run inference/report.py."
        ) from None


def _folder(path: Path) -> Path:
    """The run of a path that may be its report's."""
    path = path.resolve()
    path = path.parent if path.is_file() else path
    return path.parent if path.name == "report" else path


def markdown(runs: list[Run]) -> str:
    """The comparison as Markdown."""
    contents = {run.name: run.content for run in runs}
    recorded = [settings.records(run.folder, run.content) for run in runs]
    differ = settings.differing(recorded)
    same_data = len({run.questions for run in runs}) == 1
    why_not = _no_mean(differ, any(recorded), same_data)
    judges = {name: content["judge"] for name, content in contents.items()}
    parts = ["# Runs side by side", _data(contents, same_data), why_not or _mean_of(len(runs), same_data)]
    if len(set(judges.values())) > 1:
        said = "; ".join(f"{name} by {judge}" for name, judge in judges.items())
        parts.append(f"**Different judges ({said}): a difference between runs may be one between the judges.**")
    parts += ["## Settings that differ", _settings(list(contents), differ, recorded)]
    shown = {"same_data": same_data, "with_mean": not why_not}
    for model in dict.fromkeys(model for content in contents.values() for model in content["models"]):
        cells = [content["models"].get(model) for content in contents.values()]
        shown_keys = (*metrics.OVERVIEW, metrics.COVERAGE)
        rows = {key: [row and row.get(key) for row in cells] for key in shown_keys}
        parts += [f"## {model}", _table(list(contents), rows, **shown)]
    parts += _paired(runs)
    for pair in dict.fromkeys((d["a"], d["b"]) for content in contents.values() for d in content["differences"]):
        rows = {k: [_difference(content, *pair, k) for content in contents.values()] for k in metrics.OVERVIEW}
        parts += [f"## {pair[0]} {tables.MINUS} {pair[1]}", _table(list(contents), rows, signed=True, **shown)]
    return "\n\n".join(parts) + "\n"


def _data(contents: dict[str, dict], same_data: bool) -> str:
    explained = "Per cent with 95 % intervals; the reward is at most 1. "
    if same_data:
        return explained + f"All runs answered the same {next(iter(contents.values()))['examples']:,} questions."
    counts = ", ".join(f"{name} {content['examples']:,}" for name, content in contents.items())
    return explained + f"The runs answered different questions ({counts})."


def _no_mean(differ: list[settings.Row], recorded: bool, same_data: bool) -> str | None:
    """Why there is no mean over the runs; None where there is one."""
    others = [row.name for row in differ if row.makes_another_recipe]
    if not recorded:
        return "No mean over the runs: without records it is not known whether they are repetitions of one recipe."
    if others:
        return "No mean over the runs: they differ in more than the seed, so they are no repetitions of one recipe."
    if not any(row.is_seed for row in differ) and same_data:
        return "No mean over the runs: not even a seed differs, so they are no repetitions but the same run again."
    if not same_data and not any(row.name == "data.seed" for row in differ):
        return "No mean over the runs: their questions differ, and no seed of the data that would account for it."
    return None


def _mean_of(runs: int, same_data: bool) -> str:
    text = "They differ in nothing but the seed: the mean over them is one over repetitions of a recipe. "
    if runs < FEWEST:
        return text + f"An interval of it needs {FEWEST} runs."
    how = "Student's t over the runs"
    if same_data:
        return text + f"Its interval is {how}, plus that of the test set, which they share."
    return text + f"Its interval is {how}, each with questions drawn by its own seed; nothing is paired."


def _settings(names: list[str], differ: list[settings.Row], recorded: list[dict]) -> str:
    if not any(recorded):
        return "No records of how these runs were made (run.json in their stages' folders)."
    if not differ:
        return "None, as far as the records of their stages say."
    return tables.table(["", *names], [[row.name, *row.cells] for row in differ])


def _difference(content: dict, a: str, b: str, key: str) -> dict | None:
    return next((d for d in content["differences"] if (d["a"], d["b"], d["metric"]) == (a, b, key)), None)


def _table(
    names: list[str], rows: dict[str, list[dict | None]], *, same_data: bool, with_mean: bool, signed: bool = False
) -> str:
    """A metric a row, a run a column; then the mean over the runs, with the standard deviation between them."""
    lines = []
    for key, cells in rows.items():
        line = [metrics.label(key), *(_cell(c, key, signed) for c in cells)]
        lines.append([*line, *_mean(cells, key, same_data, signed)] if with_mean else line)
    return tables.table(["", *names, *(["mean over runs", "SD between runs"] if with_mean else [])], lines)


def _cell(row: dict | None, key: str, signed: bool = False) -> str:
    return tables.interval(row, metrics.is_share(key), signed=signed) if row else "n/a"


def _mean(cells: list[dict | None], key: str, same_data: bool, signed: bool = False) -> list[str]:
    """The mean, with its interval where enough runs have a value, and the standard deviation."""
    share = metrics.is_share(key)
    mean = comparison.pooled(cells, same_data=same_data)
    if not mean:
        return ["n/a", "n/a"]
    bounds = {k: v if signed or not share else min(1.0, max(0.0, v)) for k, v in mean.items() if k != "n"}
    enough = mean["n"] >= FEWEST
    shown = (
        tables.interval(bounds, share, signed=signed) if enough else tables.number(mean["value"], share, signed=signed)
    )
    return [shown, tables.number(mean["sd"], share)]


# --- runs on the same questions, paired --------------------------------------------------------------------------


def _paired(runs: list[Run]) -> list[str]:
    """A table a model: each run minus the first, on the questions that both answered."""
    first, *others = runs
    others = [run for run in others if run.questions == first.questions]
    data = _data_file(first)
    head = f"## Minus {first.name}, paired"
    if not others:
        return [head, f"No other run answered the questions of {first.name}: nothing is paired."]
    if data is None:
        return [head, f"The questions, {first.content['data']}, are no longer there as they were: nothing is paired."]
    examples = jsonl.read(data, Example, unique="id")
    found, same = [], []
    for model in first.content["models"]:
        there = [run for run in (first, *others) if all(path.exists() for path in run.files(model))]
        if first not in there or len(there) < 2:
            continue
        if len({tuple(map(hash_input, run.files(model))) for run in there}) == 1:
            same.append(model)
        elif table := _paired_table(model, there, examples, str(data)):
            found += [f"### {model}", table]
    if not found and not same:
        return [head, "No two runs have the files of a model (inference/MODEL), judged by the same: nothing is paired."]
    equal = [f"The same responses in all of them: {', '.join(same)}."] if same else []
    return [head, "Paired over the questions; in points, the reward as it is.", *equal, *found]


def _paired_table(model: str, runs: list[Run], examples: list[Example], data: str) -> str | None:
    """None where no run was judged by the judges of the first."""
    first, known = runs[0], {example.id for example in examples}
    judged = [
        dataclasses.replace(model_folders.load(run.folder / "inference" / model, known, data), name=run.name)
        for run in runs
    ]
    draws = {"seed": first.content["seed"], "resamples": first.content["resamples"]}
    differences = results.measure(examples, judged, baseline=first.name, **draws)["differences"]
    found = {(row["a"], row["metric"]): row for row in differences}
    names = [run.name for run in runs[1:] if any(name == run.name for name, _ in found)]
    lines = [
        [metrics.label(key), *(_cell(found.get((name, key)), key, signed=True) for name in names)]
        for key in metrics.OVERVIEW
    ]
    return tables.table(["", *(f"{name} {tables.MINUS} {first.name}" for name in names)], lines) if names else None


def _data_file(run: Run) -> Path | None:
    """The questions of a run: where its report read them, or in its folder."""
    places = (Path(run.content["data"]), run.folder / "data" / Path(run.content["data"]).name)
    return next((path for path in places if path.is_file() and hash_input(path) == run.questions), None)


# --- many runs in one table --------------------------------------------------------------------------------------


def summary(runs: list[Run], model: str) -> str:
    """A recipe a row, with the mean over the seeds of one model's main numbers."""
    groups = defaultdict(list)
    for run in runs:
        if model not in run.content["models"]:
            raise UserError(
                f"{run.name}: no model {model} in its report. There are: {', '.join(run.content['models'])}"
            )
        groups[comparison.SEED.sub("", run.name) or "all seeds"].append(run)
    lines = [[name, str(len(group)), *_means(group, model)] for name, group in groups.items()]
    explained = (
        f"Per cent with 95 % intervals; the reward is at most 1. A row is one recipe: of several seeds their mean, "
        f"with Student's interval over them where there are {FEWEST} or more."
    )
    table = tables.table(["", "runs", *(metrics.label(key) for key in metrics.OVERVIEW)], lines)
    return f"# {model}\n\n{explained}\n\n{table}\n"


def _means(group: list[Run], model: str) -> list[str]:
    same_data = len({run.questions for run in group}) == 1
    cells = {key: [run.content["models"][model].get(key, NO_VALUE) for run in group] for key in metrics.OVERVIEW}
    if len(group) == 1:
        return [_cell(rows[0], key) for key, rows in cells.items()]
    return [_mean(rows, key, same_data)[0] for key, rows in cells.items()]
