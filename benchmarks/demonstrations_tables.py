"""What demonstrations.py's models said -> values with intervals, differences, tables and the figure."""

import json
import math
from pathlib import Path

from clarifyvlm import jsonl
from clarifyvlm.jsonl import write_text_atomic
from clarifyvlm.records import Example, Prediction, Verdict
from clarifyvlm.run_record import commit, versions
from measure import machine
from measures import comparison, metrics, results, tuning_cost
from measures.judged import Judged

DEFAULT = 2000  # demonstrations of the default run
RESAMPLES = 2000
NAMES = {"sft": "SFT", "longer": "SFT for longer", "grpo": "SFT + GRPO"}
SHOWN = ("right_in_the_end", metrics.MACRO, "grounded", "overconfident", "over_asked", "answer_accuracy")
CURVES = {metrics.MACRO: "Strategy accuracy (macro), %", "right_in_the_end": "Right in the end, %"}


def write(folders: dict[int, Path], sizes: list[int], output_dir: Path) -> None:
    """demonstrations.json, .md and .svg of the models that all seeds have."""
    content = measure(folders, sizes)
    write_text_atomic(output_dir / "demonstrations.json", json.dumps(content, indent=1) + "\n")
    write_text_atomic(output_dir / "demonstrations.md", markdown(content))
    if len(content["curve"]) > 1:
        draw(content["curve"], output_dir / "demonstrations.svg")
    print(output_dir / "demonstrations.md")


def measure(folders: dict[int, Path], sizes: list[int]) -> dict:
    """{"default": the models of DEFAULT, pooled and by seed, "cost": what tuning cost, "curve": {size: {stage: {metric:
    estimate}}}, "replaced": {metric: how many demonstrations SFT needs for what GRPO reaches, over DEFAULT}, ...}."""
    stages = [stage for stage in NAMES if all(_is_done(f, f"{stage}-{DEFAULT}") for f in folders.values())]
    models = ["base", *(f"{stage}-{DEFAULT}" for stage in stages)] if stages else []
    curve = {}
    for size in sorted(sizes):
        there = [s for s in ("sft", "grpo") if all(_is_done(f, f"{s}-{size}") for f in folders.values())]
        if there:
            found = _measure(list(folders.values()), [f"{s}-{size}" for s in there])["models"]
            curve[size] = {s: {m: found[f"{s}-{size}"][m] for m in CURVES} for s in there}
    pooled = _measure(list(folders.values()), models) if models else None
    return {
        "default": pooled
        and {
            "models": pooled["models"],
            "differences": comparison.correct(pooled["differences"]),
            "by_seed": {seed: _measure([folder], models)["differences"] for seed, folder in folders.items()},
        },
        "cost": tuning_cost.measure(*read(list(folders.values()), models, "unambiguous"), seed=0, resamples=RESAMPLES)
        if models
        else None,
        "curve": curve,
        "replaced": {metric: _replaced(curve, metric) for metric in CURVES},
        "seeds": list(folders),
        "machine": machine(),
        "versions": versions(),
        "commit": commit(),
    }


def _is_done(folder: Path, name: str) -> bool:
    records = [folder / split / name / "verdicts.run.json" for split in ("test", "unambiguous")]
    return all(path.is_file() and json.loads(path.read_text())["status"] == "complete" for path in records)


def read(folders: list[Path], names: list[str], split: str = "test") -> tuple[list[Example], list[Judged]]:
    """The questions of all seeds, and what each model's checkpoints of all seeds said to their own."""
    examples = [e for folder in folders for e in jsonl.read(folder / "data" / f"{split}.jsonl", Example)]
    models = []
    for name in names:
        places = [folder / split / name for folder in folders]
        said = [p for place in places for p in jsonl.read(place / "predictions.jsonl", Prediction)]
        judged = [v for place in places for v in jsonl.read(place / "verdicts.jsonl", Verdict)]
        models.append(Judged(name, {p.example_id: p for p in said}, {v.example_id: v for v in judged}))
    return examples, models


def _measure(folders: list[Path], names: list[str]) -> dict:
    return results.measure(*read(folders, names), seed=0, resamples=RESAMPLES)


def _replaced(curve: dict, metric: str) -> dict | None:
    """{"demonstrations": with how many SFT alone reaches what GRPO reaches after DEFAULT (straight lines between
    sizes, logarithmic axis); "times": over DEFAULT; "at_least": SFT does not reach it with the most that there is}."""
    reached = curve.get(DEFAULT, {}).get("grpo")
    points = [(n, row["sft"][metric]["value"]) for n, row in curve.items() if "sft" in row]
    if not reached or len(points) < 2:
        return None
    goal = reached[metric]["value"]
    for (few, low), (many, high) in zip(points, points[1:], strict=False):
        if low < goal <= high:
            share = (goal - low) / (high - low)
            number = math.exp(math.log(few) + share * math.log(many / few))
            return {"demonstrations": round(number), "times": round(number / DEFAULT, 1), "at_least": False}
    most = points[-1][0] if goal > points[-1][1] else points[0][0]
    return {"demonstrations": most, "times": round(most / DEFAULT, 1), "at_least": goal > points[-1][1]}


