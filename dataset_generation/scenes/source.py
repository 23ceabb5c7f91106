"""The `scenes` source: groups of questions and pictures of the generated world, built to a plan.

For each group the questions are drawn, then each picture is built so that its questions come out right: first the
objects that they are about, then others that disturb neither. What was built is judged by the same rules that judge
any picture (`questions.classify`), and drawn anew where it does not come out right, a bounded number of times.
"""

import random
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from clarifyvlm.errors import UserError
from clarifyvlm.records import Ambiguity, Dialogue, Example, Facts
from clarifyvlm.strategies import LEVELS
from clarifyvlm.users import parse_kinds
from clarifyvlm.world import scenes
from clarifyvlm.world.places import PLACES, SIDES
from clarifyvlm.world.queries import Query
from clarifyvlm.world.wording import question
from folder.pictures import write_scene
from folder.shares import SPLITS, Slot
from scenes import layout, replay
from scenes.layout import Group
from scenes.needs import objects_needed
from scenes.phrases import direct, reference
from scenes.questions import OVERALL, classify, draw_query, readings

DRAWS_OF_QUESTIONS = 40  # per group
DRAWS_OF_SCENES = 30  # per picture and draw of questions
HIDDEN = 0.75  # chance that a picture also holds a wrapped (a blurred) object that no question asks for
HIDDEN_TOO = 0.1  # the same where a question asks for one already
HELD_OUT = 0.25  # share of the groups of test.jsonl that ask in words kept for it
CLUSTER = 0.9  # chance that the further objects of a picture share a shape or a color


@dataclass
class Thing:
    """An object before it has a position: what `classify` looks at."""

    name: str
    color: str | None
    size: str
    pattern: str
    place: str
    hidden: list[str] = field(default_factory=list)

    @property
    def salience(self) -> float:
        return scenes.SIZES[self.size] ** 2


@dataclass(frozen=True)
class Settings:
    """What a picture may hold. `unseen` pairs of (name, color) are in the pictures of test_ood, and in no others."""

    world: scenes.World
    unseen: frozenset[tuple[str, str]]
    count_weights: tuple[float, ...]  # of 1, 2, ... objects
    seed: int
    provenance: dict
    users: dict[str, float]  # who replies in dialogues: kind -> weight

    @property
    def about(self) -> list[str]:
        """What the pictures are, for the dataset card."""
        world = self.world
        pairs = ", ".join(f"{color} {name}" for name, color in sorted(self.unseen))
        return [
            f"Generated scenes of {world.min_objects} to {world.max_objects} objects, {world.image_size} x "
            f"{world.image_size} pixels, rendered from the facts in each record. The part of the world that is used "
            "here:",
            "",
            f"- shapes: {', '.join(world.names)}",
            f"- colors: {', '.join(world.colors)}",
            f"- sizes: {', '.join(world.sizes)}; patterns: {', '.join(world.patterns)}",
            f"- backgrounds: {', '.join(world.backgrounds)}; neighbors may overlap; some objects are wrapped in gray "
            "paper (their color is hidden) or blurred (their shape is hidden)",
            f"- only in test_ood: {pairs or 'nothing'}",
        ]


def draw_unseen(world: scenes.World, pairs: int, seed: int) -> frozenset[tuple[str, str]]:
    """(name, color) pairs to hold out, each of another color, and the names in turn."""
    rng = random.Random(f"{seed}:unseen")
    if pairs > len(world.colors) // 2:
        raise UserError(
            f"unseen_pairs: {pairs} of {len(world.colors)} colors leave too few; at most {len(world.colors) // 2}"
        )
    names = rng.sample(world.names, len(world.names))
    return frozenset((names[i % len(names)], c) for i, c in enumerate(rng.sample(world.colors, pairs)))


