"""Numbers as text, and report.md: the tables that run.sh prints and that paste into a paper's appendix."""

from measures import metrics
from measures.intervals import NO_VALUE
from measures.judged import title
from reporting import coverage
from reporting.audit_file import WRITTEN_BY

MINUS = "\N{MINUS SIGN}"


def number(value: float | None, share: bool = True, *, signed: bool = False) -> str:
    """0.931 -> "93.1" (percent) or "0.931" (a reward); with a sign for differences."""
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


def label(key: str) -> str:
    """The name to show for a metric's key in metrics.json."""
    return "Strategy accuracy" if key == "strategy_accuracy_micro" else metrics.label(key)


def markdown(content: dict, opening: list[str]) -> str:
    """report.md of metrics.json's content; `opening` has its first sentences."""
    models = content["models"]
    parts = [
        "# ClarifyVLM report",
        " ".join(opening),
        f"{content['examples']:,} questions on {content['pictures']:,} pictures of `{content['data']}`, judged by "
        f"{content['judge']}. Percent, with 95 % intervals (bootstrap over pictures, seed {content['seed']}); "
        "the reward is at most 1.",
        *_partial(content),
        *content["notes"],
        *filter(None, [judges_differ(content)]),
        table(
            ["", *map(title, models)],
            [
                [metrics.label(key), *(interval(row[key], metrics.is_share(key)) for row in models.values())]
                for key in (*metrics.OVERVIEW, metrics.COVERAGE)
            ]
            + [["Judge failures", *(str(row["judge_failures"]) for row in models.values())]],
        ),
        *_by_user(models),
        *_not_understood(models),
        *(_tuning_cost(content["tuning_cost"]) if "tuning_cost" in content else []),
        *(_corrected(content) if "labels" in content else []),
        "## Strategy accuracy by right strategy",
        table(
            ["right strategy", *map(title, models)],
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
            "First minus second, paired; in points (the reward in its own unit).",
            table(
                ["models", "metric", "difference", "p (Holm)"],
                [
                    [
                        f"{title(d['a'])} {MINUS} {title(d['b'])}",
                        metrics.label(d["metric"]),
                        interval(d, metrics.is_share(d["metric"]), signed=True),
                        p_value(d["p_holm"]),
                    ]
                    for d in shown
                ],
            ),
        ]
    parts += ["## Baselines: constant policies", "The score of a model that ignores its input."]
    columns = (metrics.MACRO, "overconfident", "over_asked", "reward")
    parts.append(
        table(
            ["policy", *(metrics.label(key) for key in columns)],
            [
                [name.replace("_", " "), *(number(row[key]["value"], metrics.is_share(key)) for key in columns)]
                for name, row in content["constant_policies"].items()
            ],
        )
    )
    parts += _judge_audit(content["judge_audit"]) if "judge_audit" in content else []
    return "\n\n".join(parts) + "\n"


def _by_user(models: dict[str, dict]) -> list[str]:
    """Right in the end by kind of user; nothing where nobody replied."""
    kinds = list(dict.fromkeys(kind for row in models.values() for kind in row["right_in_the_end_by_user"]))
    if not kinds:
        return []
    rows = [
        [
            kind.replace("_", " "),
            *(interval(row["right_in_the_end_by_user"].get(kind, NO_VALUE)) for row in models.values()),
        ]
        for kind in kinds
    ]
    return ["## Right in the end where asking is right, by kind of user", table(["user", *map(title, models)], rows)]


def _tuning_cost(found: dict) -> list[str]:
    """Accuracy on questions with one reading, by kind, beside that before tuning."""

    def row(name: str, cells: list[tuple]) -> list[str]:
        return [name, *(interval(v) + (f", {interval(change, signed=True)}" if change else "") for v, change in cells)]

    models = found["models"]
    rows = [row("all kinds", [(m["accuracy"], m["difference"]) for m in models.values()])]
    for kind in found["kinds"]:
        rows.append(row(kind, [(m["by_kind"][kind], m["difference_by_kind"].get(kind)) for m in models.values()]))
    rows += [[f"{done} instead", *(interval(m[done]) for m in models.values())] for done in ("abstained", "asked")]
    return [
        "## What tuning cost",
        f"Right answers to {found['examples']:,} questions with one reading (`{found['file']}`), each kind weighing "
        f"the same, and the difference from {title(found['before'])} in points.",
        table(["", *map(title, models)], rows),
    ]


def _not_understood(models: dict[str, dict]) -> list[str]:
    """Beside the overview: its numbers with what was not understood as wrong, and coverage by right strategy."""
    if coverage.all_understood(models):
        return []
    wrong = [
        [
            metrics.label(key),
            *(interval(row["not_understood_as_wrong"][key], metrics.is_share(key)) for row in models.values()),
        ]
        for key in metrics.OVERVIEW
    ]
    strategies = next(iter(models.values()))["coverage_by_strategy"]
    shares = [[s, *(interval(row["coverage_by_strategy"][s]) for row in models.values())] for s in strategies]
    return [
        "These numbers leave out the responses that the judge did not understand. With those counted as wrong:",
        table(["", *map(title, models)], wrong),
        "Understood by the judge, by right strategy:",
        table(["right strategy", *map(title, models)], shares),
    ]


def latex(content: dict) -> dict[str, str]:
    """The tables for a paper, by name: models in rows, interval bounds as a small second line. They need booktabs."""
    models = content["models"]
    strategies = next(iter(models.values()))["strategy_accuracy"]
    keys = [key for key in (*metrics.OVERVIEW, metrics.COVERAGE) if metrics.is_share(key)]
    found = {
        "overview": {name: {metrics.label(key): row[key] for key in keys} for name, row in models.items()},
        "strategies": {name: {s: row["strategy_accuracy"][s] for s in strategies} for name, row in models.items()},
    }
    if cost := content.get("tuning_cost"):
        found["tuning_cost"] = {
            name: {"all kinds": row["accuracy"], **row["by_kind"]} for name, row in cost["models"].items()
        }
    about = f"percent, 95 % bootstrap intervals over pictures (seed {content['seed']}). Needs \\usepackage{{booktabs}}."
    sizes = {"tuning_cost": f"{cost['examples']} questions with one reading"} if cost else {}
    whole = f"{content['examples']} questions on {content['pictures']} pictures"
    return {name: _latex(f"% {sizes.get(name, whole)}; {about}", rows) for name, rows in found.items()}


def _latex(comment: str, rows: dict[str, dict[str, dict]]) -> str:
    columns = list(next(iter(rows.values())))
    lines = [comment, rf"\begin{{tabular}}{{l{'r' * len(columns)}}}", r"\toprule"]
    lines += [" & ".join(["", *map(_tex, columns)]) + r" \\", r"\midrule"]
    for name, row in rows.items():
        cells, bounds = [_tex(title(name))], [""]
        for estimate in row.values():
            value, low, high = (number(estimate[part]).replace(MINUS, "$-$") for part in ("value", "low", "high"))
            cells.append(value)
            bounds.append("" if value == "n/a" else rf"{{\scriptsize [{low}, {high}]}}")
        lines += [" & ".join(cells) + r" \\", " & ".join(bounds) + r" \\"]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def _tex(text: str) -> str:
    return "".join(_TEX.get(c, "\\" + c if c in "&%$#_{}" else " " if c in "\n\r" else c) for c in text)


def _partial(content: dict) -> list[str]:
    """A line on the models that answered only some of the questions, if there are any."""
    counts = {name: row["examples"] for name, row in content["models"].items()}
    some = [f"{title(name)} {n:,}" for name, n in counts.items() if n < content["examples"]]
    return (
        [f"These models answered only some of the questions, and are measured on those: {', '.join(some)}."]
        if some
        else []
    )


def judges_differ(content: dict) -> str | None:
    """Which model was judged by what, and that these are not compared; None where one judge judged all."""
    judges = content["judges"]
    sets = {tuple(names) for names in judges.values()}
    if len(sets) == 1 and len(*sets) == 1:
        return None
    said = _line("; ".join(f"{title(model)} by {' and '.join(names)}" for model, names in judges.items()))
    why = "their numbers may differ because the judges do."
    if len(sets) == 1:
        return f"Several judges judged each model ({said}): {why}"
    return f"Different judges: {said}. Models with different judges are not compared: {why}"


def audited_another(audit: dict) -> str | None:
    """That judges of the report are not the one that was audited; None where it is."""
    if not audit["not_audited"]:
        return None
    others = _line(" and ".join(audit["not_audited"]))
    return f"The audit is of {_line(audit['judge'])}; the verdicts here are by {others}, which was not audited."


def label_warnings(content: dict) -> list[str]:
    """What a reader must know of people's labels that could not be used, a sentence each."""
    labels, models = content["labels"], content["models"]
    sentences = []
    if labels["unmatched"]:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in labels["unmatched"].items())
        unused = sum(labels["unmatched"].values())
        sentences.append(f"{unused:,} of {labels['labels']:,} labels match no response and are not used ({reasons}).")
    if labels["other_words"]:
        counts = ", ".join(f"{title(name)} {count:,}" for name, count in labels["other_words"].items())
        sentences.append(
            f"Labels of other responses than those here, perhaps from another run: {counts}. The labels that match may "
            "then not be a random sample, and the correction may be wrong."
        )
    if wrong := labels["contradictory"]:
        sentences.append(
            f"{len(wrong):,} of {labels['labels']:,} labels contradict themselves and are not used ("
            f"{_line('; '.join(wrong[:5]))}{'; ...' if len(wrong) > 5 else ''}). Run `label.py` to label them again."
        )
    few = [f"{title(name)} ({n:,})" for name, n in labels["matched"].items() if n and "corrected" not in models[name]]
    if few:
        sentences.append(f"Too few labeled responses to correct anything: {', '.join(few)}.")
    return sentences