def markdown(content: dict) -> str:
    lines, default = [], content["default"]
    if default:
        seeds = ", ".join(map(str, content["seeds"]))
        models = default["models"]
        lines += [f"| % [95 % interval], seeds {seeds} | {' | '.join(map(_title, models))} |", rule(len(models))]
        lines += [_row(metrics.label(m), [models[name][m] for name in models]) for m in SHOWN]
        lines += ["", f"| right in the end where asking is right | {' | '.join(map(_title, models))} |"]
        lines.append(rule(len(models)))
        for kind in next(iter(models.values()))["right_in_the_end_by_user"]:
            cells = [models[name]["right_in_the_end_by_user"].get(kind) for name in models]
            lines.append(_row(kind.replace("_", " "), cells))
        lines += ["", f"| strategy accuracy, where it is right to | {' | '.join(map(_title, models))} |"]
        lines.append(rule(len(models)))
        for strategy in models[next(iter(models))]["strategy_accuracy"]:
            lines.append(_row(strategy, [models[name]["strategy_accuracy"][strategy] for name in models]))
        lines += [
            "",
            f"| right on questions with one reading | {' | '.join(map(_title, models))} |",
            rule(len(models)),
        ]
        cost = content["cost"]["models"]
        for kind in content["cost"]["kinds"]:
            lines.append(_row(kind, [cost[name]["by_kind"][kind] for name in models]))
        lines.append(_row("abstained instead", [cost[name]["abstained"] for name in models]))
        for a, b in (("grpo", "sft"), ("grpo", "longer")):
            lines += _differences(content, f"{a}-{DEFAULT}", f"{b}-{DEFAULT}")
    if content["curve"]:
        lines += [
            "",
            "| demonstrations | "
            + " | ".join(f"{NAMES[s]}: {metrics.label(m).lower()}" for m in CURVES for s in ("sft", "grpo"))
            + " |",
            rule(2 * len(CURVES)),
        ]
        for size, row in content["curve"].items():
            lines.append(_row(f"{size:,}", [row.get(s, {}).get(m) for m in CURVES for s in ("sft", "grpo")]))
        for metric, found in content["replaced"].items():
            if found:
                more = "more than " if found["at_least"] else ""
                lines.append(
                    f"\n{metrics.label(metric)} of GRPO after {DEFAULT:,} demonstrations: SFT alone needs {more}"
                    f"{found['demonstrations']:,}, {found['times']:g} times as many."
                )
    return "\n".join(lines) + "\n"


def _differences(content: dict, a: str, b: str) -> list[str]:
    rows = {r["metric"]: r for r in content["default"]["differences"] if (r["a"], r["b"]) == (a, b)}
    if not rows:
        return []
    by_seed = content["default"]["by_seed"]
    lines = [
        "",
        f"| {_title(a)} minus {_title(b)}, points | all seeds | p (Holm) | "
        + " | ".join(f"seed {seed}" for seed in by_seed)
        + " |",
        rule(2 + len(by_seed)),
    ]
    for metric in SHOWN:
        cells = [
            next(r for r in found if (r["a"], r["b"], r["metric"]) == (a, b, metric)) for found in by_seed.values()
        ]
        p = rows[metric]["p_holm"]
        told = "< 0.001" if p < 0.001 else f"{p:.3f}"
        lines.append(
            f"| {metrics.label(metric)} | {percent(rows[metric], True)} | {told} | "
            + " | ".join(percent(c, True) for c in cells)
            + " |"
        )
    return lines


def _title(name: str) -> str:
    stage, _, size = name.partition("-")
    return f"{NAMES[stage]} on {int(size):,}" if size else name


def rule(columns: int) -> str:
    return "|---" * (columns + 1) + "|"


def _row(title: str, cells: list[dict | None]) -> str:
    return f"| {title} | {' | '.join('' if c is None else percent(c) for c in cells)} |"


def percent(estimate: dict, signed: bool = False) -> str:
    if estimate["value"] is None:
        return ""
    sign = "+" if signed else ""
    value, low, high = (f"{100 * estimate[key]:{sign}.1f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def draw(curve: dict, path: Path) -> None:
    """Each metric over the number of demonstrations, with and without GRPO; bands are 95 % intervals."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "demonstrations"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(CURVES), figsize=(9, 3.4), layout="constrained")
    for axis, (metric, title) in zip(axes, CURVES.items(), strict=True):
        for stage, color in (("sft", "#8a8a8a"), ("grpo", "#1f6f54")):
            points = {n: row[stage][metric] for n, row in curve.items() if stage in row}
            values, lows, highs = ([100 * p[key] for p in points.values()] for key in ("value", "low", "high"))
            axis.plot(list(points), values, "o-", color=color, label=NAMES[stage], markersize=4)
            axis.fill_between(list(points), lows, highs, color=color, alpha=0.2, linewidth=0)
        axis.set(xscale="log", title=title, xlabel="demonstrations")
        axis.set_xticks(list(curve), [f"{n:,}" for n in curve], fontsize=7)
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", alpha=0.3)
    axes[0].legend(frameon=False, loc="lower right")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
