"""A response's text as the reader takes it: lower case, plain quotes, contractions written out, people's turns of
speech (turns.py) as the plain words that mean the same."""

import re
from functools import lru_cache

from clarifyvlm.language.turns import TURNS

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

# Words that most sentences have: poor signs of a turn.
_COMMON = frozenset(
    "the of is are it its to in on at not no can that this you and or there one two three see tell do does be "
    "have has as for which what mean if with by from them they so all left right top bottom middle center red "
    "blue green yellow orange purple pink brown star stars circle circles square squares triangle triangles "
    "object objects picture color shape large small where wrapped blurred hidden because show take could count "
    "image one ones four five here me big an assuming".split()
)


def _alternatives(pattern: str) -> list[list[str]]:
    """The alternatives of a pattern, each as its parts: groups with their brackets, runs of letters, single signs."""
    parts = re.findall(r"\\.|\[(?:\\.|[^\]])*\]|\((?:\?(?:[:=!]|<[=!]))?|\)|[a-z]+|.", pattern)
    found, depth = [[""]], 0
    for part in parts:
        depth += part.startswith("(") - (part == ")")
        if part == "|" and not depth:
            found.append([""])
        elif depth and not part.startswith("(") or (depth > 1) or part == ")":
            found[-1][-1] += part
        else:
            found[-1].append(part)
    return found


def _needed(pattern: str) -> set[str]:
    """Words of which a text has at least one where the pattern fits it; none where that cannot be said."""
    needed: set[str] = set()
    for parts in _alternatives(pattern):
        choices = []
        for i, part in enumerate(parts):
            before, after = "".join(parts[i - 1 : i]), "".join(parts[i + 1 : i + 3])
            apart = before == "?" and parts[i - 2].endswith(" )")  # "(?:all )?over"
            if after.startswith(("?", "*", " ?")):
                continue  # it may be left out, or be part of a word: "half ?way"
            if part.startswith("(?:"):
                is_ending = before[-1:].isalpha() or (after[:1].isalpha() and part[-2] != " ")  # "overlap(?:s|ping)"
                choices.append(set() if is_ending else _needed(part[3:-1]))
            elif part.isalpha() and (apart or not before.endswith(("?", "]"))) and not after.startswith(("[", "(?:")):
                choices.append({part} if not before.endswith(")") or before.startswith("(?<") else set())
        choices = [words for words in choices if words]
        if not choices:
            return set()
        needed |= min(choices, key=lambda words: (len(words & _COMMON), len(words)))
    return needed


_BY_WORD: dict[str, list[int]] = {}  # a word -> the turns that it is a sign of, by their places in TURNS
_ALWAYS: list[int] = []
for _i, (_turn, _) in enumerate(TURNS):
    _words = _needed(_turn.pattern.removeprefix(r"\b(?:").removesuffix(r")\b"))
    for _signs in [_BY_WORD.setdefault(word, []) for word in _words] or [_ALWAYS]:
        _signs.append(_i)
_WORD = re.compile(r"[a-z]+")


def _plainly(text: str) -> str:
    """`text`, in lower case and without apostrophes, with its turns of speech as plain words."""
    due = _due(text, 0)
    while due:
        i = due.pop()
        turn, plain = TURNS[i]
        said, text = text, turn.sub(plain, text)
        if text != said:
            due = _due(text, i + 1)
    return text


def _due(text: str, start: int) -> list[int]:
    """The turns from `start` on that a text has a sign of, the last one first."""
    found = {i for word in set(_WORD.findall(text)) if word in _BY_WORD for i in _BY_WORD[word]}
    return sorted((i for i in found.union(_ALWAYS) if i >= start), reverse=True)


@lru_cache(maxsize=8192)
def normalize(text: str) -> str:
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
    text = _plainly(text)
    if text.count(",") > 1:
        text = _EMPTY_APPOSITION.sub(" ", text)
    if "no way" in text:
        text = text.replace("no way", "impossible")
    return text
