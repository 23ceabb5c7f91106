"""The words that the scene judge knows: surface form -> item (kind, value), and the tokeniser.

Items are (kind, value) pairs:

    c color    s size    t pattern    n noun (name, is plural)    g generic noun ("object")    hide "wrapped", "blurred"
    L places (a set of cells: "top left", "on the left")    R relation ("left of")    # number    attr "color", "place"
    det no none nothing other pron all not and or but cop there see ...    function words: _FUNCTION_WORDS
    unk        any other word

The vocabulary is the generated world's, the 80 COCO classes with their plurals, and whatever names the facts at
hand use (`vocabulary(names)`), so that generated scenes and photographs are read by the same code.
"""

import re
from functools import lru_cache

from clarifyvlm.world.places import PLACES, SIDES

COLORS = {w: w for w in "red orange yellow green blue purple pink brown black white cyan grey".split()} | {
    "gray": "grey", "violet": "purple", "scarlet": "red", "crimson": "red", "navy": "blue", "turquoise": "cyan",
    "teal": "cyan", "reddish": "red", "greenish": "green", "bluish": "blue", "yellowish": "yellow",
    "beige": "beige", "magenta": "magenta", "silver": "silver", "gold": "gold", "golden": "gold", "maroon": "maroon",
}  # fmt: skip
SIZES = {
    "large": "large", "big": "large", "huge": "large", "larger": "max", "bigger": "max", "largest": "max",
    "biggest": "max", "small": "small", "little": "small", "tiny": "small", "smaller": "min", "smallest": "min",
    "medium": "medium", "mid": "medium", "prominent": "max", "salient": "max", "dominant": "max",
}  # fmt: skip
PATTERNS = {
    "solid": "solid", "plain": "solid", "filled": "solid", "striped": "striped", "stripes": "striped",
    "stripy": "striped", "stripey": "striped", "dotted": "dotted", "dots": "dotted", "spotted": "dotted",
    "spots": "dotted", "checked": "checked", "checkered": "checked", "chequered": "checked", "checks": "checked",
}  # fmt: skip
SHAPES = {
    "circle": "circle", "disc": "circle", "disk": "circle", "square": "square", "triangle": "triangle",
    "star": "star", "diamond": "diamond", "rhombus": "diamond", "heart": "heart", "cross": "cross", "plus": "cross",
    "hexagon": "hexagon", "pentagon": "pentagon", "octagon": "octagon", "rectangle": "rectangle", "oval": "oval",
    "ellipse": "ellipse", "cube": "cube", "sphere": "sphere", "cylinder": "cylinder", "blur": "blur",
}  # fmt: skip
SHAPE_ADJECTIVES = {"round": "circle", "circular": "circle", "triangular": "triangle", "hexagonal": "hexagon"}
COCO_NAMES = tuple(
    (
        "person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light|fire hydrant|stop "
        "sign|parking meter|"
        "bench|bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe|backpack|umbrella|handbag|tie|suitcase|frisbee|"
        "skis|snowboard|sports ball|kite|baseball bat|baseball glove|skateboard|surfboard|tennis racket|bottle|"
        "wine glass|cup|fork|knife|spoon|bowl|banana|apple|sandwich|orange|broccoli|carrot|hot "
        "dog|pizza|donut|cake|chair|"
        "couch|potted plant|bed|dining table|toilet|tv|laptop|mouse|remote|keyboard|cell "
        "phone|microwave|oven|toaster|"
        "sink|refrigerator|book|clock|vase|scissors|teddy bear|hair drier|toothbrush"
    ).split("|")
)
SYNONYMS = {
    "man": "person", "woman": "person", "boy": "person", "girl": "person", "child": "person", "guy": "person",
    "lady": "person", "bike": "bicycle", "motorbike": "motorcycle", "plane": "airplane", "aeroplane": "airplane",
    "sofa": "couch", "television": "tv", "phone": "cell phone", "cellphone": "cell phone", "fridge": "refrigerator",
    "doughnut": "donut", "puppy": "dog", "kitten": "cat", "ship": "boat", "ball": "sports ball",
    "plant": "potted plant",
    "table": "dining table", "hydrant": "fire hydrant",
}  # fmt: skip
IRREGULAR = {
    "person": ("people", "persons"), "man": ("men",), "woman": ("women",), "child": ("children",), "mouse": ("mice",),
    "sheep": ("sheep",), "knife": ("knives",), "skis": ("skis",), "scissors": ("scissors",),
}  # fmt: skip
NUMBERS = {
    w: i for i, w in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
} | {"couple": 2, "pair": 2}
MANY = {"several": 2, "multiple": 2, "many": 3, "few": 2, "some": 1, "various": 2, "numerous": 3}  # at least so many

