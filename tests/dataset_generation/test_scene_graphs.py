"""Reading scene graphs: annotators' words, boxes of one thing, files that contradict themselves."""

import json

import pytest

from clarifyvlm.errors import UserError
from invented_photos import scene_graphs as invented
from photographs import visual_genome


@pytest.mark.parametrize(
    "raw, name, group",
    [
        ("Car", "car", False), ("cars", "car", True), ("guy", "man", False), ("men", "man", True),
        ("people", "person", True), ("T-shirt", "shirt", False), ("bike", "bicycle", False), ("bikes", "bicycle", True),
        ("glasses", "glasses", True), ("glass", "glass", False), ("bus", "bus", False), ("buses", "bus", True),
        ("knives", "knife", True), ("wine glasses", "wine glass", True), ("benches", "bench", True),
        ("berries", "berry", True), ("tennis racket", "tennis racket", False), ("dress", "dress", False),
    ],
)  # fmt: skip
def test_names(raw, name, group):
    """Catches synonyms that are taken for two things, and groups under one box that are taken for one thing."""
    assert visual_genome.NAMES.canonical(raw) == (name, group)


@pytest.mark.parametrize("raw", ["", "man's hat", "12", "a b c d", "café", "<b>", "man in black"])
def test_what_is_no_name(raw):
    """Catches garbage that is asked about."""
    assert visual_genome.NAMES.canonical(raw) is None


@pytest.mark.parametrize(
    "attributes, color",
    [
        (["red"], "red"), (["dark red", "shiny"], "red"), (["gray"], "grey"), (["grey", "gray"], "grey"),
        (["tan"], "beige"), (["red", "blue"], None), (["red and white"], None), (["red", "not red"], None),
        (["striped", "red"], None), (["not red"], None), (["tall"], None), ([], None), (["Light-Blue"], "blue"),
    ],
)  # fmt: skip
def test_colors(attributes, color):
    """Catches a color that the attributes contradict, one color under two names, and people who are given a color."""
    assert visual_genome.NAMES.color("car", attributes) == color
    assert (
        visual_genome.NAMES.color("man", attributes) is None and visual_genome.NAMES.color("batter", attributes) is None
    )


def test_two_boxes_of_one_thing_are_merged():
    """Catches one man who is asked about as two, with half of his attributes each; and two neighbors merged."""
    from photographs import scene_graphs

    def names(*rows):
        objects = [(i, name, box, list(attributes)) for i, (name, box, *attributes) in enumerate(rows)]
        picture = scene_graphs.Picture(objects, [("HOLDS", 0, len(rows) - 1)])
        found = scene_graphs.facts_of(picture, (300, 300), visual_genome.NAMES, (0.7, 0.3), False)
        return found["objects"], found["groups"]

    cup = ("cup", (200, 200, 20, 20))
    found, _ = names(("person", (0, 0, 100, 100), "tall"), ("guy", (5, 0, 100, 100), "young"), cup)
    assert [o["name"] for o in found] == ["man", "cup"]
    assert found[0]["attributes"] == ["tall", "young"] and found[0]["relations"] == [
        {"predicate": "holding", "object": "o2"}
    ]
    found, _ = names(("vehicle", (0, 0, 100, 100), "parked"), ("car", (9, 0, 100, 100), "red"), cup)
    assert [(o["name"], o["color"], o["attributes"]) for o in found] == [
        ("car", "red", ["parked", "red"]),
        ("cup", None, []),
    ]
    assert len(names(("car", (0, 0, 100, 100), "red"), ("dog", (0, 0, 100, 100)), cup)[0]) == 3
    assert len(names(("car", (0, 0, 100, 100)), ("car", (60, 0, 100, 100)), cup)[0]) == 3
    found, groups = names(("cars", (0, 0, 100, 100)), ("a man's black and white dog", (0, 0, 9, 9)), cup)
    assert [o["name"] for o in found] == ["cup"] and {"car", "dog"} <= set(groups)
    assert names(("dog", (900, 900, 9, 9)), cup)[1] == ["dog"]


