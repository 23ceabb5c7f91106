"""The side panel of the demo, as HTML: what the models did with a question. Whatever a model or a user said is text."""

from collections.abc import Mapping, Sequence
from html import escape

from clarifyvlm.app.talk import Talk
from clarifyvlm.records import Example, Verdict
from clarifyvlm.strategies import STRATEGIES

TITLE = """<h1>ClarifyVLM</h1>
<p>A question about a picture can mean several things. Ask one, and see whether the model notices: it answers, lists,
asks back, corrects you, or says that it cannot tell.</p>"""


def notice(text: str) -> str:
    """A sentence to the user, where something is wrong."""
    return f"<p role=alert>{escape(text)}</p>" if text else ""


def empty(annotated: Mapping[str, Example] = {}) -> str:
    """Before the first question: what there is to ask about a scene, or the six strategies."""
    questions = "".join(f"<li>{escape(e.question)}</li>" for e in annotated.values())
    known = f"<h2>Questions whose readings are known here</h2><ul class=questions>{questions}</ul>" if questions else ""
    rows = "".join(f"<dt>{name}</dt><dd>{escape(when)}</dd>" for name, when in STRATEGIES.items())
    return f"{known}<h2>What a model can do</h2><dl class=strategies>{rows}</dl>"


def of(talks: Sequence[Talk], speaking: Talk | None = None, growing: str | None = None) -> str:
    """What each model did; `growing` is what the one that is `speaking` has said so far of its next turn."""
    first = talks[0]
    cards = [_card(talk, growing if talk is speaking else None) for talk in talks]
    others = f"<h2>The same, put to what it was made from</h2>{''.join(cards[1:])}" if len(cards) > 1 else ""
    return f"<h2>What {escape(first.speaker.name)} did</h2>{cards[0]}{_readings(first)}{others}"


def _card(talk: Talk, growing: str | None) -> str:
    """One model: its turns with the strategy and the confidence of each."""
    turns = []
    for number, (said, verdict) in enumerate(zip(talk.said, talk.verdicts, strict=True)):
        right = verdict.criteria.get("strategy_right") if talk.known and number == 0 else None
        mark = {1: " <b class=right>right</b>", 0: " <b class=wrong>not right here</b>"}.get(right, "")
        false = talk.known and number == 0 and verdict.criteria.get("grounded") == 0
        distorts = " <b class=wrong>claims what is not so</b>" if false else ""
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
        return "<p class=hint>Nobody has annotated what this question can mean here.</p>"
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
    return f"<p class=hint>{right}</p><h3>{head}</h3><ul class=readings>{rows}</ul>"