_FUNCTION_WORDS = {
    "det": "a an the this that these those its their any your my his her",
    "all": "all each every both",
    "pron": "it they them he she",
    "other": "other others another remaining otherwise else rest second latter",
    "cop": "is are was were be being been looks look seems seem appears appear stays lies sits stands stand lie sit",
    "not": "not never neither hardly",
    "no": "no",
    "none": "none nobody",
    "nothing": "nothing",
    "and": "and also",
    "or": "or nor",
    "but": "but however while whereas though although yet whilst",
    "there": "there",
    "see": "see find spot notice show shows contain contains depict depicts display displays include includes "
    "has have "
    "got shown holds hold seen visible contained",
    "count": "count counted counting",
    "prep": "at in on by inside within towards into around from",
    "with": "with without",
    "of": "of",
    "for": "for",
    "rel": "which who whose what where how whether if",
    "pic": "picture image photo photograph scene here drawing",
    "modal": "may might could possible possibly",
    "empty": "empty vacant blank bare",
    "absent": "missing absent exist exists present",
    "hid": "hidden concealed invisible obscured obstructed occluded unseen undisclosed",
    "than": "than",
    "except": "except excluding save apart besides aside",
    "skip": "unlike versus vs compared instead",
    "least": "least",
    "only": "only sole single lone unique",
    "same": "same match matches matching alike identical equal equals agree agrees coincide",
    "differ": "differ differs different distinct mismatch dissimilar",
    "like": "like",
    "do": "do does did",
    "know": "tell say know determine identify recognize recognise decide distinguish discern make judge told "
    "determined "
    "known identified recognized recognised judged",
    "unsure": "idea clue unsure uncertain unclear unknown impossible unable hard difficult unanswerable sure "
    "certain clear",
    "mean": "mean means meant meaning refer refers referring asking ask talking interested intend intended mind",
    "take": "read reading take taking took understand understood interpret interpreting treat treating",
    "such": "such",
    "hides": "hides hide conceals conceal covers",
    "assume": "assume assumes presumes presupposes supposes assuming presumably presume presuming suppose "
    "supposing guess guessing go going choose choosing "
    "pick picking consider considering",
    "as": "as",
    "poss": "poss",
    "so": "so because since therefore thus hence then",
}
FUNCTION = {w: (kind, w) for kind, words in _FUNCTION_WORDS.items() for w in words.split()}
FUNCTION |= {"yes": ("yes", "yes"), "yeah": ("yes", "yes"), "yep": ("yes", "yes"), "nope": ("nay", "no")}
HIDING = {
    "wrapped": "color", "wrapping": "color", "packed": "color", "covered": "color", "blurred": "name",
    "blurry": "name",
    "smudged": "name", "fuzzy": "name", "unfocused": "name",
}  # fmt: skip
ATTRIBUTES = {
    "color": "color", "colour": "color", "colors": "color", "colours": "color", "hue": "color", "shape": "name",
    "form": "name", "kind": "name", "type": "name", "size": "size", "sizes": "size",
    "position": "place", "place": "place", "location": "place", "spot": "place", "side": "place", "pattern":
    "pattern", "texture": "pattern",
    "number": "count", "amount": "count", "fill": "color", "filling": "color", "shade": "color", "tint": "color",
    "coloring": "color", "colouring": "color", "coloration": "color", "dimensions": "size", "placement": "place",
    "whereabouts": "place", "silhouette": "name",
}  # fmt: skip
GENERIC = {"object": 0, "objects": 1, "thing": 0, "things": 1, "item": 0, "items": 1, "figure": 0, "figures": 1, "shapes": 1,
           "everything": 1, "element": 0, "elements": 1, "stuff": 1,
           "ones": 1, "something": 0, "anything": 0,
           "animal": 0, "animals": 1, "vehicle": 0, "vehicles": 1}  # fmt: skip
