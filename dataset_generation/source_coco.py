"""The `coco` source: photographs with COCO-format annotations, without any model.

Questions ask what classes and boxes can tell: where something is, on which side, how many there are, whether there is
one, and whether one is left or right of another. The readings of a question are the instances of its class; salience is
AQuA's 0.7 x share of the area + 0.3 x centrality. A class with crowd annotations, or with instances too small to be
seen, is not asked for. Boxes cannot carry `abstain`: nothing in them is hidden; and where the place itself is asked
for, no place can tell the readings apart, so `clarify` comes from left-and-right questions only.
"""

import random
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import coco_annotations
import yaml
from layout import Slot, apportion

from clarifyvlm.errors import UserError
from clarifyvlm.judges.lexicon import plural_of
from clarifyvlm.places import PLACES, at
from clarifyvlm.queries import NUMBERS
from clarifyvlm.records import Ambiguity, Dialogue, Example, Facts, Object, Reading
from clarifyvlm.strategies import LEVELS, strategy_for
from clarifyvlm.user import reply

MIN_AREA = 0.001  # share of the picture: classes with smaller instances are not asked for
DEALS = 300  # of pictures to splits, until every share can be met
PAIRED = ("scissors", "skis")  # "where is the scissors" is not asked
WORDS = yaml.safe_load((Path(__file__).parent / "phrasings_coco.yaml").read_text(encoding="utf-8"))
KINDS = ("position", "count", "existence", "relation")


@dataclass(frozen=True)
class Settings:
    image_dir: str
    names: tuple[str, ...]  # of all classes that some picture shows
    seed: int
    pictures: int


@dataclass(frozen=True)
class Question:
    """What is asked of one picture: a class, and for a relation another class and a side."""

    kind: str
    name: str
    sided: bool = False  # "which side" in place of "where"
    other: str | None = None
    side: str | None = None  # "left" | "right": is there an `other` to the <side> of the `name`?


@dataclass(frozen=True)
class Job:
    """One picture, and the questions that the plan picked for it."""

    file_name: str
    facts: dict
    questions: tuple[tuple[Question, Slot], ...]


def inputs(options) -> list[str]:
    return [options.coco_annotations]


def settings(options) -> Settings:
    for flag in ("coco_annotations", "image_dir"):
        if not getattr(options, flag):
            raise UserError(
                f"source coco needs --{flag}: the annotations (instances JSON) and the folder of the pictures"
            )
    facts = coco_annotations.read(options.coco_annotations, options.image_dir)
    names = sorted({o["name"] for f in facts.values() for o in f["objects"]})
    return Settings(options.image_dir, tuple(names), options.seed, len(facts))


def plan(settings: Settings, options, shares: dict[Slot, float], kinds: dict[str, float]) -> dict[str, list[Job]]:
    """split -> jobs: pictures are dealt to the splits, then questions are picked to the shares, exactly."""
    if options.num_test_ood:
        raise UserError("num_test_ood: photographs have no unseen pairs of shape and color; leave it at 0")
    sizes = {s: getattr(options, f"num_{s}") for s in ("train", "validation", "test")}
    if options.num_examples is not None:
        sizes = dict(zip(sizes, apportion(options.num_examples, list(sizes.values())), strict=True))
    facts = coco_annotations.read(options.coco_annotations, options.image_dir)
    rng = random.Random(f"{options.seed}:plan")
    able = {name: _candidates(f, settings.names, kinds, rng) for name, f in facts.items()}
    wanted = {
        split: dict(zip(shares, apportion(n, list(shares.values())), strict=True)) for split, n in sizes.items() if n
    }
    # A split needs pictures in proportion to its examples; the small ones at least a few.
    portions = [max(sizes[split], sum(sizes.values()) / 8) for split in wanted]
    order = sorted(facts)
    for _ in range(DEALS):
        rng.shuffle(order)
        dealt, start = {}, 0
        for split, n in zip(wanted, apportion(len(order), portions), strict=True):
            dealt[split] = order[start : start + n]
            start += n
        lack = _lacking(wanted, dealt, able)
        if lack is None:
            return {
                split: _pick_questions(wanted[split], {k: facts[k] for k in dealt[split]}, able, kinds, rng)
                for split in wanted
            }
    split, slot, found = lack
    raise UserError(
        f"{split}: share {slot.type}:{slot.strategy} asks for {wanted[split][slot]} examples, and the "
        f"{len(dealt[split])} pictures of this split give {found}{_why_never(slot)} ({DEALS} deals of the pictures "
        "to the splits were tried). Lower that share, or num_examples, or give more pictures."
    )


def _candidates(facts: dict, names, kinds: dict[str, float], rng) -> list[tuple[Question, Slot]]:
    objects = [Object(**o) for o in facts["objects"]]
    questions = [q for q in _questions(objects, facts["crowds"], names, rng) if kinds.get(q.kind, 0)]
    return [(q, slot) for q in questions if (slot := classify(q, objects))]


