"""Training curves for the report: what the trainers logged, step by step, as small multiples."""

import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clarifyvlm.errors import UserError
from clarifyvlm.strategies import STRATEGIES
from clarifyvlm.users import USER_KINDS
from measures.judged import title
from reporting import plots

LOG = "log.jsonl"
SMOOTHED = 0.08  # of the rows: the window of the centered running mean that is drawn over the values


@dataclass(frozen=True)
class Group:
    """Panels with one y axis."""

    title: str
    note: str
    y: str
    keys: dict[str, str]  # of the log -> title of its panel
    share: bool = False  # 0 to 1
    health: bool = False  # about the training rather than what is learned: folded away
    skip_zero: bool = False  # leave out what is 0 at every step
    supervised: bool = False  # says nothing about GRPO, whose loss is about 0


PENALTIES = "grounding overconfidence over_asking question_value completeness answer resolution asking length"
GROUPS = (
    Group(
        "Loss",
        "Cross-entropy of the reference responses.",
        "loss",
        {"loss": "Train", "eval_loss": "Validation"},
        supervised=True,
    ),
    Group(
        "Token accuracy",
        "Share of the tokens of the references that are predicted right.",
        "share",
        {"mean_token_accuracy": "Train", "eval_mean_token_accuracy": "Validation"},
    ),
    Group(
        "Reward",
        "What GRPO maximizes, at most 1.",
        "mean",
        {"reward": "Total reward", "rewards/strategy/mean": "Right strategy"},
    ),
    Group(
        "Penalties in the reward",
        "Before weighting; 0 is best. Those that are 0 throughout are left out.",
        "mean",
        {f"rewards/{term}/mean": term.replace("_", " ").capitalize() for term in PENALTIES.split()},
        skip_zero=True,
    ),
    Group(
        "Ask rate, by right strategy",
        "Only clarify should go up. If all of them rise, the model has learned to ask about everything.",
        "share that asks",
        {f"ask_rate/{strategy}": strategy for strategy in STRATEGIES},
        share=True,
    ),
    Group(
        "Strategy accuracy, by right strategy",
        "How often the response uses the right strategy.",
        "share right",
        {f"strategy_right/{strategy}": strategy for strategy in STRATEGIES},
        share=True,
    ),
    Group(
        "Right in the end, by kind of user",
        "Training dialogues that end with the right result after the user's reply.",
        "share right",
        {f"resolved/{kind}": kind.replace("_", " ").capitalize() for kind in USER_KINDS},
        share=True,
    ),
    Group(
        "Groups without a learning signal",
        "Groups of responses that all get the same reward: nothing is learned from them.",
        "share",
        {"rewards/total/no_signal": "Total reward", "rewards/strategy/no_signal": "Strategy term"},
        share=True,
        health=True,
    ),
    Group(
        "Length of responses",
        "",
        "tokens",
        {"completions/mean_length": "Mean", "completions/max_length": "Longest"},
        health=True,
    ),
    Group("KL divergence from the start", "", "KL", {"kl": "KL"}, health=True, skip_zero=True),
    Group("Entropy", "", "nats", {"entropy": "Entropy"}, health=True),
    Group(
        "Judge",
        "Responses that the judge could not score, and reward beyond that of a reference judge (reward hacking).",
        "",
        {"judge_failures": "Judge failures", "reference/reward_gap": "Paid too much"},
        health=True,
        skip_zero=True,
    ),
)


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


def figures(training: dict, index: int = 0) -> list[tuple[Group, list[plots.Plot]]]:
    """The panels of what the log holds, group by group; `index` tells several trainings of one name apart."""
    found, rewarded = [], any("reward" in row for row in training["rows"])
    for group in GROUPS:
        if group.supervised and rewarded:
            continue
        lines = {
            key: [(row["step"], row[key]) for row in training["rows"] if _is_number(row.get(key))] for key in group.keys
        }
        lines = {k: p for k, p in lines.items() if len(p) > 1 and not (group.skip_zero and not any(v for _, v in p))}
        limits = _limits(group, list(lines.values()))
        panels = [
            plots.Plot(
                f"training{index}-" + "".join(c if c.isalnum() else "-" for c in key),
                group.keys[key],
                partial(_draw, points=points, limits=limits),
                "step",
                group.y,
                size=plots.SMALL,
            )
            for key, points in lines.items()
        ]
        if panels:
            found.append((group, panels))
    return found


def _is_number(value) -> bool:
    return isinstance(value, int | float) and value == value and abs(value) != float("inf")


def _limits(group: Group, lines: list[list[tuple[float, float]]]) -> tuple[float, float] | None:
    """The y axis that the panels of a group share."""
    if group.share:
        return -0.03, 1.03
    values = [value for points in lines for _, value in points]
    if not values or min(values) == max(values):
        return None
    room = 0.05 * (max(values) - min(values))
    return min(values) - room, max(values) + room


def _draw(axes, points: list[tuple[float, float]], limits: tuple[float, float] | None) -> None:
    steps, values = zip(*points, strict=True)
    axes.plot(steps, values, color=plots.MODELS[1], linewidth=0.5, alpha=0.35)
    axes.plot(steps, _smooth(values), color=plots.MODELS[1], linewidth=1.4)
    if limits:
        axes.set_ylim(*limits)
    axes.locator_params(nbins=4)


def _smooth(values: tuple[float, ...]) -> list[float]:
    half = int(SMOOTHED * len(values) / 2)
    windows = [values[max(0, i - min(half, i)) : i + half + 1] for i in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def file_name(training: dict, group: Group) -> str:
    """Of a group's figure, without its ending: "training1-grpo-reward_terms"."""
    return f"training{training['number']}-{_plain(training['name'])}-{_plain(group.title)}"


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def sections(folders: list[str]) -> list[dict]:
    """What the page shows: {"number", "name", "stage", "groups"} per folder."""
    trainings = [read(folder) for folder in folders]
    return [
        {"number": i, "name": title(t["name"]), "stage": t["stage"], "groups": figures(t, i)}
        for i, t in enumerate(trainings)
    ]


def paths(folders: list[str]) -> list[Path]:
    """The logs, as inputs of the report."""
    return [Path(folder) / LOG for folder in folders]
