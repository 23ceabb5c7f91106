"""What an endpoint does not take, found out by what it says of it, and how a call is put to it then."""

import re

SMALLEST_ROOM = 16  # tokens; a reply with less room is none
# What is turned down (the words that say so; what is done from then on), the first that fits.
TURNED_DOWN = {
    "no stream": (
        r"only supports? stream|stream mode|non-?streaming|enable the stream|stream(?:ing)? (?:is required|must be)",
        "it answers in streams only: it is asked for them",
    ),
    "response_format": (
        r"response_?format|json_?schema|json schema|structured.?output|guided|grammar",
        "it takes no JSON schema (response_format): it is asked in words instead, and more of its replies may be "
        "unusable",
    ),
    "logprobs": (r"logprobs", "it gives no logprobs: there is no confidence"),
    "max_tokens": (
        r"(?s)^(?!.*(?:too large|too small|at least|exceed|greater)).*\bmax_tokens\b",
        "it takes no max_tokens: max_completion_tokens is sent instead",
    ),
    "top_p": (r"\btop_p\b", "it takes no top_p: its own is used"),
    "temperature": (
        r"\btemperature\b",
        "it takes no temperature 0: its own is used, and it may say another thing the next time",
    ),
    "seed": (r"\bseed\b", "it takes no seed: what is drawn differs from run to run"),
    "system": (
        r"system.?(?:role|prompt|message|instruction)|role.{0,24}system|[\"'`]system[\"'`]|developer instruction"
        r"|roles must alternate",
        "it takes no system message: its words lead the user's",
    ),
}
_TOO_SMALL = re.compile(
    r"could not finish the message|output limit was reached|increase max_(?:completion_)?tokens", re.I
)
_TOO_LARGE = (  # how servers say how many tokens a reply may have: groups (most) or (most, taken by the request)
    re.compile(r"> (\d+) - (\d+)"),
    re.compile(r"max_(?:completion_)?tokens: \d+ > (\d+)"),
    re.compile(r"at most (\d+) (?:completion |output |new )?tokens"),
    re.compile(r"maximum context length (?:is|of) (\d+).{0,80}?(\d+) (?:input tokens|in the messages)", re.S),
)
_FLAGGED = re.compile(
    r"flagged|moderat|content.?(?:filter|policy|management)|inappropriate|usage (?:polic|guideline)|safety"
    r"|data.?inspection|high risk|invalid_prompt",
    re.I,
)


def too_small(words: str) -> bool:
    """Whether the reply did not fit into the tokens allowed, where that is an error of the server."""
    return bool(_TOO_SMALL.search(words))


def room(words: str, asked: int) -> int | None:
    """How many tokens a reply may have, where the server says that `asked` are too many."""
    for pattern in _TOO_LARGE:
        if found := pattern.search(words):
            most, *taken = map(int, found.groups())
            left = most - sum(taken)
            return left if SMALLEST_ROOM <= left < asked else None
    return None


def flagged(words: str) -> bool:
    """Whether a filter turned the request down, and not the server."""
    return bool(_FLAGGED.search(words))


class Habits:
    """What one endpoint has turned down so far."""

    def __init__(self):
        self.lacks: set[str] = set()

    def learn(self, words: str, body: dict, lacked: set[str]) -> str | None:
        """What is to be left out, by the server's words about `body`, which was put without what it `lacked`. None
        where they name nothing that was in it."""
        words, names = words.lower(), [name for name in TURNED_DOWN if name not in lacked and _has(body, name)]
        return next((name for name in names if re.search(TURNED_DOWN[name][0], words)), None)

    def put(self, body: dict) -> dict:
        """The body as this endpoint takes it."""
        body = {name: value for name, value in body.items() if name not in self.lacks or name == "max_tokens"}
        if "max_tokens" in self.lacks and "max_tokens" in body:
            body["max_completion_tokens"] = body.pop("max_tokens")
        if "no stream" in self.lacks:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if "system" in self.lacks:
            body["messages"] = _without_system(body["messages"])
        return body


def _has(body: dict, name: str) -> bool:
    if name == "system":
        return any(message["role"] == "system" for message in body["messages"])
    return name == "no stream" or name in body


def _without_system(messages: list[dict]) -> list[dict]:
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    rest = [message for message in messages if message["role"] != "system"]
    if not system or not rest:
        return messages
    first = rest[0]["content"]
    if isinstance(first, list):
        content: str | list = [{"type": "text", "text": system}, *first]
    else:
        content = f"{system}\n\n{first}"
    return [rest[0] | {"content": content}, *rest[1:]]