# Heads of noun phrases that no fact is about ("a light blue background", "a typo for brown"); with "of", those in
# GROUPS stand for what follows ("a set of red circles").
GROUPS = frozenset("set group collection variety series arrangement range lot bunch mix array number lots".split())
ABSTRACT = GROUPS | frozenset(
    "background backdrop ground canvas sky sand grass edge edges outline border borders corners sides tips tip points point "
    "vertices vertex angles angle lobes bumps legs eye eyes sight typo slip misspelling spelling mistake error version "
    "description details detail information info context view reading interpretation name letter letters attention "
    "content contents case cases hint clue way part parts bit lines line dozen surface wrapper package glance look sense "
    "comparison contrast doubt fact facts reason help moment trouble luck time user viewer term english distance "
    "height width level distinction difference feature features combination presence bounds frame composition layout "
    "outlines curves curve contour contours proportions resolution quality focus chance request selection candidates "
    "candidate option options choice choices possibility possibilities match matches instance instances example".split()
) - {"number"}
# Words that carry no claim and may stand anywhere.
IGNORED = frozenset(
    "i you we to just very quite rather really definitely certainly surely probably likely too "
    "answer s more most will would well ok okay course think believe should bit maybe perhaps about am me us "
    "colored coloured shaped sized given paper wrap gift edge area region located placed positioned situated drawn "
    "total altogether actually indeed exactly now dark light bright pale far toward called named simple single "
    "together respectively either question depending depends depend can could able like something word out much "
    "appearing him".split()
)
COLUMNS = {"left": 0, "leftmost": 0, "lefthand": 0, "right": 2, "rightmost": 2, "righthand": 2}
ROWS = {"top": 0, "upper": 0, "uppermost": 0, "topmost": 0, "bottom": 2, "lower": 2, "bottommost": 2, "lowermost": 2,
        "highest": 0, "lowest": 2}  # fmt: skip
MIDDLE = ("middle", "center", "centre", "central", "centered", "centred", "mid")
PLACE_TAILS = ("corner", "side", "edge", "area", "part", "region", "half", "row", "column", "third", "end", "hand")
RELATIONS = {"above": "above", "over": "above", "below": "below", "under": "below", "beneath": "below",
             "underneath": "below", "near": "near", "beside": "near", "next": "near", "behind": "near",
             "front": "near", "between": "near",
             "against": "near", "opposite": "near"}  # fmt: skip

CODE = re.compile(r"[{}<>=_|\\^~`#@]")
ORDERS = re.compile(
    r"\b(ignore|disregard|instructions?|verdict|grade|graded|score|scores|criteri(?:a|on)|rubric|"
    r"prompt|strategy|responses?|judge|mark this|system)\b"
)
TOKEN = re.compile(r"[a-z]+|\d+|[.?!;:,()\n]")
_APOSTROPHE_IS = re.compile(r"\b(it|there|that|what|where|here|which|who|he|she|one)'s\b")
_SHORT = ((re.compile(r"\b(?:cannot|can't|cant)\b"), "can not"), (re.compile(r"\bwon't\b"), "will not"),
          (re.compile(r"n't\b"), " not"), (_APOSTROPHE_IS, r"\1 is"), (re.compile(r"'re\b"), " are"),
          (re.compile(r"'m\b"), " am"), (re.compile(r"'(?:d|ll|ve)\b"), " would"),
          (re.compile(r"'s\b"), " poss"))  # fmt: skip
_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": None, "”": None, '"': None, "*": None, "—": ",", "–": ",", "/": " "})
_PAPER = re.compile(r"\b(?:in|by|with) (?:(?:an?|the|some|gr[ae]y|silver|brown|wrapping|gift) )*paper\b")
_LET = re.compile(r"\bnot (?:let|allow|permit|enable) (?:me|us|one|you) (?:to )?(?:see|tell|say|know|make out)\b")
_DASH = re.compile(r"\s-+\s|--+")


def normalise(text: str) -> str:
    """Lower case, plain quotes, contractions written out, dashes between words as commas."""
    text = text.lower().translate(_QUOTES)
    if "'" in text or "cannot" in text or "cant" in text:
        for pattern, replacement in _SHORT:
            text = pattern.sub(replacement, text)
        text = text.replace("'", "")
    if "paper" in text:
        text = _PAPER.sub(" ", text)  # its color is the wrapping's
    if " not " in text:
        text = _LET.sub("not tell", text)
    if "no way" in text:
        text = text.replace("no way", "impossible")
    if "-" in text:
        text = _DASH.sub(", ", text).replace("-", " ")
    return text


def plural_of(name: str) -> tuple[str, ...]:
    """The plural forms of a noun: star -> stars, bus -> buses, wine glass -> wine glasses, person -> people."""
    head, _, last = name.rpartition(" ")
    if last in IRREGULAR:
        forms = IRREGULAR[last]
    elif last.endswith(("s", "x", "z", "ch", "sh")):
        forms = (last + "es",)
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        forms = (last[:-1] + "ies",)
    else:
        forms = (last + "s",)
    return tuple(f"{head} {form}".strip() for form in forms)


