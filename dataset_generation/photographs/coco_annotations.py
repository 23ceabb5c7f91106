"""Annotations in COCO's instances format -> the facts of each picture.

Files of 2014 and 2017 reach 900 MB, of which the outlines ("segmentation") are the most; they are dropped while the
file is parsed. pycocotools keeps them, and answers no question that is asked here.
"""

import gc
import json
import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from clarifyvlm.errors import UserError
from clarifyvlm.world.places import place_of
from folder.faults import listed
from folder.pictures import sizes_of, unusable
from photographs.boxes import overlap, salience
from photographs.plan import FEWEST_PICTURES

BORDER = 1.0  # pixels: a box that is nearer to the border is cut off by it; one may reach so far beyond it
SAME_BOX = 0.9  # intersection over union from which two boxes of a class are one thing
KEPT = ("id", "file_name", "width", "height", "license", "flickr_url", "coco_url", "name", "supercategory", "url")
CREATIVE_COMMONS = re.compile(r"creativecommons\.org/licenses/([a-z-]+)/([0-9.]+)")


@dataclass
class Annotations:
    """What a file says: pictures by file name, rows (id, class, box (x, y, w, h), is crowd) by picture id."""

    path: str
    images: dict[str, dict]
    rows: dict[int, list[tuple]]
    supercategories: dict[str, str]  # class -> super-category; classes that some picture shows
    bare: int  # pictures without annotations
    licenses: dict[int, str]


def _lean(row: dict):
    """Annotations as tuples, pictures and categories without what is not used."""
    if "bbox" in row:
        box = row["bbox"]
        box = tuple(box) if isinstance(box, list) else box
        return row["id"], row["image_id"], row["category_id"], box, bool(row.get("iscrowd"))
    return row if "images" in row else {k: row[k] for k in KEPT if k in row}


@lru_cache(maxsize=1)
def load(path: str) -> Annotations:
    """The annotations of a file, checked. UserError for one that is missing, in another format, or that contradicts
    itself: ids that repeat, unknown classes and pictures, boxes that are no boxes or lie outside the picture."""
    path = Path(path)
    collecting = gc.isenabled()
    gc.disable()  # millions of tuples, none of them garbage
    try:
        data = json.loads(path.read_text(encoding="utf-8"), object_hook=_lean)
        names = {c["id"]: c["name"] for c in data["categories"]}
        _unique(path, "category ids", [c["id"] for c in data["categories"]])
        images, rows = data["images"], data["annotations"]
        by_id = {i["id"]: (float(i["width"]), float(i["height"]), i["file_name"]) for i in images}
        if not all(isinstance(r, tuple) for r in rows):
            raise KeyError("bbox")
    except FileNotFoundError:
        raise UserError(f"coco_annotations: no file {path}") from None
    except IsADirectoryError:
        raise UserError(f"coco_annotations: {path} is a folder; give the instances JSON in it") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        raise UserError(f"coco_annotations: {path} is not in COCO's instances format ({what})") from None
    finally:
        if collecting:
            gc.enable()
    _unique(path, "picture ids", [i["id"] for i in images])
    _unique(path, "file names", [i["file_name"] for i in images])
    _unique(path, "annotation ids", [r[0] for r in rows])
    _refer(path, rows, names, by_id)
    _inside(path, rows, by_id)
    by_image = defaultdict(list)
    for id, image, category, box, crowd in rows:
        by_image[image].append((id, names[category], box, crowd))
    used = {names[c] for c in {r[2] for r in rows}}
    groups = {c["name"]: c.get("supercategory", "") for c in data["categories"] if c["name"] in used}
    bare = sum(i["id"] not in by_image for i in images)
    licenses = {row["id"]: _license(row) for row in data.get("licenses") or () if "id" in row}
    return Annotations(str(path), {i["file_name"]: i for i in images}, dict(by_image), groups, bare, licenses)


def _license(row: dict) -> str:
    """ "cc-by-sa-2.0" for an address of Creative Commons; of others the name as it is written."""
    found = CREATIVE_COMMONS.search(str(row.get("url")))
    return f"cc-{found[1]}-{found[2]}" if found else str(row.get("name") or row.get("url"))


def origin(annotations: Annotations, name: str) -> dict[str, str]:
    """`license` and `source_url` of a picture, as far as the annotations have them."""
    image = annotations.images[name]
    found = {
        "license": annotations.licenses.get(image.get("license")),
        "source_url": image.get("flickr_url") or image.get("coco_url"),
    }
    return {key: value for key, value in found.items() if value}


def _unique(path: Path, what: str, values: list) -> None:
    if len(set(values)) == len(values):
        return
    twice = [f"{value!r} ({n} times)" for value, n in Counter(values).items() if n > 1]
    raise listed(f"{path}: {len(twice)} {what} are there more than once", twice, "Keep one row of each.")