def _lacking(wanted: dict, dealt: dict, able: dict) -> tuple[str, Slot, int] | None:
    """The first (split, slot, number found) of which there is not enough; None where all shares can be met."""
    for split, slots in wanted.items():
        found = Counter(slot for name in dealt[split] for _, slot in able[name])
        for slot, n in slots.items():
            if found[slot] < n:
                return split, slot, found[slot]
    return None


def _pick_questions(wanted: dict[Slot, int], facts: dict, able: dict, kinds: dict[str, float], rng) -> list[Job]:
    picked = defaultdict(list)
    for slot, n in wanted.items():
        found = [(name, q) for name in facts for q, s in able[name] if s == slot]
        per_kind = Counter(q.kind for _, q in found)
        # Kinds by weight: a key per candidate, the smallest are taken (Efraimidis and Spirakis, 2006).
        keys = [(rng.expovariate(kinds[q.kind] / per_kind[q.kind]), i) for i, (_, q) in enumerate(found)]
        for _, i in sorted(keys)[:n]:
            picked[found[i][0]].append((found[i][1], slot))
    return [Job(name, facts[name], tuple(picked[name])) for name in facts if picked[name]]


def _why_never(slot: Slot) -> str:
    if slot.strategy == "abstain":
        return " (boxes cannot say that something is hidden)"
    return " (only what is not in a picture is corrected: premise:correct)" if slot.strategy == "correct" else ""


def _questions(objects: list[Object], crowds: list[str], names, rng) -> list[Question]:
    """Every question that may be asked of a picture, in a random order."""
    present = sorted({o.name for o in objects})
    absent = [n for n in names if n not in present and n not in crowds and n not in PAIRED]
    clear = [n for n in present if n not in crowds and n not in PAIRED and _large_enough(objects, n)]
    absent = rng.sample(absent, min(len(absent), 2 + len(clear)))  # many classes are absent: a few will do
    questions = [Question(k, n) for n in clear for k in ("position", "count", "existence")]
    questions += [Question("position", n, sided=True) for n in clear]
    questions += [Question(k, n) for n in absent for k in ("position", "existence")]
    questions += [
        Question("relation", n, other=other, side=side)
        for n in [*clear, *absent[:2]]
        for other in clear
        if other != n
        for side in ("left", "right")
    ]
    rng.shuffle(questions)
    return questions


def _large_enough(objects: list[Object], name: str) -> bool:
    return all(o.area_share >= MIN_AREA for o in objects if o.name == name)


def answers(question: Question, objects: list[Object]) -> list[str | None]:
    """The answer for each instance of the class, or the one answer of a count or existence question."""
    named = [o for o in objects if o.name == question.name]
    match question.kind:
        case "count":
            return [NUMBERS[len(named)] if len(named) < len(NUMBERS) else None]
        case "existence":
            return ["yes" if named else "no"]
        case "relation":
            sign = 1 if question.side == "left" else -1
            others = [o for o in objects if o.name == question.other]
            return ["yes" if any(sign * _middle(p) < sign * _middle(o) for p in others) else "no" for o in named]
    if question.sided:
        return [{"left": "left", "right": "right"}.get(o.place.split()[-1]) for o in named]
    return [o.place for o in named]


def classify(question: Question, objects: list[Object]) -> Slot | None:
    """The type and strategy of a question; None where people would not agree or the words would not do."""
    named = [o for o in objects if o.name == question.name]
    found = answers(question, objects)
    if None in found:  # in the middle, or too many to count
        return None
    if question.kind in ("count", "existence"):
        return None if question.kind == "count" and not named else Slot("none", "answer")
    readings = [Reading(objects=[o.id], expression="", answer=a) for o, a in zip(named, found, strict=True)]
    strategy = strategy_for(readings, [o.salience for o in named])
    if strategy == "infer" and max(named, key=lambda o: o.salience) is not max(named, key=lambda o: o.area_share):
        return None  # the words call it large
    if strategy == "clarify" and (question.kind == "position" or len({o.place for o in named}) < 3):
        return None  # its place does not tell which one is meant
    if question.kind == "relation" and strategy == "enumerate":
        return None
    if strategy is None:
        return None
    if strategy == "correct":
        return Slot("premise", "correct")
    return Slot("none" if len(named) == 1 else "referential", strategy)


def build(settings: Settings, split: str, index: int, job: Job, salt: int, image_dir: Path) -> list[Example]:
    """The examples of one picture, which is copied to `image_dir`/<split>/ as it is."""
    rng = random.Random(f"{settings.seed}:{split}:{job.file_name}")
    content = (Path(settings.image_dir) / job.file_name).read_bytes()
    target = image_dir / split / Path(job.file_name).name
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".tmp")
    temporary.write_bytes(content)
    temporary.replace(target)
    facts = Facts(**{k: v for k, v in job.facts.items() if k != "crowds"})
    image, digest = f"images/{split}/{target.name}", sha256(content).hexdigest()
    return [_example(settings, split, q, slot, facts, image, digest, rng) for q, slot in job.questions]


