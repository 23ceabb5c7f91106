"""What a question offers the user: "the red one, or the one next to the star?", "A) ... or B) ...?", "Is it the second
from the left?". An offer is the set of readings that it fits."""

import re
from dataclasses import dataclass, field

from clarifyvlm.language.descriptions import STARTS, AskedBack, Description
from clarifyvlm.language.facts import Case
from clarifyvlm.language.fitting import CENTER, CROSS, NOT_ANNOTATED, TOUCH, YES, center, shared
from clarifyvlm.language.normal import TOKEN, normalize
from clarifyvlm.language.phrases import Phrases
from clarifyvlm.records import Object
from clarifyvlm.world.places import PLACES, SIDES

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
NEIGHBORS = 1.3  # things whose centers are at most so many cells of the grid apart are next to each other
BESIDE = {"left": "on the left", "right": "on the right", "above": "at the top", "below": "at the bottom"}
SIDES_ACROSS = {frozenset(SIDES["on the left"]), frozenset(SIDES["on the right"])}
SIDES_DOWN = {frozenset(SIDES["at the top"]), frozenset(SIDES["at the bottom"])}

_MARK = re.compile(r"\(? ?\b([a-f]|[1-9]) \)")
_ORDINAL = re.compile(rf"\b({'|'.join((*ORDINALS, 'last'))}|[1-9] (?:st|nd|rd|th))\b")
_FROM = re.compile(r"\bfrom (?:the )?(left|right|top|bottom|above|below)\b")
_EXTREME = re.compile(
    r"\b(left|right|top|bottom|upper|lower|utter)most\b|\b(highest|lowest)\b|"
    r"\b(?:furthest|farthest|all the way) (?:on |at |to |toward )?(?:the )?(left|right|top|bottom|up|down)\b"
)
_SIDE_OF = {
    "left": "on the left", "right": "on the right", "top": "at the top", "upper": "at the top", "highest": "at the top",
    "up": "at the top", "above": "at the top", "bottom": "at the bottom", "lower": "at the bottom",
    "lowest": "at the bottom", "down": "at the bottom", "below": "at the bottom",
}  # fmt: skip
_QUESTION = re.compile(r"\b(?:which|what|where|who|whose|how)\b")
_EXAMPLE = re.compile(r"^(?:for example|such as|like|say|e g)\b")
_OTHER = re.compile(r"\b(?:different|another|others?|else|rest|remaining)\b")


@dataclass
class Offer:
    """`descriptions`: what it says, the head first; `order`: (place in the row, side that it is counted from)."""

    readings: frozenset[int] = frozenset()
    descriptions: list[Description] = field(default_factory=list)
    order: tuple[int, str] | None = None
    extreme: str | None = None  # a side: "leftmost"
    mark: str | None = None  # "a" of "A) the red one"
    other: bool = False  # "or another one"
    unknown: bool = False  # facts do not say

    @property
    def given(self) -> set[str]:
        given = {a for d in self.descriptions for a in d.given()}
        return given | ({"cells"} if self.extreme or self.order else set())


def offers_of(case: Case, ask: AskedBack) -> list[Offer]:
    """What `ask` offers, in order; [] where it leaves the words to the user."""
    text = _after_question_word(" ".join(ask.words))
    if not text or _EXAMPLE.match(" ".join(ask.words).removeprefix("you mean ")):
        return []
    either = re.search(r"\bor\b|\bversus\b", text) is not None
    direction = _FROM.search(text)
    found = []
    for segment, mark in _segments(text):
        offer = _read(case, segment, mark, _SIDE_OF[direction.group(1)] if direction else None)
        if offer:
            found.append(offer)
    if not either and not any(o.mark for o in found) and len(found) > 1:  # one thing, described at length
        found = [Offer(frozenset(), [d for o in found for d in o.descriptions], found[0].order, found[0].extreme)]
    for offer, following in zip(found, [*found[1:], None], strict=False):
        _complete(offer, following)
    _widen_middle(found)
    for offer in found:
        offer.readings = frozenset() if offer.other else _fitting(case, offer)
    _compare_two(case, found)
    if either and any(o.other for o in found):
        taken = frozenset(r for o in found for r in o.readings)
        for offer in found:
            if offer.other:
                offer.readings = frozenset(range(len(case.readings))) - taken
    return found


