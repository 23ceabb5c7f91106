"""Invented annotations with plain pictures: colored boxes on grey, in the formats of Visual Genome, GQA and COCO; and
generate.py on them."""

import json
import random
import subprocess
import sys
from pathlib import Path

from PIL import Image, ImageDraw

from stages import ROOT

WIDTH, HEIGHT = 240, 180
CORNERS, EDGES, CENTER = (0, 2, 6, 8), (1, 3, 5, 7), 4
MODES = ("one", "two", "three", "four", "alike", "large")
THINGS = ("car", "dog", "chair", "umbrella", "suitcase", "bench", "kite", "bottle", "clock", "horse")
PEOPLE = ("man", "woman", "boy")
HELD = ("cup", "book", "racket", "flower", "hat", "camera")
COLORS = {"red": "#d33", "green": "#3b3", "blue": "#33d", "yellow": "#dd3", "black": "#111", "white": "#eee"}
VARIANTS = {"man": "guy", "bottle": "Bottle", "red": "dark red"}  # what some annotators write


def generate_coco(folder, annotations, images, *flags) -> tuple[int, str]:
    """(exit code, what it printed) of generate.py with configs/coco.yaml."""
    return _generate("coco", folder, "--coco_annotations", annotations, "--image_dir", images, *flags)


def generate_visual_genome(folder, graphs, *flags) -> tuple[int, str]:
    """The same with configs/visual_genome.yaml; the pictures lie in images/ beside `graphs`."""
    images = Path(graphs).parent / "images"
    return _generate("visual_genome", folder, "--scene_graphs", graphs, "--image_dir", images, *flags)


def _generate(config, folder, *flags) -> tuple[int, str]:
    stage = ROOT / "dataset_generation"
    command = [sys.executable, stage / "generate.py", "--config", stage / "configs" / f"{config}.yaml"]
    command += ["--output_dir", folder, "--num_workers", 1, *flags]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout + done.stderr


