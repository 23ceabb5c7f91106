"""Example -> chat messages. The one builder: SFT, GRPO and inference call it, so that training and inference cannot
drift apart. The picture is passed beside the messages; `{"type": "image"}` only marks where it goes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clarifyvlm.records import Example, Turn


def user_turn(question: str) -> list[dict]:
    """The conversation so far when a user has shown a picture and asked `question`."""
    return [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]


def text_turn(role: str, text: str) -> dict:
    return {"role": role, "content": [{"type": "text", "text": text}]}


def messages(example: "Example", turns: "Sequence[Turn]" = ()) -> list[dict]:
    """The conversation on `example` after further `turns` (assistant, user, ...)."""
    return user_turn(example.question) + [text_turn(turn.role, turn.text) for turn in turns]


def reference_messages(example: "Example") -> list[tuple[list[dict], list[dict]]]:
    """(prompt messages, completion messages) for every assistant turn that `example` teaches.

    One row, or two for an item with a dialogue: the clarifying question, then the answer after the user's reply.
    """
    first = example.dialogue.question if example.dialogue else example.reference
    rows = [(user_turn(example.question), [text_turn("assistant", first)])]
    if example.dialogue:
        history = [*user_turn(example.question), text_turn("assistant", first)]
        history.append(text_turn("user", example.dialogue.reply))
        rows.append((history, [text_turn("assistant", example.dialogue.answer)]))
    return rows
