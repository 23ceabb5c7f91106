"""Text that is code to a model: "<image>", "<|im_end|>" and other control tokens in a question, an answer or a reply.

A tokenizer takes them for the tokens that its chat template writes, wherever they stand, and a processor puts a
picture in the place of each "<image>". A space after their first character makes them the plain text that they are.
A server does the same with what it is sent, and does not say which tokens its model has: there, all that look like one
are meant.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

_TAGS = "image|video|img|box|ref|IMG_CONTEXT|start_of_image|end_of_image|image_soft_token|start_of_turn|end_of_turn"
_TAGS += r"|fake_token_around_image|global-img|row_\d+_col_\d+|end_of_utterance|s|bos|eos|pad|unk"
LIKE_ONE = re.compile(rf"<\|[^|<>\s]{{1,60}}\|>|</?(?:{_TAGS})>|\[/?(?:IMG|IMG_BREAK|IMG_END|INST|SYSTEM_PROMPT)\]")


def plain(processor, conversation: Sequence[dict]) -> list[dict]:
    """The conversation with no control token in its texts. Other texts stay as they are."""
    return _without(_control(processor), conversation)


def plain_to_a_server(messages: Sequence[dict]) -> list[dict]:
    """Chat messages, whose content is a text or has parts, with nothing in their texts that looks like a control token
    of some model."""
    return _without(LIKE_ONE, messages)


def _without(control: re.Pattern, messages: Sequence[dict]) -> list[dict]:
    found = []
    for message in messages:
        content = message["content"]
        if isinstance(content, str):
            message = {**message, "content": _plain(control, {"text": content})["text"]}
        elif any(control.search(part.get("text", "")) for part in content):
            message = {**message, "content": [_plain(control, part) for part in content]}
        found.append(message)
    return found


def _plain(control: re.Pattern, part: dict) -> dict:
    return {**part, "text": control.sub(lambda m: f"{m[0][0]} {m[0][1:]}", part["text"])} if "text" in part else part


@lru_cache(maxsize=8)
def _control(processor) -> re.Pattern:
    """The control tokens of a processor: its tokenizer's special ones, and those that it names itself."""
    tokenizer = processor.tokenizer
    found = set(tokenizer.all_special_tokens)
    found |= {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    for holder in (processor, tokenizer):
        named = (getattr(holder, name, None) for name in vars(holder) if name.endswith("_token"))
        found |= {str(token) for token in named if token}
    longest_first = sorted((t for t in found if len(t) > 1 and not t.isspace()), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
