"""Who plays the simulated user: the flags, and what a user is asked."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

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
