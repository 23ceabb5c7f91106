"""What the report says first: what tuning changed, what it cost, how far the judge can be trusted, what to try next.

Sentences of our own; *numbers* stand between asterisks, `code` between backticks.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from measures.judged import title
from reporting import tables

STAGES = ("base", "sft", "grpo")
FEWEST = 20  # examples from which on a strategy can be called the weakest
LOW_AFTER_REPLY = 0.8  # share of right answers after the reply below which dialogues are worth training on
SITUATIONS = {  # strategy -> when it is right, within a sentence
    "answer": "a plain answer is right",
    "infer": "one reading stands out and should be named",
    "enumerate": "it should list two or three readings",
    "clarify": "it should ask back",
    "correct": "the question assumes something that is not in the picture",
    "abstain": "the picture cannot tell",
}


@dataclass(frozen=True)
class Card:
    title: str
    text: str
    href: str  # of the section or the examples behind it
    link: str


def shown(names: Sequence[str]) -> list[str]:
    """The models that the story is about, the last of which is its subject: base, SFT, GRPO (the first folder of
    each); where none is SFT or GRPO, the first three and the last."""
    chain: dict[str, str] = {}
    for name in names:
        if found := re.match(r"(base|sft|grpo)(?![A-Za-z0-9])", name):
            chain.setdefault(found[1], name)
    if {"sft", "grpo"} & set(chain):
        return [chain[stage] for stage in STAGES if stage in chain]
    return list(dict.fromkeys([*names[:3], names[-1]]))


def sentences(content: dict) -> list[str]:
    """Three sentences on the subject, beside the models before it."""
    rows = content["models"]
    *before, subject = shown(list(rows))

    def say(key: str, name: str = subject) -> str:
        value = rows[name][key]["value"]
        return "n/a" if value is None else f"{tables.number(value)}\N{NO-BREAK SPACE}%"

    def of(key: str) -> str:
        return f"*{say(key)}*"

    def others(key: str) -> str:
        return f" ({', '.join(f'{title(name)} {say(key, name)}' for name in before)})" if before else ""

    who, key = title(subject), "right_in_the_end"
    return [
        f"{who} gets {of(key)} of the questions right in the end, counting the user's reply when it asks{others(key)}.",
        f"Where a plain answer is not right, it asserts one all the same in {of('overconfident')} of the "
        f"cases{others('overconfident')}.",
        f"It asks needlessly about {of('over_asked')} of the questions with a single answer{others('over_asked')}.",
    ]


def cards(content: dict, audit_command: str) -> list[Card]:
    return [_cost(content), _judge(content, audit_command), _next(content)]


def _cost(content: dict) -> Card:
    found, heading = content.get("tuning_cost"), "What tuning cost"
    if not found:
        text = "Not measured: `--unambiguous_file` compares the models on plain questions with one reading."
        return Card(heading, text, "#overview", "All metrics")
    name = shown(list(found["models"]))[-1]
    row, before = found["models"][name], found["models"][found["before"]]
    text = (
        f"On {found['examples']:,} plain questions, {title(name)} answers *{tables.number(row['accuracy']['value'])} %*"
    )
    if change := row["difference"]:
        value, low, high = (tables.number(change[key], signed=True) for key in ("value", "low", "high"))
        text += f" right; {title(found['before'])} *{tables.number(before['accuracy']['value'])} %* "
        text += f"({value} points, 95 %: {low} to {high})."
        changes = {kind: lost["value"] for kind, lost in row["difference_by_kind"].items() if lost}
        if changes and min(changes.values()) < 0:
            kind = min(changes, key=changes.get)
            text += f" Largest loss: {kind} (*{tables.number(changes[kind], signed=True)}* points)."
    else:
        text += " right."
    return Card(heading, text, "#tuning_cost", "By kind of question")


def _judge(content: dict, audit_command: str) -> Card:
    audit, heading = content.get("judge_audit"), "Can the judge be trusted?"
    if not audit:
        return Card(heading, f"Not measured. This does it: `{audit_command}`", "#judge", "The judge")
    natural = audit["natural"] and audit["natural"]["files"]["blind"]
    constructed = audit["criteria"].get("used_strategy", {}).get("accuracy")
    text = "It was audited."
    if natural and natural["used_strategy"]["value"] is not None:
        false = natural["ungrounded_paid"]["value"]
        text = f"On {natural['understood']['n']:,} natural responses with known labels, on which it was not tuned, "
        text += f"it recognizes the strategy in *{tables.number(natural['used_strategy']['value'])} %*"
        text += "." if false is None else f" and takes *{tables.number(false)} %* of the false claims for true."
    elif constructed and constructed["value"] is not None:
        text = f"On {constructed['n']:,} constructed responses with known labels, it recognizes the strategy in "
        text += f"*{tables.number(constructed['value'])} %*."
    if audit["not_audited"]:
        text += " That is another judge than the one used here."
    return Card(heading, text, "#judge", "The audit")


def _next(content: dict) -> Card:
    rows = content["models"]
    name = shown(list(rows))[-1]
    row, heading = rows[name], "What to try next"
    known = {s: e["value"] for s, e in row["strategy_accuracy"].items() if e["n"] >= FEWEST}
    after = row["answer_accuracy_after_reply"]
    if after["n"] >= FEWEST and after["value"] < min([LOW_AFTER_REPLY, *known.values()]):
        text = f"After the user's reply, {title(name)} is right in only *{tables.number(after['value'])} %* of "
        text += f"{after['n']:,} dialogues. Train on more of them: `--turns 2` and `--round clarify=N` of GRPO."
        return Card(heading, text, gallery_link(model=name, strategy="clarify", used="clarify"), "These dialogues")
    if not known:
        return Card(heading, "Too few examples to say. Test on more of them.", "#strategies", "By strategy")
    weakest = min(known, key=known.get)
    text = f"{title(name)} is weakest where {SITUATIONS[weakest]}: *{tables.number(known[weakest])} %*. "
    text += f"Look at these examples, then train on more of them (`--round {weakest}=N` of GRPO)."
    return Card(heading, text, gallery_link(model=name, strategy=weakest), "These examples")


def gallery_link(**filters: str) -> str:
    """The address of the gallery with its filters set; report.js reads it."""
    chosen = {name: value for name, value in filters.items() if value}
    return "#gallery" + (f"&{urlencode(chosen)}" if chosen else "")
