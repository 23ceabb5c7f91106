"""Rows of published benchmarks in their released form, invented content; and their conversion."""

import base64
import csv
import io
import json

from PIL import Image

from clarifyvlm import jsonl
from clarifyvlm.records import Example
from stages import script

PICTURES = ("a.png", "b.png", "COCO_val2014_000000000042.png")
PEOPLE = ["red"] * 6 + ["dark red"] * 3 + ["brown"]


def picture(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, 90, 40)).save(file, "PNG")
    return file.getvalue()


# benchmark -> rows as released (their form; invented content). Pictures are named a.png, b.png, ...
ROWS = {
    "aqua": [
        {"image": "a.png", "filename": "000000000001.jpg", "level": 0, "question": "What is the dog holding?"},
        {"image": "b.png", "filename": "000000000002.jpg", "level": 1, "question": "What color is this?"},
        {"image": "a.png", "filename": "000000000001.jpg", "level": 2, "question": "What is the player doing?"},
        {"image": "b.png", "filename": "000000000002.jpg", "level": 3, "question": "What shape is this chair?"},
    ],
    "clearvqa": [
        {
            "question_id": 7,
            "image": "a.png",
            "question": "What color is the dog's collar?",
            "blurred_question": "What color is it?",
            "gold_answer": "red",
            "answers": PEOPLE,
        }
    ],
    "mm_upd": [
        {
            "index": 3,
            "image": base64.b64encode(picture(1)).decode() + "A" * 0,
            "question": "What is on the table?",
            "hint": "nan",
            "A": "a cup",
            "B": "a dog",
            "C": "nan",
            "answer": "A",
            "type": "standard",
            "category": "object",
        },
        {
            "index": 3,
            "image": base64.b64encode(picture(1)).decode(),
            "question": "What is on the table?",
            "hint": "Look well.",
            "A": "a cat",
            "B": "a dog",
            "answer": "",
            "type": "aad",
        },
    ],
    "vq_focusambiguity": [
        {"image": "a.png", "question": "What color is the dog?", "ambiguous": True},
        {"image": "b.png", "question": "What color is the sky?", "ambiguous": "0"},
    ],
    "vizwiz": [
        {
            "image": "a.png",
            "question": "What is this?",
            "answerable": 1,
            "answer_type": "other",
            "answers": [{"answer": word, "answer_confidence": "yes"} for word in PEOPLE],
        },
        {
            "image": "b.png",
            "question": "What does it say?",
            "answerable": 0,
            "answer_type": "unanswerable",
            "answers": [{"answer": "unanswerable", "answer_confidence": "yes"}] * 10,
        },
    ],
    "gqa": {
        "0271": {"imageId": "a", "question": "Is the dog big?", "answer": "yes", "fullAnswer": "Yes, the dog is big."},
        "0272": {"imageId": "b", "question": "What is red?", "answer": "cup", "types": {"semantic": "obj"}},
    },
}


def converter(tmp_path):
    """convert(name, rows, *flags) -> the examples, by benchmark.py in this folder."""
    images = tmp_path / "pictures"
    images.mkdir()
    for number, name in enumerate(PICTURES):
        (images / name).write_bytes(picture(50 * number))

    def run(name: str, rows, *flags: str, images=images) -> list[Example]:
        data = tmp_path / f"{name}.json"
        data.write_text(json.dumps(rows))
        output = tmp_path / "out" / name
        argv = ["--benchmark", name, "--data_file", str(data), "--output_dir", str(output), *flags]
        assert (
            script("dataset_generation/benchmark.py").main([*argv, *(["--image_dir", str(images)] if images else [])])
            == 0
        )
        found = jsonl.read(output / "test.jsonl", Example, unique="id")
        assert all((output / e.image).is_file() for e in found)
        assert json.loads((output / "run.json").read_text())["counts"]["examples"] == len(found)
        return found

    return run


def file_converter(tmp_path):
    """convert(benchmark, file name, rows or text, *flags) -> the examples, by benchmark.py in this folder."""
    images = tmp_path / "pictures"
    images.mkdir()
    for number, name in enumerate(PICTURES):
        (images / name).write_bytes(picture(50 * number))

    def run(benchmark: str, name: str, rows, *flags) -> list[Example]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if name.endswith(".jsonl"):
            rows = "".join(json.dumps(row) + "\n" for row in rows)
        path.write_text(rows if isinstance(rows, str) else json.dumps(rows), encoding="utf-8")
        argv = ["--benchmark", benchmark, "--data_file", path, "--image_dir", images, "--overwrite", *flags]
        argv += ["--output_dir", tmp_path / "out"]
        assert script("dataset_generation/benchmark.py").main([str(a) for a in argv]) == 0
        return jsonl.read(next((tmp_path / "out").glob("*.jsonl")), Example, unique="id")

    return run


def table(rows: list[dict], delimiter: str = ",") -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, rows[0], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
