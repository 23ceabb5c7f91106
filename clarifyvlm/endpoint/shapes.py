"""What an endpoint said, whatever shape it came in: the message of a chat completion, and the JSON object in a text.

Text comes out mended: half an emoji or a null would stop who writes it down later, and every rerun.
"""

import json
import re

from clarifyvlm.language.layout import after_reasoning

_NO_TEXT = re.compile("[\ud800-\udfff\0]")
_ESCAPED = re.compile(r"\\u(?:d[89a-f]|0000)", re.I)
_LAST_COMMA = re.compile(r",(\s*[}\]])")
_SPOKEN = ("text", "output_text")  # kinds of parts; thinking, pictures, ... are others
_THOUGHT = ("reasoning_content", "reasoning")


def mended(text: str) -> str:
    """The text with U+FFFD for what no file can hold."""
    return _NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", text)


def completion(data: bytes) -> dict:
    """The body of a chat completion, one that was streamed too. ValueError where it is no JSON object."""
    text = data.decode("utf-8-sig", "replace").strip()
    body = _joined(text) if text.startswith(("data:", ":", "event:")) else json.loads(text)
    if not isinstance(body, dict):
        raise ValueError("no JSON object")
    return body


def said_in(message: dict, finish: str | None) -> str | None:
    """The model's words: `content`, whole or in parts; where there is none, the arguments of the tool that it called,
    or what a server took for its reasoning though it came to an end."""
    said = _text(message.get("content"))
    if not said.strip():
        calls = [call.get("function") or {} for call in message.get("tool_calls") or [] if isinstance(call, dict)]
        said = next((c["arguments"] for c in calls if isinstance(c.get("arguments"), str)), "")
    if not said.strip() and finish != "length":
        said = next((text for name in _THOUGHT if (text := _text(message.get(name))).strip()), "")
    return mended(said) if said.strip() else None


def json_object(text: str) -> dict:
    """The JSON object in a reply: after its reasoning, in a code fence or between sentences, also with a comma after
    the last value. Of several, the last that is no mere aside. ValueError: there is none."""
    try:
        content = _object(text)
    except ValueError:
        content = _found(after_reasoning(text)) or _found(text)
        if content is None:
            raise ValueError("no JSON object in the reply") from None
    return _mended(content) if _ESCAPED.search(text) else content


def _mended(value):
    if isinstance(value, dict):
        return {mended(name): _mended(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_mended(inner) for inner in value]
    return mended(value) if isinstance(value, str) else value


def _object(text: str) -> dict:
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("JSON in too many brackets") from None
    if not isinstance(content, dict):
        raise ValueError("no JSON object")
    return content


def _found(text: str) -> dict | None:
    """A last comma is passed over only where more of the text is JSON without it."""
    objects = max((_objects(form) for form in (text, _LAST_COMMA.sub(r"\1", text))), key=_longest)
    return next((content for length, content in reversed(objects) if 2 * length >= _longest(objects)), None)


def _objects(text: str) -> list[tuple[int, dict]]:
    """(length, content) of the JSON objects in a text, those within others apart."""
    objects, at = [], text.find("{")
    while at >= 0:
        try:
            content, end = json.JSONDecoder().raw_decode(text, at)
            objects.append((end - at, content))
        except (ValueError, RecursionError):
            end = at + 1
        at = text.find("{", end)
    return objects


def _longest(objects: list[tuple[int, dict]]) -> int:
    return max((length for length, _ in objects), default=0)


def _text(content) -> str:
    """A message's content: a string, or the parts of a list that are spoken."""
    if isinstance(content, list):
        parts = [part if isinstance(part, dict) else {"type": "text", "text": part} for part in content]
        spoken = (part.get("text") for part in parts if part.get("type", "text") in _SPOKEN)
        return "".join(text for text in spoken if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _joined(text: str) -> dict:
    """The chunks of a stream (server-sent events) as the completion that they make. ValueError where it broke off."""
    lines = [line[5:].strip() for line in text.split("\n") if line.startswith("data:")]  # U+2028 ends no line
    chunks = [json.loads(line) for line in lines if line and line != "[DONE]"]
    message: dict = {"role": "assistant", "content": ""}
    finish = None
    usage: dict = {}
    for chunk in chunks:
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices") or []:
            said = choice.get("delta") or choice.get("message") or {}
            for name in ("content", *_THOUGHT):
                message[name] = message.get(name, "") + _text(said.get(name))
            finish = choice.get("finish_reason") or finish
    if not any(chunk.get("choices") for chunk in chunks):
        return chunks[0] if chunks else {}
    if any(chunk.get("error") for chunk in chunks) or not (finish or "[DONE]" in lines):
        raise ValueError("the stream broke off")
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}
