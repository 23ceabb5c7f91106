"""Who plays the simulated user: the script of user.py, exact on scenes, or a language model (user_llm.py), for
photographs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from clarifyvlm.errors import UserError
from clarifyvlm.records import Example


class Asked(NamedTuple):
    """A response that a user has heard. `reading` indexes example.ambiguity.readings; `turn` counts the replies."""

    example: Example
    response: str
    reading: int
    kind: str
    turn: int


@dataclass
class UserArguments:
    """Who plays the user of --turns 2 and 3."""

    user: Literal["scripted", "openai"] = field(
        default="scripted", metadata={"help": "openai: a language model behind an OpenAI-compatible endpoint"}
    )
    user_model: str | None = field(default=None, metadata={"help": "its name at the endpoint"})
    user_base_url: str | None = field(default=None, metadata={"help": "the endpoint; unset: OPENAI_BASE_URL"})
    user_api_key_env: str = field(default="OPENAI_API_KEY", metadata={"help": "environment variable with its key"})
    user_timeout_s: float = field(default=60.0, metadata={"help": "deadline of one call with its retries, seconds"})
    user_max_retries: int = field(default=3, metadata={"help": "retries on 408/409/429/5xx and lost connections"})
    user_concurrency: int = field(default=16, metadata={"help": "calls in flight at once"})
    user_cache_dir: str | None = field(
        default=None, metadata={"help": "folder of the replies kept; unset: ~/.cache/clarifyvlm"}
    )


# These change nothing that is said: a rerun may change them.
SPEED_ONLY = tuple(f"user_{name}" for name in ("api_key_env", "timeout_s", "max_retries", "concurrency", "cache_dir"))


def make_user(args: UserArguments, turns: int):
    """What has `replies(asked)`, a reply or None for each response, and `check()`. UserError where options lack, or
    nobody would reply in so many `turns`."""
    if args.user == "scripted":
        return Scripted()
    if turns == 1:
        raise UserError("--user openai: needs --turns 2 or 3, so that there is a reply.")
    if not args.user_model:
        raise UserError("--user openai: give --user_model, the model's name at the endpoint.")
    from clarifyvlm.user_llm import Played

    return Played(args)


class Scripted:
    def replies(self, asked: Sequence[Asked]) -> list[str | None]:
        """What the user says to each response; None where it asks nothing."""
        from clarifyvlm import user

        return [user.reply(a.example, a.response, a.reading, a.kind, a.turn) for a in asked]

    def check(self) -> None:
        """Nothing can be down."""