def signature(example: Example) -> bytes:
    return example.image_sha256.encode()


def about(settings: Settings) -> list[str]:
    return [
        f"{settings.pictures} photographs with COCO-format annotations; questions and answers follow from classes "
        "and boxes. `abstain` is not among the strategies: boxes do not say what is hidden. Attribution and licences "
        "are those of the annotations.",
    ]


def _example(settings, split: str, q: Question, slot: Slot, facts: Facts, image: str, digest: str, rng) -> Example:
    found = _readings(q, facts)
    question = _fill(rng.choice(WORDS["questions"]["side" if q.sided else q.kind]), q)
    words = _reference(q, slot.strategy, found, facts, rng)
    dialogue = None
    if slot.strategy == "clarify":
        drawn = rng.randrange(len(found))
        answer = _direct(q, found[drawn].answer, rng)
        dialogue = Dialogue(reading=drawn, question=words, reply="", answer=answer)
    example = Example(
        id=sha256(f"coco:{settings.seed}:{question}:{digest}".encode()).hexdigest()[:16],
        split=split,
        image=image,
        image_sha256=digest,
        question=question,
        kind=q.kind,
        ambiguity=Ambiguity(type=slot.type, level=LEVELS[slot.strategy], readings=found),
        strategy=slot.strategy,
        reference=words,
        dialogue=dialogue,
        group_id=f"coco-{Path(image).stem}",
        facts=facts,
        provenance={
            "source": "coco",
            "seed": settings.seed,
            "query": {k: v for k, v in vars(q).items() if v},
            "form": "which side" if q.sided else q.kind,
        },
    )
    if dialogue:
        dialogue.reply = reply(example, words, dialogue.reading)
    return example


def _readings(q: Question, facts: Facts) -> list[Reading]:
    named = [o for o in facts.objects if o.name == q.name]
    found = answers(q, facts.objects)
    if q.kind in ("count", "existence"):
        expression = f"the {plural_of(q.name)[0]}" if q.kind == "count" else f"a {q.name}"
        return [Reading(objects=[o.id for o in named], expression=expression, answer=found[0])]
    return [
        Reading(objects=[o.id], expression=_expression(o, named), answer=a) for o, a in zip(named, found, strict=True)
    ]


def _expression(o: Object, named: list[Object]) -> str:
    """ "the dog at the top left", or, with two in one cell, "the second dog from the left at the top left"."""
    same = sorted((p for p in named if p.place == o.place), key=_middle)
    if len(same) == 1:
        return f"the {o.name} {at(o.place)}"
    number = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
    i = same.index(o)
    return f"the {number[i] if i < len(number) else f'{i + 1}th'} {o.name} from the left {at(o.place)}"


def _reference(q: Question, strategy: str, found: list[Reading], facts: Facts, rng) -> str:
    by_id = {o.id: o for o in facts.objects}
    match strategy:
        case "answer":
            return _direct(q, found[0].answer, rng)
        case "infer":
            salient = max(found, key=lambda r: by_id[r.objects[0]].salience)
            claim = f"it is {_place(salient.answer)}" if q.kind == "position" else salient.answer
            return _fill(rng.choice(WORDS["infer"]), q, claim=claim)
        case "enumerate":
            found = sorted(found, key=lambda r: PLACES.index(by_id[r.objects[0]].place))
            parts = [f"one is {_place(r.answer)}" for r in found]
            listed = f"{', '.join(parts[:-1])} and {parts[-1]}"
            return _fill(rng.choice(WORDS["enumerate"]), q, number=NUMBERS[len(found)], list=listed)
        case "clarify":
            number = NUMBERS[len(found)] if len(found) < len(NUMBERS) else str(len(found))
            return _fill(rng.choice(WORDS["clarify"]), q, number=number)
    return _fill(rng.choice(WORDS["correct"]), q)


def _direct(q: Question, answer: str, rng) -> str:
    if q.kind == "position":
        return _fill(rng.choice(WORDS["answers"]["position"]), q, answer=_place(answer))
    if q.kind == "count":
        are = "is" if answer == "one" else "are"
        noun = q.name if answer == "one" else plural_of(q.name)[0]
        return rng.choice(WORDS["answers"]["count"]).format(answer=answer, is_are=are, nps=noun)
    return rng.choice(WORDS["answers"]["relation" if q.kind == "relation" else "yes_no"][answer])


def _place(answer: str) -> str:
    return f"on the {answer}" if answer in ("left", "right") else at(answer)


def _fill(template: str, q: Question, **more) -> str:
    text = template.format(np=q.name, nps=plural_of(q.name)[0], other=q.other, side=q.side, **more)
    return re.sub(r"\b([Aa]) (?=[aeio]|umb)", r"\1n ", text)


def _middle(o: Object) -> float:
    return (o.box[0] + o.box[2]) / 2
