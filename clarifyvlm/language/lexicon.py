"""The words that the scene judge knows: surface form -> item (kind, value).

Items are (kind, value) pairs:

    c color    s size    t pattern    n noun (name, is plural)    g generic noun ("object")    hide "wrapped", "blurred"
    L places (a set of cells: "top left", "on the left")    R relation ("left of")    # number    attr "color", "place"
    det no none nothing other pron all not and or but cop there see ...    function words: _FUNCTION_WORDS
    unk        any other word

The vocabulary is the generated world's, the 80 COCO classes with their plurals, and whatever names the facts at
hand use (`vocabulary(names)`), so that generated scenes and photographs are read by the same code.
"""

from functools import lru_cache

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
    "gigantic": "large", "oversized": "large", "miniature": "small", "wee": "small", "teeny": "small",
    "smallish": "small",
    "biggish": "large", "largish": "large", "greatest": "max", "tiniest": "min", "littlest": "min", "main": "max",
    "medium": "medium", "mid": "medium", "prominent": "max", "salient": "max", "dominant": "max",
}  # fmt: skip
PATTERNS = {
    "solid": "solid", "plain": "solid", "filled": "solid", "striped": "striped", "stripes": "striped",
    "stripy": "striped", "stripey": "striped", "dotted": "dotted", "dots": "dotted", "spotted": "dotted",
    "spots": "dotted", "checked": "checked", "checkered": "checked", "chequered": "checked", "checkerboard": "checked",
    "chequerboard": "checked", "polka": "dotted", "checks": "checked",
}  # fmt: skip
SHAPES = {
    "circle": "circle", "disc": "circle", "disk": "circle", "square": "square", "triangle": "triangle",
    "star": "star", "box": "square", "block": "square", "blob": "blur", "smudge": "blur", "smear": "blur",
    "pentagram": "star", "diamond": "diamond", "rhombus": "diamond", "heart": "heart", "cross": "cross",
    "plus": "cross",
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
    "jet": "airplane", "cycle": "bicycle", "hound": "dog", "kitty": "cat", "pup": "dog", "fella": "person",
    "kid": "person",
    "pedestrian": "person", "human": "person", "toddler": "person", "cyclist": "person", "lad": "person",
    "gentleman": "person", "someone": "person", "somebody": "person", "man": "person", "woman": "person",
    "boy": "person", "girl": "person", "child": "person", "guy": "person",
    "lady": "person", "bike": "bicycle", "motorbike": "motorcycle", "plane": "airplane", "aeroplane": "airplane",
    "sofa": "couch", "television": "tv", "phone": "cell phone", "cellphone": "cell phone", "fridge": "refrigerator",
    "doughnut": "donut", "puppy": "dog", "kitten": "cat", "ship": "boat", "ball": "sports ball",
    "plant": "potted plant",
    "table": "dining table", "hydrant": "fire hydrant", "lorry": "truck", "doggo": "dog", "pickup": "truck",
    "van": "truck",
    "anybody": "person", "anyone": "person", "human figure": "person", "human being": "person",
}  # fmt: skip
# What people call a thing for which facts have another name: (names that facts may have, other words for it).
_ALIKE = (
    ("jacket|coat", "coat|jacket|blazer|anorak|parka"),
    ("hat|cap", "cap|hat|beanie|bonnet"),
    ("sweater", "jumper|pullover|sweatshirt|cardigan|hoodie"),
    ("shirt", "blouse|tee"),
    ("bag|backpack|handbag", "bag|handbag|purse|sack|pouch|rucksack"),
    ("rug", "carpet|mat"),
    ("pillow", "cushion"),
    ("trash can|bin", "bin|garbage can|trash bin|dustbin|rubbish bin|garbage bin|wastebasket"),
    ("bandana", "scarf|kerchief"),
    ("paddle", "oar"),
    ("leash", "lead"),
    ("desk", "table"),
    ("woman", "lady|woman"),
    ("man", "guy|gentleman|fella|man|dude|bloke|fellow|chap"),
    ("boy", "kid|child|lad|boy"),
    ("girl", "kid|child|lass|girl"),
)
PEOPLE = ("man", "woman", "boy", "girl", "child")
IRREGULAR = {
    "person": ("people", "persons"), "man": ("men",), "woman": ("women",),
    "gentleman": ("gentlemen",), "child": ("children",), "mouse": ("mice",),
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
    "other": "other others another remaining otherwise else latter",
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
    "see": "see find finds notice locate detect observe show shows contain contains depict depicts display "
    "displays include includes has have got shown seen visible contained",
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
    "recognizable recognisable identifiable discernible distinguishable readable determined known identified "
    "recognized recognised judged",
    "unsure": "idea clue unsure uncertain unclear unknown impossible unable hard difficult unanswerable sure "
    "certain clear",
    "mean": "mean means meant meaning refer refers referring asking ask talking thinking curious interested "
    "intend intended mind",
    "take": "read reading take taking took understand understood interpret interpreting treat treating",
    "such": "such",
    "hides": "hides hide conceals conceal covers",
    "assume": "assume assumes presumes presupposes supposes assuming presumably presume presuming suppose "
    "supposing guess guessing go going choose choosing "
    "pick picking consider considering",
    "as": "as",
    "poss": "poss",
    "hold": "hold wear carry ride holds holding wearing worn ridden carrying wears carries wore carried held "
    "rides riding gripping grips clutching grasping",
    "when": "before",
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
    "locations": "place", "positions": "place", "places": "place", "patterns": "pattern",
    "whereabouts": "place", "silhouette": "name",
}  # fmt: skip
GENERIC = {"object": 0, "objects": 1, "thing": 0, "things": 1, "item": 0, "items": 1, "figure": 0, "figures": 1,
"shapes": 1,
           "everything": 1, "element": 0, "elements": 1, "stuff": 1,
           "ones": 1, "something": 0, "anything": 0,
           }  # fmt: skip
