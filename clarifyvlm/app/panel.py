"""The side panel of the demo, as HTML: what the models did with a question. Whatever a model or a user said is text."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from clarifyvlm.app.talk import Talk
from clarifyvlm.records import Example, Verdict
from clarifyvlm.strategies import STRATEGIES

if TYPE_CHECKING:
    from PIL import Image

DRAWN = 480  # pixels, the longer side of the picture with its readings
TITLE = """<h1>ClarifyVLM</h1>
<p>A question about a picture can mean several things. Ask one, and see whether the model notices: it answers, lists,
asks back, corrects you, or says that it cannot tell.</p>"""


def notice(text: str, role: str = "alert") -> str:
    """A sentence to the user, where something is wrong ("alert") or to be kept in mind ("note")."""
    return f"<p role={role}>{escape(text)}</p>" if text else ""


def empty(annotated: Mapping[str, Example] = {}) -> str:
    """Before the first question: what there is to ask about a scene (demo.js puts it into the box), or the six
    strategies."""
    questions = "".join(
        f"<li><button type=button class=question>{escape(e.question)}</button> <small>{e.strategy}</small></li>"
        for e in sorted(annotated.values(), key=lambda e: e.strategy == "answer")
    )
    known = f"<h2>Questions to try</h2><ul class=questions>{questions}</ul>" if questions else ""
    rows = "".join(f"<dt>{name}</dt><dd>{escape(when)}</dd>" for name, when in STRATEGIES.items())
    return f"{known}<h2>Six strategies, and when each is right</h2><dl class=strategies>{rows}</dl>"


def of(talks: Sequence[Talk], speaking: Talk | None = None, growing: str | None = None) -> str:
    """What each model did; `growing` is what the one that is `speaking` has said so far of its next turn."""
    first = talks[0]
    cards = [_card(talk, growing if talk is speaking else None) for talk in talks]
    others = f"<h2>The same question to earlier stages</h2>{''.join(cards[1:])}" if len(cards) > 1 else ""
    return f"<h2>What {escape(first.speaker.name)} did</h2>{cards[0]}{_readings(first)}{others}"


def _card(talk: Talk, growing: str | None) -> str:
    """One model: its turns with the strategy and the confidence of each."""
    turns = []
    for number, (said, verdict) in enumerate(zip(talk.said, talk.verdicts, strict=True)):
        right = verdict.criteria.get("strategy_right") if talk.known and number == 0 else None
        mark = {1.0: " <b class=right>right</b>", 0.0: " <b class=wrong>not right here</b>"}.get(right, "")
        false = talk.known and number == 0 and verdict.criteria.get("grounded") == 0
        distorts = " <b class=wrong>makes a false claim</b>" if false else ""
        cut = " <i>(cut: --max_new_tokens)</i>" if said.finish_reason == "length" else ""
        turns.append(
            f"<q>{escape(said.text or '(nothing)')}</q>{cut}"
            f"<p><span class=strategy>{_strategy(talk, verdict)}</span>{mark}{distorts}"
            f" <meter min=0 max=1 value={said.confidence:.3f}></meter> {said.confidence:.0%} confident</p>"
        )
    if growing is not None:
        turns.append(f"<q>{escape(growing)}</q>")
    return f"<section class=card><h3>{escape(talk.speaker.name)}</h3>{''.join(turns) or '<p>...</p>'}</section>"


def _strategy(talk: Talk, verdict: Verdict) -> str:
    used = verdict.used_strategy
    if used is None:
        return (verdict.failure or "not_understood").replace("_", " ")
    if used == "none":
        return "no strategy" if talk.known else "unclear"
    return used if talk.known else f"{used}, by its words"


def _readings(talk: Talk) -> str:
    if not talk.known:
        return "<p class=hint>The readings of this question are not annotated for this picture.</p>"
    example = talk.example
    right = f"Right here: <b>{example.strategy}</b> ({escape(STRATEGIES[example.strategy])})."
    readings = example.ambiguity.readings
    if not readings:
        return f"<p class=hint>{right} Nothing in the picture is what the question asks about.</p>"
    rows = "".join(
        f"<li>{escape(r.expression)}: <b>{escape(r.answer) if r.answer else 'the picture does not show it'}</b></li>"
        for r in readings
    )
    head = "One reading" if len(readings) == 1 else f"{len(readings)} readings"
    return f"<p class=hint>{right}</p><h3>{head}</h3>{_drawn(talk)}<ol class=readings>{rows}</ol>"


def _drawn(talk: Talk) -> str:
    """The picture with a numbered box around the objects of each reading, and a ring where the user clicked; "" where
    no reading has an object with a box."""
    facts, shapes = talk.example.facts, []
    boxes = {o.id: o.box for o in facts.objects if o.box}
    unit = max(facts.width, facts.height) / 100
    for number, reading in enumerate(talk.example.ambiguity.readings, start=1):
        for left, top, right, bottom in (boxes[name] for name in reading.objects if name in boxes):
            shapes.append(
                f"<rect x={left:.1f} y={top:.1f} width={right - left:.1f} height={bottom - top:.1f} />"
                f"<text x={left + unit:.1f} y={top + 7 * unit:.1f} font-size={7 * unit:.1f}>{number}</text>"
            )
    if not shapes:
        return ""
    if talk.pointed:
        x, y = talk.pointed
        shapes.append(f"<circle cx={x * facts.width:.1f} cy={y * facts.height:.1f} r={3 * unit:.1f} />")
    return (
        f'<svg class=drawn role=img aria-label="The readings in the picture" viewBox="0 0 {facts.width} {facts.height}"'
        f' stroke-width={unit:.2f}><image href="{_data(talk.picture)}" width={facts.width} height={facts.height} />'
        f"{''.join(shapes)}</svg>"
    )


def _data(picture: "Image.Image") -> str:
    """A picture as a data: address."""
    small, buffer = picture.copy(), io.BytesIO()
    small.thumbnail((DRAWN, DRAWN))
    small.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
