"""Annotations in COCO's instances format -> the facts of each picture.

Files of 2014 and 2017 reach 900 MB, of which the outlines ("segmentation") are the most; they are dropped while the
file is parsed. pycocotools keeps them, and answers no question that is asked here.
"""

import gc
import json
import math
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from clarifyvlm.errors import UserError
from clarifyvlm.text_files import read_text
from clarifyvlm.world.places import place_of
from folder.faults import listed
from folder.names import Names, refuse_doubtful
from folder.pictures import headers_of, unusable
from photographs.boxes import overlap, salience, turned
from photographs.plan import FEWEST_PICTURES
from photographs.values import box_of, identity, truth, whole

BORDER = 1.0  # pixels: a box that is nearer to the border is cut off by it; one may reach so far beyond it
SAME_BOX = 0.9  # intersection over union from which two boxes of a class are one thing
FEDERATED = ("neg_category_ids", "not_exhaustive_category_ids")  # LVIS: looked for in vain; not marked everywhere
KEPT = (
    *FEDERATED,
    "id",
    "file_name",
    "width",
    "height",
    "license",
    "flickr_url",
    "coco_url",
    "name",
    "supercategory",
    "url",
)
# Names of boxes in which nobody marked anything, though it may be there: KITTI's DontCare, VisDrone's ignored regions.
UNMARKED = re.compile(r"(?:don'?t ?care|ignored?)(?:[ _-](?:region|area|object)s?)?|unlabell?ed|void", re.I)
NOTHING = (None, 0, "0", "")
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
    federated: bool = False  # of each picture some classes were looked for, as in LVIS, and only those are known


def _lean(row: dict):
    """Annotations as tuples, pictures and categories without what is not used."""
    if "bbox" in row:
        box = row["bbox"]
        box = tuple(box) if isinstance(box, list) else box
        left_out = row.get("ignore", 0)  # as converters of Pascal VOC and CrowdHuman write it: something is there
        crowd = row.get("iscrowd", 0) if left_out in NOTHING else left_out
        return row["id"], row["image_id"], row["category_id"], box, crowd
    return row if "images" in row else {k: row[k] for k in KEPT if k in row}


@lru_cache(maxsize=1)
def load(path: str) -> Annotations:
    """The annotations of a file, checked. UserError for one that is missing, in another format, or that contradicts
    itself: ids that repeat, unknown classes and pictures, boxes that are no boxes or lie outside the picture."""
    path = Path(path)
    collecting = gc.isenabled()
    gc.disable()  # millions of tuples, none of them garbage
    try:
        data = json.loads(read_text(path), object_hook=_lean)
        images, rows = data["images"], data["annotations"]
        if not all(isinstance(r, tuple) for r in rows):
            raise KeyError("bbox")
        _parse(path, data)
        rows = data["annotations"]
        names = {c["id"]: c["name"] for c in data["categories"]}
        _unique(path, "category ids", [c["id"] for c in data["categories"]])
        by_id = {i["id"]: (float(i["width"]), float(i["height"]), i["file_name"]) for i in images}
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
    if unmarked := {name for name in used if UNMARKED.fullmatch(name)}:
        used -= unmarked
        _spread_unmarked(path, by_image, unmarked, used)
    groups = {c["name"]: c.get("supercategory", "") for c in data["categories"] if c["name"] in used}
    bare = sum(i["id"] not in by_image for i in images)
    federated = any(key in i for i in images for key in FEDERATED)
    for image in images if federated else ():
        looked_for, unmarked = ({*map(identity, image.get(key) or ())} for key in FEDERATED)
        known = {name for id, name in names.items() if id in looked_for}
        image[FEDERATED[0]] = sorted(known - {name for id, name in names.items() if id not in looked_for})
        image[FEDERATED[1]] = sorted({name for id, name in names.items() if id in unmarked})
    licenses = {row["id"]: _license(row) for row in data.get("licenses") or () if "id" in row}
    return Annotations(
        str(path), {i["file_name"]: i for i in images}, dict(by_image), groups, bare, licenses, federated
    )


