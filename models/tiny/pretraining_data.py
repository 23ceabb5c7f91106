"""What the embedded base is pretrained on: pictures of the tiny world with questions that it answers directly.

Every row is one picture with many questions packed behind it; each question sees the picture and itself only.
Nothing here asks back, lists readings unasked, corrects or abstains: an ambiguous question is answered for one
reading drawn by chance, as untuned VLMs do. The words that tuning needs later come in through `say`
exercises (repeat this sentence), which teach no strategy.
"""

import dataclasses
import random
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image, ImageDraw

from clarifyvlm.places import PLACES, SIDES, at
from clarifyvlm.queries import MISSPELLINGS, NUMBERS, Query
from clarifyvlm.records import Facts
from clarifyvlm.scenes import (
    BLUR,
    TINY_WORLD,
    outline,
    place_objects,
    random_object,
    render,
)

PHRASINGS = yaml.safe_load((Path(__file__).parents[2] / "dataset_generation" / "phrasings.yaml").read_text())
PATCH = 16
SLOT = 24  # tokens of a question with its answer
GRID = TINY_WORLD.image_size // PATCH
# The kinds and how often each is asked. All weigh the same per question, whatever their length.
KIND_WEIGHTS = {
    "color": 14,
    "shape": 15,
    "size": 8,
    "position": 17,
    "count": 17,
    "existence": 13,
    "list": 9,
    "say": 4,
    "describe": 3,
}
KINDS = tuple(KIND_WEIGHTS)
NAMES, COLORS, SIZES = TINY_WORLD.names, TINY_WORLD.colors, TINY_WORLD.sizes
PATCH_LABELS = {
    "name": (*NAMES, BLUR),
    "color": (*COLORS, None),
    "size": SIZES,
    "place": tuple(f"{r}{c}" for r in range(3) for c in range(3)),
    "center": (False, True),
}  # 0 is "no object over this patch"; place is that of the object's centre, which may lie in another patch


def sample_scene(rng: random.Random) -> Facts:
    """A scene with 1-6 objects; often several share a shape, a colour or both, often one is larger than the rest."""
    while True:
        n = rng.choice((1, 2, 3, 4, 5, 5, 6, 6, 6))
        objects = [random_object(TINY_WORLD, rng) for _ in range(n)]
        for attribute, chance in (("name", 0.45), ("color", 0.45)):
            if rng.random() < chance:
                shared = objects[0][attribute]
                for o in objects[: rng.randint(2, 6)]:
                    o[attribute] = shared
                rng.shuffle(objects)
        if rng.random() < 0.4:
            for i, o in enumerate(objects):
                o["size"] = "large" if i == 0 else "small"
        for i, o in enumerate(objects):
            u = rng.random()
            if u < 0.14:
                keep = {k: o[k] for k in ("name", "color", "size")}
                objects[i] = random_object(
                    TINY_WORLD,
                    rng,
                    **keep | {"hidden": ["color" if u < 0.07 else "name"]},
                )
        facts = place_objects(TINY_WORLD, rng, objects)
        if facts:
            return facts


