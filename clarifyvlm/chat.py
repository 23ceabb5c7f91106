"""Example -> chat messages. The one builder: SFT, GRPO and inference call it, so that training and inference cannot
drift apart. The picture is passed beside the messages; `{"type": "image"}` only marks where it goes."""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clarifyvlm.records import Example, Turn


COST = "A right answer is worth 1. Each question that you ask costs {:g}."


def draw_cost(example: "Example", costs: "Sequence[float | None]") -> float | None:
    """The one of `costs` that this example is told in training; None where there are none."""
    return random.Random(f"{example.id}:cost").choice(costs) if costs else None


def user_turn(question: str, ask_cost: float | None = None) -> list[dict]:
    """The conversation so far when a user has shown a picture and asked `question`. `ask_cost`: what a question back
    costs them, told in a system message before it."""
    told = [] if ask_cost is None else [text_turn("system", COST.format(ask_cost))]
    return [*told, {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]


def text_turn(role: str, text: str) -> dict:
    return {"role": role, "content": [{"type": "text", "text": text}]}


def messages(example: "Example", turns: "Sequence[Turn]" = (), ask_cost: float | None = None) -> list[dict]:
    """The conversation on `example` after further `turns` (assistant, user, ...)."""
    return user_turn(example.question, ask_cost) + [text_turn(turn.role, turn.text) for turn in turns]


def reference_messages(example: "Example", ask_cost: float | None = None) -> list[tuple[list[dict], list[dict]]]:
    """(prompt messages, completion messages) for every assistant turn that `example` teaches.

    One row, or two for an item with a dialogue: the clarifying question, then the answer after the user's reply. The
    dearer a question is, the more examples list all readings in its place. Where that begins to pay differs between
    users, so that both are met, around a cost of a half; GRPO, which can only choose between what the model does now
    and then, finds out where it is.
    """
    first = example.dialogue.question if example.dialogue else example.reference
    said = first
    if ask_cost and example.dialogue and example.dialogue.listed:
        drawn = random.Random(f"{example.id}:listed")
        price = sum(drawn.random() for _ in range(3)) / 3  # what reading a list costs this user
        said = example.dialogue.listed if price < ask_cost else first
    rows = [(user_turn(example.question, ask_cost), [text_turn("assistant", said)])]
    if example.dialogue:
        history = [*user_turn(example.question, ask_cost), text_turn("assistant", first)]
        history.append(text_turn("user", example.dialogue.reply))
        rows.append((history, [text_turn("assistant", example.dialogue.answer)]))
    return rows
