"""Tokens of a sentence -> items (kind, value), as clarifyvlm/language/lexicon.py lists them: words, places, relations,
ordinals; misspelt words are mended."""

from functools import lru_cache

from clarifyvlm.language.lexicon import COLORS, FUNCTION, IGNORED, PATTERNS, SHAPES, SIZES, Vocabulary, plural_of
from clarifyvlm.language.normal import CODE, ORDERS, TOKEN, normalize
from clarifyvlm.world.places import PLACES, SIDES
from clarifyvlm.world.queries import MISSPELLINGS

COLUMNS = {"left": 0, "leftmost": 0, "lefthand": 0, "right": 2, "rightmost": 2, "righthand": 2}
ROWS = {"top": 0, "upper": 0, "uppermost": 0, "topmost": 0, "bottom": 2, "lower": 2, "bottommost": 2, "lowermost": 2,
        "highest": 0, "lowest": 2}  # fmt: skip
MIDDLE = ("middle", "center", "centre", "central", "centered", "centred", "mid")
PLACE_TAILS = (
    "corners",
    "sides",
    "edges",
    "corner",
    "side",
    "edge",
    "area",
    "part",
    "region",
    "half",
    "row",
    "column",
    "third",
    "end",
    "hand",
)
RELATIONS = {"above": "above", "over": "above", "below": "below", "under": "below", "beneath": "below",
             "underneath": "below", "near": "near", "beside": "near", "next": "near", "behind": "near",
             "front": "near", "between": "near",
             "against": "near", "opposite": "near", "overlap": "overlap"}  # fmt: skip

# Words of English that are one letter away from a color, a shape, a size or a place, and are none.
_NO_TYPOS = frozenset(
    "start starts stair stairs stare stares store state stark squared circled range mellow fellow bellow greek "
    "greet preen brows "
    "crown drown frown grown slack blank flack write while whine smell stall shall mall barge lager hear heard "
    "hearth gross bound "
    "found sound wound light night might sight fight eight tight bright enter muddle potted rotted noted "
    "stripped supper flower "
    "tower power slower point paint plant place plain print pints parts party apart tall call ball back pine "
    "pins shade shaped "
    "grade great treat drive board bird check checking".split()
) | frozenset(MISSPELLINGS)


@lru_cache(maxsize=16384)
def mended(word: str) -> str | None:
    """The color, shape, size, pattern or place that a word misspells by one letter or by two that changed places."""
    if len(word) < 4 or word in _NO_TYPOS:
        return None
    for other in _SPELLINGS:
        if abs(len(other) - len(word)) <= 1 and other[0] == word[0] and _one_edit(word, other):
            if len(word) > 4 or sorted(word) == sorted(other):
                return other
    return None


def _one_edit(a: str, b: str) -> bool:
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    a, b = a[start:], b[start:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])


_SPELLINGS = tuple(
    dict.fromkeys(
        [
            *COLORS,
            *SHAPES,
            *(form for shape in SHAPES for form in plural_of(shape)),
            *SIZES,
            *PATTERNS,
            *ROWS,
            *COLUMNS,
            *MIDDLE,
        ]
    )
)
_PART_OF = ("two", "three", "four", "five", "these", "those", "them")
_PARTS_OF = ("side", "corner", "edge", "end", "half", "part")  # "the left side of the table": no "left of the table"
_NOT_AFTER_OF = ("picture", "image", "photo", "photograph", "scene", "side", "frame", "drawing")


def _is_choice(tokens: list[str], start: int, following: str) -> bool:
    """Whether a place that starts there chooses of several: "the lower of the circles"."""
    chosen = tokens[start] in ("lower", "upper") or tokens[start].endswith("most")
    return chosen and following.endswith("s") and tokens[start - 1 : start] == ["the"]


def _is_part_of_thing(tokens: list[str], i: int) -> bool:
    """Whether "side of" at i goes on with a thing: "(on the left side of) the table"; not with "the picture"."""
    following = [t for t in tokens[i + 1 : i + 3] if t not in ("the", "this", "a", "an", "my")][:1]
    if not following or following[0] in (*_NOT_AFTER_OF, *ROWS, *COLUMNS):
        return False
    several = following[0] in _PART_OF or following[0].endswith("s")
    return tokens[i - 1] in _PARTS_OF or (tokens[i - 1] in MIDDLE and not several)


def _names_thing(tokens: list[str], i: int) -> bool:
    """Whether the place at i goes with a thing: "(left of) the central boat", not "(left of) the center"."""
    i += tokens[i : i + 1] in (["the"], ["this"])
    start = i
    while i < len(tokens) and (tokens[i] in ROWS or tokens[i] in COLUMNS or tokens[i] in MIDDLE):
        i += 1
    if i == start or i >= len(tokens) or tokens[i] in PLACE_TAILS or tokens[i] in _NOT_AFTER_OF:
        return False
    return tokens[i].isalpha() and tokens[i] != "of" and tokens[i] not in FUNCTION and tokens[i] not in IGNORED


