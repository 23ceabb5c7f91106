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
from clarifyvlm.world.queries import MISSPELLINGS

COLORS = {w: w for w in "red orange yellow green blue purple pink brown black white cyan grey".split()} | {
    "gray": "grey", "violet": "purple", "scarlet": "red", "crimson": "red", "navy": "blue", "turquoise": "cyan",
    "teal": "cyan", "reddish": "red", "greenish": "green", "bluish": "blue", "yellowish": "yellow",
    "tan": "beige", "khaki": "beige", "cream": "beige", "ivory": "white", "lime": "green", "olive": "green",
    "emerald": "green", "azure": "blue", "indigo": "purple", "lilac": "purple", "lavender": "purple", "mauve": "purple",
    "rose": "pink", "rosy": "pink", "fuchsia": "pink", "salmon": "pink", "burgundy": "red", "ruby": "red",
    "amber": "orange", "aqua": "cyan", "cyanish": "cyan", "chocolate": "brown", "brownish": "brown", "pinkish": "pink",
    "purplish": "purple", "orangey": "orange", "orangish": "orange", "mustard": "yellow", "lemon": "yellow",
    "charcoal": "grey", "greyish": "grey", "grayish": "grey", "whitish": "white", "blackish": "black",
    "beige": "beige", "magenta": "magenta", "silver": "silver", "gold": "gold", "golden": "gold", "maroon": "maroon",
}  # fmt: skip
SIZES = {
    "large": "large", "big": "large", "huge": "large", "larger": "max", "bigger": "max", "largest": "max",
    "biggest": "max", "small": "small", "little": "small", "tiny": "small", "smaller": "min", "smallest": "min",
    "sizable": "large", "sizeable": "large", "massive": "large", "enormous": "large", "giant": "large",
    "gigantic": "large", "oversized": "large", "miniature": "small", "wee": "small", "teeny": "small", "smallish": "small",
    "biggish": "large", "largish": "large", "greatest": "max", "tiniest": "min", "littlest": "min", "main": "max",
    "medium": "medium", "mid": "medium", "prominent": "max", "salient": "max", "dominant": "max",
}  # fmt: skip
PATTERNS = {
    "solid": "solid", "plain": "solid", "filled": "solid", "striped": "striped", "stripes": "striped",
    "stripy": "striped", "stripey": "striped", "dotted": "dotted", "dots": "dotted", "spotted": "dotted",
    "spots": "dotted", "checked": "checked", "checkered": "checked", "chequered": "checked", "checks": "checked",
}  # fmt: skip
SHAPES = {
    "circle": "circle", "disc": "circle", "disk": "circle", "square": "square", "triangle": "triangle",
    "star": "star", "box": "square", "block": "square", "blob": "blur", "smudge": "blur", "smear": "blur", "pentagram": "star", "diamond": "diamond", "rhombus": "diamond", "heart": "heart", "cross": "cross", "plus": "cross",
    "hexagon": "hexagon", "pentagon": "pentagon", "octagon": "octagon", "rectangle": "rectangle", "oval": "oval",
    "ellipse": "ellipse", "cube": "cube", "sphere": "sphere", "cylinder": "cylinder", "blur": "blur",
}  # fmt: skip
SHAPE_ADJECTIVES = {
    "squarish": "square",
    "starry": "star",
    "round": "circle",
    "circular": "circle",
    "triangular": "triangle",
    "hexagonal": "hexagon",
}
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
    "automobile": "car", "settee": "couch", "cab": "car", "mug": "cup", "cellular": "cell phone", "coach": "bus",
    "jet": "airplane", "cycle": "bicycle", "hound": "dog", "kitty": "cat", "pup": "dog", "fella": "person", "kid": "person",
    "gentleman": "person", "someone": "person", "somebody": "person", "man": "person", "woman": "person", "boy": "person", "girl": "person", "child": "person", "guy": "person",
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
    "other": "other others another remaining otherwise else rest latter",
    "cop": "is are was were be being been looks look seems seem appears appear stays lies sits stands stand lie sit "
    "looked remains comes come turns rests rest hangs floats sitting standing lying resting hanging am",
    "not": "not never hardly nowhere neither",
    "no": "no",
    "none": "none nobody",
    "nothing": "nothing",
    "and": "and also",
    "or": "or nor",
    "but": "but however while whereas though although yet whilst",
    "there": "there",
    "see": "see find finds spot notice locate detect observe show shows contain contains depict depicts display displays include includes "
    "has have "
    "got shown holds hold seen visible contained",
    "count": "count counted counting",
    "prep": "at in on by inside within towards into around from along across down up toward",
    "with": "with without",
    "of": "of",
    "for": "for",
    "rel": "which who whose what where how whether if",
    "pic": "picture image photo photograph scene here drawing pic photos illustration graphic shot",
    "modal": "may might could possible possibly",
    "empty": "empty vacant blank bare",
    "absent": "missing absent exist exists present",
    "hid": "hidden concealed invisible obscured obstructed occluded unseen undisclosed",
    "than": "than",
    "except": "except excluding save apart besides aside",
    "skip": "unlike versus vs compared",
    "least": "least",
    "most": "most",
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
FUNCTION |= {w: ("yes", "yes") for w in "yes yeah yep yup ya yea aye affirmative indeed".split()} | {
    w: ("nay", "no") for w in "nope nah nay negative".split()
}
HIDING = {
    "wrapped": "color", "wrapping": "color", "packed": "color", "covered": "color", "blurred": "name",
    "blurry": "name",
    "smudged": "name", "fuzzy": "name", "unfocused": "name", "hazy": "name", "wrap": "color", "unsharp": "name",
    "pixelated": "name", "indistinct": "name",
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
    "answer s more will would well ok okay course think believe should bit maybe perhaps about am me us "
    "colored coloured shaped sized given paper wrap gift edge area region located placed positioned situated drawn "
    "total altogether actually exactly now dark light bright pale far called named simple single "
    "together respectively either question depending depends depend can could able like something word out much "
    "appearing him sorry hmm hm oh ooh hey hi hello uh um er erm haha lol imo tho innit btw fyi obvs obviously prob "
    "probs smack based looking overall specifically namely particular alone itself filled painted coloured "
    "rendered made up simply merely specific own geometric basic "
    "found easily directly slightly somewhat fairly pretty quite really noticeably clearly please kindly "
    "instead thank thanks let lets still already again once instead beyond recognition even before why afraid".split()
)
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
_QUOTED = re.compile(r'["“”«»]([^"“”«»\n]{1,40})["“”«»]')
# People's spellings and turns, before anything is read.
_TURNS = tuple(
    (re.compile(rf"\b(?:{turn})\b"), plain)
    for turn, plain in (
        ("u", "you"),
        ("ur", "your"),
        ("teh", "the"),
        ("rn|tbh|m8|mate|innit|lol|haha|imo|imho", ""),
        ("pls|plz", "please"),
        ("dunno|do not know", "can not tell"),
        ("wdym", "what do you mean"),
        ("theres", "there is"),
        (
            "its(?= (?:an?|the|not|in|on|at|up|down|just|prob|all|both|only|too|hard|wrapped|blurred|red|orange|yellow|green|blue|"
            "purple|pink|brown|black|white|gr[ae]y|yelow|big|small|large|tiny|round)\\b)",
            "it is",
        ),
        ("thats", "that is"),
        ("thatd be|that would be", "that is"),
        ("theyre", "they are"),
        ("dont", "do not"),
        ("doesnt", "does not"),
        ("isnt", "is not"),
        ("arent", "are not"),
        ("couldnt", "can not"),
        ("wont", "will not"),
        ("id say", ""),
        ("em|'em", "them"),
        ("gonna", "going to"),
        ("kinda|sorta|kind of|sort of", ""),
        ("no way to (?:know|tell|say|see)", "can not tell"),
        ("no (?:clue|idea)", "can not tell"),
        ("(?:is|are|was) unable to|am not able to|(?:is|are) not able to|fail(?:s|ed)? to|could not", "can not"),
        (
            "can not be (?:made out|worked out|figured out|settled|compared|answered|recovered|inferred|discerned|verified)",
            "can not be determined",
        ),
        ("(?:make|figure|work) (?:it )?out", "tell"),
        ("to (?:the )?(?:upper|top) (?:of )?(?=left|right)", "top"),
        (
            "instead of|as opposed to|in contrast to|compared (?:to|with)|in comparison (?:to|with)|as against",
            "unlike",
        ),
        (
            "apart from|aside from|other than|with the exception of|except for|save for|not counting|leaving out",
            "except",
        ),
        ("as well as|along ?side|together with|plus", "and"),
        ("out of", "of"),
        ("among|amongst", "of"),
        ("either (?:of|one)", "either"),
        ("made up of|composed of|consist(?:s|ing) of|comprises?", "contains"),
        (
            "in front of|on top of|close to|closest to|nearest to|adjacent to|next to|right beside|right by|touching|bordering|"
            "overlapping|overlaps|covering|surrounded by|stacked on",
            "near",
        ),
        (r"near(?= the (?:very )?(?:top|bottom|left|right|center|centre|middle|upper|lower)\b)", "at"),
        (r"over(?= (?:on|in|at|to|there)\b)", ""),
        (r"(?<=can )spot|(?<=not )spot|to spot", "see"),
        (r"my (?:reading|interpretation)(?: is)? ?:?", "i take you to mean "),
        ("(?:look|seem|appear)s? like", "is"),
        (
            "on the other hand|by the way|in case that helps|if that helps|as it happens|in fact|of course|as far as i can see",
            "",
        ),
        ("^nowhere", "there is none ,"),
        (
            "(?:if|in case|should|unless) you(?: (?:are|were|re|r))? (?:talking|asking|looking|thinking|curious|interested|after|meant)"
            "(?: (?:about|at|of|for|to|in))?",
            "if you mean",
        ),
        (
            r"(?:if|in case) (the [a-z ]{3,40}?) (?:was|is|were) (?:meant|what you (?:mean|meant)|the one you (?:mean|meant))",
            r"if you mean \1 :",
        ),
        (
            ", which i (?:suppose|assume|guess|think|take it) is (?:yours|the one you (?:mean|meant|care about|want)) ,?",
            "",
        ),
        (
            "(?:so |and )?the (?:correct |right |final )?answer (?:is|would be)(?: then)?|(?:that|this|which) (?:makes|gives|leaves)",
            " : ",
        ),
        ("rather than", ", not"),
        ("golden yellow", "yellow"),
        (r"step \d+ ?[:.,)]?", ""),
        ("furthest|farthest", "far"),
        ("half ?way (?:up|down|between top and bottom|between the top and the bottom)", "middle"),
        ("mid height|at half height|vertically centered|midway(?: down| up)?", "middle"),
        ("way|all the way", ""),
        ("at the very", "at the"),
        ("neither of", "none of"),
        (
            "is not (?:a )?part of (?:it|this|the)|is not (?:of|in|on|found in|present in)|does not (?:exist|appear|show up|occur)",
            "is missing",
        ),
        ("nowhere to be (?:seen|found)", "missing"),
        ("no such thing as an?", "no"),
        ("anywhere|at all|whatsoever|to be (?:found|seen)", ""),
        ("can spot|can see|can find|can count|can make out", "see"),
    )
)


