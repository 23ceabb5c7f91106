"""Small real example files: stars on a plain ground, one or four of them."""

import hashlib
import json
from pathlib import Path


def star_example(index: int, image: str, image_sha256: str, *, stars: int = 4) -> dict:
    """An example line: `stars` equally large stars, each of another color, and a question about the star."""
    colors = ["red", "green", "blue", "yellow", "pink", "orange"][:stars]
    places = ["top left", "top right", "bottom left", "bottom right", "center", "top middle"][:stars]
    objects = [
        {
            "id": f"o{i}",
            "name": "star",
            "box": [4 + 20 * i, 4, 20 + 20 * i, 20],
            "place": p,
            "salience": 0.02,
            "color": c,
        }
        for i, (c, p) in enumerate(zip(colors, places, strict=True))
    ]
    readings = [
        {"objects": [o["id"]], "expression": f"the star at the {o['place']}", "answer": o["color"]} for o in objects
    ]
    clarify = stars > 3
    ask = "Which star do you mean?" + " Please say where it is." * (index % 2)
    return {
        "id": f"ex{index:04d}",
        "split": "test",
        "image": image,
        "image_sha256": image_sha256,
        "question": "What color is the star?" + " Tell me." * (index % 3),
        "kind": "color",
        "ambiguity": {"type": "referential" if clarify else "none", "level": 3 if clarify else 0, "readings": readings},
        "strategy": "clarify" if clarify else "answer",
        "reference": ask if clarify else "It is red.",
        "dialogue": {"reading": 0, "question": ask, "reply": "The one at the top left.", "answer": "It is red."}
        if clarify
        else None,
        "facts": {"source": "scenes", "width": 96, "height": 96, "objects": objects},
    }


def write_examples(folder: Path, count: int = 10) -> Path:
    """test.jsonl with `count` examples (every second one ambiguous) and their pictures; returns its path."""
    from PIL import Image, ImageDraw

    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(count):
        name = f"images/{index:04d}.png"
        image = Image.new("RGB", (96, 96), (255, 255 - 20 * (index % 10), 230))
        ImageDraw.Draw(image).rectangle(
            (4 + 3 * index % 60, 4, 30 + 3 * index % 60, 30), fill=(200, 20 * index % 255, 40)
        )
        image.save(folder / name)
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        lines.append(json.dumps(star_example(index, name, digest, stars=4 if index % 2 else 1)))
    path = folder / "test.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path