def _refer(path: Path, rows: list[tuple], names: dict, by_id: dict) -> None:
    lost = [f"annotation {r[0]}: category_id {r[2]!r}" for r in rows if r[2] not in names]
    if lost:
        raise listed(
            f"{path}: {len(lost)} annotations have a class that `categories` does not have", lost, "Add it there."
        )
    lost = [f"annotation {r[0]}: image_id {r[1]!r}" for r in rows if r[1] not in by_id]
    if lost:
        raise listed(
            f"{path}: {len(lost)} annotations are of a picture that `images` does not have",
            lost,
            "Add the pictures there, or leave these annotations out.",
        )


def _inside(path: Path, rows: list[tuple], by_id: dict) -> None:
    wrong, outside = [], []
    for id, image, _, box, _ in rows:
        width, height, name = by_id[image]
        try:
            x, y, w, h = box
            if not math.isfinite(x + y + w + h):
                raise ValueError
        except (TypeError, ValueError):
            wrong.append(f"{name}: annotation {id}: bbox {box!r}")
            continue
        if x < -BORDER or y < -BORDER or x + w > width + BORDER or y + h > height + BORDER:
            outside.append(f"{name}: annotation {id}: {x:g}, {y:g}, {w:g} x {h:g} in {width:g} x {height:g}")
    if wrong:
        raise listed(f"{path}: {len(wrong)} boxes are not four numbers", wrong, "A bbox is [x, y, width, height].")
    if outside:
        raise listed(
            f"{path}: {len(outside)} boxes reach outside their picture (x, y, w x h)",
            outside,
            "A bbox is [x, y, width, height] in pixels of the picture as annotated: were the pictures resized?",
        )


def pictures_of(annotations: Annotations, image_dir: str | Path) -> list[str]:
    """The file names. UserError that lists those that `image_dir` does not have, and what else is wrong there."""
    image_dir = Path(image_dir)
    if not image_dir.is_dir():
        raise UserError(f"image_dir: no folder {image_dir}")
    there = {p.name for p in image_dir.iterdir()}
    names = sorted(annotations.images)
    gone = [n for n in names if n not in there and not (image_dir / n).is_file()]
    if gone:
        others = sorted(set(names) - set(gone))[:FEWEST_PICTURES]
        faults = [f"{image_dir / n}: no such picture" for n in gone] + _faults(annotations, image_dir, others)
        raise unusable(faults, names, "the annotations")
    return names


def read(annotations: Annotations, image_dir: str | Path, names: list[str], weights=(0.7, 0.3)) -> dict[str, dict]:
    """File name -> facts of these pictures, by name. UserError that lists those that are no pictures or of another
    size than annotated (from their headers alone)."""
    names = sorted(names)
    if faults := _faults(annotations, Path(image_dir), names):
        raise unusable(faults, names, "the annotations")
    facts = {}
    for name in names:
        image = annotations.images[name]
        facts[name] = facts_of(image["width"], image["height"], annotations.rows.get(image["id"], []), weights)
    return facts


def _faults(annotations: Annotations, image_dir: Path, names: list[str]) -> list[str]:
    images = annotations.images
    return sizes_of(image_dir, {name: (images[name]["width"], images[name]["height"]) for name in names})[1]


def facts_of(width: int, height: int, rows: list[tuple], weights=(0.7, 0.3)) -> dict:
    """The facts of one picture from its rows (id, class, box (x, y, w, h), is crowd).

    Boxes without an area are passed over; of boxes of one class that lie on each other (intersection over union above
    0.9) the larger is kept. `cut_off`: the box touches the border, so there may be more of the thing than is seen;
    that hides nothing that is asked here. `weights`: of area and centrality in the salience.
    """
    crowds = sorted({name for _, name, _, crowd in rows if crowd})
    kept: list[tuple] = []
    boxes = [(id, name, _clipped(box, width, height)) for id, name, box, crowd in rows if not crowd]
    for id, name, box in sorted(boxes, key=lambda row: -_area(row[2])):
        if _area(box) > 0 and not any(n == name and overlap(b, box) > SAME_BOX for _, n, b in kept):
            kept.append((id, name, box))
    objects = []
    for _, name, box in sorted(kept, key=lambda row: row[0]):
        x0, y0, x1, y1 = box
        objects.append(
            {
                "id": f"o{len(objects) + 1}",
                "name": name,
                "box": [round(v, 1) for v in box],
                "place": place_of((x0 + x1) / 2, (y0 + y1) / 2, width, height),
                "salience": salience(box, width, height, *weights),
                "area_share": round(_area(box) / (width * height), 5),
                "cut_off": min(x0, y0) < BORDER or x1 > width - BORDER or y1 > height - BORDER,
            }
        )
    facts = {"source": "coco", "width": width, "height": height, "complete": not crowds, "objects": objects}
    return facts | {"crowds": crowds}


def _clipped(box: tuple, width: float, height: float) -> tuple[float, float, float, float]:
    x, y, w, h = box
    return max(0.0, x), max(0.0, y), min(float(width), x + w), min(float(height), y + h)


def _area(box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])
