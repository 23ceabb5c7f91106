r"""Put runs side by side: what each model gets in each run, and its mean over the runs.

    python inference/report.py compare runs/seed0 runs/seed1 runs/seed2 [--output_file compare.md]

A run is a folder with report/metrics.json, a report's own folder, or a metrics.json. Models of one name in several
runs are taken for repetitions (seeds) of one recipe. The mean has an interval that holds for the recipe and not for one
run of it: Student's t over the runs, plus the interval of the test set where all runs were measured on the same one.
"""

import argparse
from pathlib import Path

from pydantic import ValidationError

from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from measures import comparison, metrics
from reporting import tables

NAMES = ("report", "metrics.json")  # parts of a path that tell no run from another


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="report.py compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run or of its report, or a metrics.json")
    parser.add_argument("--output_file", metavar="FILE", help="write the Markdown there, too")
    args = parser.parse_args(argv)
    text = markdown({name: read(path) for name, path in short_names(args.runs).items()})
    if args.output_file:
        jsonl.write_text_atomic(Path(args.output_file), text)
    print(text, end="")
    return 0


def short_names(runs: list[str]) -> dict[str, str]:
    """Name to show -> path as given: the last telling part of each path, or the whole path where parts are equal."""
    if len({Path(run).resolve() for run in runs}) < max(2, len(runs)):
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


def markdown(runs: dict[str, dict]) -> str:
    """The comparison of {name: metrics.json's content} as Markdown."""
    same_data = len({content["data_sha256"] for content in runs.values()}) == 1
    judges = {name: content["judge"] for name, content in runs.items()}
    parts = ["# Runs side by side", _data(runs, same_data)]
    if len(set(judges.values())) > 1:
        said = "; ".join(f"{name} by {judge}" for name, judge in judges.items())
        parts.append(f"**Different judges ({said}): a difference between runs may be one between the judges.**")
    for model in dict.fromkeys(model for content in runs.values() for model in content["models"]):
        cells = {name: content["models"].get(model) for name, content in runs.items()}
        rows = {key: [row and row[key] for row in cells.values()] for key in metrics.OVERVIEW}
        parts += [f"## {model}", _table(list(runs), rows, same_data)]
    for pair in dict.fromkeys((d["a"], d["b"]) for content in runs.values() for d in content["differences"]):
        rows = {key: [_difference(content, *pair, key) for content in runs.values()] for key in metrics.OVERVIEW}
        parts += [f"## {pair[0]} {tables.MINUS} {pair[1]}", _table(list(runs), rows, same_data, signed=True)]
    return "\n\n".join(parts) + "\n"


def _data(runs: dict[str, dict], same_data: bool) -> str:
    explained = "Per cent with 95 % intervals; the reward is at most 1. "
    if same_data:
        content = next(iter(runs.values()))
        return (
            explained + f"All runs answered the same {content['examples']:,} questions. To compare two of them paired, "
            "put their predictions and verdicts into one --inference_dir under two names."
        )
    counts = ", ".join(f"{name} {content['examples']:,}" for name, content in runs.items())
    return explained + f"The runs answered different questions ({counts}), so nothing across runs is paired."


def _difference(content: dict, a: str, b: str, key: str) -> dict | None:
    return next((d for d in content["differences"] if (d["a"], d["b"], d["metric"]) == (a, b, key)), None)


def _table(names: list[str], rows: dict[str, list[dict | None]], same_data: bool, *, signed: bool = False) -> str:
    """A metric a row, a run a column; then the mean over the runs, with the standard deviation between them."""
    lines = []
    for key, cells in rows.items():
        share = metrics.is_share(key)
        line = [metrics.label(key), *(tables.interval(c, share, signed=signed) if c else "n/a" for c in cells)]
        mean = comparison.pooled(cells, same_data=same_data)
        bounds = {k: v if signed or not share else min(1.0, max(0.0, v)) for k, v in (mean or {}).items() if k != "n"}
        line += (
            [tables.interval(bounds, share, signed=signed), tables.number(mean["sd"], share)]
            if mean
            else ["n/a", "n/a"]
        )
        lines.append(line)
    return tables.table(["", *names, "mean over runs", "SD between runs"], lines)
