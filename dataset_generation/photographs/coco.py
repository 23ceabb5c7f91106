"""The `coco` source: photographs with COCO-format annotations, without any model.

Questions ask what classes and boxes can tell: where something is, on which side, how many there are, whether there is
one, whether one is left of, right of, above or below another, whether it is larger in the picture, and how many of its
kind are beside it. The readings of a question are the instances of its class (where it is compared with one of several,
each pair), or, with `supercategories`, all animals, vehicles or appliances. Salience is AQuA's: 0.7 x share of the area
+ 0.3 x centrality. A class with crowd annotations is not asked for: the boxes are those of some. With instances too
small to be seen, only questions are asked that call for a question back however many there are. Boxes cannot carry
`abstain`: nothing in them is hidden; and where the place itself is asked for, no place can tell the readings apart, so
`clarify` comes from questions about something else.
"""

from collections import Counter
from functools import partial
from itertools import product
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

MIN_AREA = 0.001  # share of the picture: classes with smaller instances are not asked for
LARGER, MUCH_LARGER = 1.2, 2  # times as wide and as high, or times the area: larger without a doubt
FURTHER = 0.5  # of the narrower one's width: how far apart the middles are of which one is further to the left
SIDES = ("left", "right", "above", "below")
SLIVER = 4  # a cut-off instance smaller than so many times that: a matter of taste whether it counts
PAIRED = ("scissors", "skis")  # "where is the scissors" is not asked
SUPERCATEGORIES = ("animal", "vehicle", "appliance")  # of COCO's twelve, those that one says of a single thing
LOOKALIKES = {"animal": "teddy bear"}  # where there is one, people may count it
TAKEN_FOR = {"car": "truck", "truck": "car"}  # vans are both
THIN = (
    "fork",
    "knife",
    "spoon",
    "toothbrush",
    "baseball bat",
    "skis",
    "tie",
    "kite",
)  # their boxes are mostly not they
WORDS = yaml.safe_load((Path(__file__).parent / "coco.yaml").read_text(encoding="utf-8"))


def settings(options) -> Settings:
    users = parse_kinds(options.dialogue_users, "dialogue_users")
    annotations = coco_annotations.load(options.coco_annotations)
    pictures = coco_annotations.pictures_of(annotations, options.image_dir)
    about = [
        f"{len(pictures)} photographs with COCO-format annotations; questions and answers follow from classes and "
        "boxes. `abstain` is not among the strategies: boxes do not say what is hidden. Each record's `provenance` "
        "has the licence and the address of its picture, where the annotations have them."
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
    asked = [(n, 0.0) for n in (*clear, *absent[:2])]
    asked += [(n, min_area) for n in small if n not in crowds and n not in PAIRED]
    for n, smallest in asked:
        about = partial(Question, name=n, min_area=smallest)
        others = [o for o in clear if o != n and o != TAKEN_FOR.get(n)]
        questions += [about(k, other=o, side=s) for k in ("relation", "comparison") for o in others for s in SIDES]
        questions += [about("comparison", other=o) for o in others if not {n, o} & set(THIN)]
    questions += [Question("count", n, side=s) for n in clear if n not in slivers for s in SIDES[:2]]
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
    others = [o for o in objects if o.name == question.other]
    match question.form:
        case "count":
            return [NUMBERS[len(named)] if len(named) < len(NUMBERS) else None]
        case "existence":
            return ["yes" if named else "no"]
        case "relation":
            return [_beside(o, others, question.side) for o in named]
        case "comparison":
            pairs = product(named, others)
            return [_further(o, p, question.side) if question.side else _larger(o, p) for o, p in pairs]
        case "others":
            return [_number_beside(o, named, question.side) for o in named]
        case "side":
            return [{"left": "left", "right": "right"}.get(o.place.split()[-1]) for o in named]
    return [o.place for o in named]


def _toward(box, side: str) -> tuple[float, float, float, float]:
    """A box as if `side` were the left: its near and far edge, then its edges across."""
    x0, y0, x1, y1 = box
    return {
        "left": (x0, x1, y0, y1),
        "right": (-x1, -x0, y0, y1),
        "above": (y0, y1, x0, x1),
        "below": (-y1, -y0, x0, x1),
    }[side]


def _beside(o: Object, others: list[Object], side: str) -> str | None:
    """ "yes" where the middle of another is past that side of `o`, "no" where none reaches past it or all are past the
    other side; None where people would not agree: a table around a plate, a kite that is higher up and far to the left
    of somebody."""
    doubt = False
    edge, far, start, end = _toward(o.box, side)
    for p in others:
        near, back, first, last = _toward(p.box, side)
        if near <= edge and far <= back and first <= start and end <= last:
            doubt = True  # around it
            continue
        past = (near + back) / 2 < edge
        in_line = side in SIDES[:2] or min(end, last) > max(start, first)
        if past and in_line:
            return "yes"
        doubt = doubt or past or near < edge and (near + back) / 2 <= far
    return None if doubt else "no"


def _further(o: Object, p: Object, side: str) -> str | None:
    """Whether `o` is further to that side than `p`; None where it hardly is, or one reaches further both ways."""
    (near, far, *_), (other_near, other_far, *_) = (_toward(x.box, side) for x in (o, p))
    apart = (other_near + other_far - near - far) / 2
    if abs(apart) < FURTHER * min(far - near, other_far - other_near):
        return None
    if near < other_near and far < other_far:
        return "yes"
    return "no" if near > other_near and far > other_far else None


def _larger(o: Object, p: Object) -> str | None:
    """Whether `o` is larger in the picture than `p`; None where people would not agree: wider, but not higher."""
    sides = [(b[2] - b[0], b[3] - b[1]) for b in (o.box, p.box)]
    for (w, h), (other_w, other_h), answer in ((*sides, "yes"), (*sides[::-1], "no")):
        if min(w / other_w, h / other_h) >= LARGER or w * h >= MUCH_LARGER * other_w * other_h:
            return answer
    return None


def _number_beside(o: Object, named: list[Object], side: str) -> str | None:
    """How many of the others are on that side of `o`; None where the middle of one is neither before nor past it."""
    number, (edge, far, *_) = 0, _toward(o.box, side)
    for p in named:
        near, back, *_ = _toward(p.box, side)
        if p is o:
            continue
        if (near + back) / 2 < edge:
            number += 1
        elif (near + back) / 2 <= far:
            return None
    return NUMBERS[number] if number < len(NUMBERS) else None


def classify(question: Question, objects: list[Object], salient: float = SALIENT) -> Slot | None:
    """The type and strategy of a question; None where people would not agree or the words would not do."""
    found, named = answers(question, objects), question.named(objects)
    if question.overall:
        unsure = None in found or question.kind == "count" and not named  # too many to count, or none
        return None if unsure else Slot("none", "answer")
    if question.form == "others" and len(named) < 2 or question.min_area and not _counted(question, objects):
        return None
    slot = slot_for(question, question.meant(objects), found, salient)
    in_doubt = slot and slot.strategy == "enumerate" and question.form in ("relation", "comparison", "others")
    return None if in_doubt else slot


def _counted(question: Question, objects: list[Object]) -> bool:
    """Whether no small one is among those that are told apart by counting them in one place."""
    places = Counter(o.place for o in question.named(objects))
    small = [o for o in objects if o.name == question.name and o.area_share < question.min_area]
    return all(places[o.place] < 2 for o in small)


def build(settings: Settings, split: str, index: int, job: Job, salt: int, image_dir: Path) -> list[Example]:
    """The examples of one picture."""
    return build_examples(settings, split, job, image_dir, answers, WORDS)
