"""report.html: one file that opens from disk with no network. Everything that a model said is escaped by Jinja."""

import functools
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from clarifyvlm.strategies import STRATEGIES
from measures import failures, metrics
from measures.judged import title
from reporting import story, tables
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
        sentences=story.sentences(content),
        figure=report.story,
        cards_of_story=story.cards(content, report.audit_command),
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
        "named": title,
        "shorten": _shorten,
        "position": _position,
    }
    environment.globals |= {
        "gallery_link": story.gallery_link,
        "label": tables.label,
        "is_share": metrics.is_share,
        "better": metrics.better,
    }
    environment.globals |= {"macro": metrics.MACRO, "definitions": metrics.METRICS}
    environment.globals |= {"strategies": STRATEGIES, "failure_modes": failures.MODES}
    return environment


def _code(text: str) -> Markup:
    """`word` in one of our own texts -> <code>word</code>."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _strong(text: str) -> Markup:
    """*word* in one of our own texts -> <b>word</b>, `word` -> <code>word</code>."""
    return Markup(re.sub(r"\*([^*]+)\*", r"<b>\1</b>", str(_code(text))))


def _shorten(text: str) -> str:
    if len(text) <= LONGEST_TURN:
        return text
    return f"{text[:LONGEST_TURN]} … ({len(text) - LONGEST_TURN:,} more characters)"


def _position(value: float, low: float = 0.0, high: float = 1.0) -> str:
    """Where a value lies between two ends, as a CSS percentage."""
    return f"{100 * min(1.0, max(0.0, (value - low) / (high - low))):.2f}%"