def normalise(text: str) -> str:
    """Lower case, plain quotes, contractions written out, dashes between words as commas."""
    text = text.lower().translate(_QUOTES)
    for mark in ("=", "+"):
        if mark in text:
            text = re.sub(rf"(?<=\w) \{mark} (?=\w)", " : " if mark == "=" else " and ", text)
    if "'" in text or "cannot" in text or "cant" in text:
        for pattern, replacement in _SHORT:
            text = pattern.sub(replacement, text)
        text = text.replace("'", "")
    if "paper" in text:
        text = _PAPER.sub(" ", text)  # its color is the wrapping's
    if " not " in text:
        text = _LET.sub("not tell", text)
    for turn, plain in _TURNS:
        text = turn.sub(plain, text)
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


_SPEAKING = frozenset(("c", "s", "t", "n", "L", "hide", "attr", "unsure", "know", "mean", "yes", "nay", "no", "none"))


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

    def speaks_of(self, text: str) -> bool:
        """Whether a text has words about a picture: colors, shapes, places, what cannot be told, yes and no."""
        kinds = [kind for kind, _ in items_of(TOKEN.findall(normalise(text[:4000])), self)]
        return bool(_SPEAKING.intersection(kinds)) and not (CODE.search(text) or ORDERS.search(text.lower()))

    def _add(self, surface: str, item: tuple) -> None:
        words = tuple(surface.split())
        if len(words) == 1:
            self.one[surface] = item
        else:
            self.many.setdefault(words[0], []).append((words, item))