def place_at(tokens: list[str], i: int) -> tuple[tuple, int] | None:
    """The place or relation that starts at tokens[i], and where it ends: ("L", cells) or ("R", name)."""
    row = column = None
    middle, start = 0, i
    while i < len(tokens):
        word = tokens[i]
        if word in ROWS and row is None:
            row = ROWS[word]
        elif word in COLUMNS and column is None:
            column = COLUMNS[word]
        elif word in MIDDLE and middle < 2:
            middle += 1
        elif word in PLACE_TAILS and i > start:
            last = tokens[i]
            i += 1
            if last == "corners" and not middle and (row is None) != (column is None):
                return ("L", _cells(row, column, middle) & CORNERS), i  # "both top corners"
            if last == "row" and row is None and middle:
                return ("L", frozenset(PLACES[3:6])), i
            if last == "column" and column is None and middle:
                return ("L", frozenset(PLACES[1::3])), i
            continue
        elif word == "of" and i > start and i + 1 < len(tokens):
            following = tokens[i + 1 : i + 3]
            following = following[1:] if following[0] in ("the", "this") else following[:1]
            named = _names_thing(tokens, i + 1)
            if not named and following and (following[0] in (*ROWS, *COLUMNS, *MIDDLE)):
                i = tokens.index(following[0], i + 1)  # "the middle of the left side"
                continue
            if following and (following[0] in _PART_OF or _is_choice(tokens, start, following[0])):
                break  # "the lower of the two circles"
            beyond = following and following[0] not in _NOT_AFTER_OF and tokens[i - 1] not in _PARTS_OF
            if beyond and middle == 0 and (row is None) != (column is None):
                relation = {0: "left", 2: "right"}[column] if row is None else {0: "above", 2: "below"}[row]
                return ("R", relation), i + 1
            break
        else:
            break
        i += 1
    if i == start:
        return None
    if tokens[i : i + 1] == ["than"] and not middle and (row is None) != (column is None):  # "further left than it"
        return ("R", {0: "left", 2: "right"}[column] if row is None else {0: "above", 2: "below"}[row]), i + 1
    return ("L", _cells(row, column, middle)), i


