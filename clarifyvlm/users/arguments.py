"""Who plays the simulated user: the flags, and what a user is asked."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from clarifyvlm.config import option
from clarifyvlm.endpoint.arguments import speed_only, with_flags
from clarifyvlm.records import Example


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
