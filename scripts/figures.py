"""Draw the figures of the documentation, in docs/figures/, and write the tables of the default run.

    python scripts/figures.py                         # from the committed results
    python scripts/figures.py --run_dir runs/tiny     # first take the numbers, and the report's picture, from that run

The results are benchmarks/results/demonstrations.json and docs/figures/default_run.json, which --run_dir writes.
docs/figures/sources.json has the SHA-256 of the results that each figure shows; a test compares them. Tables go between
the markers of README.md and docs/results.md.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import UserError, run_main
from clarifyvlm.jsonl import write_text_atomic
from clarifyvlm.strategies import STRATEGIES

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "docs/figures"
DEFAULT_RUN, DEMONSTRATIONS = FIGURES / "default_run.json", ROOT / "benchmarks/results/demonstrations.json"
SOURCES = FIGURES / "sources.json"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BEGIN, END = "<!-- scripts/figures.py: begin -->", "<!-- scripts/figures.py: end -->"
MODELS = {"base": "base", "sft": "SFT", "grpo": "SFT + GRPO"}
METRICS = {  # key in metrics.json -> row of the table; those of the README's short table are in SHORT
    "strategy_accuracy_macro": "Strategy accuracy, mean over the six strategies",
    "grounded": "Grounded",
    "overconfident": "Overconfident: asserts one answer where it should not",
    "over_asked": "Asks although there is a single answer",
    "answer_accuracy": "Answer accuracy where there is a single answer",
}
SHORT = ("strategy_accuracy_macro", "overconfident", "over_asked")
USERS = {
    "helpful": "who helps",
    "terse": "who is terse",
    "changes_mind": "who changes their mind",
    "unsure": "who does not know",
    "off_topic": "who changes the subject",
    "wrong": "who describes something that is not there",
}
WINDOW = 15  # steps of GRPO's log that its curve averages
COLORS = {  # the reader's color scheme -> text, grid, box, accent, first, second, third color of the series
    "light": ("#1f2328", "#d8dee4", "#f3f5f8", "#0b62c4", "#8a93a0", "#c26a00", "#0b62c4"),
    "dark": ("#e6edf3", "#373e47", "#1c232c", "#6cb2ff", "#8b96a5", "#f0a13c", "#6cb2ff"),
}


@dataclass
class Arguments:
    run_dir: str | None = option("a finished run of ./run.sh; without it, the committed results are drawn", None)


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)
    if args.run_dir:
        write_text_atomic(DEFAULT_RUN, json.dumps(read_run(Path(args.run_dir)), indent=1) + "\n")
        photograph(Path(args.run_dir) / "report/report.html")
    run = json.loads(DEFAULT_RUN.read_text(encoding="utf-8"))
    demonstrations = json.loads(DEMONSTRATIONS.read_text(encoding="utf-8"))
    for scheme in COLORS:
        write_text_atomic(FIGURES / f"pipeline-{scheme}.svg", pipeline(scheme))
        save(curves(run["grpo_log"], scheme), f"grpo-{scheme}.svg")
        save(comparison(demonstrations["default"]["models"], scheme), f"demonstrations-{scheme}.svg")
    shown = {"grpo": DEFAULT_RUN, "report": DEFAULT_RUN, "demonstrations": DEMONSTRATIONS}
    hashes = {name: {str(path.relative_to(ROOT)): sha256(path)} for name, path in shown.items()}
    write_text_atomic(SOURCES, json.dumps(hashes, indent=1) + "\n")
    for name, content in tables(run).items():
        path = ROOT / name
        before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
        write_text_atomic(path, f"{before}{BEGIN}\n{content}{END}{rest.partition(END)[2]}")
    print(f"{FIGURES}: drawn")
    return 0


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---- the results


def read_run(run: Path) -> dict:
    """What the figures and tables show of a run, out of its report and of GRPO's log."""
    report = run / "report/metrics.json"
    log = run / "grpo/log.jsonl"
    for path in (report, log):
        if not path.is_file():
            raise UserError(f"{path} is not there: finish the run first (./run.sh).")
    metrics = json.loads(report.read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if "reward" in row]
    keys = ["step", "reward", *(f"strategy_right/{name}" for name in STRATEGIES)]
    kept = ("right_in_the_end", "right_in_the_end_by_user", *METRICS, "reward", "coverage")
    return {
        "seed": metrics["seed"],
        "examples": metrics["examples"],
        "models": {name: {key: metrics["models"][name][key] for key in kept} for name in MODELS},
        "one_reading": {name: metrics["tuning_cost"]["models"][name]["accuracy"] for name in MODELS},
        "grpo_log": {key: [rounded(row.get(key)) for row in rows] for key in keys},
    }


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def photograph(page: Path) -> None:
    """The first screen of the report, as docs/figures/report-light.png and -dark.png."""
    from playwright.sync_api import sync_playwright

    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        raise UserError("there is no Chromium or Chrome on this machine, so the report cannot be photographed.")
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for scheme in COLORS:
            view = chromium.new_page(viewport={"width": 900, "height": 720}, color_scheme=scheme)
            view.goto(page.resolve().as_uri())
            view.screenshot(path=str(FIGURES / f"report-{scheme}.png"))
        chromium.close()


