"""What a description fits: one example, prepared, as the scene judge asks which of its objects are meant.

Every check has four outcomes, for a picture may hide something and an annotation may miss something.
"""

import re
from difflib import get_close_matches
from functools import lru_cache

from clarifyvlm.language.descriptions import STARTS, Description
from clarifyvlm.language.items import both_places, cells_of
from clarifyvlm.language.lexicon import COCO_NAMES, COLORS, KNOWN_NAMES, MEMBERS, PATTERNS, PEOPLE, SHAPES, vocabulary
from clarifyvlm.language.normal import TOKEN, normalize
from clarifyvlm.language.phrases import Phrases
from clarifyvlm.records import Example, Object
from clarifyvlm.world.places import PLACES
from clarifyvlm.world.queries import MISSPELLINGS

YES, NO, NOT_ANNOTATED, HIDDEN = 1, 0, -1, -2
TOUCH = 0.25  # share of the smaller box that "with", "on" and "in" take in a photograph
CENTER = frozenset(("center",))
CROSS = ("top middle", "middle left", "middle right", "bottom middle")
SIZE_WORDS = ("small", "medium", "large")
WORD_NUMBERS = {
    w: i for i, w in enumerate("no one two three four five six seven eight nine ten eleven twelve".split())
} | {"zero": 0, "none": 0}
KIND_ATTRIBUTES = {
    "color": "color", "shape": "name", "name": "name", "size": "size", "pattern": "pattern", "position": "cells",
    "place": "cells", "count": "count", "existence": "yesno",
}  # fmt: skip
_YESNO = re.compile(
    r"^(?:is|are|does|do|has|have|can|tell me (?:if|whether))\b|\b(?:(?:is|are) there|(?:do|can) you see)\b"
)
_GUESSABLE = (*COLORS, *SHAPES, *COCO_NAMES)
ON = re.compile(
    r"\b((?:sitt|stand|ly|lay)ing|seated|(?:sit|stand|lie|lay)s?) on (?=an? |(?:his|her|its|their) |"
    r"the (?!(?:far |upper |lower )?(?:left|right|top|bottom|side)\b))",
    re.IGNORECASE,
)
_FELLOW = re.compile(r"(?<=\w )(?<!you )(?<!hey )(?<!sorry )(?:fella|fellow|guy|lad|chap|bloke|bugger)(s?)\b", re.I)
FIELDS = {"cells": "place", "name": "name", "color": "color", "size": "size", "pattern": "pattern"}


def answer_of(answer: str, kind: str) -> tuple[str, object]:
    """A canonical answer as (attribute, value): "red" -> ("color", "red"), "two" -> ("count", 2) for a count."""
    attribute = KIND_ATTRIBUTES.get(kind)
    word = answer.strip().lower()
    if attribute is None:
        if word in ("yes", "no"):
            attribute = "yesno"
        elif word.isdigit() or word in WORD_NUMBERS:
            attribute = "count"
        elif word in COLORS:
            attribute = "color"
        elif word in SIZE_WORDS:
            attribute = "size"
        elif word in PATTERNS:
            attribute = "pattern"
        else:
            attribute = "cells" if cells_of(word) else "name"
    if attribute == "count":
        return attribute, WORD_NUMBERS.get(word, int(word) if word.isdigit() else word)
    if attribute == "cells":
        return attribute, cells_of(word)
    return attribute, word