def build(settings: Settings, split: str, index: int, group: Group, salt: int, image_dir: Path) -> list[Example]:
    """The examples of a group; its pictures go to `image_dir`/<split>/. The same arguments give the same bytes.

    `salt` counts the times that a group was drawn anew because a picture of it was in another split already.
    """
    if isinstance(group, replay.Replay):
        return replay.build(settings, split, index, group, salt, image_dir)
    rng = random.Random(f"{settings.seed}:{split}:{index}:{salt}")
    drawn = _draw(settings, split, group, rng)
    if drawn:
        return _examples(settings, split, f"{index:06d}", salt, group, *drawn, image_dir, rng)
    examples = []  # two questions that cannot share their pictures: each gets its own
    for part, ask in enumerate(group):
        drawn = _draw(settings, split, (ask,), rng)
        if drawn is None:
            types = " and ".join(f"{s.type}:{s.strategy}" for s in ask.slots)
            raise UserError(
                f"{split}: no picture found in {DRAWS_OF_QUESTIONS} x {DRAWS_OF_SCENES} draws where a {ask.kind} "
                f"question ({ask.form}) is {types}. Allow more objects (max_objects), or lower that share."
            )
        examples += _examples(settings, split, f"{index:06d}{'xy'[part]}", salt, (ask,), *drawn, image_dir, rng)
    return examples


def _examples(
    settings, split, name: str, salt: int, group: Group, asks, pictures, held_out: bool, image_dir: Path, rng
) -> list[Example]:
    examples = []
    for letter, facts in zip("ab", pictures, strict=False):
        digest = write_scene(image_dir / split / f"{name}{letter}.png", facts)
        for ask, (query, text) in zip(group, asks, strict=True):
            slot = ask.slots["ab".index(letter)]
            provenance = settings.provenance | {
                "group": name,
                "draw": salt,
                "form": query.form,
                "query": {k: v for k, v in vars(query).items() if v is not None},
            }
            if held_out:
                provenance["form_held_out"] = True
            image = f"images/{split}/{name}{letter}.png"
            examples.append(_example(split, provenance, query, text, slot, facts, image, digest, rng))
    return examples


def _draw(settings: Settings, split: str, group: Group, rng) -> tuple | None:
    """The questions with their words, the pictures in which they come out right, and whether the words are held out."""
    for _ in range(DRAWS_OF_QUESTIONS):
        queries = [draw_query(a.kind, a.form, a.strategies, settings.world, rng, settings.unseen) for a in group]
        if len(set(queries)) < len(queries):
            continue
        pictures = []
        for i in range(len(group[0].slots)):
            wanted = [(q, a.slots[i]) for q, a in zip(queries, group, strict=True)]
            pictures.append(_picture(settings, split, wanted, rng))
            if pictures[-1] is None:
                break
        else:
            held_out = split == "test" and rng.random() < HELD_OUT
            return [(q, question(q, rng, held_out)) for q in queries], pictures, held_out
    return None


def _picture(settings: Settings, split: str, wanted: list[tuple[Query, Slot]], rng) -> Facts | None:
    for _ in range(DRAWS_OF_SCENES):
        things = _compose(settings, split, wanted, rng)
        if things is None or not _comes_out(wanted, things):
            continue
        pairs = {(t.name, t.color) for t in things}
        if (split == "test_ood") != bool(pairs & settings.unseen):
            continue
        for _ in range(5):  # neighbors may cover each other too much
            facts = scenes.place_objects(settings.world, rng, [vars(t) for t in things])
            if facts and _comes_out(wanted, facts.objects):
                return facts
    return None


def _comes_out(wanted: list[tuple[Query, Slot]], objects: list) -> bool:
    return all(classify(query, objects) == (slot.type, slot.strategy) for query, slot in wanted)


