"""The `coco` source: photographs with COCO-format annotations, without any model.

Questions ask what classes and boxes can tell: where something is, on which side, how many there are, whether there is
one, and whether one is left or right of another. The readings of a question are the instances of its class, or, with
`supercategories`, of all animals, vehicles or appliances. Salience is AQuA's: 0.7 x share of the area + 0.3 x
centrality. A class with crowd annotations, or with instances too small to be seen, is not asked for. Boxes cannot carry
`abstain`: nothing in them is hidden; and where the place itself is asked for, no place can tell the readings apart, so
`clarify` comes from left-and-right questions only.
"""

from functools import partial
from pathlib import Path

import yaml

from clarifyvlm.errors import UserError
from clarifyvlm.records import Example, Object
from clarifyvlm.users import parse_kinds
from clarifyvlm.world.queries import NUMBERS
from folder.shares import Slot
from photographs import coco_annotations
from photographs.boxes import salience_weights
from photographs.build import build_examples
from photographs.plan import plan_jobs
from photographs.question import SALIENT, Candidate, Job, Question, Settings, slot_for
from photographs.words import middle

MIN_AREA = 0.001  # share of the picture: classes with smaller instances are not asked for
SLIVER = 4  # a cut-off instance smaller than so many times that: a matter of taste whether it counts
PAIRED = ("scissors", "skis")  # "where is the scissors" is not asked
SUPERCATEGORIES = ("animal", "vehicle", "appliance")  # of COCO's twelve, those that one says of a single thing
LOOKALIKES = {"animal": "teddy bear"}  # where there is one, people may count it
WORDS = yaml.safe_load((Path(__file__).parent / "coco.yaml").read_text(encoding="utf-8"))


def settings(options) -> Settings:
    users = parse_kinds(options.dialogue_users, "dialogue_users")
    annotations = coco_annotations.load(options.coco_annotations)
    pictures = coco_annotations.pictures_of(annotations, options.image_dir)
    about = [
        f"{len(pictures)} photographs with COCO-format annotations; questions and answers follow from classes and "
        "boxes. `abstain` is not among the strategies: boxes do not say what is hidden. Each record's `provenance` "
        "has the license and the address of its picture, where the annotations have them."
    ]
    if annotations.bare:
        about.append(
            f"{annotations.bare} of the pictures have no annotations: they are asked only for what is not there."
        )
        print(about[-1])
    return Settings("coco", options.image_dir, options.seed, users, tuple(about))


def plan(settings: Settings, options, shares: dict[Slot, float], kinds: dict[str, float]) -> dict[str, list[Job]]:
    """split -> jobs."""
    annotations = coco_annotations.load(options.coco_annotations)
    weights = salience_weights(options)
    if options.supercategories and annotations.federated:
        raise UserError("supercategories: not every class was looked for in every picture; set it to 0")
    members = _members(annotations.supercategories) if options.supercategories else {}
    if options.supercategories and not members:
        raise UserError(
            f"supercategories: no picture shows a class of {', '.join(SUPERCATEGORIES)} (the only ones that are asked "
            "for); set it to 0"
        )
    names = sorted(annotations.supercategories)
    files = coco_annotations.pictures_of(annotations, options.image_dir)

    def candidates(facts: dict, rng) -> list[Candidate]:
        objects = [Object(**o) for o in facts["objects"]]
        looked_for = facts.get("absent", names)  # what may be asked for where there is none
        questions = _questions(objects, facts["crowds"], looked_for, rng, options.min_area, members)
        return [(q, slot) for q in questions if (slot := classify(q, objects, options.salient_threshold))]

    def origin(file: str) -> dict[str, str]:
        return coco_annotations.origin(annotations, files[file])

    how = {"weights": weights, "box_space": options.box_space}
    facts_of = partial(coco_annotations.read, annotations, options.image_dir, files, **how)
    return plan_jobs(options, shares, kinds, list(files), facts_of, candidates, _why_never, origin)