class Fitting:
    """One example, prepared: objects, readings with their answers, and what its question names."""

    def __init__(self, example: Example):
        self.example = example
        self.objects = example.facts.objects
        self.complete = example.facts.complete
        names = frozenset(o.name for o in self.objects if o.name not in KNOWN_NAMES)
        has_colors = example.facts.source == "scenes" or any(o.color for o in self.objects)
        self.words = vocabulary(names, has_colors)
        by_id = {o.id: o for o in self.objects}
        kind = example.kind if example.ambiguity.type != "attribute" else ""
        self.readings = []  # (objects, attribute, answer or None)
        for reading in example.ambiguity.readings:
            attribute, value = answer_of(reading.answer, kind) if reading.answer else (KIND_ATTRIBUTES.get(kind), None)
            self.readings.append(([by_id[i] for i in reading.objects if i in by_id], attribute, value))
        yesno = kind in ("comparison", "relation") and _YESNO.search(example.question.lower())
        self.asked = frozenset(a for _, a, _ in self.readings if a) or frozenset(
            ["yesno" if yesno else KIND_ATTRIBUTES.get(example.kind, "name")]
        )
        self.by_attribute = len(self.asked) > 1
        self.targets = list({o.id: o for objects, _, _ in self.readings for o in objects}.values())
        self.question_tokens = TOKEN.findall(normalize(example.question))
        ends = [i for i, token in enumerate(self.question_tokens) if token in ".?!" and i > 3]
        end = ends[0] if ends else None  # options may follow: "... on the right. Triangle or star?"
        self.question, self.other = self._described(self.question_tokens[:end])
        sides = {"left": "left", "right": "right", "above": "above", "up": "above", "below": "below", "down": "below"}
        self.side = next((sides[token] for token in self.question_tokens if token in sides), "")
        self.question_words = frozenset(self.question_tokens)
        self.guesses = guesses_of(self.question_tokens, self.words.one.get)
        self.salient = max(
            range(len(self.readings)),
            key=lambda r: max((o.salience for o in self.readings[r][0]), default=0.0),
            default=None,
        )

    def _described(self, tokens: list[str]) -> tuple[Description, Description | None]:
        """The referring expression of the question, and the second thing that it names ("... than the square?")."""
        phrases = Phrases(self.words)
        phrases.load(tokens)
        i, first, unknown, second = 0, None, Description(), None
        while i < phrases.n:
            if phrases.items[i] == ("rel", "how"):  # "how big"
                i += 2
                continue
            found = phrases.noun_phrase(i) if phrases.kind(i) in STARTS else None
            if found and found[0].given() and not set(found[0].given()) <= {"cells"} | ({"cells"} if first else set()):
                if first is None:
                    first = found[0]
                else:
                    second = second or found[0]
            elif found and found[0].given() and first is None:
                first = found[0]
            elif found and (found[0].unknown or found[0].group) and not (unknown.unknown or unknown.group):
                unknown = found[0]
            i = found[1] if found else i + 1
        return first or unknown, second

    # --- objects

    def fits(self, d: Description, o: Object) -> int:
        """Whether `o` is what `d` says, as far as the picture shows and the annotation tells."""
        worst = YES
        if d.abstract or (d.unknown and not (self.readings and self.is_question_word(d.unknown))):
            return NOT_ANNOTATED  # a word that facts do not know
        if d.group and o.name not in MEMBERS[d.group]:
            return NO
        if d.name is not None and not is_one_of(o.name, d.name):
            if "name" not in o.hidden:
                return NO
            worst = HIDDEN
        if d.cells is not None and o.place not in d.cells and not self._is_placed(o, d):
            return NO
        for attribute in ("color", "pattern"):
            wanted = getattr(d, attribute)
            if wanted is not None:
                has = getattr(o, attribute)
                if has is None:
                    worst = HIDDEN if attribute in o.hidden or worst == HIDDEN else NOT_ANNOTATED
                elif not is_one_of(has, wanted):
                    return NO
        if d.size is not None and d.size not in ("max", "min"):
            size = self.size_fits(d, o)
            if size == NO:
                return NO
            worst = min(worst, size)
        if d.hidden is not None and d.hidden not in o.hidden:
            return NO
        if d.relation is not None:
            related = self.related(o, *d.relation)
            worst = min(worst, related) if related != NO else NO
        return worst

    def _is_placed(self, o: Object, d: Description) -> bool:
        """Whether a place is said in view of the question: "in the middle", asked about what is at the top."""
        if d.cells == CENTER and self.question.cells and o in self.targets:
            return o.place in both_places(self.question.cells, CENTER)
        return self._is_beside_target(o, d)

    def _is_beside_target(self, o: Object, d: Description) -> bool:
        """ "To the right", asked about what is right of something: of one of the targets."""
        side = SIDE_OF.get(d.cells)
        if side is None or self.other is None or self.example.kind != "relation" or o in self.targets:
            return False
        return any(lies(o, side, t) for t in self.targets)

    def size_fits(self, d: Description, o: Object) -> int:
        """Sizes of scenes are facts; in photographs "large" and "small" compare boxes of one class."""
        if o.size is not None:
            return YES if o.size == d.size else NO
        areas = [area(p) for p in self.objects if p.name == o.name]
        if len(areas) < 2:
            return YES
        if max(areas) < 1.3 * min(areas):
            return NOT_ANNOTATED
        middle = (max(areas) * min(areas)) ** 0.5
        return YES if (area(o) >= middle) == (d.size == "large") else NO

    def readable(self, text: str) -> str:
        """ "Standing on a rug" answers what someone is standing on as "holding a cup" does: no place, but a thing."""
        if self.example.facts.source == "scenes":
            return _FELLOW.sub(r"one\1", text)  # "the big fella"
        return ON.sub(r"\1 ", text) if self.example.kind == "relation" and "name" in self.asked else text

    def is_question_word(self, word: str) -> bool:
        return any(word.rstrip("s") == t.rstrip("s") for t in self.question_tokens)

    def related(self, o: Object, relation: str, d: Description | None) -> int:
        """Whether `o` is left of, above, larger than, ... something that `d` fits; no fact says what is near what."""
        d = Description(one=True, definite=True) if d is None else d
        others = [p for p in self.find(d)[0] if p is not o]
        if not others and d.one and not d.given() and not self.targets:
            return NOT_ANNOTATED  # "right of it"
        if relation == "doing" or (d.unknown and not others):
            return NOT_ANNOTATED
        if relation == "overlap" and others:
            return max(self._overlaps(o, p) for p in others)
        if relation in ("near", "overlap"):
            return NOT_ANNOTATED if any(self._may_be_near(o, p) for p in others) else NO
        if relation in ("with", "on", "of"):
            return self._accompanies(o, relation, d, others)
        if relation == self.side and "yesno" in self.asked and self.fits(self.other or Description(), o) == YES:
            answers = [v for objects, _, v in self.readings if any(p in others for p in objects[:1])]
            if answers and all(v == "no" for v in answers):
                return NO
        sizes = {"max": lambda p: o.salience > p.salience, "min": lambda p: o.salience < p.salience}
        holds = [sizes[relation](p) if relation in sizes else lies(o, relation, p) for p in others]
        every = d.whole or (d.definite and d.plural and not d.part)  # "to the left of both"
        return YES if holds and (all(holds) if every else any(holds)) else NO

    def _overlaps(self, o: Object, p: Object) -> int:
        """Whether the two touch or one covers the other: as facts say in scenes, as far as boxes tell elsewhere."""
        if p.id in o.overlaps or o.id in p.overlaps:
            return YES
        if self.example.facts.source == "scenes":
            return NO
        margin = 0.03 * self.example.facts.width
        apart = max(o.box[0], p.box[0]) - min(o.box[2], p.box[2]), max(o.box[1], p.box[1]) - min(o.box[3], p.box[3])
        return NO if max(apart) > margin else NOT_ANNOTATED

    def _may_be_near(self, o: Object, p: Object) -> bool:
        """Whether the gap between the two is less than a third of the picture, either way."""
        for low, size in ((0, self.example.facts.width), (1, self.example.facts.height)):
            if max(o.box[low], p.box[low]) - min(o.box[low + 2], p.box[low + 2]) > size / 3:
                return False
        return True

    def _accompanies(self, o: Object, relation: str, d: Description, others: list[Object]) -> int:
        """Whether `o` is "in the green hat", "holding the cup", "on the rug", "carried by the man": as readings say, or
        as the boxes lie; where they do not tell, no fact does."""
        together = [objects for objects, _, _ in self.readings if len(objects) > 1]
        if any(p in objects and o in objects for objects in together for p in others):
            return YES
        for p in others:
            rivals = [q for q in self.objects if q.name == (p if relation == "of" else o).name]
            shared_with = o if relation == "of" else p
            mine = shared(o, p)
            if mine > 0 and mine >= max((shared(shared_with, q) for q in rivals if q is not shared_with), default=0.0):
                return YES
        if not others:
            return NO if d.name and self.is_told(d) else NOT_ANNOTATED
        if relation != "on" and not any(shared(o, p) for p in others):
            return NO  # one that carries a thing touches it
        taken = all(any(shared(q, p) > TOUCH for q in self.objects if q is not p and q.name == o.name) for p in others)
        if relation == "of":
            held = any(shared(q, o) > TOUCH for q in self.objects if q not in others and q.name in ("person", *PEOPLE))
            return NO if held and not any(shared(p, o) for p in others) else NOT_ANNOTATED
        return NO if taken and relation == "with" else NOT_ANNOTATED

    def is_told(self, d: Description | None) -> bool:
        """Whether the annotation would have what `d` says: it is complete, or colors other things of this name."""
        if self.complete or d is None:
            return True
        alike = [o for o in self.objects if is_one_of(o.name, d.name)] if d.name else self.targets if d.one else []
        return bool(alike) and d.color is not None and all(o.color for o in alike)

    def word(self, o: Object, attribute: str) -> str | None:
        """How one would say an attribute of `o`; a size in a photograph is relative to others of its class."""
        if attribute == "size" and o.size is None:
            return next((s for s in ("large", "small") if self.size_fits(Description(size=s), o) == YES), None)
        return None if attribute in o.hidden else getattr(o, FIELDS[attribute])

    def pool(self, d: Description | None) -> list[Object]:
        """Where to look: "it" and "the large one" stand for what the question is about."""
        if d is None or d.one:
            if d is not None and d.given() and self.example.ambiguity.type == "lexical":
                meant = "name" not in self.asked and any(o.name == d.noun for o in self.targets)
                if d.noun and (meant or d.definite and set(d.given()) == {"cells"}):
                    return [o for o in self.objects if o.name == d.noun] or self.objects
                return self.objects  # which objects are meant is what the word leaves open
            if self.targets:
                return self.targets
            if self.question.name is None and not self.question.unknown:
                some = d is not None and (d.given() or d.whole or d.number or not d.definite)
                return self.objects if some else []
            if d is not None and d.one and d.plural and d.whole and not d.given() and self.complete:
                return self.objects  # "there is no star: they are all circles"
            return [o for o in self.objects if o.name == self.question.name] if d is not None and d.given() else []
        if d.definite and d.number is not None and d.number > len(self.targets):
            return self.objects  # "the six objects"
        if (d.anywhere or d.part and d.name) and (d.whole or d.size in ("max", "min")):
            return self.objects  # "the smallest thing in the picture"
        if d.definite and any(self.fits(d, o) == YES for o in self.targets):
            return self.targets  # "the star": the one that the question is about, where there are others
        return self.objects

    def find(self, d: Description | None, pool: list[Object] | None = None) -> tuple[list[Object], bool]:
        """(objects that `d` fits, whether others might that the annotation says too little about)."""
        searched, pool = pool is None, self.pool(d) if pool is None else pool
        if d is None:
            return pool, False
        codes = [(o, self.fits(d, o)) for o in pool]
        found = [o for o, code in codes if code == YES]
        if not found and searched and d.given() and not any(code == NOT_ANNOTATED for _, code in codes):
            if d.one and d.noun and not d.name:  # "there are two stars: a large one ..."
                codes = [(o, self.fits(d, o)) for o in self.objects if o.name == d.noun]
                found = [o for o, code in codes if code == YES]
            if (
                not found
                and d.cells in EXTREMES
                and "count" not in self.asked
                and (d.definite or d.one)
                and len(self.targets) > 1
            ):
                looser, far = d.without("cells", *(self.asked - {"count", "yesno"})), EXTREMES[d.cells]
                fitting = [o for o in self.targets if self.fits(looser, o) == YES]
                found = [o for o in fitting if far(o) == max(map(far, fitting))] if len(fitting) > 1 else []
                found = [o for o in found if self.fits(d.without("cells"), o) == YES]
            if not found and d.cells == CENTER:  # "the middle one" of a row or of a column
                codes = [(o, self.fits(d, o)) for o in pool if o.place in CROSS]
                looser = d.without("cells")
                found = [o for o in pool if o.place in CROSS and self.fits(looser, o) == YES]
                if d.name and sum(self.fits(looser, o) == YES for o in pool) < 2:
                    found = []  # the only one, and elsewhere
        if d.number and d.cells in EXTREMES and (d.definite or d.one) and len(found) != d.number and d.plural:
            looser, far = d.without("cells"), EXTREMES[d.cells]  # "the two on the right"
            order = sorted((o for o in pool if self.fits(looser, o) == YES), key=far, reverse=True)
            if set(map(id, found)) <= set(map(id, order[: d.number])):
                found = order[: d.number]
        if not pool and d.one and d.noun and not d.given():  # "two men: one of them ..."
            found = [o for o in self.objects if o.name == d.noun]
        if d.ordinal and found:
            axis = {"left": 0, "right": 0, "top": 1, "bottom": 1}[d.ordinal[1]]
            order = sorted(found, key=lambda o: center(o)[axis], reverse=d.ordinal[1] in ("right", "bottom"))
            found = order[d.ordinal[0] - 1 : d.ordinal[0]]
        if d.size in ("max", "min") and found:
            saliences = [o.salience for o in found]
            extreme = max(saliences) if d.size == "max" else min(saliences)
            found = [o for o in found if o.salience == extreme]
            if len(found) > 1 and len(found) == len(saliences) and not d.plural and d.definite and found[0].size:
                found = []  # "the bigger diamond", of two of one size
            if d.cells and len(d.cells) == 1 and searched:  # "the largest star, at the top left": of all stars
                largest = self.find(d.without("cells"), pool)[0]
                found = [o for o in found if o in largest]
        return found, any(code == NOT_ANNOTATED for _, code in codes)