# Words of English that are one letter away from a color, a shape, a size or a place, and are none.
_NO_TYPOS = frozenset(
    "start starts stair stairs stare stares store state stark squared circled range mellow fellow bellow greek greet preen brows "
    "crown drown frown grown slack blank flack write while whine smell stall shall mall barge lager hear heard hearth gross bound "
    "found sound wound light night might sight fight eight tight bright enter muddle potted rotted noted stripped supper flower "
    "tower power slower point paint plant place plain print pints parts party apart tall call ball back pine pins shade shaped "
    "grade great treat drive board bird".split()
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


@lru_cache(maxsize=4096)
def vocabulary(names: frozenset[str] = frozenset(), has_colors: bool = True) -> Vocabulary:
    """The vocabulary with the facts' own `names` added; `has_colors`: whether the facts know colors.

    The objects that scenes are made of are known anyway, so a call per picture is a dictionary look-up.
    """
    return Vocabulary(names, has_colors)


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


ORDINALS = {
    w: n
    for n, ws in enumerate(("first 1st", "second 2nd", "third 3rd", "fourth 4th", "fifth 5th", "sixth"), 1)
    for w in ws.split()
}


def _ordinal(tokens: list[str], i: int) -> tuple | None:
    """ "Second ... from the left": ("ord", (2, "left")) and the tokens that tell the side; "second" alone is another."""
    for j in range(i + 1, min(i + 6, len(tokens))):
        if tokens[j] == "from":
            k = j + 2 if tokens[j + 1 : j + 2] == ["the"] else j + 1
            side = tokens[k] if k < len(tokens) else None
            if side in ("left", "right", "top", "bottom", "above", "below"):
                return "ord", (ORDINALS[tokens[i]], {"above": "top", "below": "bottom"}.get(side, side)), (j, k + 1)
            return None
        if tokens[j] in (".", ",", ":", "and", "or"):
            break
    return ("other", tokens[i], (i, i)) if tokens[i] == "second" else None


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
            items.append(found)
            del_from, del_to = found[2]
            tokens = [*tokens[:del_from], *tokens[del_to:]]
            items[-1] = found[:2]
            n, i = len(tokens), i + 1
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
            if item is None and (other := mended(word)):
                if other in ROWS or other in COLUMNS or other in MIDDLE:
                    tokens = [*tokens[:i], other, *tokens[i + 1 :]]
                    continue
                item = one.get(other)
            if item is None:
                if not (word.endswith("ly") and len(word) > 4):  # an adverb says nothing that facts could check
                    items.append(("unk", word))
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
                items[j][0] in (",", "prep") or (items[j][0] == "det" and items[j - 1][0] == "prep")
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