# ---- tables


def tables(run: dict) -> dict[str, str]:
    """File -> its table of the default run."""
    head = f"| `./run.sh`, seed {run['seed']}, {run['examples']:,} test questions, % [95 % interval] | "
    head += " | ".join(MODELS.values()) + " |\n|---|" + "---|" * len(MODELS) + "\n"
    models = run["models"]
    in_the_end = line("**Right in the end**", [models[name]["right_in_the_end"] for name in MODELS])
    users = [
        line(
            f"... where asking is right, with a user {words}",
            [models[m]["right_in_the_end_by_user"][kind] for m in MODELS],
        )
        for kind, words in USERS.items()
    ]
    rows = {key: line(label, [models[name][key] for name in MODELS]) for key, label in METRICS.items()}
    count = run["one_reading"]["base"]["n"]
    cost = line(
        f"Right on {count:,} other questions, with one reading (what tuning costs)",
        [run["one_reading"][name] for name in MODELS],
    )
    reward = line("Mean reward, at most 1", [models[name]["reward"] for name in MODELS], "{:.2f}", 1)
    coverage = line("Understood by the judge", [models[name]["coverage"] for name in MODELS])
    return {
        "README.md": head + in_the_end + "".join(rows[key] for key in SHORT) + cost,
        "docs/results.md": head + in_the_end + "".join(users) + "".join(rows.values()) + cost + reward + coverage,
    }


def line(label: str, intervals: list[dict], form: str = "{:.1f}", factor: float = 100) -> str:
    cells = [[form.format(factor * i[key]) for key in ("value", "low", "high")] for i in intervals]
    return f"| {label} | " + " | ".join(f"{value} [{low}, {high}]" for value, low, high in cells) + " |\n"


# ---- figures


def save(figure: Figure, name: str) -> None:
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(FIGURES / name, transparent=True, metadata={"Date": None})


def style(axes, scheme: str) -> None:
    text, grid, *_ = COLORS[scheme]
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(grid)
    axes.tick_params(colors=text, color=grid, labelsize=10)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(text)
        label.set_fontsize(11)