def is_one_of(value, wanted) -> bool:
    """Whether `value` is what a phrase says; "green or red" is a tuple."""
    return value in wanted if isinstance(wanted, tuple) else value == wanted


def is_guess(value, guesses: frozenset[str]) -> bool:
    """Whether every word of a phrase's value could be meant by the misspelt word."""
    return set(value if isinstance(value, tuple) else (value,)) <= guesses


@lru_cache(maxsize=4096)
def _close_to(token: str) -> frozenset[str]:
    return frozenset(get_close_matches(token, _GUESSABLE, n=3, cutoff=0.6))


def guesses_of(tokens: list[str], known) -> frozenset[str]:
    """The words that the misspelt ones among `tokens` could stand for."""
    found: set[str] = set()
    for token in tokens:
        if token in MISSPELLINGS:
            found |= set(MISSPELLINGS[token])
        elif known(token) is None and len(token) > 3:
            found |= _close_to(token)
    return frozenset(found)


# The cells of a side -> how far an object lies to that side: "the left one" of two that are both on the right.
EXTREMES = {
    frozenset(PLACES[:3]): lambda o: -center(o)[1],
    frozenset(PLACES[6:]): lambda o: center(o)[1],
    frozenset(PLACES[::3]): lambda o: -center(o)[0],
    frozenset(PLACES[2::3]): lambda o: center(o)[0],
}
SIDE_OF = dict(zip(EXTREMES, ("above", "below", "left", "right"), strict=True))


def lies(o: Object, side: str, p: Object) -> bool:
    """Whether `o` lies to this side of `p`: left, right, above, below."""
    (ox, oy), (px, py) = center(o), center(p)
    return {"left": ox < px, "right": ox > px, "above": oy < py, "below": oy > py}.get(side, False)


def area(o: Object) -> float:
    return max(0.0, o.box[2] - o.box[0]) * max(0.0, o.box[3] - o.box[1])


def shared(o: Object, p: Object) -> float:
    """How much of the smaller one's box the two share."""
    width = min(o.box[2], p.box[2]) - max(o.box[0], p.box[0])
    height = min(o.box[3], p.box[3]) - max(o.box[1], p.box[1])
    return max(0.0, width) * max(0.0, height) / (min(area(o), area(p)) or 1.0)


def center(o: Object) -> tuple[float, float]:
    return (o.box[0] + o.box[2]) / 2, (o.box[1] + o.box[3]) / 2