def agreement_of_annotators(labels: dict) -> str | None:
    """Cohen's kappa of the first two annotators, a sentence; None where they share too few responses."""
    found = labels["agreement"]
    if not found or not found["criteria"]:
        return None
    one, other = found["annotators"]
    rows = (f"{name.replace('_', ' ')} {interval(row['kappa'], False)}" for name, row in found["criteria"].items())
    return f"Agreement between annotators (Cohen's kappa of {_line(one)} and {_line(other)}): {', '.join(rows)}."


def _corrected(content: dict) -> list[str]:
    rows = {name: row["corrected"] for name, row in content["models"].items() if "corrected" in row}
    parts = ["## Corrected for the judge's errors", *label_warnings(content)]
    if rows:
        keys = next(iter(rows.values()))
        parts += [
            "As judged, then corrected with human labels (their number) by prediction-powered inference.",
            table(
                ["", *map(title, rows)],
                [[label(key), *(f"{_from_to(row[key])} ({row[key]['n']:,})" for row in rows.values())] for key in keys],
            ),
        ]
    return [*parts, *filter(None, [agreement_of_annotators(content["labels"])])]


def _from_to(row: dict) -> str:
    return f"{number(row['judge_value'])} \N{RIGHTWARDS ARROW} {interval(row)}"


