"""What the embedded base is pretrained on: pictures of the tiny world, labels per patch, and questions.

Every row is one picture with many questions behind it (`pretraining_questions.py`); each question sees the picture
and itself only. Rows of short and of long questions are batches of their own: a third less padding.
"""

import random

import numpy as np
import torch
from PIL import Image, ImageDraw

from clarifyvlm.records import Facts
from clarifyvlm.world.places import PLACES
from clarifyvlm.world.scenes import BLUR, TINY_WORLD, outline, place_objects, random_object, render
from pretraining_questions import COLORS, KINDS, NAMES, SIZES, questions

PATCH = 16
WIDTHS = (20, 36)  # tokens that a question with its answer has room for: three of ten need the longer one
LONG = 0.3
GRID = TINY_WORLD.image_size // PATCH
PATCH_LABELS = {
    "name": (*NAMES, BLUR),
    "color": (*COLORS, None),
    "size": SIZES,
    "place": PLACES,
    "center": (False, True),
}  # 0 is "no object over this patch"; place is that of the object's center, which may lie in another patch


def sample_scene(rng: random.Random) -> Facts:
    """A scene with 1-6 objects; often several share a shape, a color or both, often one is larger than the rest."""
    while True:
        n = rng.choice((1, 2, 3, 4, 5, 5, 6, 6, 6))
        objects = [random_object(TINY_WORLD, rng) for _ in range(n)]
        for attributes, chance in ((("name",), 0.4), (("color",), 0.4), (("name", "color"), 0.15)):
            if rng.random() < chance:
                for o in objects[1 : rng.randint(2, 6)]:
                    o |= {a: objects[0][a] for a in attributes}
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


READ_OUTS = {"fit": 6, "larger": 2, "color": 3, "name": 3, "size": 2}


def read_outs(objects: list) -> list[int]:
    """What the objects that fit a question have in common, as class indices in the order of READ_OUTS.

    How many they are (5 and more are one class), whether exactly one is large, and per attribute whether they
    differ (0), are alike (1) or one hides it (2).
    """

    def alike(attribute):
        values = [getattr(o, attribute) for o in objects]
        return 2 if None in values or BLUR in values else int(len(set(values)) <= 1)

    larger = len(objects) > 1 and sum(o.size == "large" for o in objects) == 1
    return [min(len(objects), 5), int(larger), alike("color"), alike("name"), alike("size")]


def center_patch(o) -> int:
    """Index of the patch that holds the center of `o`; no two objects share one."""
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


class Batches(torch.utils.data.IterableDataset):
    """Endless batches, each in two parts: pictures with `slots` short questions, and with `slots` long ones.

    A part has pixels (B, 3, H, W), patches (B, patches, heads) as of `patch_labels`, ids and labels (B, slots, width)
    padded on the right, kinds and refers (B, slots), fitting (B, slots, patches), common (B, slots, READ_OUTS).
    """

    def __init__(self, tokenizer, seed: int, size: int, slots: int):
        self.tokenizer, self.seed, self.slots = tokenizer, seed, slots
        long = round(LONG * size)
        self.parts = ((size - long, 0, WIDTHS[0]), (long, *WIDTHS))

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        rng = random.Random(f"{self.seed}:{worker.id if worker else 0}")
        self.encoded: dict[str, list[int]] = {}
        while True:
            yield [
                torch.utils.data.default_collate([self._row(rng, above, width) for _ in range(rows)])
                for rows, above, width in self.parts
            ]

    def _encode(self, text: str) -> list[int]:
        if text not in self.encoded:
            if len(self.encoded) > 50_000:
                self.encoded.clear()
            self.encoded[text] = self.tokenizer.encode(text, add_special_tokens=False)
        return self.encoded[text]

    def _row(self, rng: random.Random, above: int, width: int) -> dict[str, np.ndarray]:
        """One picture; each of its questions has more than `above` and at most `width` tokens."""
        facts = sample_scene(rng)
        ids = np.zeros((self.slots, width), np.int64)
        labels = np.full((self.slots, width), -100, np.int64)
        kinds = np.zeros(self.slots, np.int64)
        fitting = np.zeros((self.slots, GRID * GRID), np.float32)
        refers = np.zeros(self.slots, np.float32)
        common = np.zeros((self.slots, len(READ_OUTS)), np.int64)
        slot = 0
        for kind, asked in questions(facts, rng):
            prompt = self._encode(f"{asked.before}{asked.question}<|end|><|assistant|>")
            completion = self._encode(asked.answer + "<|end|>")
            end = len(prompt) + len(completion)
            if not above < end <= width:
                continue
            ids[slot, :end] = prompt + completion
            labels[slot, len(prompt) : end] = completion
            kinds[slot] = KINDS.index(kind)
            if asked.objects is not None:
                refers[slot] = 1
                common[slot] = read_outs(asked.objects)
                fitting[slot, [center_patch(o) for o in asked.objects]] = 1
            slot += 1
            if slot == self.slots:
                break
        pixels = np.asarray(render(facts), dtype=np.float32).transpose(2, 0, 1) / 127.5 - 1.0
        return {
            "pixels": pixels,
            "patches": patch_labels(facts),
            "ids": ids,
            "labels": labels,
            "kinds": kinds,
            "fitting": fitting,
            "refers": refers,
            "common": common,
        }