def _compose(settings: Settings, split: str, wanted: list[tuple[Query, Slot]], rng) -> list[Thing] | None:
    """Objects for the questions, then others that fit none of them. None where there is no room."""
    common = {}
    if rng.random() < CLUSTER:
        common = rng.choice(
            ({"name": rng.choice(settings.world.names)}, {"color": rng.choice(settings.world.colors)})
        ) | ({"size": rng.choice(settings.world.sizes)} if rng.random() < 0.8 else {})
    things: list[Thing] = []
    most = settings.world.max_objects
    queries = [q for q, _ in wanted]
    premises = [q for q, slot in wanted if slot.strategy == "correct" or q.kind in OVERALL]
    share = rng.random() < 0.5  # objects may belong to both questions
    for query, slot in rng.sample(wanted, len(wanted)):
        others = [q for q in queries if q != query] if not share else []
        needed = objects_needed(settings.world, query, slot, rng)
        rng.shuffle(needed)
        # What further objects have in common, some of these have too: a row of stars says nothing about the question.
        needed = [common | n if not n.get("hidden") and rng.random() < 0.6 else n for n in needed]
        for fixed in needed[sum(query.fits(t) for t in things) :]:
            thing = _thing(settings, split, fixed, things, rng, others, premises, query.side, query.place)
            if thing is None or len(things) == most:
                return None
            things.append(thing)
    counts = range(1, most + 1)
    target = rng.choices(counts, settings.count_weights[:most])[0]
    chance = HIDDEN if all(slot.strategy != "abstain" for _, slot in wanted) else HIDDEN_TOO
    extra = [{"hidden": [a]} for a in ("color", "name") if rng.random() < chance]
    if common:
        common, missing = _row(settings.world, things, common, queries, rng)
        target = max(target, len(things) + missing)
    target = min(most, max(target, len(things) + len(extra)))
    while len(things) < max(target, settings.world.min_objects):
        sizes = {t.size for t in things}
        other = [s for s in settings.world.sizes if s not in sizes] if len(sizes) == 1 and len(things) > 1 else []
        fixed = extra.pop() if extra else {} if other and len(things) == target - 1 else common
        fixed = fixed | ({"size": rng.choice(other)} if other and len(things) >= target - 2 else {})
        thing = _thing(settings, split, fixed, things, rng, queries, premises)
        if thing is None:
            thing = _thing(settings, split, {}, things, rng, queries, premises)
        if thing is None:
            break
        things.append(thing)
    return things if len(things) >= settings.world.min_objects else None


def _row(world: scenes.World, things: list[Thing], common: dict, queries: list[Query], rng) -> tuple[dict, int]:
    """What further objects have in common so that soonest four are alike, and how many of them that takes.

    Every question that is to be met with `clarify` has four like objects in its picture; so have most others, then.
    """
    rows = [common] + [{a: getattr(t, a), "size": t.size} for t in things for a in ("name", "color")]
    rows = [r for r in rows if r.get("color", "") is not None and r.get("name") != scenes.BLUR]
    rng.shuffle(rows)
    best, missing = {}, 4
    for row in rows:
        member = Thing(**{"name": "", "color": None, "size": "", "pattern": "solid", "place": ""} | row)
        alike = sum(all(getattr(t, a) == v for a, v in row.items()) for t in things)
        if not any(q.fits(member) for q in queries) and 4 - alike < missing:
            best, missing = row, 4 - alike
    return best or common, missing if len(things) + missing <= world.max_objects else 0


def _thing(settings, split, fixed: dict, things: list, rng, avoid, premises=(), side=None, place=None) -> Thing | None:
    """A random object with the `fixed` attributes, about which no `avoid` question is; None after some draws."""
    taken = {t.place for t in things}
    cells = [p for p in ([place] if place else SIDES[side] if side else PLACES) if p not in taken]
    if not cells:
        return None
    for _ in range(12):
        drawn = scenes.random_object(settings.world, rng, **fixed)
        if split == "test_ood" and rng.random() < 0.6:
            pairs = [p for p in sorted(settings.unseen) if _agrees(p, fixed)]
            if pairs:
                name, color = rng.choice(pairs)
                drawn |= {"name": name, "color": color}
        if split != "test_ood" and (drawn["name"], drawn["color"]) in settings.unseen:
            continue
        thing = Thing(place=rng.choice(cells), **drawn)
        if not any(q.fits(thing) or (q in premises and q.could_fit(thing)) for q in avoid):
            return thing
    return None


