"""report.html: one file that opens from disk with no network. Everything that a model said is escaped by Jinja."""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from clarifyvlm.records import Example
from clarifyvlm.strategies import AMBIGUITY_TYPES, STRATEGIES
from clarifyvlm.users.scripted import KINDS
from measures import constant_policies, failures, metrics, results, strata
from reporting import gallery, plots, tables

TEMPLATES = Path(__file__).parent / "templates"
OPEN_PAIRS = 3  # differences between more pairs of models than this are folded away
LONGEST_TURN = 2000  # characters of a response that the page shows


def render(
    content: dict,
    examples: list[Example],
    models: list[results.Judged],
    floors: list[results.Judged],
    *,
    root: Path,
    per_strategy: int,
    trainings: list[dict],
) -> str:
    """The page for metrics.json's `content`. `root` is the folder that the pictures' paths start from."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": tables.number,
        "interval": tables.interval,
        "p_value": tables.p_value,
        "code": _code,
        "strong": _strong,
        "shorten": _shorten,
        "position": _position,
    }
    environment.globals |= {"label": tables.label, "is_share": metrics.is_share, "better": metrics.better}
    best = results.best(content["models"])
    shown = gallery.choose(examples, models, best, per_strategy)
    html = environment.get_template("report.html").render(
        content=content,
        models=content["models"],
        overview=metrics.OVERVIEW,
        macro=metrics.MACRO,
        definitions=metrics.METRICS,
        strategies=STRATEGIES,
        types={name: text for name, text in AMBIGUITY_TYPES.items() if _occurs(content, name)},
        summary=_summary(content, best),
        pairs=_pairs(content["differences"]),
        open_pairs=OPEN_PAIRS,
        policies=_policies(content, examples, floors),
        best=best,
        curves=trainings,
        published=strata.PUBLISHED,
        cuts=strata.CUTS,
        user_kinds=KINDS,
        shown_kinds=sorted({strata.CUTS["kind"](example) for example, _ in shown}),
        calibration_plots=plots.calibration(content["calibration"]),
        cards=[gallery.card(example, why, models, root) for example, why in shown],
        failure_modes=failures.MODES,
        failure_cards=_failure_cards(content["failures"][best], examples, models, best, root),
        judges_differ=tables.judges_differ(content),
        audit=content.get("judge_audit"),
        audit_confusions=_audit_confusions(content.get("judge_audit")),
        audit_flips=_audit_flips(content.get("judge_audit")),
        audited_another=tables.audited_another(content["judge_audit"]) if "judge_audit" in content else None,
        audit_command=f"python inference/audit_judge.py --data_file {content['data']} --output_file judge_audit.json",
        corrected={name: row["corrected"] for name, row in content["models"].items() if "corrected" in row},
        label_warnings=tables.label_warnings(content) if "labels" in content else [],
        annotators=tables.agreement_of_annotators(content["labels"]) if "labels" in content else None,
        partial=[name for name, row in content["models"].items() if row["examples"] < content["examples"]],
    )
    return html.encode("utf-8", "replace").decode()  # a lone surrogate in a response would not be writable


def _occurs(content: dict, ambiguity_type: str) -> bool:
    return any(ambiguity_type in row["strategy_accuracy_by_type"] for row in content["models"].values())


def _summary(content: dict, best: str) -> list[str]:
    """What a reader should take away, a sentence each; *numbers* between asterisks."""
    rows = content["models"]
    first = next(iter(rows))

    def say(name: str, key: str) -> str:
        value = rows[name][key]["value"]
        return "n/a" if value is None else f"*{tables.number(value)}\N{NO-BREAK SPACE}%*"

    sentences = [
        f"{name} does what is right on {say(name, metrics.MACRO)} of the questions, asserts one reading of "
        f"{say(name, 'overconfident')} of the ambiguous ones as if there were no other, and asks back on "
        f"{say(name, 'over_asked')} of those that have one answer."
        for name in dict.fromkeys((first, best))
    ]
    for row in content["differences"]:
        if row["metric"] == metrics.MACRO and row["a"] == best and row["b"] == ("sft" if "sft" in rows else first):
            value, low, high = (tables.number(row[key], signed=True) for key in ("value", "low", "high"))
            sentences.append(
                f"{best} against {row['b']}: *{value}* points of strategy accuracy (95 %: {low} to {high})."
            )
    after = rows[best]["answer_accuracy_after_reply"]
    if after["value"] is not None:
        sentences.append(
            f"When {best} rightly asks and the user replies, its final answer is right in "
            f"{say(best, 'answer_accuracy_after_reply')} of {after['n']:,} dialogues."
        )
    return sentences


def _pairs(differences: list[dict]) -> list[dict]:
    """The differences by pair of models, those of the last model first, with the reach of their plot in points."""
    pairs: dict[tuple[str, str], list[dict]] = {}
    for row in differences:
        pairs.setdefault((row["a"], row["b"]), []).append(row)
    order = {name: i for i, name in enumerate(dict.fromkeys(n for a, b in pairs for n in (b, a)))}
    ranked = sorted(pairs, key=lambda pair: (-order[pair[0]], -order[pair[1]]))
    result = []
    for a, b in ranked:
        rows = pairs[a, b]
        furthest = max(abs(row[end]) for row in rows for end in ("low", "high"))
        reach = next((r for r in (10, 25, 50) if furthest <= r / 100), 100)
        result.append({"a": a, "b": b, "n": rows[0]["n"], "rows": rows, "reach": reach})
    return result


def _audit_confusions(audit: dict | None) -> list[tuple[str, list[str], dict]]:
    """(criterion, what the judge says, {label: {judge: count}}) of every criterion with a table."""
    found = [(name, row["confusion"]) for name, row in (audit or {}).get("criteria", {}).items() if row["confusion"]]
    return [
        (name, sorted({c for counts in table.values() for c in counts} | set(table)), table) for name, table in found
    ]


def _audit_flips(audit: dict | None) -> list[str]:
    """The criteria that any effect of an audit is measured on, in the order of the file."""
    return list(dict.fromkeys(name for row in (audit or {}).get("effects", {}).values() for name in row["flips"]))


def _failure_cards(found: dict, examples: list[Example], models: list, best: str, root: Path) -> dict[str, list[dict]]:
    """Mode -> cards of the examples that show it, with what `best` said."""
    by_id = {example.id: example for example in examples}
    only = [model for model in models if model.name == best]
    return {
        mode: [gallery.card(by_id[i], "", only, root) for i in found[mode]["examples"]]
        for mode in failures.MODES
        if found[mode]["examples"]
    }


def _policies(content: dict, examples: list[Example], floors: list[results.Judged]) -> list[dict]:
    said = {floor.name: _first_said(floor, examples) for floor in floors}
    return [
        {"name": name, "does": constant_policies.POLICIES[name][0], "says": said[name], "row": row}
        for name, row in content["constant_policies"].items()
    ]


def _first_said(floor: results.Judged, examples: list[Example]) -> str:
    return next(floor.predictions[e.id].text for e in examples if e.id in floor.predictions)


def _code(text: str) -> Markup:
    """`word` in one of our own texts -> <code>word</code>."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _strong(text: str) -> Markup:
    """*word* in one of our own texts -> <b>word</b>."""
    return Markup(re.sub(r"\*([^*]+)\*", r"<b>\1</b>", str(escape(text))))


def _shorten(text: str) -> str:
    if len(text) <= LONGEST_TURN:
        return text
    return f"{text[:LONGEST_TURN]} … ({len(text) - LONGEST_TURN:,} more characters)"


def _position(value: float, low: float = 0.0, high: float = 1.0) -> str:
    """Where a value lies between two ends, as a CSS percentage."""
    return f"{100 * min(1.0, max(0.0, (value - low) / (high - low))):.2f}%"