BROKEN = {
    "not JSON": (lambda rows: "[", "not in Visual Genome's format"),
    "COCO": (lambda rows: {"images": [], "annotations": []}, "not in Visual Genome's format"),
    "empty": (lambda rows: [], "has no pictures"),
    "repeated picture": (lambda rows: rows + rows[:12], "12 pictures are there more than once"),
    "repeated object": (lambda rows: [r | {"objects": r["objects"] * 2} for r in rows], "object ids"),
    "lost object": (
        lambda rows: [r | {"objects": r["objects"][:1]} for r in rows],
        "relations name an object that their picture does not have",
    ),
    "attributes": (
        lambda rows: [r | {"objects": [o | {"attributes": "red"} for o in r["objects"]]} for r in rows],
        "attributes 'red' are no list",
    ),
    "no box": (lambda rows: [{"image_id": 1, "objects": [{"object_id": 1, "names": ["a"]}]}], "no 'x'"),
    "words": (
        lambda rows: [r | {"objects": [o | {"x": "one"} for o in r["objects"]]} for r in rows],
        "boxes are not four numbers",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_graphs_that_contradict_themselves(tmp_path, fault):
    """Catches a KeyError from the depth and a list of ten thousand lines."""
    from photographs import scene_graphs

    change, said = BROKEN[fault]
    broken = change(json.loads(invented(tmp_path / "a", 20).read_text()))
    path = tmp_path / "g.json"
    path.write_text(broken if isinstance(broken, str) else json.dumps(broken))
    with pytest.raises(UserError, match=said) as error:
        scene_graphs.load(str(path), visual_genome.NAMES)
    assert str(path) in str(error.value) and len(str(error.value).splitlines()) <= 13


def test_objects_of_several_names_and_of_none(tmp_path):
    """Catches "there is no desk" where the table's second name is desk, and a file that one nameless box makes
    unusable."""
    from photographs import scene_graphs

    box = {"x": 1, "y": 1, "w": 9, "h": 9}
    names = [["table", "desk"], ["man", "guy"], []]
    rows = [{"object_id": i, "names": n, **box} for i, n in enumerate(names)]
    (tmp_path / "g.json").write_text(json.dumps([{"image_id": 1, "objects": rows, "relationships": []}]))
    graphs = scene_graphs.load(str(tmp_path / "g.json"), visual_genome.NAMES)
    facts = scene_graphs.facts_of(graphs.pictures["1"], (300, 300), visual_genome.NAMES, (0.7, 0.3), False)
    assert [o["name"] for o in facts["objects"]] == ["man", "table"] and facts["groups"] == ["desk"]


def test_merged_ids_and_a_few_slips(tmp_path):
    """Catches relations that are lost since Visual Genome merged their objects, and a set of 100,000 pictures
    that one slip makes unusable."""
    from photographs import scene_graphs

    box = {"x": 1, "y": 1, "w": 9, "h": 9}
    objects = [
        {"object_id": 1, "names": ["man"], "merged_object_ids": [7], **box},
        {"object_id": 2, "name": "cup", **box},
    ]
    relations = [{"predicate": "holds", "subject_id": 7, "object": {"object_id": 2}} for _ in range(30)]
    relations.append({"predicate": "holds", "subject_id": 5, "object_id": 2})
    (tmp_path / "g.json").write_text(json.dumps([{"image_id": 1, "objects": objects, "relationships": relations}]))
    graphs = scene_graphs.load(str(tmp_path / "g.json"), visual_genome.NAMES)
    assert graphs.pictures["1"].relations[0] == ("holds", 1, 2) and graphs.doing["man"]["holding"] == 30
    facts = scene_graphs.facts_of(graphs.pictures["1"], (300, 300), visual_genome.NAMES, (0.7, 0.3), False)
    assert {"predicate": "holding", "object": "o1"} in facts["objects"][1]["relations"]
