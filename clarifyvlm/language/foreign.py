"""Whether a response is in another language than English, as far as its script or its small words tell."""

import re

_LETTERS = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]+")
# Small words of German, French, Spanish, Italian, Portuguese and Dutch that are no English words.
_SMALL = frozenset(
    "der die das ein eine einen und ist sind im auf nicht ich kann mit welche welcher welches gibt kein keine "
    "rechts links oben "
    "unten du den dem wie es "
    "le la les un une des et est sont dans il y pas de du en je ne sur quelle quel cette au aux "
    "el los las una unas es son está están hay no en y que cual cuál del al por lo se "
    "lo gli uno della nel sono è c non che di quale questo questa alla "
    "o os um uma é são não há na do da em qual esta este "
    "het een zijn niet er geen op van welke de".split()
)
_ENGLISH = frozenset(
    "the is are of in it there which that you one this and an to what not at on i can with for no a do".split()
)

_FOREIGN = _SMALL - _ENGLISH


def is_foreign(text: str) -> bool:
    """True where most letters are of another script, or the small words are of another language."""
    if text.isascii() and len(_FOREIGN.intersection(text.lower().split())) < 2:
        return False
    letters = _LETTERS.findall(text)
    if len(letters) >= 4 and sum(ord(letter) > 0x2FF for letter in letters) > len(letters) / 2:
        return True
    words = [word.lower() for word in _WORD.findall(text)]
    theirs = sum(word in _FOREIGN for word in words)
    ours = sum(word in _ENGLISH and word not in _SMALL for word in words)
    accents = any(ord(letter) > 0x7F for letter in letters)
    return len(words) > 2 and theirs + accents >= 2 and theirs + accents > 2 * ours