def readings_named(case: Case, text: str) -> frozenset[int]:
    """The readings that a user's words fit; none where they say nothing of them."""
    tokens = " ".join(t for t in TOKEN.findall(normalize(text)) if t not in ("please", "pls"))
    direction = _FROM.search(tokens) if _ORDINAL.search(tokens) else None
    tokens = _FROM.sub("", tokens) if direction else tokens
    offers = [
        offer
        for segment, _ in _segments(tokens.replace(" .", " ,"))
        if (offer := _read(case, segment, None, _SIDE_OF[direction.group(1)] if direction else None))
    ]
    said = Offer(descriptions=[d for o in offers for d in o.descriptions])
    said.order = next((o.order for o in offers if o.order), None)
    said.extreme = next((o.extreme for o in offers if o.extreme), None)
    if not said.order and not said.extreme:
        said.descriptions = [d.without(*(case.asked & d.given().keys())) for d in said.descriptions]
    told = {a for d in said.descriptions for a in d.given()}
    if len({o.name for o in case.targets}) == 1:
        told.discard("name")  # "the star", of stars
    return _fitting(case, said) if told or said.order or said.extreme else frozenset()


def _after_question_word(text: str) -> str:
    """What comes after "which one do you mean, ..."; "" where nothing does; all of it where nothing of the kind is."""
    for question in _QUESTION.finditer(text):
        before = text[: question.start()].split()
        if before and before[-1] in ("one", "ones", "object", "objects", "thing"):
            continue  # "the one which is red"
        rest = text[question.end() :]
        head, mark, after = re.match(r"([^,:(]*)([,:(]?)(.*)", rest).groups()
        if mark:
            return mark + after if mark == "(" else after
        if " or " in head and (said := re.search(r"\b(?:mean|about|to|want|for)\b", head)):
            return head[said.end() :]
        if " or " in head and question.group() == "which" and not re.search(r"\byou\b", head):
            return head  # "which one is it the red or the blue": no comma
        return ""
    return text


def _segments(text: str) -> list[tuple[str, str | None]]:
    """The offers' words, each with its letter or number."""
    marks = list(_MARK.finditer(text))
    if marks and not text[marks[0].end() :].strip(" ,"):
        marks = []
    if len(marks) > 1 and _leads(text, marks[0]):
        ends = [m.start() for m in marks[1:]] + [len(text)]
        return [(text[m.end() : end].strip(" ,"), m.group(1)) for m, end in zip(marks, ends, strict=True)]
    found = []
    for part in re.split(r" ?\b(?:or|versus)\b ?|[,:]", text):
        mark = _MARK.search(part)
        part = (part[: mark.start()] + part[mark.end() :]) if mark else part
        if part.strip():
            found.append((part.strip(), mark.group(1) if mark else None))
    return found


def _leads(text: str, mark: re.Match) -> bool:
    """Whether the letters stand before what they mark."""
    after = text[mark.end() :].lstrip()
    return bool(after) and not after.startswith((",", "or "))


def _read(case: Case, segment: str, mark: str | None, side: str | None) -> Offer | None:
    offer = Offer(mark=mark)
    if (extreme := _EXTREME.search(segment)) and (word := next(g for g in extreme.groups() if g)) in _SIDE_OF:
        offer.extreme = _SIDE_OF[word]
    ordinal = _ORDINAL.search(segment)
    if ordinal and not extreme:
        word = ordinal.group(1)
        index = -1 if word == "last" else ORDINALS.index(word) if word in ORDINALS else int(word.split()[0]) - 1
        offer.order = (index, side or "on the left")
        segment = _FROM.sub("", segment.replace(word, "", 1))
    elif extreme:
        segment = segment[: extreme.start()] + segment[extreme.end() :]
    phrases = Phrases(case.words)
    phrases.load(segment.split())
    i = 0
    while i < phrases.n:
        kind = phrases.kind(i)
        if kind == "R":
            related = phrases.related_phrase(i)
            d = related[0] if related and (related[0].given() or related[0].other) else None
            offer.descriptions.append(Description(relation=(phrases.items[i][1], d)))
            i = related[1] if related else i + 1
            continue
        found = phrases.noun_phrase(i) if kind in STARTS else None
        if found:
            d, i = found
            d.number = None
            if d.given():
                offer.descriptions.append(d)
            continue
        i += 1
    said = offer.descriptions or offer.order or offer.extreme
    offer.other = not said and _OTHER.search(segment) is not None
    return offer if said or offer.other else None


def _complete(offer: Offer, following: Offer | None) -> None:
    """ "above or below the star": the first says no more than "above"."""
    for d in offer.descriptions:
        if d.relation and d.relation[1] is None:
            shared = [e.relation[1] for e in following.descriptions if e.relation] if following else []
            d.relation = (d.relation[0], shared[0] if shared else None)


