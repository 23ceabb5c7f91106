"""What every source of annotated photographs needs: pictures dealt to splits, questions picked to exact shares, the
picture copied, and the words and records of an example.

A source gives the facts of each picture and the questions that may be asked of it, each with its type and strategy
(`Question`, `Slot`); `plan` and `build` do the rest.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from clarifyvlm.errors import UserError
from clarifyvlm.records import Example, Facts, Object, Reading
from clarifyvlm.strategies import strategy_for
from folder.pictures import check_readable, distinct
from photographs import words
from scenes.layout import Slot, apportion

DEALS = 300  # of pictures to splits, until every share can be met
FEWEST_PICTURES = 2000  # that are looked at, where there are as many; then four times as many, until all shares are met
SAME_PICTURE = 0.25  # a picture that already has a question is the likelier to get another: its strategies differ
SAME_SLOT = 2  # ... and one that has a question of the slot is so much less likely to get one more of it
RICH = 32  # a picture that could give one more strategy is so much likelier to be asked about: it tells less
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


def salience_weights(options) -> tuple[float, float]:
    """(of area, of centrality). UserError for options of photographs that cannot be."""
    weights = options.salience_area_weight, options.salience_centrality_weight
    if min(weights) < 0 or not 0 < sum(weights) < math.inf:
        raise UserError("salience_area_weight, salience_centrality_weight: from 0 up, and one of them above 0")
    for name in ("salient_threshold", "supercategories", "min_area"):
        if not 0 <= getattr(options, name) <= 1:
            raise UserError(f"{name}: a share, from 0 to 1, not {getattr(options, name)}")
    return weights


# --- facts ---------------------------------------------------------------------------------------------------------


def salience(box, width: float, height: float, area_weight: float, centrality_weight: float) -> float:
    """AQuA's: weight x share of the area + weight x centrality (1 in the picture's centre, 0 in a corner). > 0."""
    x0, y0, x1, y1 = box
    share = (x1 - x0) * (y1 - y0) / (width * height)
    away = math.hypot((x0 + x1) / 2 / width - 0.5, (y0 + y1) / 2 / height - 0.5) / math.hypot(0.5, 0.5)
    return round(max(1e-4, area_weight * share + centrality_weight * (1 - away)), 4)


def overlap(a, b) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1), 0..1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


# --- what is right to say ------------------------------------------------------------------------------------------


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


# --- the plan ------------------------------------------------------------------------------------------------------


def plan(
    options,
    shares: dict[Slot, float],
    kinds: dict[str, float],
    pictures: list[str],
    facts_of: Callable[[list[str]], dict[str, dict]],
    candidates: Callable[[dict, random.Random], list[Candidate]],
    never: Callable[[Slot], str],
    origin: Callable[[str], dict[str, str]],
) -> dict[str, list[Job]]:
    """split -> jobs: pictures are dealt to the splits, then questions are picked to the shares, exactly.

    Of many pictures only as many are looked at as it takes: `facts_of` gives the facts of some, `candidates` what may
    be asked of one, `never` why no picture can give a slot, `origin` what is known of a picture's license and
    source_url. UserError where a share cannot be met.
    """
    if options.num_test_ood:
        raise UserError("num_test_ood: photographs have no unseen pairs of shape and color; leave it at 0")
    sizes = {s: getattr(options, f"num_{s}") for s in ("train", "validation", "test")}
    if options.num_examples is not None:
        sizes = dict(zip(sizes, apportion(options.num_examples, list(sizes.values())), strict=True))
    wanted = {
        split: dict(zip(shares, apportion(n, list(shares.values())), strict=True)) for split, n in sizes.items() if n
    }
    rng = random.Random(f"{options.seed}:plan")
    order = sorted(pictures)
    rng.shuffle(order)
    order = distinct(order, Path(options.image_dir))
    facts, able, count = {}, {}, max(FEWEST_PICTURES, sum(sizes.values()))
    while True:
        new = facts_of(order[len(facts) : count])
        facts |= new
        for name, f in new.items():
            able[name] = [
                c
                for c in candidates(f, random.Random(f"{options.seed}:{name}"))
                if kinds.get(c[0].kind) and c[1] in shares
            ]
        dealt, lack = _deal(wanted, sizes, list(facts), able, rng)
        if lack is None:
            break
        if count >= len(order):
            raise _too_few(*lack, wanted, kinds, able, never)
        count *= 4
    jobs = {}
    for split, names in dealt.items():
        picked = _pick(wanted[split], names, able, kinds, options, rng)
        jobs[split] = [Job(n, facts[n], tuple(picked[n]), origin(n)) for n in sorted(names) if picked[n]]
    check_readable(Path(options.image_dir) / job.file_name for split in jobs.values() for job in split)
    return jobs


def _deal(wanted: dict, sizes: dict, names: list[str], able: dict, rng) -> tuple[dict, tuple | None]:
    """(split -> pictures, None), or what was lacking in the last deal: (split, slot, number found, pictures)."""
    # A split needs pictures in proportion to its examples; the small ones at least a few.
    portions = [max(sizes[split], sum(sizes.values()) / 8) for split in wanted]
    counts = {name: Counter(slot for _, slot in able[name]) for name in names}
    total = sum(counts.values(), Counter())
    for slot in next(iter(wanted.values()), ()):
        needed = sum(slots[slot] for slots in wanted.values())
        if total[slot] < needed:
            return {}, ("all splits", slot, total[slot], needed, names)
    lack = None
    for _ in range(DEALS):
        rng.shuffle(names)
        dealt, start = {}, 0
        for split, n in zip(wanted, apportion(len(names), portions), strict=True):
            dealt[split] = names[start : start + n]
            start += n
        lack = _lacking(wanted, dealt, counts)
        if lack is None:
            return dealt, None
    return dealt, lack


def _lacking(wanted: dict, dealt: dict, counts: dict) -> tuple | None:
    """The first split and slot of which there is not enough; None where all shares can be met."""
    for split, slots in wanted.items():
        found = Counter()
        for name in dealt[split]:
            found.update(counts[name])
        for slot, n in slots.items():
            if found[slot] < n:
                return split, slot, found[slot], n, dealt[split]
    return None


def _too_few(split, slot: Slot, found: int, needed: int, names, wanted, kinds, able, never) -> UserError:
    by_class = Counter(q.name for name in names for q, s in able[name] if s == slot)
    from_ = ", ".join(f"{name} {n}" for name, n in by_class.most_common(10)) or "no class"
    tried = "" if split == "all splits" else f" ({DEALS} deals of the pictures to the splits were tried)"
    return UserError(
        f"{split}: share {slot.type}:{slot.strategy} asks for {needed} examples, and the {len(names)} pictures of "
        f"{'this split' if tried else 'all splits'} give {found}{never(slot)}{tried}.\n"
        f"They come from: {from_}; kinds asked for: {', '.join(k for k, w in kinds.items() if w)}.\n"
        "Lower that share, or num_examples, or give more pictures."
    )


def _pick(wanted: dict[Slot, int], names: list[str], able: dict, kinds, options, rng) -> dict[str, list[Candidate]]:
    """Picture -> its questions, of one split: as many of each slot as wanted, spread over pictures, and with words that
    say as little as can be about the strategy."""
    found = {slot: [(name, q) for name in names for q, s in able[name] if s == slot] for slot in wanted}
    rich = {name: RICH ** len({slot.strategy for _, slot in able[name]}) for name in names}
    weights = _weights(found, rich, kinds, options.supercategories)
    picked = defaultdict(list)
    # The slots with the least choice first: the others follow them to their pictures.
    for slot in sorted(wanted, key=lambda s: (-wanted[s] / max(1, len(found[s])), s.type, s.strategy)):
        keys = []
        for i, (name, q) in enumerate(found[slot]):
            # The smallest are taken (Efraimidis and Spirakis, 2006).
            weight = weights[slot, q.form, q.name] * rich[name]
            keys.append((rng.expovariate(1) / weight * (SAME_PICTURE if picked[name] else 1), i))
        in_picture, ranked = Counter(), []
        for key, i in sorted(keys):
            name = found[slot][i][0]
            ranked.append((key * SAME_SLOT ** in_picture[name], i))
            in_picture[name] += 1
        for _, i in sorted(ranked)[: wanted[slot]]:
            name, q = found[slot][i]
            picked[name].append((q, slot))
    return picked


def _weights(found: dict[Slot, list], rich: dict[str, int], kinds: dict, super_share: float) -> dict[tuple, float]:
    """(slot, form, name) -> weight of such a question among those of its slot.

    Kinds by the weights of the config. Within a form, a class is as likely for every strategy as for the strategy that
    has the least of it, so that the words do not say which strategy is right; classes that some strategy has not at all
    come last.
    """
    counts: dict[Slot, Counter] = {slot: Counter() for slot in found}
    for slot, rows in found.items():
        for name, q in rows:
            counts[slot][q.form, q.name] += rich[name]
    kind_of = {q.form: q.kind for rows in found.values() for _, q in rows}
    supers = {q.name for rows in found.values() for _, q in rows if q.members}
    forms = Counter(kind_of.values())
    by_strategy: dict[str, Counter] = defaultdict(Counter)
    for slot, counter in counts.items():
        by_strategy[slot.strategy] += counter
    target: Counter = Counter()
    for form in kind_of:
        able = []
        for counter in by_strategy.values():
            of_form = {k: n for k, n in counter.items() if k[0] == form}
            if of_form:
                able.append((of_form, sum(of_form.values())))
        for key in {k for of_form, _ in able for k in of_form}:
            target[key] = min(of_form.get(key, 0) / total for of_form, total in able)
    weights = {}
    for slot, counter in counts.items():
        values = {key: max(target[key], 1e-4 / len(counter)) for key in counter}
        totals: Counter = Counter()
        for (form, name), value in values.items():
            totals[form, name in supers] += value
        for (form, name), value in values.items():
            of_form = kinds[kind_of[form]] / forms[kind_of[form]]
            share = super_share if name in supers else 1 - super_share
            weight = of_form * share * value / totals[form, name in supers] / counter[form, name]
            weights[slot, form, name] = max(weight, 1e-12)
    return weights


# --- examples ------------------------------------------------------------------------------------------------------


def build(
    settings: Settings, split: str, job: Job, image_dir: Path, answers: Callable, phrasings: dict
) -> list[Example]:
    """The examples of one picture, which is copied to `image_dir`/<split>/ as it is.

    `answers`: (question, objects) -> an answer per object that is meant, or the one of a count or existence question.
    """
    rng = random.Random(f"{settings.seed}:{split}:{job.file_name}")
    content = (Path(settings.image_dir) / job.file_name).read_bytes()
    target = image_dir / split / "_".join(Path(job.file_name).parts)  # pictures of two folders may have one name
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".tmp")
    temporary.write_bytes(content)
    temporary.replace(target)
    facts = Facts(**job.facts)
    image, digest = f"images/{split}/{target.name}", sha256(content).hexdigest()
    examples = [
        words.example(settings, split, q, slot, facts, image, digest, answers(q, facts.objects), phrasings, rng)
        for q, slot in job.questions
    ]
    for example in examples:
        example.provenance |= job.origin
    return examples


def signature(example: Example) -> bytes:
    return example.image_sha256.encode()