class Vocabulary:
    """Single words (`one`: word -> item) and longer nouns (`many`: first word -> [(words, item)], longest first)."""

    def __init__(self, names: frozenset[str], has_colors: bool):
        self.one: dict[str, tuple] = {w: ("ign", None) for w in IGNORED}
        self.one |= {w: ("g", bool(p)) for w, p in GENERIC.items()} | FUNCTION
        self.one |= {w: ("abs", w) for w in ABSTRACT if w not in self.one}
        self.one |= {w: ("attr", a) for w, a in ATTRIBUTES.items()} | {w: ("hide", a) for w, a in HIDING.items()}
        self.one |= {w: ("#", n) for w, n in NUMBERS.items()} | {w: ("many", n) for w, n in MANY.items()}
        self.many: dict[str, list] = {}
        nouns = {n: n for n in COCO_NAMES} | SYNONYMS | SHAPES | {n.lower(): n for n in names}
        for surface, name in nouns.items():
            for plural in plural_of(surface):
                self._add(plural, ("n", (name, True)))
            self._add(surface, ("n", (name, False)))
        self._add("plus sign", ("n", ("cross", False)))
        self.one |= {w: ("n", (n, False)) for w, n in SHAPE_ADJECTIVES.items()}
        # "orange" is a fruit in photographs, and a color where objects have colors.
        self.one |= {w: ("c", c) for w, c in COLORS.items() if has_colors or w not in nouns}
        self.one |= {w: ("s", s) for w, s in SIZES.items()} | {w: ("t", p) for w, p in PATTERNS.items()}
        for entries in self.many.values():
            entries.sort(key=lambda entry: -len(entry[0]))

    def _add(self, surface: str, item: tuple) -> None:
        words = tuple(surface.split())
        if len(words) == 1:
            self.one[surface] = item
        else:
            self.many.setdefault(words[0], []).append((words, item))


@lru_cache(maxsize=4096)
def vocabulary(names: frozenset[str] = frozenset(), has_colors: bool = True) -> Vocabulary:
    """The vocabulary with the facts' own `names` added; `has_colors`: whether the facts know colors.

    The objects that scenes are made of are known anyway, so a call per picture is a dictionary look-up.
    """
    return Vocabulary(names, has_colors)


KNOWN_NAMES = frozenset((*COCO_NAMES, *SHAPES.values()))

_NOT_AFTER_OF = ("picture", "image", "photo", "photograph", "scene", "side", "frame", "drawing")


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
            if last == "row" and row is None and middle:
                return ("L", frozenset(PLACES[3:6])), i
            if last == "column" and column is None and middle:
                return ("L", frozenset(PLACES[1::3])), i
            continue
        elif word == "of" and i > start and tokens[i + 1 : i + 2] != []:
            following = tokens[i + 1 : i + 3]
            following = following[1:] if following[0] in ("the", "this") else following[:1]
            if following and (following[0] in ROWS or following[0] in COLUMNS or following[0] in MIDDLE):
                i = tokens.index(following[0], i + 1)  # "the middle of the left side"
                continue
            if following and following[0] not in _NOT_AFTER_OF and middle == 0 and (row is None) != (column is None):
                relation = {0: "left", 2: "right"}[column] if row is None else {0: "above", 2: "below"}[row]
                return ("R", relation), i + 1
            break
        else:
            break
        i += 1
    if i == start:
        return None
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
_AFTER_ADVERB = ("in", "at", "there", "here", "next", "above", "below", "under", "beside", "now")


def _is_side(tokens: list[str], i: int) -> bool:
    return i > 0 and (
        tokens[i - 1] in ("the", "far", "to", "and", "or") or tokens[i - 1] in ROWS or tokens[i - 1] in MIDDLE
    )


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
        if word == "right" and tokens[i + 1 : i + 2] and tokens[i + 1] in _AFTER_ADVERB and not _is_side(tokens, i):
            i += 1  # "right in the center"
            continue
        if word in ROWS or word in COLUMNS or word in MIDDLE:
            if word == "mid" and tokens[i + 1 : i + 2] == ["sized"]:
                items.append(("s", "medium"))
                i += 1
                continue
            found = place_at(tokens, i)
            items.append(found[0])
            i = found[1]
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
            if item is None:
                if not (word.endswith("ly") and len(word) > 4):  # an adverb says nothing that facts could check
                    items.append(("unk", word))
            elif item[0] != "ign":
                items.append(item)
        i += 1
    return items
