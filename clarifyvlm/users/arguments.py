"""Who plays the simulated user: the flags, and what a user is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from clarifyvlm.config import option, parse_weights
from clarifyvlm.endpoint.arguments import speed_only, with_flags
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example

USER_KINDS = {
    "helpful": "says what was asked for, and no more",
    "terse": "says the same in as few words as will do",
    "changes_mind": "names another reading first, and then the one they mean",
    "unsure": "does not know",
    "wrong": "describes something that is none of the readings",
    "off_topic": "talks of something else",
}


class Asked(NamedTuple):
    """A response that a user has heard. `reading` indexes example.ambiguity.readings; `turn` counts the replies;
    `seed` draws the words."""

    example: Example
    response: str
    reading: int
    kind: str
    turn: int
    seed: str = ""


@with_flags("user", without=("max_tokens", "max_calls", "budget_usd", "input_price", "output_price"))
@dataclass
class UserArguments:
    """Who plays the user of --turns 2 and 3."""

    user: Literal["scripted", "openai"] = option(
        "openai: a language model behind an OpenAI-compatible endpoint", "scripted"
    )
    reply_forms: Literal["train", "held_out"] = option(
        "held_out: words that no training used (clarifyvlm/users/replies.yaml); for evaluation", "train"
    )


SPEED_ONLY = speed_only("user")  # these change nothing that is said: a rerun may change them


def parse_kinds(tokens: Sequence[str], flag: str) -> dict[str, float]:
    """["helpful=0.6", "terse=0.4"], ["helpful"] -> weight per kind of user. UserError, with the `flag`, for others."""
    weights = parse_weights(flag, tokens, "kind=weight, as in terse=0.2", alone=1.0)
    if unknown := [kind for kind in weights if kind not in USER_KINDS]:
        raise UserError(f"{flag}: no user is {unknown[0]!r}; there are {', '.join(USER_KINDS)}.")
    return weights
