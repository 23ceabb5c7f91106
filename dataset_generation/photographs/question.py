"""A question about a photograph, what is right to say to it, and the work that the plan makes of both."""

from dataclasses import dataclass

from clarifyvlm.records import Object, Reading
from clarifyvlm.strategies import strategy_for
from folder.shares import Slot

SALIENT = 0.6
CLEARLY_LARGER = 1.3


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
    side: str | None = None  # "left" | "right": is there an `other` to the <side> of the `name`?
    predicate: str | None = None  # "holding": what is the `name` holding?
    members: tuple[str, ...] = ()  # the classes that a super-category ("animal") stands for

    @property
    def form(self) -> str:
        return "side" if self.sided else self.predicate or self.kind

    def named(self, objects: list[Object]) -> list[Object]:
        """The objects that it may be about."""
        names = self.members or (self.name,)
        return [o for o in objects if o.name in names]


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


def slot_for(q: Question, named: list[Object], found: list[str | None], salient: float = SALIENT) -> Slot | None:
    """The type and strategy of a question about `named` with the answers `found`; None where people would not agree.

    `salient`: an object stands out like the most salient one from this share of its salience on (AQuA's 0.6). `infer`
    needs exactly one that does, `enumerate` and `clarify` need all. With 0.6 both follow from the ratios in
    clarifyvlm.strategies, which are stricter; a lower one makes `infer` rarer, a higher one the other two.
    """
    if None in found:
        return None
    readings = [Reading(objects=[o.id], expression="", answer=a) for o, a in zip(named, found, strict=True)]
    strategy = strategy_for(readings, [o.salience for o in named])
    if strategy == "correct":
        return Slot("premise", "correct")
    if strategy is None:
        return None
    standing_out = sum(o.salience >= salient * max(p.salience for p in named) for o in named)
    if strategy == "infer" and standing_out > 1 or strategy in ("enumerate", "clarify") and standing_out < len(named):
        return None
    if strategy == "infer" and not _is_large(named):
        return None  # the words call it so
    if strategy == "enumerate" and q.kind == "position" and len(set(found)) < len(found):
        return None  # "one is on the left, one is on the left and one is on the right"
    if strategy == "clarify" and (q.kind == "position" or len({o.place for o in named}) < 3):
        return None  # its place does not tell which one is meant
    return Slot("none" if len(named) == 1 else "referential", strategy)


def _is_large(named: list[Object]) -> bool:
    """Whether the most salient one is clearly the largest, too."""
    best, *others = sorted(named, key=lambda o: -o.salience)
    return all(best.area_share >= CLEARLY_LARGER * o.area_share for o in others)
