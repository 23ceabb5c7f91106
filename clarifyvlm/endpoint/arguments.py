"""The flags of a model behind an endpoint, alike for every role that one plays (judge, user, author, ...), and the
endpoint that they describe."""

from dataclasses import make_dataclass
from typing import TYPE_CHECKING, Any

from clarifyvlm import processes
from clarifyvlm.config import option
from clarifyvlm.endpoint.usage import Usage
from clarifyvlm.errors import UserError
from clarifyvlm.paths import cache_folder

if TYPE_CHECKING:
    from clarifyvlm.endpoint.client import Endpoint

FLAGS: dict[str, tuple] = {  # name -> (type, default, help, limits if any); a role's flags are --<role>_<name>
    "model": (str | None, None, "model name at the endpoint"),
    "base_url": (str | None, None, "OpenAI-compatible endpoint, e.g. http://localhost:8000/v1; unset: OPENAI_BASE_URL"),
    "api_key_env": (str, "OPENAI_API_KEY", "environment variable with its key"),
    "timeout_s": (float, 60.0, "deadline of one call with its retries, seconds", {"above": 0}),
    "max_retries": (int, 3, "retries on 408/409/429/5xx and lost connections", {"min": 0}),
    "concurrency": (int, 16, "calls in flight at once, over all processes", {"min": 1}),
    "max_tokens": (int, 1024, "longest reply, tokens", {"min": 1}),
    "max_calls": (int | None, None, "stop, with everything kept, at so many calls", {"min": 0}),
    "budget_usd": (float | None, None, "stop likewise at this cost; needs prices", {"min": 0}),
    "input_price": (float, 0.0, "USD per million tokens sent", {"min": 0}),
    "output_price": (float, 0.0, "USD per million tokens received", {"min": 0}),
    "cache_dir": (str | None, None, "folder of the replies kept; unset: ~/.cache/clarifyvlm"),
}
# How fast, how patiently and for how much a model is asked changes nothing that it says.
_SPEED_ONLY = tuple(name for name in FLAGS if name not in ("model", "base_url", "max_tokens"))


def with_flags(role: str, without: tuple[str, ...] = (), **defaults):
    """Class decorator: a dataclass with the fields of the class, then --<role>_<name> for every name of FLAGS.

    `without`: names that this role has no use for; `defaults`: name -> another default.
    """

    def add(cls: type) -> type:
        flags = [
            (f"{role}_{name}", kind, option(text, defaults.get(name, default), **(limits[0] if limits else {})))
            for name, (kind, default, text, *limits) in FLAGS.items()
            if name not in without
        ]
        own = {"__doc__": cls.__doc__, "__module__": cls.__module__}
        return make_dataclass(cls.__name__, flags, bases=(cls,), namespace=own)

    return add


def speed_only(role: str) -> tuple[str, ...]:
    """The flags of a role that a rerun may change."""
    return tuple(f"{role}_{name}" for name in _SPEED_ONLY)


def make_endpoint(
    args: Any, prefix: str, *, role: str | None = None, usage: Usage | None = None, cache: bool = True, **changes
) -> "Endpoint":
    """The endpoint that the flags --<prefix>_... describe; no connection is opened.

    `role`: who speaks there, where it is not the one of the flags; `changes`: arguments of Endpoint in place of a flag
    (None: the flag's). UserError where flags lack.
    """
    from clarifyvlm.endpoint.cache import ReplyCache  # the client is slow to import: flags are read without it
    from clarifyvlm.endpoint.client import Endpoint

    given = {name: getattr(args, f"{prefix}_{name}", default) for name, (_, default, *_) in FLAGS.items()}
    given |= {name: value for name, value in changes.items() if value is not None}
    if not given["model"]:
        raise UserError(f"an endpoint needs --{prefix}_model, the name of the model there.")
    limits = [given.pop(name) for name in ("max_calls", "budget_usd", "input_price", "output_price")]
    if limits[1] is not None and not any(limits[2:]):
        raise UserError(
            f"--{prefix}_budget_usd needs --{prefix}_input_price and --{prefix}_output_price (USD per million tokens)."
        )
    folder = given.pop("cache_dir")
    return Endpoint(
        **given,
        role=role or prefix,
        cache=ReplyCache(folder or cache_folder(), role=prefix, must=folder is not None) if cache else None,
        usage=usage or Usage(*map(processes.part_of, limits[:2]), *limits[2:]),
    )