def _judge_audit(audit: dict) -> list[str]:
    parts = ["## How far the judge can be trusted", _audited(audit), *filter(None, [audited_another(audit)])]
    if audit["warnings"]:
        parts.append("\n".join(f"- **{_line(sentence)}**" for sentence in audit["warnings"]))
    measures = ("accuracy", "kappa", "ac2")
    rows = [
        [name, str(row["n"]), *(interval(row[m], m == "accuracy") if row[m] else "n/a" for m in measures)]
        for name, row in audit["criteria"].items()
        if row["n"]
    ]
    if rows:
        parts.append(table(["criterion", "n", "accuracy", "kappa", "AC2"], rows))
    if natural := audit.get("natural"):
        columns = {"understood": "understood", "all_met": "all labels met", "used_strategy": "strategy right"}
        columns |= {"grounded": "grounded right", "ungrounded_paid": "ungrounded judged grounded"}
        rows = {"all": natural["all"], **natural["files"], **natural["styles"]}
        parts += [
            f"{natural['responses']:,} natural responses, percent{alone(natural)}. {WRITTEN_BY}",
            table(["", *columns.values()], [[n, *(interval(row[c]) for c in columns)] for n, row in rows.items()]),
        ]
    if audit["effects"]:
        parts.append(table(["effect", "n", "used strategy changed", "reward shift"], _effects(audit["effects"])))
    return parts


def alone(natural: dict) -> str:
    return ", judged from the facts alone (the pictures are not available)" if natural["facts_alone"] else ""


def _audited(audit: dict) -> str:
    """The judge that was audited, on what, what it failed on, and the canaries; a sentence."""
    parts = [_line(audit["judge"])]
    if audit["responses"] is not None:
        parts.append(f"audited on {audit['responses']:,} constructed or labeled responses")
    if audit["canaries"]:
        parts.append(f"{audit['canaries']['passed_n']:,} of {audit['canaries']['tried']:,} canaries passed")
    failed = sum(audit["judge_failures"].values())
    return ", ".join([*parts, f"{failed:,} failures of the judge"]) + "."


def _effects(effects: dict) -> list[list[str]]:
    rows = []
    for name, row in effects.items():
        flips, shift = row["flips"].get("used_strategy"), row["reward_shift"]
        shown = [interval(flips) if flips else "n/a", interval(shift, False, signed=True) if shift else "n/a"]
        rows.append([name.replace("_", " "), str(row["n"]), *shown])
    return rows


def _line(text: str) -> str:
    """A text of a file's as one line, so that it cannot end a paragraph or a table."""
    return " ".join(text.split())


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose columns also line up in a terminal."""
    cells = [[_line(text).replace("|", "\\|") for text in row] for row in [head, *rows]]
    widths = [max(len(row[k]) for row in cells) for k in range(len(head))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