def _widen_middle(found: list[Offer]) -> None:
    """ "Left, middle or right?": the middle column."""
    places = [d for offer in found for d in offer.descriptions if d.cells]
    cells = {d.cells for d in places}
    for line, sides in ((PLACES[1::3], SIDES_ACROSS), (PLACES[3:6], SIDES_DOWN)):
        if sides <= cells:
            for d in places:
                d.cells = frozenset(line) if d.cells == CENTER else d.cells


def _fitting(case: Case, offer: Offer) -> frozenset[int]:
    pool = list(case.targets)
    head = True
    for d in offer.descriptions:
        codes = [(o, _fits(case, d, o)) for o in pool]
        fitting = [o for o, code in codes if code == YES]
        if d.size in ("max", "min"):
            fitting = case.find(d, pool)[0]
        if not fitting and d.cells == CENTER:
            fitting = [o for o in pool if o.place in (*CROSS, *CENTER)]  # the middle row and the middle column
        if not fitting and not head and not d.relation:  # "the boy in the yellow hat"
            landmarks = case.find(d, case.objects)[0]
            fitting = _touching(pool, landmarks)
        if not fitting and any(code == NOT_ANNOTATED for _, code in codes):
            offer.unknown = True
            return frozenset(range(len(case.readings)))
        pool, head = fitting, False
    if offer.extreme:
        pool = outermost(pool, offer.extreme)
    elif offer.order:
        row = in_a_row(pool, offer.order[1])
        index = offer.order[0]
        pool = [row[index]] if -len(row) <= index < len(row) else []
    return frozenset(i for i, (objects, _, _) in enumerate(case.readings) if any(o in pool for o in objects))


def _fits(case: Case, d: Description, o: Object) -> int:
    if d.relation is None:
        return case.fits(d, o)
    relation, landmark = d.relation
    plain = d.without("relation")
    if plain.given() and (code := case.fits(plain, o)) != YES:
        return code
    if landmark is None or (landmark.other and not landmark.given()):  # "above the others"
        return int(relation in BESIDE and o in outermost(case.targets, BESIDE[relation]))
    if relation == "near":
        landmarks = [p for p in case.find(landmark, case.objects)[0] if p is not o]
        return int(any(near(case, o, p) for p in landmarks))
    return case.related(o, relation, landmark)


def near(case: Case, o: Object, p: Object) -> bool:
    """Whether two things are next to each other."""
    (ox, oy), (px, py) = center(o), center(p)
    facts = case.example.facts
    return ((ox - px) * 3 / facts.width) ** 2 + ((oy - py) * 3 / facts.height) ** 2 <= NEIGHBORS**2


def _touching(pool: list[Object], landmarks: list[Object]) -> list[Object]:
    """Those of `pool` that have one of the landmarks on them, at them or around them: the one that has most of it."""
    shares = [max((shared(o, p) for p in landmarks if p is not o), default=0.0) for o in pool]
    most = max(shares, default=0.0)
    return [o for o, share in zip(pool, shares, strict=True) if most > TOUCH and share == most]


def _compare_two(case: Case, found: list[Offer]) -> None:
    """ "The upper or the lower one?" of two things: whichever is higher, in whatever row they are."""
    sides = {frozenset(cells): side for side, cells in SIDES.items()}
    named = [[sides.get(d.cells) for d in o.descriptions if d.cells] for o in found]
    if len(case.targets) != 2 or len(found) != 2 or any(len(n) != 1 or n[0] is None for n in named):
        return
    first, second = named[0][0], named[1][0]
    if {first, second} not in ({"on the left", "on the right"}, {"at the top", "at the bottom"}):
        return
    if sum(len(o.readings) for o in found) == 2 and all(len(o.readings) == 1 for o in found):
        return
    for offer, side in zip(found, (first, second), strict=True):
        pool = in_a_row(case.targets, side)[:1]
        offer.readings = frozenset(i for i, (objects, _, _) in enumerate(case.readings) if objects[0] in pool)


def in_a_row(objects: list[Object], side: str) -> list[Object]:
    """As counted from a side."""
    axis = 0 if side in ("on the left", "on the right") else 1
    return sorted(objects, key=lambda o: center(o)[axis], reverse=side in ("on the right", "at the bottom"))


def outermost(objects: list[Object], side: str) -> list[Object]:
    """Those in the row or column of the grid that is furthest to a side."""
    if not objects:
        return []
    line = {
        o.id: PLACES.index(o.place) % 3 if side in ("on the left", "on the right") else PLACES.index(o.place) // 3
        for o in objects
    }
    furthest = (min if side in ("on the left", "at the top") else max)(line.values())
    return [o for o in objects if line[o.id] == furthest]