# Which things of a photograph are such.
MEMBERS = {
    "animal": frozenset("bird cat dog horse sheep cow elephant bear zebra giraffe".split()),
    "vehicle": frozenset("bicycle car motorcycle airplane bus train truck boat".split()),
}
# Heads of noun phrases that no fact is about ("a light blue background", "a typo for brown"); with "of", those in
# GROUPS stand for what follows ("a set of red circles").
GROUPS = frozenset("set group collection variety series arrangement range lot bunch mix array number lots".split())
ABSTRACT = GROUPS | frozenset(
    "background backdrop ground canvas sky sand grass edge edges outline border borders corners sides tips tip "
    "points point "
    "vertices vertex angles angle lobes bumps legs eye eyes sight typo slip misspelling spelling mistake error version "
    "description details detail information info context view reading interpretation name letter letters attention "
    "content contents case cases hint clue way part parts bit lines line dozen surface wrapper package glance "
    "look sense "
    "comparison contrast doubt fact facts reason help moment trouble luck time user viewer term english distance "
    "height width level distinction difference feature features combination presence bounds frame composition layout "
    "outlines curves curve contour contours proportions resolution quality focus chance request selection candidates "
    "candidate option options choice choices possibility possibilities match matches instance instances example".split()
) - {"number"}
# Words that carry no claim and may stand anywhere.
IGNORED = frozenset(
    "i you we to just very quite rather really definitely certainly surely probably likely too answer s more will "
    "would well ok okay course think believe should bit maybe perhaps about me us colored coloured shaped sized "
    "given paper wrap gift edge area region located placed positioned situated drawn total altogether actually "
    "exactly now dark light bright pale far called named simple together respectively either question depending "
    "depends depend can able something word out much appearing him hmm hm oh ooh hey hi hello uh um er erm btw fyi "
    "obvs obviously prob probs smack based looking overall specifically namely particular alone itself filled "
    "painted rendered made simply merely specific own geometric basic further farther found easily directly "
    "slightly somewhat fairly pretty noticeably clearly please kindly dead instead thank thanks let lets still "
    "already again once definite exact reliable reckon beyond recognition even why afraid whole entire".split()
)


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
        self.one |= {w + s: ("g", (w, bool(s))) for w in MEMBERS for s in ("", "s")}
        self.one |= {w: ("abs", w) for w in ABSTRACT if w not in self.one}
        self.one |= {w: ("attr", a) for w, a in ATTRIBUTES.items()} | {w: ("hide", a) for w, a in HIDING.items()}
        self.one |= {w: ("#", n) for w, n in NUMBERS.items()} | {w: ("many", n) for w, n in MANY.items()}
        self.many: dict[str, list] = {}
        nouns = {n: n for n in COCO_NAMES} | SYNONYMS | SHAPES | {n.lower(): n for n in names}
        for surface, name in nouns.items():
            for plural in plural_of(surface):
                self._add(plural, ("n", (name, True)))
            self._add(surface, ("n", (name, False)))
        for surface, called in _called(names).items():
            for plural in plural_of(surface):
                self._add(plural, ("n", (called, True)))
            self._add(surface, ("n", (called, False)))
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


def _called(names: frozenset[str]) -> dict[str, str | tuple[str, ...]]:
    """What words mean that facts with these names have others for: "coat" -> "jacket", "person" -> man or woman."""
    called: dict[str, str | tuple[str, ...]] = {}
    for known, words in _ALIKE:
        if name := next((n for n in known.split("|") if n in names), None):
            called |= {word: name for word in words.split("|") if word not in names and word not in called}
    if people := tuple(n for n in PEOPLE if n in names):
        called |= dict.fromkeys(("person", "someone", "somebody"), ("person", *people))
    return called


@lru_cache(maxsize=4096)
def vocabulary(names: frozenset[str] = frozenset(), has_colors: bool = True) -> Vocabulary:
    """The vocabulary with the facts' own `names` added; `has_colors`: whether the facts know colors.

    The objects that scenes are made of are known anyway, so a call per picture is a dictionary look-up.
    """
    return Vocabulary(names, has_colors)


KNOWN_NAMES = frozenset((*COCO_NAMES, *SHAPES.values()))
