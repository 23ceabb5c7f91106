"""The table of main.py benchmarks: what the metrics.json of each benchmark says, its own metrics and ours."""

import json
from pathlib import Path

MINUS = "\N{MINUS SIGN}"
OURS = {  # key in metrics.json -> name; shares of the responses that the judge understood
    "strategy_accuracy_macro": "right strategy",
    "overconfident": "overconfident",
    "over_asked": "over-asked",
}
OWN = {  # name -> where metrics.json has it, for a model: on the rows of any benchmark that it applies to
    "VQA accuracy": ("published", "vqa_accuracy"),
    "VQA accuracy, a sentence around the answer allowed": ("published", "vqa_named"),
    "noticing what cannot be answered, F1": ("published", "unanswerable", "f1"),
    "noticing ambiguity, F1": ("published", "ambiguous", "f1"),
}
OWN_OF: dict[str, dict[str, tuple[str, ...]]] = {  # benchmark -> further ones, which mean something on its rows only
    "aqua": {"all levels": ("strata", "aqua", "all"), "grounded": ("strata", "aqua", "grounded")},
    "clearvqa": {f"asking, {rate}": ("strata", "asking", rate) for rate in ("precision", "recall", "f1")},
    "mm_upd": {"dual accuracy": ("strata", "dual")},
}


def of_benchmark(metrics: dict, data: Path, models: list[str], baseline: str | None) -> dict:
    """What the table says of one benchmark, of these models of its metrics.json. `data`: its folder, with its card."""
    benchmark = json.loads((data / "run.json").read_text(encoding="utf-8"))["args"]["benchmark"]
    models = [model for model in models if model in metrics["models"]]  # the notes say why the report left one out
    rows = []
    for name, (part, *keys) in (OWN | OWN_OF.get(benchmark, {})).items():
        own = keys != ["vqa_named"]  # which is ours
        rows.append(_row(".".join(keys), name, own, {m: _at(metrics[part].get(m), keys) for m in models}))
    for key, name in OURS.items():
        rows.append(_row(key, name, False, {m: metrics["models"][m][key] for m in models}))
    differences = [*metrics["differences"], *metrics.get("published_differences", [])]
    for row in rows:
        found = [d for d in differences if d["b"] == baseline and d["a"] in models and d["metric"] == row["key"]]
        row["differences"] = {d["a"]: d for d in found}
    card = (data / "README.md").read_text(encoding="utf-8").splitlines()
    failures = {m: metrics["models"][m]["judge_failures"] for m in models}
    return {
        "benchmark": benchmark,
        "rows": [row for row in rows if any(value["n"] for value in row["models"].values())],
        "judge_failures": failures,
        "left_out": [line for line in card if line.startswith("Left out: ")],
        **{key: metrics[key] for key in ("examples", "pictures", "judge", "seed", "resamples", "notes", "data")},
    }


def markdown(content: dict) -> str:
    """benchmarks.md of benchmarks.json's content."""
    found, models, first = content["benchmarks"], list(content["models"]), content["first"]
    others = [model for model in models if model != first]
    lines, notes = [], []
    for name, one in found.items():
        for row in one["rows"]:
            values = [row["models"].get(model) for model in models]
            counts = [f"{value['n']:,}" for value in values if value]
            cells = [_cell(value) for value in values] + [_cell(row["differences"].get(m), signed=True) for m in others]
            metric = f"{row['name']} (the benchmark's own)" if row["own"] else row["name"]
            lines.append([name, metric, " / ".join(counts if len(set(counts)) > 1 else counts[:1]), *cells])
        notes += [f"{name}: {line}" for line in one["left_out"]]
        notes += [f"{name}: judge failures on responses of {m}: {n:,}." for m, n in one["judge_failures"].items() if n]
        notes += [f"{name}: {note}" for note in one["notes"]]
    parts = ["# Published benchmarks", *_explained(content)]
    if lines:
        parts.append(_table(["benchmark", "metric", "n", *models, *(f"{m} {MINUS} {first}" for m in others)], lines))
    parts += ["## Models", _table(["column", "model"], [[name, path] for name, path in content["models"].items()])]
    if content["skipped"]:
        skipped = [[line["benchmark"], line["model"] or "all", line["why"]] for line in content["skipped"]]
        parts += ["## Skipped", _table(["benchmark", "models", "why"], skipped)]
    if notes:
        parts += ["## To know", "\n".join(f"- {_line(note)}" for note in notes)]
    return "\n\n".join(parts) + "\n"


def _explained(content: dict) -> list[str]:
    found, first = list(content["benchmarks"].values()), content["first"]
    if not found:
        return ["Nothing could be measured."]
    judges = ", ".join(sorted({one["judge"] for one in found}))
    some = f" Of each benchmark the first {content['num_rows']:,} rows." if content["num_rows"] else ""
    paired = f" A difference is a model minus {first}, paired, in points." if len(content["models"]) > 1 else ""
    return [
        f"Judged by {judges}.{some} Per cent with 95 % intervals (bootstrap over pictures, {found[0]['resamples']:,} "
        f"draws, seed {found[0]['seed']}).{paired} A metric that does not apply to a benchmark has no row there, and "
        "n/a is a value that nothing was measured for, or a difference that the report does not have.",
        "Right strategy is the mean over the strategies that occur, overconfident is over the questions whose right "
        "strategy is any but `answer`, and over-asked over the others.",
    ]


def _row(key: str, name: str, own: bool, models: dict[str, dict]) -> dict:
    return {"key": key, "name": name, "own": own, "models": models}


def _at(found: dict | None, keys: list[str]) -> dict:
    """What is in a nested mapping under keys, one after another; no value where it is not there."""
    for key in keys:
        found = (found or {}).get(key)
    return found or {"value": None, "low": None, "high": None, "n": 0}


def _cell(row: dict | None, signed: bool = False) -> str:
    """{"value", "low", "high"} -> "93.1 [91.0, 95.0]" in per cent; differences with a sign."""
    if row is None or row["value"] is None:
        return "n/a"
    value, low, high = (f"{100 * row[k]:{'+' if signed else ''}.1f}" for k in ("value", "low", "high"))
    return f"{value} [{low}, {high}]".replace("-", MINUS)


def _line(text: str) -> str:
    return " ".join(str(text).split())


def _table(head: list[str], rows: list[list[str]]) -> str:
    cells = [[_line(text).replace("|", "\\|") for text in row] for row in [head, *rows]]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], f"|{'---|' * len(head)}", *lines[1:]])