def _members(supercategories: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Super-category -> its classes."""
    return {
        s: tuple(sorted(name for name, of in supercategories.items() if of == s))
        for s in SUPERCATEGORIES
        if s in supercategories.values()
    }


def _why_never(slot: Slot) -> str:
    if slot.strategy == "abstain":
        return " (boxes cannot say that something is hidden)"
    return " (only what is not in a picture is corrected: premise:correct)" if slot.strategy == "correct" else ""


def _questions(objects: list[Object], crowds: list[str], names, rng, min_area=MIN_AREA, members=None) -> list[Question]:
    """Every question that may be asked of a picture, in a random order. `members`: of super-categories."""
    present = sorted({o.name for o in objects})
    small = {o.name for o in objects if o.area_share < min_area}
    slivers = {o.name for o in objects if o.cut_off and o.area_share < SLIVER * min_area}
    absent = [n for n in names if n not in present and n not in crowds and n not in PAIRED]
    clear = [n for n in present if n not in crowds and n not in PAIRED and n not in small]
    absent = rng.sample(absent, min(len(absent), 2 + len(clear)))  # many classes are absent: a few will do
    questions = [Question(k, n) for n in clear for k in ("position", "existence")]
    questions += [Question("count", n) for n in clear if n not in slivers]
    questions += [Question("position", n, sided=True) for n in clear]
    questions += [Question(k, n) for n in absent for k in ("position", "existence")]
    questions += [
        Question("relation", n, other=other, side=side)
        for n in [*clear, *absent[:2]]
        for other in clear
        if other != n
        for side in ("left", "right")
    ]
    # No left and right of an animal: the offline judge would take the other thing for what is asked about.
    for name, classes in (members or {}).items():
        shown = set(classes) & set(present)
        if shown & small or {*classes, LOOKALIKES.get(name)} & {*crowds, *(p for p in present if p not in classes)}:
            continue
        questions.append(Question("existence", name, members=classes))
        if shown:
            questions.append(Question("position", name, members=classes))
            questions.append(Question("position", name, sided=True, members=classes))
            questions += [Question("count", name, members=classes)] * (not shown & slivers)
    rng.shuffle(questions)
    return questions


def answers(question: Question, objects: list[Object]) -> list[str | None]:
    """The answer for each instance of the class, or the one answer of a count or existence question."""
    named = question.named(objects)
    match question.kind:
        case "count":
            return [NUMBERS[len(named)] if len(named) < len(NUMBERS) else None]
        case "existence":
            return ["yes" if named else "no"]
        case "relation":
            others = [o for o in objects if o.name == question.other]
            return [_beside(o, others, question.side) for o in named]
    if question.sided:
        return [{"left": "left", "right": "right"}.get(o.place.split()[-1]) for o in named]
    return [o.place for o in named]


def _beside(o: Object, others: list[Object], side: str) -> str | None:
    """ "yes" where the middle of another is past that side of `o`, "no" where none reaches past it or all are past the
    other side; None where people would not agree (a table around a plate)."""
    doubt = False
    for p in others:
        left, right, start, where = o.box[0], o.box[2], p.box[0], middle(p)
        if side == "right":
            left, right, start, where = -right, -left, -p.box[2], -where
        if where < left:
            return "yes"
        doubt = doubt or start < left and where <= right
    return None if doubt else "no"


def classify(question: Question, objects: list[Object], salient: float = SALIENT) -> Slot | None:
    """The type and strategy of a question; None where people would not agree or the words would not do."""
    found = answers(question, objects)
    if None in found:  # in the middle, or too many to count
        return None
    named = question.named(objects)
    if question.kind in ("count", "existence"):
        return None if question.kind == "count" and not named else Slot("none", "answer")
    slot = slot_for(question, named, found, salient)
    return None if slot and question.kind == "relation" and slot.strategy == "enumerate" else slot


def build(settings: Settings, split: str, index: int, job: Job, salt: int, image_dir: Path) -> list[Example]:
    """The examples of one picture."""
    return build_examples(settings, split, job, image_dir, answers, WORDS)