@lru_cache(maxsize=64)
def _cells(row: int | None, column: int | None, middle: int) -> frozenset[str]:
    if row is not None and column is None and middle:
        column = 1
    elif column is not None and row is None and middle:
        row = 1
    elif row is None and column is None:
        row = column = 1
    return frozenset(p for i, p in enumerate(PLACES) if row in (None, i // 3) and column in (None, i % 3))


@lru_cache(maxsize=64)
def cells_of(place: str) -> frozenset[str]:
    """The cells that a canonical place means: "top left" one, "on the left" or "left" three."""
    if place in SIDES:
        return frozenset(SIDES[place])
    found = place_at([w for w in place.split() if w not in ("on", "at", "in", "the")], 0)
    return found[0][1] if found else frozenset()


CORNERS = frozenset(("top left", "top right", "bottom left", "bottom right"))
_AFTER_ADVERB = ("in", "at", "there", "here", "next", "now", *(w for w in RELATIONS if w != "between"))


_OWNERS = (["its"], ["his"], ["her"], ["their"])
_HELD = (["hand"], ["hands"], ["arm"], ["arms"], ["leg"], ["foot"], ["shoulder"], ["edge"], ["half"], ["part"])


def _is_side(tokens: list[str], i: int) -> bool:
    return i > 0 and (
        tokens[i - 1] in ("the", "far", "to", "and", "or") or tokens[i - 1] in ROWS or tokens[i - 1] in MIDDLE
    )


ORDINALS = {w: n for n, w in enumerate("first second third fourth fifth sixth".split(), 1)}


_AFTER_FIRST = ("cop", "prep", "see")


def _ordinal(tokens: list[str], i: int) -> tuple | None:
    """ "Second ... from the left": ("ord", (2, "left")) and the tokens that tell it; "second" alone is another."""
    for j in range(i + 1, min(i + 6, len(tokens))):
        if tokens[j] == "from":
            k = j + 2 if tokens[j + 1 : j + 2] == ["the"] else j + 1
            side = tokens[k] if k < len(tokens) else None
            if side in ("left", "right", "top", "bottom", "above", "below"):
                return "ord", (ORDINALS[tokens[i]], {"above": "top", "below": "bottom"}.get(side, side)), (j, k + 1)
            return None
        if tokens[j] in (".", ",", ":", "and", "or"):
            break
    if (
        tokens[i] == "first"
        and tokens[i - 1 : i] == ["the"]
        and (
            not tokens[i + 1 : i + 2] or tokens[i + 1] in ",:(" or FUNCTION.get(tokens[i + 1], ("",))[0] in _AFTER_FIRST
        )
    ):  # "the first is red"
        return "other", "first", (i, i)
    return ("other", tokens[i], (i, i)) if tokens[i] in ("second", "third", "fourth") else None


def items_of(tokens: list[str], words: Vocabulary) -> list[tuple]:
    """(kind, value) items for the tokens of one sentence. Ignorable words are left out."""
    items, i, n = [], 0, len(tokens)
    one, many = words.one, words.many
    while i < n:
        word = tokens[i]
        if word in many:
            for phrase, item in many[word]:
                if tuple(tokens[i : i + len(phrase)]) == phrase:
                    items.append(item)
                    i += len(phrase)
                    break
            else:
                phrase = None
            if phrase:
                continue
        if word in ORDINALS and (found := _ordinal(tokens, i)):
            kind, value, (start, end) = found
            items.append((kind, value))
            tokens = [*tokens[:start], *tokens[end:]]
            n, i = len(tokens), i + 1
            continue
        if word == "right" and tokens[i + 1 : i + 2] and tokens[i + 1] in _AFTER_ADVERB and not _is_side(tokens, i):
            i += 1  # "right in the center"
            continue
        if word in COLUMNS and tokens[i - 1 : i] in _OWNERS and tokens[i + 1 : i + 2] not in _HELD:
            items[-1] = ("R", word)  # "to its right": right of it
            items.append(("pron", "they" if tokens[i - 1] == "their" else "it"))
            i += 1 + (tokens[i + 1 : i + 2] == ["side"])
            continue
        if word in ROWS or word in COLUMNS or word in MIDDLE:
            if word == "mid" and tokens[i + 1 : i + 2] == ["sized"]:
                items.append(("s", "medium"))
                i += 1
                continue
            found = place_at(tokens, i)
            items.append(found[0])
            i = found[1]
            if found[0][0] == "L" and tokens[i : i + 1] == ["of"] and _is_part_of_thing(tokens, i):
                items.append(("skip", "side of"))
                i += 1
            continue
        if word == "corner":
            items.append(("attr", "place") if tokens[i - 1 : i] in (["which"], ["what"]) else ("L", CORNERS))
        elif word in RELATIONS:
            items.append(("R", RELATIONS[word]))
        elif word == "colorless":
            items.append(("unk", word))
        elif word in ",:(":
            items.append((word, None))
        elif word == ")":
            items.append((",", None))
        elif word.isdigit():
            items.append(("#", int(word) if len(word) < 4 else 9999))
        else:
            item = one.get(word)
            if item is None and (other := mended(word)):
                if other in ROWS or other in COLUMNS or other in MIDDLE:
                    tokens = [*tokens[:i], other, *tokens[i + 1 :]]
                    continue
                item = one.get(other)
            if item is None:
                if not (word.endswith("ly") and len(word) > 4):  # an adverb says nothing that facts could check
                    items.append(("unk", word))
            elif item[0] == "s" and word.endswith("est") and (not items or items[-1][0] in (",", ":", "and", "but")):
                items += [("det", "the"), item]  # "smallest thing in it, green"
            elif item[0] != "ign":
                items.append(item)
        i += 1
    return _joined_places(items)


def _joined_places(items: list[tuple]) -> list[tuple]:
    """ "On the right, in the middle" as one place; "top, middle or bottom" as three."""
    i = 0
    while i < len(items):
        if items[i][0] == "L":
            j = i + 1
            while j < len(items) and (
                items[j][0] in (",", "prep", "pic", "of")
                or (items[j][0] == "det" and items[j - 1][0] in ("prep", "of"))
            ):
                j += 1
            before = i - 1
            while before >= 0 and items[before][0] in ("prep", "det"):
                before -= 1
            listed = (j + 1 < len(items) and items[j + 1][0] in ("or", "and")) or (
                before >= 0 and items[before][0] in ("not", "or")
            )
            if j > i + 1 and j < len(items) and items[j][0] == "L" and not listed:
                if both := both_places(items[i][1], items[j][1]):
                    items = [*items[:i], ("L", both), *items[j + 1 :]]
                    continue
        i += 1
    return items


def both_places(a: frozenset[str], b: frozenset[str]) -> frozenset[str]:
    """The cells of two places at once; "middle" is that of a side."""
    if both := a & b:
        return both
    for side, middle in ((a, b), (b, a)):
        if middle == frozenset(("center",)) and len(side) == 3:
            cells = [p for p in PLACES if p in side]
            return frozenset(cells[1:2])
    return frozenset()


_SPEAKING = frozenset(("c", "s", "t", "n", "L", "hide", "attr", "unsure", "know", "mean", "yes", "nay", "no", "none"))


def speaks_of_pictures(text: str, words: Vocabulary) -> bool:
    """Whether a text has words of colors, shapes, places, of what cannot be told, yes, no; code and orders have not."""
    kinds = [kind for kind, _ in items_of(TOKEN.findall(normalize(text[:4000])), words)]
    return bool(_SPEAKING.intersection(kinds)) and not (CODE.search(text) or ORDERS.search(text.lower()))
