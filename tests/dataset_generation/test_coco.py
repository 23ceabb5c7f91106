"""Photographs with COCO-format annotations. The real ones are read where they are, and skipped where they are not."""

import os
from pathlib import Path

import pytest

from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.records import Example, Object, Prediction
from clarifyvlm.users.scripted import reply
from invented_photos import generate_coco as generate
from photographs import coco
from stages import ROOT

SIDES = ("left", "right")
PHOTOS = Path(os.environ.get("CLARIFYVLM_COCO_DIR", ROOT.parent / "shared" / "photos" / "coco"))
needs_photos = pytest.mark.skipif(
    not (PHOTOS / "instances.json").exists(), reason="no photographs: set CLARIFYVLM_COCO_DIR"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco") / "data"
    code, text = generate(folder, PHOTOS / "instances.json", PHOTOS / "images", "--num_examples", "80")
    assert code == 0, text
    return folder


@needs_photos
def test_photographs_become_records_of_five_strategies(data):
    """Catches a reading, answer or reference that does not follow from the boxes; splits that share a picture."""
    judge = SceneJudge()
    pictures, strategies = {}, set()
    for split in ("train", "validation", "test"):
        for line in open(data / f"{split}.jsonl"):
            e = Example.model_validate_json(line)
            strategies.add(e.strategy)
            assert pictures.setdefault(e.image_sha256, split) == split
            assert (data / e.image).exists()
            (verdict,) = judge.judge([e], [Prediction(example_id=e.id, text=e.reference)])
            assert verdict.criteria["strategy_right"] == 1 and verdict.criteria["grounded"] == 1, (
                e.question,
                e.reference,
            )
            assert verdict.criteria["answer_right"] in (None, 1), (e.question, e.reference)
            if e.dialogue:
                assert all(reply(e, e.dialogue.question, i) for i in range(len(e.ambiguity.readings)))
    assert strategies == {"answer", "infer", "enumerate", "clarify", "correct"}


@needs_photos
def test_the_same_photographs_give_the_same_bytes(data, tmp_path):
    """Catches draws that depend on the order of a dictionary or of a folder."""
    flags = ["--num_examples", "80", "--num_workers", "2"]
    code, text = generate(tmp_path / "d", PHOTOS / "instances.json", PHOTOS / "images", *flags)
    assert code == 0, text
    for split in ("train", "validation", "test"):
        assert (tmp_path / "d" / f"{split}.jsonl").read_bytes() == (data / f"{split}.jsonl").read_bytes()


@needs_photos
def test_more_examples_than_the_pictures_give(tmp_path):
    """Catches a data set that is quietly smaller than what was asked for."""
    code, text = generate(tmp_path / "d", PHOTOS / "instances.json", PHOTOS / "images", "--num_examples", "5000")
    assert code == 2 and "asks for" in text and "give more pictures" in text, text


def objects(*rows):
    """(name, place, salience, area share) -> objects in the middle of their cells of a 300 x 300 picture."""
    from clarifyvlm.world.places import PLACES

    result = []
    for i, (name, place, salience, share) in enumerate(rows):
        row, column = divmod(PLACES.index(place), 3)
        x, y = 100 * column + 50, 100 * row + 50
        result.append(
            Object(
                id=f"o{i}",
                name=name,
                box=(x - 9, y - 9, x + 9, y + 9),
                place=place,
                salience=salience,
                area_share=share,
            )
        )
    return result


def test_strategies_follow_from_instances_and_salience():
    """Catches a strategy that does not follow from how many instances there are and how salient each is."""
    question, slot = coco.Question, coco.Slot
    dog, cat = ("dog", "top left", 0.2, 0.1), ("cat", "center", 0.2, 0.1)
    assert coco.classify(question("position", "dog"), objects(dog)) == slot("none", "answer")
    assert coco.classify(question("position", "cat"), objects(dog)) == slot("premise", "correct")
    two = objects(dog, ("dog", "top right", 0.21, 0.1))
    assert coco.classify(question("position", "dog"), two) == slot("referential", "enumerate")
    one_large = objects(dog, ("dog", "top right", 0.5, 0.4))
    assert coco.classify(question("position", "dog"), one_large) == slot("referential", "infer")
    both_left = objects(dog, ("dog", "bottom left", 0.2, 0.1))
    assert coco.classify(question("position", "dog", sided=True), both_left) == slot("referential", "answer")
    four = objects(cat, *(("dog", p, 0.2, 0.1) for p in ("top left", "top right", "bottom left", "bottom right")))
    relation = question("relation", "dog", other="cat", side="left")
    assert coco.classify(relation, four) == slot("referential", "clarify")
    assert coco.answers(relation, four) == ["no", "yes", "no", "yes"]
    assert coco.classify(question("position", "dog"), four) is None  # a place cannot tell where it is asked for


@pytest.mark.parametrize(
    "box, left, right",
    [
        ((10, 100, 50, 140), "yes", "no"),
        ((80, 100, 115, 140), "yes", "no"),
        ((110, 110, 140, 140), "no", "no"),  # a cup before the dog
        ((90, 90, 220, 160), "no", "yes"),  # a couch behind it, more to the right
        ((0, 0, 300, 300), None, None),
    ],
)
def test_left_and_right_of_a_thing(box, left, right):
    """Catches a table that is "to the left of" the plate on it since its middle is one pixel further left."""
    dog, cat = objects(("dog", "center", 0.2, 0.1), ("cat", "center", 0.2, 0.1))
    pair = [dog.model_copy(update={"box": (100, 100, 150, 150)}), cat.model_copy(update={"box": box})]
    said = [coco.answers(coco.Question("relation", "dog", other="cat", side=side), pair) for side in SIDES]
    assert said == [[left], [right]]


def test_crowds_are_not_asked_for():
    """Catches a count of a class of which the annotation says only that there are many."""
    import random

    from photographs import coco_annotations

    facts = coco_annotations.facts_of(
        300,
        300,
        [
            (1, "person", (10, 10, 50, 50), False),
            (2, "person", (10, 10, 90, 50), True),
            (3, "dog", (100, 100, 90, 90), False),
            (4, "kite", (100, 100, 2, 2), False),
        ],
    )
    assert not facts["complete"] and facts["crowds"] == ["person"]
    found = coco._questions(
        [Object(**o) for o in facts["objects"]], facts["crowds"], ["dog", "person"], random.Random(0)
    )
    assert {q.name for q in found} == {"dog"}  # the kite is too small to be seen


def facts(*rows):
    """(class, box) -> the facts of a 300 x 300 picture."""
    from photographs import coco_annotations

    return coco_annotations.facts_of(300, 300, [(i, name, box, False) for i, (name, box) in enumerate(rows)])


def asked(facts, **more):
    import random

    found = coco._questions([Object(**o) for o in facts["objects"]], facts["crowds"], ["dog"], random.Random(0), **more)
    return {(q.kind, q.name) for q in found}


def test_one_thing_with_two_boxes_is_one_thing():
    """Catches a dog that is asked about as two, and two classes or two neighbors that are taken for one."""
    found = facts(("dog", (10, 10, 100, 100)), ("dog", (11, 10, 100, 101)), ("cat", (10, 10, 100, 100)))
    assert sorted(o["name"] for o in found["objects"]) == ["cat", "dog"]
    found = facts(("dog", (10, 10, 100, 100)), ("dog", (30, 10, 100, 100)), ("dog", (0, 0, 0, 9)))
    assert len(found["objects"]) == 2


def test_what_the_border_cuts_off_is_not_hidden():
    """Catches a cut-off thing that is called hidden, and a count of which a sliver at the border is a part."""
    found = facts(("dog", (0, 50, 100, 100)), ("dog", (150, 100, 100, 100)), ("cat", (100, 0, 10, 10)))
    assert [o["cut_off"] for o in found["objects"]] == [True, False, True]
    assert not any(o.get("hidden") for o in found["objects"])
    kinds = asked(found)
    assert ("count", "dog") in kinds and ("position", "cat") in kinds and ("count", "cat") not in kinds
    assert ("count", "cat") in asked(facts(("cat", (100, 100, 10, 10))))


def test_small_things():
    """Catches a min_area that nothing reads."""
    found = facts(("dog", (100, 100, 20, 20)))
    assert ("position", "dog") in asked(found)
    assert ("position", "dog") not in asked(found, min_area=0.01)


def test_salience_weights_and_threshold():
    """Catches options that are read and not used: the place of the large dog decides, or its size."""
    from photographs import coco_annotations

    rows = [(1, "dog", (0, 0, 100, 100), False), (2, "dog", (130, 130, 40, 40), False)]
    by_area = coco_annotations.facts_of(300, 300, rows, (1.0, 0.0))["objects"]
    by_center = coco_annotations.facts_of(300, 300, rows, (0.0, 1.0))["objects"]
    assert by_area[0]["salience"] > by_area[1]["salience"] and by_center[0]["salience"] < by_center[1]["salience"]
    question = coco.Question("position", "dog")
    two = objects(("dog", "top left", 0.2, 0.1), ("dog", "top right", 0.22, 0.1))
    assert coco.classify(question, two).strategy == "enumerate" and coco.classify(question, two, 0.95) is None
    one_large = objects(("dog", "top left", 0.2, 0.1), ("dog", "top right", 0.5, 0.4))
    assert coco.classify(question, one_large).strategy == "infer" and coco.classify(question, one_large, 0.3) is None


def test_supercategories():
    """Catches an "animal" that leaves out a class, and a "no" where a crowd of sheep or a teddy bear is in sight."""
    members = {"animal": ("cat", "dog")}
    question = coco.Question("position", "animal", members=members["animal"])
    both = objects(("dog", "top left", 0.2, 0.1), ("cat", "top right", 0.2, 0.1))
    assert coco.classify(question, both) == coco.Slot("referential", "enumerate")
    assert coco.classify(question, both[:1]) == coco.Slot("none", "answer")
    animals = {("position", "animal"), ("count", "animal"), ("existence", "animal")}
    found = facts(("dog", (100, 100, 90, 90)), ("cat", (10, 100, 50, 90)))
    assert animals <= asked(found, members=members) and not animals & asked(found)
    assert not animals & asked(found | {"crowds": ["cat"]}, members=members)
    assert not animals & asked(facts(("teddy bear", (100, 100, 90, 90))), members=members)


@pytest.mark.slow
def test_the_audit_passes(tmp_path):
    """Catches questions or pictures that are picked so that they give the strategy away."""
    from invented_photos import instances

    path = instances(tmp_path / "a", 2000)
    flags = ["--num_train", "2000", "--num_validation", "200", "--num_test", "1300", "--audit", "fail"]
    code, text = generate(tmp_path / "d", path, tmp_path / "a" / "images", *flags)
    assert code == 0, text
    assert len(list((tmp_path / "d" / "images" / "test").iterdir())) >= 300


def test_plurals():
    """Catches "persons", "knifes", "wine glasss"."""
    from clarifyvlm.language.lexicon import plural_of

    words = {
        "person": "people",
        "knife": "knives",
        "wine glass": "wine glasses",
        "bus": "buses",
        "teddy bear": "teddy bears",
    }
    assert {w: plural_of(w)[0] for w in words} == words
