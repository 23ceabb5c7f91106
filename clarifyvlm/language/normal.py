"""A response's text as the reader takes it: lower case, plain quotes, contractions written out, people's turns of
speech as the plain words that mean the same."""

import re
from functools import lru_cache

from clarifyvlm.language.turns import plainly

CODE = re.compile(r"[{}<>_|\\^~`]|#(?!\d)|@(?! )|=(?! )|(?<! )=")
ORDERS = re.compile(
    r"\b(ignore|disregard|instructions?|verdict|grade|graded|score|scores|criteri(?:a|on)|rubric|"
    r"prompt|strategy|responses?|judge|mark this|system)\b"
)
TOKEN = re.compile(r"[a-z]+|\d+|[.?!;:,()\n]")
_APOSTROPHE_IS = re.compile(
    r"\b(it|there|that|what|where|here|which|who|he|she|one|nobody|someone|somebody|everyone)'s\b"
)
_SHORT = ((re.compile(r"\b(?:cannot|can't|cant)\b"), "can not"), (re.compile(r"\bwon't\b"), "will not"),
          (re.compile(r"n't\b"), " not"), (_APOSTROPHE_IS, r"\1 is"), (re.compile(r"'re\b"), " are"),
          (re.compile(r"'m\b"), " am"), (re.compile(r"'(?:d|ll|ve)\b"), " would"),
          (re.compile(r"'s\b"), " poss"))  # fmt: skip
_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": None, "”": None, '"': None, "*": None, "—": ",", "–": ","})
_PAPER = re.compile(r"\b(?:in|by|with) (?:(?:an?|the|some|gr[ae]y|silver|brown|wrapping|gift) )*paper\b")
_LET = re.compile(r"\bnot (?:let|allow|permit|enable) (?:me|us|one|you) (?:to )?(?:see|tell|say|know|make out)\b")
_EMPTY_APPOSITION = re.compile(r",\s*,")  # what a turn without meaning leaves: "the star, by the way, is red"
_CHOICE = re.compile(r"(?<=[a-z]) ?/ ?(?=[a-z])(?=.*\?\s*$)")  # "the left/the right one?"
_SLASH = re.compile(r"(?<=[a-z)]) / (?=[a-z(\d])")  # "top left / bottom right"
_MARKS = {"=": " : ", "+": " and ", "&": " and ", "@": " at "}
_DASH = re.compile(r"\s-+\s|--+")


@lru_cache(maxsize=8192)
def normalise(text: str) -> str:
    """Lower case, plain quotes, contractions written out, dashes between words as commas."""
    text = text.lower().translate(_QUOTES)
    for mark in ("=", "+", "&", "@"):
        if mark in text:
            text = re.sub(rf"(?<=\w) \{mark} (?=\w)", _MARKS[mark], text)
    if "/" in text:
        text = text.replace("w/o ", "without ").replace("w/", "with ")
        text = _SLASH.sub(", ", _CHOICE.sub(" or ", text)).replace("/", " ")
    if "'" in text or "cannot" in text or "cant" in text:
        for pattern, replacement in _SHORT:
            text = pattern.sub(replacement, text)
        text = text.replace("'", "")
    if "paper" in text:
        text = _PAPER.sub(" ", text)  # its color is the wrapping's
    if " not " in text:
        text = _LET.sub("not tell", text)
    if "-" in text:
        text = _DASH.sub(", ", text).replace("-", " ")
    text = plainly(text)
    if text.count(",") > 1:
        text = _EMPTY_APPOSITION.sub(" ", text)
    if "no way" in text:
        text = text.replace("no way", "impossible")
    return text