def curves(log: dict, scheme: str) -> Figure:
    """GRPO's log: the reward, and per strategy the share of sampled responses that follow it where it is right."""
    color = COLORS[scheme][3]
    figure = Figure(figsize=(5.4, 6.2), layout="constrained")
    grid = figure.add_gridspec(4, 2, height_ratios=(1.35, 1, 1, 1))
    panels = [(figure.add_subplot(grid[0, :]), "reward", "Mean reward of the sampled responses (at most 1)")]
    for index, name in enumerate(STRATEGIES):
        panels.append((figure.add_subplot(grid[1 + index // 2, index % 2]), f"strategy_right/{name}", name))
    for axes, key, title in panels:
        found = [(step, value) for step, value in zip(log["step"], log[key], strict=True) if value is not None]
        steps, values = zip(*found, strict=True)
        factor = 1 if key == "reward" else 100
        axes.plot(steps, [factor * v for v in values], color=color, alpha=0.28, linewidth=0.8)
        mean = [sum(values[max(0, i + 1 - WINDOW) : i + 1]) / min(i + 1, WINDOW) for i in range(len(values))]
        axes.plot(steps, [factor * v for v in mean], color=color, linewidth=2)
        axes.set_title(title, loc="left", color=COLORS[scheme][0])
        axes.margins(x=0.01)
        if key != "reward":
            axes.set_ylim(0, 105)
            axes.set_yticks([0, 50, 100])
        style(axes, scheme)
    panels[3][0].set_ylabel("% that follow the strategy where it is right")
    for axes, *_ in panels[-2:]:
        axes.set_xlabel("GRPO step")
    return figure


def comparison(models: dict, scheme: str) -> Figure:
    """SFT on the demonstrations, more SFT on the same ones, and GRPO: what each is worth."""
    text, grid, _, _, *colors = COLORS[scheme]
    names = {"sft": "SFT", "longer": "SFT for longer", "grpo": "SFT + GRPO"}
    found = {label: models[next(name for name in models if name.split("-")[0] == key)] for key, label in names.items()}
    rows = {
        "right in the end": lambda m: m["right_in_the_end"],
        "strategy accuracy": lambda m: m["strategy_accuracy_macro"],
        "grounded": lambda m: m["grounded"],
        "answer accuracy": lambda m: m["answer_accuracy"],
    } | {f"strategy: {name}": (lambda m, name=name: m["strategy_accuracy"][name]) for name in STRATEGIES}
    figure = Figure(figsize=(5.4, 5.4), layout="constrained")
    axes = figure.add_subplot()
    for offset, (label, model), color, marker in zip((-0.24, 0, 0.24), found.items(), colors, "so^", strict=True):
        cells = [row(model) for row in rows.values()]
        values = [100 * cell["value"] for cell in cells]
        errors = [[100 * (c["value"] - c["low"]) for c in cells], [100 * (c["high"] - c["value"]) for c in cells]]
        heights = [index + offset + (index > 3) * 0.5 for index in range(len(rows))]
        axes.errorbar(values, heights, xerr=errors, fmt=marker, color=color, markersize=5, linewidth=1.6, label=label)
    axes.set_yticks([index + (index > 3) * 0.5 for index in range(len(rows))], list(rows))
    axes.invert_yaxis()
    axes.set_xlabel("%, with 95 % intervals (the axis starts at 60)")
    axes.set_xlim(60, 100.5)
    axes.grid(axis="x", color=grid, linewidth=0.8)
    axes.set_axisbelow(True)
    style(axes, scheme)
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=11, labelcolor=text, handletextpad=0.2)
    return figure


STAGES = (  # folder, what it does, what it writes
    (
        "dataset_generation",
        "pictures, questions, readings, references",
        "train, validation, test.jsonl   images/   + base VLM",
    ),
    ("tuning_sft", "imitates the reference responses", "SFT checkpoint"),
    ("tuning_grpo", "rewards the right strategy, in dialogues", "GRPO checkpoint   + test.jsonl"),
    (
        "inference",
        "models answer, a judge scores, a report compares",
        "predictions.jsonl   verdicts.jsonl   report.html",
    ),
)


def pipeline(scheme: str) -> str:
    """The four stages, and the files between them, as SVG."""
    text, outline, box, accent, *_ = COLORS[scheme]
    width, left, right, top, height, gap = 600, 40, 560, 62, 62, 50
    bottom = top + len(STAGES) * (height + gap)
    mono = "font-family='ui-monospace, Menlo, Consolas, monospace'"
    parts = [
        f"<rect x='14' y='14' width='{width - 28}' height='{bottom + 2}' rx='14' fill='none' stroke='{accent}' "
        "stroke-width='2' stroke-dasharray='7 5'/>",
        f"<text x='{left}' y='44' font-size='18' font-weight='700' fill='{accent}' {mono}>./run.sh</text>",
        f"<text x='{right}' y='44' font-size='15' fill='{text}' text-anchor='end'>runs the four stages in order</text>",
    ]
    for index, (folder, does, writes) in enumerate(STAGES):
        y = top + index * (height + gap)
        below, size, name = y + height, f"width='{right - left}' height='{height}'", f"font-weight='700' {mono}"
        parts += [
            f"<rect x='{left}' y='{y}' {size} rx='9' fill='{box}' stroke='{outline}'/>",
            f"<text x='{left + 18}' y='{y + 26}' font-size='18' fill='{text}' {name}>{folder}/</text>",
            f"<text x='{left + 18}' y='{y + 49}' font-size='16' fill='{text}'>{does}</text>",
            f"<path d='M{left + 28} {below} v{gap - 9}' stroke='{accent}' stroke-width='2'/>",
            f"<path d='M{left + 22} {below + gap - 11} l6 9 l6 -9 z' fill='{accent}'/>",
            f"<text x='{left + 46}' y='{below + 31}' font-size='15' xml:space='preserve' fill='{text}' {mono}>"
            f"{writes}</text>",
        ]
    label = "Four stages, run in order by run.sh; each writes the files that the next one reads."
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {bottom + 30}' width='{width}' role='img' "
    head += f"aria-label='{label}' font-family='Helvetica, Arial, sans-serif'>"
    return "\n".join([head, *parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    run_main(main)
