"""Training curves for the report: what the trainers logged, step by step, as small plots in SVG."""

import json
from pathlib import Path

from clarifyvlm.errors import UserError
from clarifyvlm.strategies import STRATEGIES
from reporting import plots

LOG = "log.jsonl"
SMOOTHED = 0.08  # of the rows: the window of the centred running mean that is drawn over the values
# Title -> the keys that are drawn together; a plot without any of its keys is left out.
PLOTS = {
    "Loss": ("loss", "eval_loss"),
    "Token accuracy": ("mean_token_accuracy", "eval_mean_token_accuracy"),
    "Reward": ("reward",),
    "Reward terms, unweighted": tuple(
        f"rewards/{term}/mean"
        for term in "strategy grounding overconfidence over_asking question_value completeness answer length".split()
    ),
    "Groups without signal": ("rewards/total/no_signal", "rewards/strategy/no_signal"),
    "Asks, by right strategy": tuple(f"ask_rate/{strategy}" for strategy in STRATEGIES),
    "Right strategy, by strategy": tuple(f"strategy_right/{strategy}" for strategy in STRATEGIES),
    "Tokens of a response": ("completions/mean_length", "completions/max_length"),
    "KL to the start": ("kl",),
    "Entropy": ("entropy",),
    "Judge failures": ("judge_failures",),
    "Paid beyond the reference judge": ("reference/reward_gap",),
}


def read(folder: str | Path) -> dict:
    """{"name", "stage", "rows"} of a training's output folder. UserError where it has no log."""
    folder = Path(folder)
    path = folder / LOG
    if not path.is_file():
        raise UserError(f"--training_dirs {folder}: there is no {LOG}. Give the --output_dir of a training.")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    record = folder / "run.json"
    stage = json.loads(record.read_text(encoding="utf-8"))["stage"] if record.is_file() else "training"
    return {"name": folder.name, "stage": stage, "rows": [row for row in rows if "step" in row]}


def figures(training: dict, index: int = 0) -> list[dict]:
    """[{"title", "svg"}] of what the log holds, in the order of PLOTS; `index` tells several trainings apart."""
    found = []
    for number, (title, keys) in enumerate(PLOTS.items()):
        lines = {key: [(row["step"], row[key]) for row in training["rows"] if _is_number(row.get(key))] for key in keys}
        lines = {key: points for key, points in lines.items() if len(points) > 1}
        if lines:
            found.append({"title": title, "svg": _svg(lines, f"training{index}-{number}", title)})
    return found


def _is_number(value) -> bool:
    return isinstance(value, int | float) and value == value and abs(value) != float("inf")


def _svg(lines: dict[str, list[tuple[float, float]]], key: str, title: str) -> str:
    """One plot of (step, value) lines."""

    def draw(axes) -> None:
        for i, (name, points) in enumerate(lines.items()):
            steps, values = zip(*points, strict=True)
            color, style = plots.MODELS[(i + 1) % 6], "-" if i < 6 else "--"
            axes.plot(steps, values, color=color, linewidth=0.6, alpha=0.35)
            axes.plot(steps, _smooth(values), style, color=color, linewidth=1.4, label=_label(name))
        if len(lines) > 1:
            axes.legend(frameon=False, fontsize=7, labelcolor=plots.INK, loc="upper left", bbox_to_anchor=(1, 1))

    return plots.svg(key, draw, "step", "", title)


def _smooth(values: tuple[float, ...]) -> list[float]:
    half = int(SMOOTHED * len(values) / 2)
    windows = [values[max(0, i - min(half, i)) : i + half + 1] for i in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def _label(key: str) -> str:
    for part in ("rewards/", "ask_rate/", "strategy_right/", "completions/", "/mean", "_length"):
        key = key.replace(part, "")
    return key.replace("/", " ").replace("_", " ")


def sections(folders: list[str]) -> list[dict]:
    """What the page shows: {"name", "stage", "plots"} per folder."""
    trainings = [read(folder) for folder in folders]
    return [{"name": t["name"], "stage": t["stage"], "plots": figures(t, i)} for i, t in enumerate(trainings)]


def paths(folders: list[str]) -> list[Path]:
    """The logs, as inputs of the report."""
    return [Path(folder) / LOG for folder in folders]
