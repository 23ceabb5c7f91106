"""Training curves for the report: what the trainers logged, step by step, as small plots in SVG."""

import io
import json
import re
from pathlib import Path

from clarifyvlm.errors import UserError
from clarifyvlm.strategies import STRATEGIES

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
# Colours of the page's own, so that plots follow its light and dark: drawn as these, then replaced.
INK, SOFT = "#010203", "#040506"
LINES = ["#0a0001", "#0a0002", "#0a0003", "#0a0004", "#0a0005", "#0a0006", "#0a0007", "#0a0008"]
VARIABLES = {INK: "var(--ink)", SOFT: "var(--soft)"} | {
    color: f"var(--m{(i + 1) % 6})" for i, color in enumerate(LINES)
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


def plots(training: dict) -> list[dict]:
    """[{"title", "svg"}] of what the log holds, in the order of PLOTS."""
    found = []
    for title, keys in PLOTS.items():
        lines = {key: [(row["step"], row[key]) for row in training["rows"] if _is_number(row.get(key))] for key in keys}
        lines = {key: points for key, points in lines.items() if len(points) > 1}
        if lines:
            found.append({"title": title, "svg": _svg(lines, f"{training['name']} {title}")})
    return found


def _is_number(value) -> bool:
    return isinstance(value, int | float) and value == value and abs(value) != float("inf")


def _svg(lines: dict[str, list[tuple[float, float]]], salt: str) -> str:
    """One plot of (step, value) lines as an SVG element; `salt` keeps the ids of several in one page apart."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt, "font.size": 8}):
        figure = Figure(figsize=(4.2, 2.4), layout="constrained")
        axes = figure.add_subplot()
        for color, (key, points) in zip(LINES, lines.items(), strict=False):
            steps, values = zip(*points, strict=True)
            axes.plot(steps, values, color=color, linewidth=0.6, alpha=0.35)
            axes.plot(steps, _smooth(values), color=color, linewidth=1.4, label=_label(key))
        axes.set_xlabel("step", color=SOFT)
        axes.tick_params(colors=SOFT, width=0.5)
        for side, spine in axes.spines.items():
            spine.set(color=SOFT, linewidth=0.5, visible=side in ("left", "bottom"))
        if len(lines) > 1:
            axes.legend(frameon=False, fontsize=7, labelcolor=INK, loc="upper left", bbox_to_anchor=(1, 1))
        file = io.StringIO()
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})
    svg = file.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
    for color, variable in VARIABLES.items():
        svg = svg.replace(color, variable)
    return svg.replace("font: 8px", "font: 8px system-ui")


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
    return [{"name": t["name"], "stage": t["stage"], "plots": plots(t)} for t in trainings]


def paths(folders: list[str]) -> list[Path]:
    """The logs, as inputs of the report."""
    return [Path(folder) / LOG for folder in folders]
