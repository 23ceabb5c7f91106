"""A question about a photograph, what is right to say to it, and the work that the plan makes of both."""

from dataclasses import dataclass
from itertools import pairwise, product

from clarifyvlm.records import Object, Reading
from clarifyvlm.strategies import MAX_LISTED_READINGS, strategy_for
from folder.shares import Slot

SALIENT = 0.6
CLEARLY_LARGER = 1.3
AHEAD = 4  # times the area of the next: whatever its salience, one means that one
MOST_READINGS = 20  # nobody keeps more of them apart
IN_ONE_PLACE = 4  # "the fourth bottle from the left in the center": nobody counts further
APART = 0.5  # of the narrower one: how far apart the middles of two are that are counted


@dataclass(frozen=True)
class Settings:
    """What a worker needs to know."""

    source: str
    image_dir: str
    seed: int
    users: dict[str, float]  # who replies in dialogues: kind -> weight
    about: tuple[str, ...]  # lines for the dataset card


@dataclass(frozen=True)
class Question:
    """What is asked of one picture: a kind, a name, and what the kind needs besides."""

    kind: str
    name: str
    sided: bool = False  # "which side" in place of "where"
    other: str | None = None
    side: str | None = None  # "left" | "right" | "above" | "below": is there an `other` on that side of the `name`?
    # comparison: is the `name` on that side of the `other` (without a side: larger than it)?
    predicate: str | None = None  # "holding": what is the `name` holding?
    members: tuple[str, ...] = ()  # the classes that a super-category ("animal") stands for
    min_area: float = 0.0  # share of the picture: smaller ones are not meant, and there may be more of them than known

    @property
    def form(self) -> str:
        if self.kind == "count" and self.side:
            return "others"  # how many others are to the left of it
        return "side" if self.sided else self.predicate or self.kind

    @property
    def overall(self) -> bool:
        """Whether it has one reading, of the whole picture."""
        return self.kind == "existence" or self.form == "count"

    def named(self, objects: list[Object]) -> list[Object]:
        """The objects that it may be about."""
        names = self.members or (self.name,)
        return [o for o in objects if o.name in names and o.area_share >= self.min_area]

    def meant(self, objects: list[Object]) -> list[tuple[Object, ...]]:
        """The objects of each reading: with several of what is compared with, each pair is one."""
        others = [o for o in objects if o.name == self.other]
        if self.kind == "comparison" and len(others) > 1:
            return list(product(self.named(objects), others))
        return [(o,) for o in self.named(objects)]


Candidate = tuple[Question, Slot]


@dataclass(frozen=True)
class Job:
    """One picture, and the questions that the plan picked for it."""

    file_name: str
    facts: dict
    questions: tuple[Candidate, ...]
    origin: dict[str, str]  # license, source_url: those that are known

    @property
    def slots(self) -> list[Slot]:
        return [slot for _, slot in self.questions]


def slot_for(
    q: Question, meant: list[tuple[Object, ...]], found: list[str | None], salient: float = SALIENT
) -> Slot | None:
    """The type and strategy of a question with readings of the objects `meant` and the answers `found` (None: in
    doubt); None where people would not agree.

    `salient`: an object stands out like the most salient one from this share of its salience on (AQuA's 0.6). `infer`
    needs exactly one that does, `enumerate` needs all.
    """
    if None in found or q.kind == "comparison" and any(len(objects) > 1 for objects in meant):
        same = None not in found and len(set(found)) == 1 and not q.min_area
        strategy = "answer" if same else "clarify" if asks_back(q, meant, found, salient) else None
        return Slot("referential", strategy) if strategy else None
    named = [objects[0] for objects in meant]
    readings = [Reading(objects=[o.id], expression="", answer=a) for o, a in zip(named, found, strict=True)]
    strategy = strategy_for(readings, [o.salience for o in named])
    if strategy in (None, "clarify"):
        return Slot("referential", "clarify") if asks_back(q, meant, found, salient) else None
    if q.min_area:
        return None  # there may be more of them
    if strategy == "correct":
        return Slot("premise", "correct")
    standing_out = standing(named, salient)
    if strategy == "infer" and (len(standing_out) > 1 or not _is_large(named)):
        return None  # the words call it large
    if strategy == "enumerate" and len(standing_out) < len(named):
        return None
    if strategy == "enumerate" and q.kind == "position" and len(set(found)) < len(found):
        return None  # "one is on the left, one is on the left and one is on the right"
    return Slot("none" if len(named) == 1 else "referential", strategy)


def asks_back(q: Question, meant: list[tuple[Object, ...]], found: list[str | None], salient: float) -> bool:
    """Whether to ask is right: more readings than one would list are of objects that stand out (AQuA's level 3), their
    answers differ, and words can tell which is meant. Less salient ones and answers in doubt
    beside them change nothing; those in doubt become no readings."""
    if q.kind == "position" or not meant or len(meant) > MOST_READINGS:  # its place is what is asked
        return False
    stand, number = set(), 1
    for same in zip(*meant, strict=True):
        group = list({o.id: o for o in same}.values())
        out = standing(group, salient)
        number *= len(out)
        stand |= {o.id for o in out}
        areas = sorted((o.area_share for o in group), reverse=True)
        if len(group) > 1 and (areas[0] > AHEAD * areas[1] or None in [in_one_place(o, group) for o in group]):
            return False
    sure = [(objects, a) for objects, a in zip(meant, found, strict=True) if a is not None]
    told = {a for objects, a in sure if stand.issuperset(o.id for o in objects)}
    return number > MAX_LISTED_READINGS and len(sure) > MAX_LISTED_READINGS and len(told) > 1


def standing(group: list[Object], salient: float) -> list[Object]:
    """Those that stand out."""
    most = max((o.salience for o in group), default=0)
    return [o for o in group if o.salience >= salient * most]


def in_one_place(o: Object, named: list[Object]) -> tuple[list[Object], str] | None:
    """Those of `named` that share a place with `o`, in the order in which one counts them from the left or, stacked,
    from the top; None where they lie so close, or are so many, that nobody would count them."""
    same = [p for p in named if p.place == o.place]
    for axis, side in ((0, "left"), (1, "top")):
        row = sorted(same, key=lambda p: p.box[axis] + p.box[axis + 2])
        if len(row) <= IN_ONE_PLACE and all(_apart(p, q, axis) for p, q in pairwise(row)):
            return row, side
    return None


def _apart(o: Object, p: Object, axis: int) -> bool:
    narrower = min(b[axis + 2] - b[axis] for b in (o.box, p.box))
    return abs(o.box[axis] + o.box[axis + 2] - p.box[axis] - p.box[axis + 2]) / 2 >= APART * narrower


def _is_large(named: list[Object]) -> bool:
    """Whether the most salient one is clearly the largest, too."""
    best, *others = sorted(named, key=lambda o: -o.salience)
    return all(best.area_share >= CLEARLY_LARGER * o.area_share for o in others)