def _spread_unmarked(path: Path, by_image: dict[int, list[tuple]], unmarked: set[str], names: set[str]) -> None:
    """In place of a region in which nobody marked anything: of each class there may be more, as in a crowd."""
    changed = 0
    for image, rows in by_image.items():
        regions = [row for row in rows if row[1] in unmarked]
        if regions:
            marked = [row for row in rows if row[1] not in unmarked]
            by_image[image] = marked + [(id, name, box, True) for id, _, box, _ in regions for name in sorted(names)]
            changed += 1
    print(
        f"{path}: {changed:,} pictures have boxes called {', '.join(sorted(unmarked))}, in which anything may be: "
        "nothing is asked about these pictures",
        file=sys.stderr,
    )


def _parse(path: Path, data: dict) -> None:
    """Ids, sizes, boxes and crowds as what they should be, where they are text; names of classes as people write them;
    LVIS's pictures by the ends of their addresses. UserError that lists the rest."""
    faults = []
    for row in (*data["images"], *data["categories"]):
        row["id"] = identity(row["id"])
    if unnamed := [f"category {row['id']}: name {row['name']!r}" for row in data["categories"] if not _name(row)]:
        raise listed(f"{path}: {len(unnamed)} classes have no name", unnamed, "Name them.")
    spelled: dict[str, str] = {}  # "Dog" and "dog" are one class
    for row in data["categories"]:
        row["name"] = spelled.setdefault(_name(row).casefold(), _name(row))
    for image in data["images"]:
        if not image.get("file_name") and image.get("coco_url"):
            image["file_name"] = "/".join(image["coco_url"].split("/")[-2:])
        for side in ("width", "height"):
            try:
                image[side] = whole(image[side])
            except (ValueError, OverflowError):
                faults.append(f"picture {image['file_name']}: {side} {image[side]!r}")
    if faults:
        raise listed(f"{path}: {len(faults)} sizes are no numbers of pixels", faults, "Mend these rows.")
    rows = data["annotations"]
    for i, (id, image, category, box, crowd) in enumerate(rows):
        if type(image) is int is type(category) and type(crowd) is int and crowd in (0, 1) and _numbers(box):
            rows[i] = (id, image, category, box, crowd == 1)
            continue
        try:
            crowd = truth(crowd)
        except ValueError as error:
            faults.append(f"annotation {id}: iscrowd {error}")
        box = box_of(box) if isinstance(box, tuple) else box
        rows[i] = (id, identity(image), identity(category), box, crowd)
    if faults:
        raise listed(f"{path}: {len(faults)} annotations do not say if they are crowds", faults, "iscrowd is 0 or 1.")


def _name(row: dict) -> str:
    """ "traffic_light" is two words, and LVIS's "bat_(animal)" a bat."""
    name = row["name"] if row["name"] is not None else ""
    return " ".join(re.sub(r"_|\([^)]*\)", " ", str(name)).split())


def _numbers(box) -> bool:
    return isinstance(box, tuple) and not any(isinstance(v, str) for v in box)


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
    if rows and not wrong and max(max(row[3]) for row in rows) <= 1:
        raise UserError(
            f"{path}: all boxes are within 0 to 1: fractions of a side. A bbox is in pixels: multiply them."
        )
    if wrong:
        raise listed(f"{path}: {len(wrong)} boxes are not four numbers", wrong, "A bbox is [x, y, width, height].")
    if outside:
        raise listed(
            f"{path}: {len(outside)} boxes reach outside their picture (x, y, w x h)",
            outside,
            "A bbox is [x, y, width, height] in pixels of the picture as annotated: were the pictures resized, or are "
            "the boxes [left, top, right, bottom]?",
        )