def center_patch(o) -> int:
    """Index of the patch that holds the centre of `o`; no two objects share one."""
    x, y = (o.box[0] + o.box[2]) / 2, (o.box[1] + o.box[3]) / 2
    return int(y // PATCH) * GRID + int(x // PATCH)


def patch_labels(facts: Facts) -> np.ndarray:
    """(patches, len(PATCH_LABELS)) class indices of the object that covers each patch most; 0 where none does."""
    size = TINY_WORLD.image_size
    owner_image = Image.new("L", (size, size), 0)
    draw = ImageDraw.Draw(owner_image)
    labels = np.zeros((GRID * GRID, len(PATCH_LABELS)), dtype=np.int64)
    for i, o in enumerate(facts.objects):
        x0, y0, x1, y1 = o.box
        draw.polygon(outline(o.name, (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2), fill=i + 1)
    owners = np.asarray(owner_image).reshape(GRID, PATCH, GRID, PATCH).transpose(0, 2, 1, 3).reshape(GRID * GRID, -1)
    counts = np.stack([(owners == i + 1).sum(1) for i in range(len(facts.objects))])  # (objects, patches)
    best, enough = counts.argmax(0), counts.max(0) >= 0.12 * PATCH * PATCH
    for i, o in enumerate(facts.objects):
        center = center_patch(o)
        enough[center], best[center] = True, i
        row = [
            PATCH_LABELS["name"].index(o.name) + 1,
            PATCH_LABELS["color"].index(o.color) + 1,
            SIZES.index(o.size) + 1,
            PLACES.index(o.place) + 1,
            1,
        ]
        labels[(best == i) & enough] = row
        labels[center, 4] = 2
    labels[~enough] = 0
    return labels


# --- questions


def _expression(o, kind: str, rng: random.Random) -> dict:
    """Attributes that refer to `o` without giving the answer away."""
    forms = {
        "color": ["name", "name", "name", "place", "side", "size", "name+size"],
        "shape": ["color", "color", "color", "place", "side", "size", "color+size"],
        "size": ["name", "color", "name+color", "name+color"],
        "position": ["name", "color", "name+color", "name+color", "size", "name+size"],
        "existence": ["name", "color", "name+color", "name+color", "name+size"],
        "count": [
            "name",
            "color",
            "name",
            "color",
            "size",
            "name+color",
            "name+size",
            "side",
            "all",
        ],
        "list": ["name", "color"],
    }[kind]
    picked = {}
    for part in rng.choice(forms).split("+"):
        if part == "side":
            picked["side"] = rng.choice([s for s, places in SIDES.items() if o.place in places] or [None])
        elif part != "all":
            picked[part] = getattr(o, part)
    return {} if picked.get("name") == BLUR else {k: v for k, v in picked.items() if v}


def _direct(kind: str, answer: str) -> str:
    if kind == "shape":
        return f"It is a {answer}."
    if kind == "position":
        return f"It is {at(answer)}."
    if kind == "count":
        return {"no": "There are none.", "one": "There is one."}.get(answer, f"There are {answer}.")
    if kind == "existence":
        return {"yes": "Yes, there is.", "no": "No, there is not."}[answer]
    return f"It is {answer}."


def ask(facts: Facts, kind: str, rng: random.Random, strict: bool = False) -> tuple[str, str, list | None] | None:
    """A question, its direct answer and the objects that fit it; None where the draw gave none.

    `strict`: exactly one reading and a visible answer. The objects are None where the question refers to nothing.
    """
    o = rng.choice(facts.objects)
    if kind == "say":
        words = sentence(rng).split()
        start = rng.randrange(max(1, len(words) - 4))
        said = " ".join(words[start : start + rng.randint(3, 8)])
        return f"Say: {said}", said, None
    if kind == "describe":
        return (
            f"Describe the object {at(o.place)}.",
            f"A {o.size} {o.color or 'wrapped'} {o.name}.",
            [o],
        )
    query = Query("position" if kind == "list" else kind, **_expression(o, kind, rng))
    if kind not in ("count",) and query.noun_phrase() == "object":
        return None
    if kind == "list":
        found = _in_reading_order(query.matches(facts))
        asked = rng.choice(("position", "shape" if query.color else "color"))
        answers = [dataclasses.replace(query, kind=asked).answer_for(p) for p in found]
        if None in answers:
            return None
        nps = query.noun_phrase(plural=True)
        if asked == "position":
            return (
                f"Where are the {nps}?",
                " and ".join(at(a) for a in answers) + ".",
                found,
            )
        return f"What {asked}s are the {nps}?", " and ".join(answers) + ".", found
    if kind == "existence" and rng.random() < 0.5:  # a near miss: one attribute of the expression changed
        query = _miss(query, rng)
    if kind == "count" and not strict and rng.random() < 0.1:
        query = _miss(query, rng)
    template = rng.choice(PHRASINGS["questions"][kind])
    question = template.format(np=query.noun_phrase(), nps=query.noun_phrase(plural=True))
    if kind in ("count", "existence"):
        answer = query.answer_over(facts)
        return (question, _direct(kind, answer), query.matches(facts)) if answer else None
    found = query.matches(facts)
    if len(found) > 1 and (strict or rng.random() < 0.7):
        return None
    answer = query.answer_for(rng.choice(found))
    if answer is None and not strict and rng.random() < 0.3:  # hidden: a guess
        answer = rng.choice(COLORS if kind == "color" else NAMES)
    return (question, _direct(kind, answer), found) if answer else None


def _miss(query: Query, rng: random.Random) -> Query:
    attribute = rng.choice([a for a in ("name", "color") if getattr(query, a)] or ["size"])
    values = {"name": NAMES, "color": COLORS, "size": SIZES}[attribute]
    return dataclasses.replace(query, **{attribute: rng.choice(values)})


def guess(facts: Facts, rng: random.Random) -> tuple[str, str, list]:
    """What an untuned VLM does with a false premise or an unknown word: answer for some object all the same."""
    kind = rng.choice(("color", "shape"))
    if rng.random() < 0.5:
        word = rng.choice([w for w in MISSPELLINGS if (MISSPELLINGS[w][0] in COLORS) == (kind == "shape")])
        query = Query(kind, word=word)
    else:
        query = Query(
            kind,
            **({"name": rng.choice(NAMES)} if kind == "color" else {"color": rng.choice(COLORS)}),
        )
    o = rng.choice(query.matches(facts) or facts.objects)
    answer = query.answer_for(o) or rng.choice(COLORS if kind == "color" else NAMES)
    question = rng.choice(PHRASINGS["questions"][kind]).format(np=query.noun_phrase())
    return question, _direct(kind, answer), query.matches(facts)


def _in_reading_order(objects):
    return sorted(objects, key=lambda o: (int(o.box[1] + o.box[3]) // 64, o.box[0]))


def sentence(rng: random.Random) -> str:
    """A sentence of the responses' vocabulary with random words in it: true of nothing, asked by nobody."""
    pools = [
        PHRASINGS[k]
        for k in (
            "infer",
            "infer_word",
            "enumerate",
            "clarify",
            "clarify_by",
            "correct",
            "replies",
        )
    ]
    pools += [
        *PHRASINGS["abstain"].values(),
        *(v for k, v in PHRASINGS["answers"].items() if k != "existence"),
    ]
    name, color, place = (
        rng.choice(NAMES),
        rng.choice(COLORS),
        at(rng.choice(list(SIDES) + list(PLACES))),
    )
    claim = rng.choice(
        (
            f"it is {color}",
            f"it is a {name}",
            f"it is {place}",
            f"it is {rng.choice(SIZES)}",
        )
    )
    word = rng.choice(list(MISSPELLINGS))
    answers = (rng.choice(COLORS), f"a {rng.choice(NAMES)}")
    listed = " and ".join(
        f"the {rng.choice(('one', name))} {at(rng.choice(PLACES))} is {rng.choice(answers)}"
        for _ in range(rng.randint(2, 3))
    )
    noun = rng.choice(
        (
            name,
            f"{color} object",
            f"{color} {name}",
            f"big {name}",
            "small object",
            word,
        )
    )
    return rng.choice(rng.choice(pools)).format(
        np=noun,
        nps=f"{noun}s",
        reading=f"{rng.choice(SIZES)} {noun}",
        claim=claim,
        word=word,
        meant=rng.choice((name, color)),
        number=rng.choice(NUMBERS),
        list=listed,
        at_place=place,
        answer=rng.choice((name, color)),
        is_are=rng.choice(("is", "are")),
        attribute=rng.choice(("color", "shape")),
    )


def questions(facts: Facts, rng: random.Random):
    """Endless (kind, question, answer, fitting objects) about one picture."""
    weights = list(KIND_WEIGHTS.values())
    while True:
        kind = rng.choices(KINDS, weights)[0]
        if kind in ("color", "shape") and rng.random() < 0.06:
            yield kind, *guess(facts, rng)
        elif pair := ask(facts, kind, rng):
            yield kind, *pair


# --- rows for the model


class Rows(torch.utils.data.IterableDataset):
    """Endless rows: one picture, `slots` questions of at most SLOT tokens, padded on the right."""

    def __init__(self, tokenizer, seed: int, slots: int):
        self.tokenizer, self.seed, self.slots = tokenizer, seed, slots

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        rng = random.Random(f"{self.seed}:{worker.id if worker else 0}")
        encoded: dict[str, list[int]] = {}

        def encode(text: str) -> list[int]:
            if text not in encoded:
                if len(encoded) > 50_000:
                    encoded.clear()
                encoded[text] = self.tokenizer.encode(text, add_special_tokens=False)
            return encoded[text]

        while True:
            facts = sample_scene(rng)
            ids = np.zeros((self.slots, SLOT), np.int64)
            labels = np.full((self.slots, SLOT), -100, np.int64)
            kinds = np.zeros(self.slots, np.int64)
            fitting = np.zeros((self.slots, GRID * GRID), np.float32)
            refers = np.zeros(self.slots, np.float32)
            slot = 0
            for kind, question, answer, objects in questions(facts, rng):
                prompt = encode(question + "<|end|><|assistant|>")
                completion = encode(answer + "<|end|>")
                end = len(prompt) + len(completion)
                if end > SLOT:
                    continue
                ids[slot, :end] = prompt + completion
                labels[slot, len(prompt) : end] = completion
                kinds[slot] = KINDS.index(kind)
                if objects is not None:
                    refers[slot] = 1
                    fitting[slot, [center_patch(o) for o in objects]] = 1
                slot += 1
                if slot == self.slots:
                    break
            pixels = np.asarray(render(facts), dtype=np.float32).transpose(2, 0, 1) / 127.5 - 1.0
            yield {
                "pixels": pixels,
                "patches": patch_labels(facts),
                "ids": ids,
                "labels": labels,
                "kinds": kinds,
                "fitting": fitting,
                "refers": refers,
            }
