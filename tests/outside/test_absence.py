"""Absence that nobody annotated."""

import json

import pytest

from outside_inputs import COLORS, coco, generate
from photographs.visual_genome import NAMES, _absent


def test_only_what_was_looked_for_is_denied(tmp_path):
    """Absence that nobody annotated: a federated annotation looks for some classes in a picture, and all are denied."""
    allowed = {}

    def change(content):
        for image in content["images"]:
            there = {a["category_id"] for a in content["annotations"] if a["image_id"] == image["id"]}
            absent = [c for c in range(1, len(COLORS) + 1) if c not in there]
            image["neg_category_ids"], image["not_exhaustive_category_ids"] = absent[:1], []
            allowed[image["file_name"]] = list(COLORS)[absent[0] - 1]

    examples = generate(coco(tmp_path / "in", [f"{i}.png" for i in range(40)], change), tmp_path / "out")
    denied = [e for e in examples if e["strategy"] == "correct" or e["ambiguity"]["readings"][0]["answer"] == "no"]
    assert denied
    for e in denied:
        assert e["provenance"]["query"]["name"] == allowed[e["image"].rpartition("/")[2]]
    assert not any(e["facts"]["complete"] for e in examples)


def test_classes_of_which_not_all_are_marked(tmp_path):
    """Absence that nobody annotated: "it is on the left" of a class of which only some things are marked."""

    def change(content):
        for image in content["images"]:
            image["neg_category_ids"], image["not_exhaustive_category_ids"] = [1], [2]
        content["annotations"] = [a for a in content["annotations"] if a["category_id"] != 1]

    examples = generate(coco(tmp_path / "in", [f"{i}.png" for i in range(60)], change), tmp_path / "out")
    assert not [e for e in examples if e["provenance"]["query"]["name"] == "cup"]


def of_dogs(**values):
    def change(content):
        for row in content["annotations"]:
            row |= values if row["category_id"] == 1 and row["image_id"] % 2 else {}

    return change


@pytest.mark.parametrize("there", [{"bbox": [20, 20, 0, 0]}, {"bbox": [20, 20, 9, 0]}, {"ignore": 1}, {"ignore": "1"}])
def test_what_is_there_without_a_box_is_not_denied(tmp_path, there):
    """Absence that nobody annotated: of a dog whose box has no area, or that is to be ignored (as converters write
    Pascal VOC's difficult things), "there is no dog", or there is one less."""
    names = [f"{i}.png" for i in range(40)]
    annotations = coco(tmp_path / "in", names, of_dogs(**there))
    rows = json.loads(annotations.read_text())["annotations"]
    dogs = {row["image_id"] for row in rows if row["category_id"] == 1 and row["image_id"] % 2}
    asked = [e for e in generate(annotations, tmp_path / "out") if e["provenance"]["query"]["name"] == "dog"]
    assert asked and not {int(e["image"].rpartition("/")[2][:-4]) + 1 for e in asked} & dogs


def test_one_class_in_two_spellings_is_not_denied(tmp_path):
    """Absence that nobody annotated: merged data sets have "dog" and "Dog"; where one is, the other is not."""

    def change(content):
        content["categories"][1]["name"] = "Dog"

    names = [f"{i}.png" for i in range(40)]
    examples = generate(coco(tmp_path / "in", names, change), tmp_path / "out")
    assert {e["provenance"]["query"]["name"] for e in examples} == {"dog", "kite", "bench"}


def test_lvis_as_it_is_released(tmp_path):
    """Absence that nobody annotated: LVIS has no file names, and classes like "bat_(animal)" and "bat_(sports)", of
    which one was looked for in vain and the other is there."""

    def change(content):
        for row, name in zip(
            content["categories"], ["bat_(animal)", "bat_(sports)", "kite", "park_bench"], strict=True
        ):
            row["name"] = name
        for image in content["images"]:
            image["coco_url"] = f"http://images.cocodataset.org/train2017/{image.pop('file_name')}"
            marked = {a["category_id"] for a in content["annotations"] if a["image_id"] == image["id"]}
            image["neg_category_ids"] = [c for c in (1, 3, 4) if c not in marked]
            image["not_exhaustive_category_ids"] = []

    names = [f"{i}.png" for i in range(40)]
    examples = generate(coco(tmp_path / "in", names, change), tmp_path / "out")
    assert {e["provenance"]["query"]["name"] for e in examples} <= {"bat", "kite", "park bench"}
    denied = [e for e in examples if e["strategy"] == "correct"]
    assert denied and not [e for e in denied if e["provenance"]["query"]["name"] == "bat"]


def test_what_has_another_name_is_not_denied():
    """Absence that nobody annotated: "there is no shirt" where there is a man, "no purse" where there is a bag."""
    import random

    def denied(name: str, *there: str, senses=None) -> bool:
        return name in _absent(list(there), {name: 1}, 3, senses or {}, random.Random(0))

    assert not denied("shirt", "man") and not denied("hat", "skier") and denied("shirt", "dog")
    assert not denied("purse", "bag") and not denied("monitor", "tv") and denied("purse", "giraffe")
    assert denied("auto", "tractor") and not denied("auto", "tractor", senses=dict.fromkeys(["auto", "tractor"], {"x"}))
    assert not NAMES.may_be("cup", "person")


@pytest.mark.parametrize("name", ["DontCare", "ignored regions", "Don't care", "ignore"])
def test_regions_in_which_nobody_looked(tmp_path, name, capsys):
    """Absence that nobody annotated: KITTI's DontCare and VisDrone's ignored regions are taken for things ("Is there a
    DontCare?"), and what may be in them is denied or counted (ultralytics/yolov5 #2340)."""
    regions = set()

    def change(content):
        content["categories"].append({"id": 99, "name": name})
        for image in content["images"][::2]:
            regions.add(image["file_name"])
            row = {"id": 1000 + image["id"], "image_id": image["id"], "category_id": 99, "iscrowd": 0}
            content["annotations"].append(row | {"bbox": [10, 10, 30, 30]})

    examples = generate(coco(tmp_path / "in", [f"{i}.png" for i in range(60)], change), tmp_path / "out")
    assert examples and not {e["image"].rpartition("/")[2] for e in examples} & regions
    assert name.lower() not in json.dumps([e["question"] for e in examples]).lower()
    assert "30 pictures have boxes called" in capsys.readouterr().err
