"""Absence that nobody annotated."""

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


def test_what_has_another_name_is_not_denied():
    """Absence that nobody annotated: "there is no shirt" where there is a man, "no purse" where there is a bag."""
    import random

    def denied(name: str, *there: str, senses=None) -> bool:
        return name in _absent(list(there), {name: 1}, 3, senses or {}, random.Random(0))

    assert not denied("shirt", "man") and not denied("hat", "skier") and denied("shirt", "dog")
    assert not denied("woman", "shirt", "pole") and denied("woman", "pole")
    assert not denied("purse", "bag") and not denied("monitor", "tv") and denied("purse", "giraffe")
    assert denied("auto", "tractor") and not denied("auto", "tractor", senses=dict.fromkeys(["auto", "tractor"], {"x"}))
    assert not NAMES.may_be("cup", "person")
