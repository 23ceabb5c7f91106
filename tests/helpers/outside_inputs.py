"""Small inputs as others make them: a COCO file of squares on a plain ground, in the colors of their classes."""

import json
import random
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

from stages import script

WIDTH, HEIGHT, SIDE = 210, 150, 36
COLORS = {"dog": (210, 40, 40), "cup": (40, 180, 40), "kite": (40, 40, 210), "bench": (210, 210, 40)}
SPOTS = [(4, 4), (84, 4), (166, 4), (4, 110), (84, 110), (166, 110)]


def coco(folder: Path, names: list[str], change: Callable[[dict], None] = lambda content: None, **save) -> Path:
    """`folder`/images/<name> and `folder`/instances.json, which `change` has changed; `save`: as Image.save has it."""
    rng = random.Random(0)
    content = {"images": [], "annotations": [], "categories": [{"id": i, "name": n} for i, n in enumerate(COLORS, 1)]}
    for number, name in enumerate(names, start=1):
        picture = Image.new("RGB", (WIDTH, HEIGHT), (90 + number % 120, 140, 150))
        one, other = rng.sample(range(len(COLORS)), 2)
        for kind, (x, y) in zip([one] * rng.choice((1, 2, 4)) + [other], rng.sample(SPOTS, 6), strict=False):
            ImageDraw.Draw(picture).rectangle((x, y, x + SIDE, y + SIDE), fill=list(COLORS.values())[kind])
            row = {"id": len(content["annotations"]) + 1, "image_id": number, "category_id": kind + 1, "iscrowd": 0}
            content["annotations"].append(row | {"bbox": [x, y, SIDE, SIDE]})
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, **save)
        content["images"].append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
    change(content)
    (folder / "instances.json").write_text(json.dumps(content))
    return folder / "instances.json"


def generate(annotations: Path, output: Path, *flags: str) -> list[dict]:
    """The examples that generate.py makes of a COCO file and the pictures beside it."""
    given = {"source": "coco", "coco_annotations": annotations, "image_dir": annotations.parent / "images"}
    given |= {"num_examples": 30, "num_workers": 1, "audit": "off", "output_dir": output}
    command = [str(part) for name, value in given.items() for part in (f"--{name}", value)]
    shares = ["--shares", "none:answer=1", "premise:correct=1", "--kinds", "position=1", "existence=1"]
    assert script("dataset_generation/generate.py").main([*command, *shares, *flags]) == 0
    return [json.loads(line) for split in ("train", "validation", "test") for line in open(output / f"{split}.jsonl")]