def _agrees(pair: tuple[str, str], fixed: dict) -> bool:
    return not fixed.get("hidden") and fixed.get("name", pair[0]) == pair[0] and fixed.get("color", pair[1]) == pair[1]


def _example(split, provenance, query, text, slot: Slot, facts, image, digest, rng) -> Example:
    found = readings(query, facts)
    words = reference(query, slot.strategy, found, facts, rng)
    key = f"scenes:{provenance['seed']}:{split}:{provenance['group']}:{text}:{digest}"
    dialogue = None
    if slot.strategy == "clarify":
        drawn = rng.randrange(len(found))
        answer = direct(query, found[drawn].answer, rng)
        listed = reference(query, "enumerate", found, facts, random.Random(f"{key}:listed"))
        dialogue = Dialogue(  # folder/dialogues.py has a user reply
            reading=drawn, question=words, reply="", answer=answer, listed=listed
        )
    return Example(
        id=sha256(key.encode()).hexdigest()[:16],
        split=split,
        image=image,
        image_sha256=digest,
        question=text,
        kind=query.kind,
        ambiguity=Ambiguity(
            type=slot.type, level=LEVELS[slot.strategy], readings=[] if slot.strategy == "correct" else found
        ),
        strategy=slot.strategy,
        reference=words,
        dialogue=dialogue,
        group_id=f"{split}-{provenance['group']}",
        facts=facts,
        provenance=provenance,
    )


def settings(options) -> Settings:
    """The options of generate.py as what this source needs."""
    world = scenes.TINY_WORLD if options.world == "tiny" else scenes.World()
    world = replace(
        world,
        min_objects=options.min_objects,
        max_objects=options.max_objects or world.max_objects,
        image_size=options.image_size or world.image_size,
    )
    if not 1 <= world.min_objects <= world.max_objects <= len(PLACES):
        raise UserError(
            f"min_objects {world.min_objects} and max_objects {world.max_objects}: 1 <= min <= max <= {len(PLACES)}"
        )
    if len(options.count_weights) < world.max_objects:
        raise UserError(
            f"count_weights has {len(options.count_weights)} weights; max_objects {world.max_objects} needs as many"
        )
    return Settings(
        world,
        draw_unseen(world, options.unseen_pairs, options.seed),
        tuple(options.count_weights),
        options.seed,
        {
            "source": "scenes",
            "generator_version": scenes.GENERATOR_VERSION,
            "seed": options.seed,
            "world": options.world,
        },
        parse_kinds(options.dialogue_users, "dialogue_users"),
    )


def plan(settings: Settings, options, shares: dict[Slot, float], kinds: dict[str, float]) -> dict[str, list[Group]]:
    """split -> groups to build."""
    sizes = {s: getattr(options, f"num_{s}") for s in SPLITS}
    if options.num_examples is not None:
        raise UserError("num_examples is for photographs; scenes take num_train, num_validation, num_test and so on")
    if sizes["test_ood"] and not settings.unseen:
        raise UserError("num_test_ood is above 0, but unseen_pairs is 0: nothing would be unseen")
    plain = {Slot("none", "answer"): 1.0}
    asked = {k: 1.0 for k, weight in kinds.items() if weight and layout.forms_for(*plain, [k])}
    jobs = {}
    for split, n in sizes.items():
        rng = random.Random(f"{options.seed}:{split}:plan")
        if split == "replay":
            jobs[split] = replay.plan(n - n // 2, rng) + layout.plan(n // 2, plain, asked, options.place_share, rng)
            rng.shuffle(jobs[split])
        elif split == "unambiguous":
            jobs[split] = layout.plan(n, plain, asked, options.place_share, rng)
        else:
            least = options.min_per_cell if split == "train" else 0
            jobs[split] = layout.plan(n, shares, kinds, options.place_share, rng, least)
    return {split: found for split, found in jobs.items() if found}
