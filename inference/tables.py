"""Numbers as text, and report.md: the tables that run.sh prints and that paste into a paper's appendix."""

import metrics

MINUS = "\N{MINUS SIGN}"


def number(value: float | None, share: bool = True, *, signed: bool = False) -> str:
    """0.931 -> "93.1" (per cent) or "0.931" (a reward); with a sign for differences."""
    if value is None:
        return "n/a"
    text = f"{100 * value:{'+' if signed else ''}.1f}" if share else f"{value:{'+' if signed else ''}.3f}"
    return text.replace("-", MINUS)


def interval(row: dict, share: bool = True, *, signed: bool = False) -> str:
    """{"value", "low", "high"} -> "93.1 [91.0, 95.0]"."""
    if row["value"] is None:
        return "n/a"
    value, low, high = (number(row[key], share, signed=signed) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def markdown(content: dict) -> str:
    """report.md of metrics.json's content."""
    models = content["models"]
    parts = [
        "# ClarifyVLM report",
        f"{content['examples']:,} questions on {content['pictures']:,} pictures of `{content['data']}`, judged by "
        f"{content['judge']}. Per cent with 95 % intervals (bootstrap over pictures, seed {content['seed']}); the "
        "reward is at most 1.",
        *_partial(content),
        _table(
            ["", *models],
            [
                [metrics.label(key), *(interval(row[key], metrics.is_share(key)) for row in models.values())]
                for key in metrics.OVERVIEW
            ]
            + [["Judge failures", *(str(row["judge_failures"]) for row in models.values())]],
        ),
        "## Strategy accuracy by right strategy",
        _table(
            ["right strategy", *models],
            [
                [strategy, *(interval(row["strategy_accuracy"][strategy]) for row in models.values())]
                for strategy in next(iter(models.values()))["strategy_accuracy"]
            ],
        ),
    ]
    shown = [d for d in content["differences"] if d["metric"] in metrics.OVERVIEW]
    if shown:
        parts += [
            "## Differences",
            "First minus second, paired; in points, the reward as it is.",
            _table(
                ["models", "metric", "difference", "p"],
                [
                    [
                        f"{d['a']} {MINUS} {d['b']}",
                        metrics.label(d["metric"]),
                        interval(d, metrics.is_share(d["metric"]), signed=True),
                        p_value(d["p"]),
                    ]
                    for d in shown
                ],
            ),
        ]
    parts += ["## Constant policies", "What a model earns that says the same whatever it sees."]
    columns = (metrics.MACRO, "overconfident", "over_asked", "reward")
    parts.append(
        _table(
            ["policy", *(metrics.label(key) for key in columns)],
            [
                [name.replace("_", " "), *(number(row[key]["value"], metrics.is_share(key)) for key in columns)]
                for name, row in content["constant_policies"].items()
            ],
        )
    )
    return "\n\n".join(parts) + "\n"


def _partial(content: dict) -> list[str]:
    """A line on the models that answered only some of the questions, if there are any."""
    counts = {name: row["examples"] for name, row in content["models"].items()}
    some = [f"{name} {n:,}" for name, n in counts.items() if n < content["examples"]]
    return [f"Answered only in part, and measured on that: {', '.join(some)}."] if some else []


def _table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose columns also line up in a terminal."""
    cells = [[text.replace("|", "\\|") for text in row] for row in [head, *rows]]
    widths = [max(len(row[k]) for row in cells) for k in range(len(head))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
