"""Photographs with COCO-format annotations: examples a second from 500 pictures, and the time and memory that a very
large annotations file takes to read.

    python benchmarks/photographs.py            # minutes, and 900 MB in the folder for temporary files
    python benchmarks/photographs.py --quick    # under a minute

The first time is that of the whole command: start, annotations, pictures, records and card; its baseline is one worker.
The pictures are noise, so that decoding them takes as long as that of photographs. The baseline of the reading is
json.load of the same file. Nothing of what is written stays.
"""

import json
import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import run_main
from measure import ROOT, report, row, run

CONFIG = "dataset_generation/configs/coco.yaml"
WIDTH, HEIGHT = 640, 480
EXAMPLES_PER_PICTURE = 4
NAMES = ("dog", "cat", "cup", "chair", "car", "kite", "bench", "bird")
PER_PICTURE = 7  # annotations, as in COCO
READ = "from photographs import coco_annotations; coco_annotations.load({path!r})"
PLAIN = "import json; json.load(open({path!r}, encoding='utf-8'))"


@dataclass
class Arguments:
    num_pictures: int = option("to make examples from", 500)
    num_workers: int = option("workers to compare with one", 2)
    file_mb: int = option("size of the large annotations file", 900)
    quick: bool = option("200 pictures, a file of 60 MB", False)
    output_dir: str = option("folder for photographs.json", "benchmarks/results")


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)
    pictures = min(args.num_pictures, 200) if args.quick else args.num_pictures
    file_mb = min(args.file_mb, 60) if args.quick else args.file_mb
    count = pictures * EXAMPLES_PER_PICTURE
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        invent(folder, pictures)
        seconds, memory = generate(folder, "many", count, args.num_workers)
        alone, _ = generate(folder, "one", count, 1)
        large = folder / "large.json"
        write_large(large, file_mb * 1_000_000)
        rooms = str(ROOT / "dataset_generation")
        read_s, read_memory = run([sys.executable, "-c", READ.format(path=str(large))], PYTHONPATH=rooms)
        plain_s, plain_memory = run([sys.executable, "-c", PLAIN.format(path=str(large))])
        size = f"{large.stat().st_size / 1e6:.0f} MB"
    rows = [
        row(f"{count} examples from {pictures} pictures, {args.num_workers} workers", count / seconds, "examples/s",
            baseline=count / alone, at_least=200),
        row("peak memory of that, all processes", memory, "MiB"),
        row(f"annotations of {size}: read", read_s, "s", baseline=plain_s, at_most=90),
        row(f"annotations of {size}: peak memory", read_memory, "MiB", baseline=plain_memory, at_most=6 * 1024),
    ]  # fmt: skip
    report("photographs", rows, args.output_dir)
    return 0


def generate(folder: Path, name: str, num_examples: int, num_workers: int) -> tuple[float, float]:
    """(seconds, peak MiB) of one run of generate.py."""
    return run(
        [sys.executable, "dataset_generation/generate.py", "--config", CONFIG, "--output_dir", folder / name,
         "--coco_annotations", folder / "instances.json", "--image_dir", folder / "images", "--audit", "off",
         "--num_examples", num_examples, "--num_workers", num_workers]
    )  # fmt: skip


def invent(folder: Path, count: int) -> None:
    """`count` pictures and their annotations: per picture one class once, one four times, one large and small."""
    import numpy as np
    from PIL import Image

    (folder / "images").mkdir()
    noise, rng = np.random.default_rng(0), random.Random(0)
    images, annotations = [], []
    for i in range(count):
        coarse = Image.fromarray(noise.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8))
        coarse.resize((WIDTH, HEIGHT)).save(folder / "images" / f"{i}.jpg", quality=90)
        images.append({"id": i, "file_name": f"{i}.jpg", "width": WIDTH, "height": HEIGHT})
        for name, boxes in zip(rng.sample(range(len(NAMES)), 4), _layouts(rng), strict=True):
            for box in boxes:
                annotations.append(_row(len(annotations), i, name, box))
    categories = [{"id": i, "name": n, "supercategory": "thing"} for i, n in enumerate(NAMES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(content))


def _layouts(rng: random.Random) -> list[list[tuple]]:
    """Boxes (x, y, w, h) of four classes: one, two beside each other, four in the corners, a large and a small one."""
    x, y = rng.randrange(20, 500), rng.randrange(20, 400)
    margin = rng.randrange(10, 60)
    right, below = WIDTH - margin - 60, HEIGHT - margin - 60
    corners = [(a, b, 60, 60) for a in (margin, right) for b in (margin, below)]
    return [
        [(x, y, 80, 60)],
        [(margin, 200, 70, 60), (WIDTH - margin - 70, 200, 70, 60)],
        corners,
        [(200, 120, 260, 240), (x, y, 40, 40)],
    ]


def _row(id: int, image: int, category: int, box: tuple) -> dict:
    x, y, w, h = box
    outline = [x, y, x + w, y, x + w, y + h, x, y + h]
    common = {"id": id, "image_id": image, "category_id": category, "bbox": list(box), "iscrowd": 0}
    return common | {"area": w * h, "segmentation": [outline]}


def write_large(path: Path, size: int) -> None:
    """An annotations file of about `size` bytes, most of it outlines, as in COCO's. There are no such pictures."""
    rng, images, written = random.Random(0), 0, 0
    outlines = [", ".join(f"{rng.uniform(0, 480):.2f}" for _ in range(2 * rng.randrange(8, 60))) for _ in range(500)]
    with open(path, "w") as file:
        file.write('{"annotations": [')
        while written < size * 0.95:
            part = []
            for n in range(images * PER_PICTURE, (images + 1) * PER_PICTURE):
                box = f"{rng.uniform(0, 300):.2f}, {rng.uniform(0, 200):.2f}, {rng.uniform(5, 300):.2f}, 200.25"
                part.append(
                    f'{{"segmentation": [[{rng.choice(outlines)}]], "area": 1234.5678, "iscrowd": 0, '
                    f'"image_id": {images}, "bbox": [{box}], "category_id": {n % len(NAMES)}, "id": {n}}}'
                )
            text = (", " if images else "") + ", ".join(part)
            file.write(text)
            written += len(text)
            images += 1
        file.write('], "images": [')
        for i in range(images):
            file.write(
                f'{", " if i else ""}{{"license": 3, "file_name": "{i:012d}.jpg", "height": {HEIGHT}, '
                f'"width": {WIDTH}, "date_captured": "2013-11-14 16:28:13", "id": {i}}}'
            )
        rows = ", ".join(f'{{"supercategory": "thing", "id": {i}, "name": "{n}"}}' for i, n in enumerate(NAMES))
        file.write(f'], "categories": [{rows}]}}')


if __name__ == "__main__":
    run_main(main)