def picture(rng: random.Random, things=THINGS, people=PEOPLE, held=HELD) -> tuple[list[dict], list[tuple]]:
    """Objects (name, box (x, y, w, h), color) and relations (subject, predicate, object) by their places in the list.

    Each name comes once, as two to four equally salient ones, as a large one with small ones, or alike in color.
    """
    objects, relations = [], []
    names = rng.sample(things, 5) + rng.sample(people, 1)
    rng.shuffle(names)
    for slot, name in enumerate(names):
        mode = rng.choice(MODES if slot == 0 else MODES[:-1])  # one name has the large one in the center
        ring = rng.sample(CORNERS, 4)
        cells = {
            "one": [rng.choice((*CORNERS, *EDGES))],
            "two": rng.choice((ring[:2], EDGES[::3], EDGES[1:3])),
            "large": [CENTER, *ring[: rng.randint(1, 3)]],
        }.get(mode, ring if mode == "four" else ring[:3])
        colors = rng.choices(list(COLORS), k=1) * 4 if mode == "alike" else rng.sample(list(COLORS), 4)
        in_hand = rng.choices(held, k=1) * 4 if mode == "alike" else rng.sample(held, 4)
        for cell, color, thing in zip(cells, colors, in_hand, strict=False):
            objects.append({"name": name, "box": box(cell, slot), "color": color})
            if name in people:
                x, y, w, h = objects[-1]["box"]
                relations.append((len(objects) - 1, "holding", len(objects)))
                objects.append(
                    {"name": thing, "box": (x + w // 2, y + h // 2, 9, 9), "color": rng.choice(list(COLORS))}
                )
    return objects, relations


def box(cell: int, slot: int) -> tuple[int, int, int, int]:
    """x, y, w, h: every name has its own place within a cell, so no box hides another; mirrored on the right and at
    the bottom, so that all corners are equally far from the center."""
    if cell == CENTER:
        return 84, 63, 72, 54
    row, column = divmod(cell, 3)
    x, y = 3 + 26 * (slot % 3), 4 + 29 * (slot // 3)
    return (219 - x if column == 2 else 80 * column + x), (156 - y if row == 2 else 60 * row + y), 21, 24


def draw(path: Path, objects: list[dict]) -> None:
    image = Image.new("RGB", (WIDTH, HEIGHT), "#999")
    canvas = ImageDraw.Draw(image)
    for o in sorted(objects, key=lambda o: -o["box"][2] * o["box"][3]):
        x, y, w, h = o["box"]
        canvas.rectangle([x, y, x + w, y + h], fill=COLORS[o["color"]], outline="#555")
    image.save(path)


def scene_graphs(folder: Path, count: int, seed: int = 0, gqa: bool = False, predicates=None, **names) -> Path:
    """`count` pictures in `folder`/images and their scene graphs in `folder`/scene_graphs.json. `predicates`: one per
    picture in place of holding; `names`: other things, people, held."""
    rng = random.Random(seed)
    (folder / "images").mkdir(parents=True)
    rows = {}
    for i in range(count):
        objects, relations = picture(rng, **names)
        if predicates:
            predicate = rng.choice(predicates)
            relations = [(s, predicate, o) for s, _, o in relations]
        draw(folder / "images" / f"{i + 1}.png", objects)
        rows[i + 1] = (gqa_row if gqa else visual_genome_row)(i + 1, objects, relations, rng)
    path = folder / "scene_graphs.json"
    path.write_text(json.dumps({str(k): v for k, v in rows.items()} if gqa else list(rows.values())))
    return path


def said(word: str, rng: random.Random) -> str:
    return VARIANTS.get(word, word) if rng.random() < 0.2 else word


def visual_genome_row(image_id: int, objects: list[dict], relations: list[tuple], rng) -> dict:
    return {
        "image_id": image_id,
        "objects": [
            {
                "object_id": 100 * image_id + i,
                "names": [said(o["name"], rng)],
                **dict(zip("xywh", o["box"], strict=True)),
                "synsets": [f"{o['name']}.n.01"],
                "attributes": [said(o["color"], rng), "shiny"],
            }
            for i, o in enumerate(objects)
        ],
        "relationships": [
            {
                "relationship_id": i,
                "predicate": rng.choice((predicate, f" {predicate}", predicate.upper())),
                "subject_id": 100 * image_id + s,
                "object_id": 100 * image_id + o,
            }
            for i, (s, predicate, o) in enumerate(relations)
        ],
    }


def gqa_row(image_id: int, objects: list[dict], relations: list[tuple], rng) -> dict:
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "objects": {
            str(100 * image_id + i): {
                "name": said(o["name"], rng),
                **dict(zip("xywh", o["box"], strict=True)),
                "attributes": [o["color"]],
                "relations": [
                    {"name": predicate, "object": str(100 * image_id + to)} for s, predicate, to in relations if s == i
                ],
            }
            for i, o in enumerate(objects)
        },
    }


def instances(folder: Path, count: int, seed: int = 0) -> Path:
    """`count` pictures in `folder`/images and `folder`/instances.json in COCO's format."""
    rng = random.Random(seed)
    (folder / "images").mkdir(parents=True)
    names = sorted({*THINGS, *PEOPLE, *HELD})
    images, annotations = [], []
    for i in range(count):
        objects, _ = picture(rng)
        draw(folder / "images" / f"{i}.png", objects)
        images.append({"id": i, "file_name": f"{i}.png", "width": WIDTH, "height": HEIGHT})
        for o in objects:
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": i,
                    "category_id": names.index(o["name"]),
                    "bbox": list(o["box"]),
                    "iscrowd": 0,
                    "segmentation": [[1.5, 2.5, 3.5, 4.5]],
                }
            )
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": i, "name": n, "supercategory": "animal" if n in ("dog", "horse") else "thing"}
            for i, n in enumerate(names)
        ],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    return folder / "instances.json"
