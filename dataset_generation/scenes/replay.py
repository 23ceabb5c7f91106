"""replay.jsonl: questions that nobody has to ask back about, so that SFT keeps what the base could do.

One half are questions with one reading, as in unambiguous.jsonl. The other half are of kinds that no other split has:
"List the stars.", "What is at the top left?", "Is the circle red?", "hello" (clarifyvlm/world/plain_questions.py). Each
has a picture of its own, which holds whatever it holds. They are for SFT alone: no judge knows these kinds.
"""

import random
from hashlib import sha256
from pathlib import Path

from clarifyvlm.records import Ambiguity, Example, Facts, Reading
from clarifyvlm.world import plain_questions, scenes
from clarifyvlm.world.wording import with_articles
from folder.pictures import write_scene
from folder.shares import Slot, apportion

HIDDEN = 0.12  # chance that an object is wrapped or blurred
WEIGHTS = {"list": 5, "verify": 3, "compare": 3, "what_at": 2, "describe": 2, "scene": 2, "chat": 1}


class Replay(str):
    """The kind of one question."""

    __slots__ = ()
    slots = (Slot("none", "answer"),)


def plan(total: int, rng: random.Random) -> list[Replay]:
    counts = apportion(total, list(WEIGHTS.values()))
    jobs = [Replay(kind) for kind, n in zip(WEIGHTS, counts, strict=True) for _ in range(n)]
    rng.shuffle(jobs)
    return jobs


def build(settings, split: str, index: int, kind: str, salt: int, image_dir: Path) -> list[Example]:
    """As source.build; `settings` are the source's."""
    rng = random.Random(f"{settings.seed}:{split}:{index}:{salt}")
    asked = None
    while asked is None:
        facts = _scene(settings, rng)
        asked = facts and plain_questions.ask(facts, kind, rng, strict=True)
    name = f"images/{split}/{index:06d}.png"
    digest = write_scene(image_dir / split / f"{index:06d}.png", facts)
    text = asked.question if kind == "chat" else plain_questions.typed(asked.question, rng)
    answer = with_articles(asked.answer)
    reading = Reading(objects=[o.id for o in asked.objects or []], expression="what is asked", answer=answer)
    return [
        Example(
            id=sha256(f"scenes:{settings.seed}:{split}:{index}:{digest}".encode()).hexdigest()[:16],
            split=split,
            image=name,
            image_sha256=digest,
            question=with_articles(text),
            kind=kind,
            ambiguity=Ambiguity(type="none", level=0, readings=[reading]),
            strategy="answer",
            reference=answer,
            facts=facts,
            provenance=settings.provenance,
        )
    ]


def _scene(settings, rng: random.Random) -> Facts | None:
    """A picture; half of the time several objects share a shape or a color. None where it has an unseen pair."""
    world = settings.world
    number = rng.choices(range(1, world.max_objects + 1), settings.count_weights[: world.max_objects])[0]
    objects = [scenes.random_object(world, rng) for _ in range(max(number, world.min_objects))]
    if rng.random() < 0.5:
        alike = rng.choice(("name", "color"))
        for o in objects[: rng.randint(2, 5)]:
            o[alike] = objects[0][alike]
        rng.shuffle(objects)
    if any((o["name"], o["color"]) in settings.unseen for o in objects):
        return None
    for i, o in enumerate(objects):
        if rng.random() < HIDDEN:
            seen = {attribute: o[attribute] for attribute in ("name", "color", "size")}
            objects[i] = scenes.random_object(world, rng, **seen, hidden=[rng.choice(("color", "name"))])
    return scenes.place_objects(world, rng, objects)