def pictures_of(annotations: Annotations, image_dir: str | Path) -> dict[str, str]:
    """File relative to `image_dir` -> file_name. UserError that lists the pictures that are not there, those whose
    name may mean several, and what else is wrong."""
    image_dir = Path(image_dir)
    if not image_dir.is_dir():
        raise UserError(f"image_dir: no folder {image_dir}")
    if not annotations.images:
        raise UserError(f"coco_annotations: {annotations.path} has no pictures")
    there = {p.name for p in image_dir.iterdir()}
    found, gone, doubtful, files = {}, [], {}, None
    for name in sorted(annotations.images):
        path = PurePosixPath(name)
        inside = not path.is_absolute() and ".." not in path.parts
        if name in there or inside and (image_dir / name).is_file():
            found[name] = name
            continue
        files = files or Names(image_dir, suffixes=None)
        match files.find(name):
            case []:
                gone.append(name)
            case [file]:
                found[name] = file
            case several:
                doubtful[name] = several
    refuse_doubtful(annotations.path, doubtful)
    by_file = {}
    for name, file in found.items():
        by_file.setdefault(file, []).append(name)
    if twice := [f"{file}: {', '.join(names)}" for file, names in by_file.items() if len(names) > 1]:
        raise listed(f"{annotations.path}: {len(twice)} pictures have more than one row", twice, "Keep one of each.")
    if gone:
        some = {file: names[0] for file, names in list(by_file.items())[:FEWEST_PICTURES]}
        faults = [f"{image_dir / n}: no such picture" for n in gone] + _headers(annotations, image_dir, some)[1]
        raise unusable(faults, list(annotations.images), "the annotations")
    return {file: names[0] for file, names in by_file.items()}


def read(
    annotations: Annotations,
    image_dir: str | Path,
    names: dict[str, str],
    files: list[str],
    weights=(0.7, 0.3),
    box_space: str | None = None,
) -> dict[str, dict]:
    """File -> facts of these pictures, by name (`names`: file -> file_name). UserError that lists those that are no
    pictures or of another size than annotated (from their headers alone)."""
    some = {file: names[file] for file in sorted(files)}
    headers, faults = _headers(annotations, Path(image_dir), some, box_space)
    if faults:
        raise unusable(faults, files, "the annotations")
    facts = {}
    for file, name in some.items():
        image, header = annotations.images[name], headers[file]
        rows, size = annotations.rows.get(image["id"], []), (image["width"], image["height"])
        if box_space == "stored" and header.orientation != 1:
            rows = [(id, of, turned(box, header.orientation, *size), crowd) for id, of, box, crowd in rows]
            size = header.size
        facts[file] = facts_of(*size, rows, weights)
        if annotations.federated:
            known = {"crowds": sorted({*facts[file]["crowds"], *image[FEDERATED[1]]}), "absent": image[FEDERATED[0]]}
            facts[file] |= {"complete": False} | known
    return facts


def _headers(annotations: Annotations, image_dir: Path, names: dict[str, str], box_space: str | None = "upright"):
    sizes = {file: (annotations.images[n]["width"], annotations.images[n]["height"]) for file, n in names.items()}
    return headers_of(image_dir, sizes, box_space)


def facts_of(width: int, height: int, rows: list[tuple], weights=(0.7, 0.3)) -> dict:
    """The facts of one picture from its rows (id, class, box (x, y, w, h), is crowd).

    Of a class with a box without an area something is there, as in a crowd; of boxes of one class that lie on each
    other (intersection over union above 0.9) the larger is kept. `cut_off`: the box touches the border, so there may
    be more of the thing than is seen; that hides nothing that is asked here. `weights`: of area and centrality in the
    salience.
    """
    kept: list[tuple] = []
    boxes = [(id, name, _clipped(box, width, height)) for id, name, box, crowd in rows if not crowd]
    crowds = {name for _, name, _, crowd in rows if crowd} | {name for _, name, box in boxes if not _area(box)}
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
    return facts | {"crowds": sorted(crowds)}


def _clipped(box: tuple, width: float, height: float) -> tuple[float, float, float, float]:
    x, y, w, h = box
    return max(0.0, x), max(0.0, y), min(float(width), x + w), min(float(height), y + h)


def _area(box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])
