"""report.html: one file that opens from disk with no network. Everything that a model said is escaped by Jinja."""

import functools
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from clarifyvlm.strategies import STRATEGIES
from measures import failures, metrics
from reporting import tables
from reporting.sections import SECTIONS, Report, Section

TEMPLATES = Path(__file__).parent / "templates"
LONGEST_TURN = 2000  # characters of a response that the page shows


def render(report: Report) -> str:
    """The page."""
    content, models = report.content, report.content["models"]
    audit, template = content.get("judge_audit"), _environment().get_template("report.html")
    html = template.render(
        content=content,
        models=models,
        summary=_summary(content, report.best),
        partial=[name for name, row in models.items() if row["examples"] < content["examples"]],
        judges_differ=tables.judges_differ(content),
        audit=audit,
        audited_another=audit and tables.audited_another(audit),
        sections=[(section, render_section(section, report)) for section in SECTIONS if section.heading],
    )
    return html.encode("utf-8", "replace").decode()  # a lone surrogate in a response would not be writable


def render_section(section: Section, report: Report) -> Markup:
    """A section's HTML; only blanks where its template leaves it out."""
    template = _environment().get_template(f"{section.name}.html")
    content = report.content
    common = {"section": section, "heading": Markup(section.heading), "content": content, "models": content["models"]}
    common |= {"found": content.get(section.name), "cards": report.cards}
    return Markup(template.render(**common, **section.view(report)))


@functools.cache
def _environment() -> Environment:
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
    environment.globals |= {"macro": metrics.MACRO, "definitions": metrics.METRICS}
    environment.globals |= {"strategies": STRATEGIES, "failure_modes": failures.MODES}
    return environment


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
    if "tuning_cost" in content:
        sentences.append(_tuning_cost(content["tuning_cost"]))
    after = rows[best]["answer_accuracy_after_reply"]
    if after["value"] is not None:
        sentences.append(
            f"When {best} rightly asks and the user tells which reading they mean, its final answer is right in "
            f"{say(best, 'answer_accuracy_after_reply')} of {after['n']:,} dialogues."
        )
    return sentences


def _tuning_cost(found: dict) -> str:
    """How many plain questions each model answers rightly, and the kind that lost most."""
    shares = [f"{name} *{tables.number(row['accuracy']['value'])}*" for name, row in found["models"].items()]
    lost = [
        (change["value"], kind, name)
        for name, row in found["models"].items()
        for kind, change in row["difference_by_kind"].items()
        if change
    ]
    sentence = f"Right answers to questions with one reading, in per cent: {', '.join(shares)}"
    if lost and min(lost)[0] < 0:
        value, kind, name = min(lost)
        sentence += f"; the most was lost on {kind} (*{tables.number(value, signed=True)}* points, {name})"
    return sentence + "."


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
