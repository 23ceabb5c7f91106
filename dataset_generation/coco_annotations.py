"""Annotations in COCO's instances format -> the facts of each picture; salience is AQuA's area and centrality."""

import json
import math
from collections import defaultdict
from pathlib import Path

from clarifyvlm.errors import UserError
from clarifyvlm.images import open_image
from clarifyvlm.places import place_of

MAX_LISTED_PROBLEMS = 10


def read(path: str | Path, image_dir: str | Path) -> dict[str, dict]:
    """file name -> facts (and "crowds", the classes annotated as one) of every picture.

    Raises UserError for a file that is missing or in another format, and one that lists all bad pictures.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        names = {c["id"]: c["name"] for c in data["categories"]}
        images, annotations = data["images"], data["annotations"]
    except FileNotFoundError:
        raise UserError(f"coco_annotations: no file {path}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"coco_annotations: {path} is not in COCO's instances format ({error!r})") from None
    by_image = defaultdict(list)
    for a in annotations:
        by_image[a["image_id"]].append(a)
    problems, facts = [], {}
    for image in sorted(images, key=lambda i: i["file_name"]):
        picture = Path(image_dir) / image["file_name"]
        try:
            size = open_image(picture).size
            if size != (image["width"], image["height"]):
                raise UserError(
                    f"{picture}: is {size[0]} x {size[1]}, annotated as {image['width']} x {image['height']}"
                )
        except UserError as error:
            problems.append(str(error))
            continue
        try:
            facts[image["file_name"]] = facts_of(image, by_image[image["id"]], names)
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{picture}: an annotation is not in COCO's instances format ({error!r})")
    if problems:
        more = f"\n  ... and {len(problems) - MAX_LISTED_PROBLEMS} more" if len(problems) > MAX_LISTED_PROBLEMS else ""
        raise UserError(
            f"{len(problems)} of {len(images)} pictures cannot be used\n  "
            + "\n  ".join(problems[:MAX_LISTED_PROBLEMS])
            + more
            + "\nMend or fetch them, or remove them from the annotations."
        )
    return facts


def facts_of(image: dict, annotations: list[dict], names: dict[int, str]) -> dict:
    """The facts of one picture. Raises KeyError, TypeError or ValueError for an annotation in another format."""
    width, height = image["width"], image["height"]
    objects, crowds = [], []
    for a in sorted(annotations, key=lambda a: a["id"]):
        name = names[a["category_id"]]
        if a.get("iscrowd"):
            crowds.append(name)
            continue
        x, y, w, h = a["bbox"]
        if w <= 0 or h <= 0:
            continue
        share = w * h / (width * height)
        # AQuA: 1 in the centre of the picture, 0 in a corner.
        central = 1 - math.hypot((x + w / 2) / width - 0.5, (y + h / 2) / height - 0.5) / math.hypot(0.5, 0.5)
        objects.append(
            {
                "id": f"o{len(objects) + 1}",
                "name": name,
                "box": [round(v, 1) for v in (x, y, x + w, y + h)],
                "place": place_of(x + w / 2, y + h / 2, width, height),
                "salience": round(max(1e-4, 0.7 * share + 0.3 * central), 4),
                "area_share": round(share, 5),
            }
        )
    return {
        "source": "coco",
        "width": width,
        "height": height,
        "complete": not crowds,
        "objects": objects,
        "crowds": sorted(set(crowds)),
    }
