"""Text that is code to a model: "<image>", "<|im_end|>" and other control tokens in a question, an answer or a reply.

A tokenizer takes them for the tokens that its chat template writes, wherever they stand, and a processor puts a
picture in the place of each "<image>". A space after their first character makes them the plain text that they are.
"""

import re
from collections.abc import Sequence
from functools import lru_cache


def plain(processor, conversation: Sequence[dict]) -> list[dict]:
    """The conversation with no control token in its texts. Other texts stay as they are."""
    control = _control(processor)
    return [
        {**message, "content": [_plain(control, part) for part in message["content"]]}
        if any(control.search(part.get("text", "")) for part in message["content"])
        else message
        for message in conversation
    ]


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
