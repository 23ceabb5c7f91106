"""What "there", "such" and "like that" mean when somebody has just described something: "There is none there." """

import re

from clarifyvlm.language.descriptions import Description
from clarifyvlm.world.places import at

_NO = r"\b(?:no|none|nothing|not(?: see| find)? any(?:thing)?)\b"
_POINTS = re.compile(
    rf"{_NO} such(?P<such>(?: [a-z]+)?)\b|{_NO}(?P<noun>(?: [a-z]+){{0,3}}?) "
    r"(?:(?:over )?there(?! (?:is|are)\b)|like (?:that|this)|"
    r"(?:in|at) that (?:place|spot|position|corner)|of that kind|(?:matching|fitting) (?:that|it))\b",
    flags=re.IGNORECASE,
)
_MEANT = re.compile(
    r"^\W*(?:i (?:mean|meant|was thinking of|am asking about|am talking about)|that would be|it is|it's)\b",
    re.IGNORECASE,
)


def points_back(text: str) -> bool:
    """Whether a denial in `text` points to what was described before."""
    return _POINTS.search(text) is not None


def plain(reply: str) -> str:
    """A user's reply without the words before what it describes: "I meant the one at the top left"."""
    return _MEANT.sub("", reply, count=1).strip()


def resolved(text: str, described: Description, asked: Description) -> str:
    """`text` with the description in place of the word that points to it: asked for "the star", after "the one at the
    top left", "there is none there" is "there is no star at the top left". Unchanged where nothing was described."""
    if len(described.cells or ()) != 1 and not any(map(_word, (described.size, described.color, described.name))):
        return text
    place = at(next(iter(described.cells))) if len(described.cells or ()) == 1 else ""
    marks = [_word(described.size) or _word(asked.size), _word(described.color) or _word(asked.color)]
    name = _word(described.name) or _word(asked.name) or "object"

    def put(found: re.Match) -> str:
        *_, noun = (found["such"] or found["noun"] or "").split() or [""]
        noun = name if noun in ("", "thing", "object", "one") else noun
        return " ".join(filter(None, ["no", *marks, noun, place]))

    return _POINTS.sub(put, text)


def _word(value: object) -> str | None:
    return value if isinstance(value, str) else None
