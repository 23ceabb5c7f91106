"""Photographs with COCO-format annotations. The real ones are read where they are, and skipped where they are not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from stages import ROOT, script

from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.records import Example, Object, Prediction
from clarifyvlm.user import reply

GENERATE = str(ROOT / "dataset_generation" / "generate.py")
CONFIG = str(ROOT / "dataset_generation" / "configs" / "coco.yaml")
PHOTOS = Path(os.environ.get("CLARIFYVLM_COCO_DIR", ROOT.parent / "shared" / "photos" / "coco"))
needs_photos = pytest.mark.skipif(
    not (PHOTOS / "instances.json").exists(), reason="no photographs: set CLARIFYVLM_COCO_DIR"
)


def generate(folder, annotations, images, *flags):
    flags = ["--coco_annotations", str(annotations), "--image_dir", str(images), *flags]
    done = subprocess.run(
        [sys.executable, GENERATE, "--config", CONFIG, "--output_dir", str(folder), "--num_workers", "1", *flags],
        capture_output=True,
        text=True,
        timeout=600,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def source():
    script("dataset_generation/generate.py")
    import source_coco

    return source_coco


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


def test_missing_and_corrupt_pictures_are_all_listed(tmp_path):
    """Catches a run that stops at the first bad picture, or in the middle of writing."""
    from PIL import Image

    Image.new("RGB", (64, 48)).save(tmp_path / "good.jpg")
    Image.new("RGB", (30, 30)).save(tmp_path / "other_size.jpg")
    (tmp_path / "torn.jpg").write_bytes((tmp_path / "good.jpg").read_bytes()[:200])
    names = ["good.jpg", "gone.jpg", "other_size.jpg", "torn.jpg"]
    annotations = {
        "images": [{"id": i, "file_name": n, "width": 64, "height": 48} for i, n in enumerate(names)],
        "annotations": [],
        "categories": [{"id": 1, "name": "dog"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(annotations))
    code, text = generate(tmp_path / "d", tmp_path / "instances.json", tmp_path)
    assert code == 2 and "3 of 4 pictures" in text and "Traceback" not in text
    assert all(n in text for n in names[1:]), text
    (tmp_path / "instances.json").write_text("{}")
    code, text = generate(tmp_path / "d", tmp_path / "instances.json", tmp_path)
    assert code == 2 and "not in COCO's instances format" in text, text


def objects(*rows):
    """(name, place, salience, area share) -> objects in the middle of their cells of a 300 x 300 picture."""
    from clarifyvlm.places import PLACES

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


def test_strategies_follow_from_instances_and_salience(source):
    """Catches a strategy that does not follow from how many instances there are and how salient each is."""
    question, slot = source.Question, source.Slot
    dog, cat = ("dog", "top left", 0.2, 0.1), ("cat", "center", 0.2, 0.1)
    assert source.classify(question("position", "dog"), objects(dog)) == slot("none", "answer")
    assert source.classify(question("position", "cat"), objects(dog)) == slot("premise", "correct")
    two = objects(dog, ("dog", "top right", 0.21, 0.1))
    assert source.classify(question("position", "dog"), two) == slot("referential", "enumerate")
    one_large = objects(dog, ("dog", "top right", 0.5, 0.4))
    assert source.classify(question("position", "dog"), one_large) == slot("referential", "infer")
    both_left = objects(dog, ("dog", "bottom left", 0.2, 0.1))
    assert source.classify(question("position", "dog", sided=True), both_left) == slot("referential", "answer")
    four = objects(cat, *(("dog", p, 0.2, 0.1) for p in ("top left", "top right", "bottom left", "bottom right")))
    relation = question("relation", "dog", other="cat", side="left")
    assert source.classify(relation, four) == slot("referential", "clarify")
    assert source.answers(relation, four) == ["no", "yes", "no", "yes"]
    assert source.classify(question("position", "dog"), four) is None  # a place cannot tell where it is asked for


def test_crowds_are_not_asked_for(source):
    """Catches a count of a class of which the annotation says only that there are many."""
    import random

    import coco_annotations

    facts = coco_annotations.facts_of(
        {"width": 300, "height": 300},
        [
            {"id": 1, "category_id": 1, "bbox": [10, 10, 50, 50], "iscrowd": 0},
            {"id": 2, "category_id": 1, "bbox": [10, 10, 90, 50], "iscrowd": 1},
            {"id": 3, "category_id": 2, "bbox": [100, 100, 90, 90]},
            {"id": 4, "category_id": 3, "bbox": [100, 100, 2, 2]},
        ],
        {1: "person", 2: "dog", 3: "kite"},
    )
    assert not facts["complete"] and facts["crowds"] == ["person"]
    found = source._questions(
        [Object(**o) for o in facts["objects"]], facts["crowds"], ["dog", "person"], random.Random(0)
    )
    assert {q.name for q in found} == {"dog"}  # the kite is too small to be seen


def test_plurals(source):
    """Catches "persons", "knifes", "wine glasss"."""
    words = {
        "person": "people",
        "knife": "knives",
        "wine glass": "wine glasses",
        "bus": "buses",
        "teddy bear": "teddy bears",
    }
    assert {w: source.plural_of(w)[0] for w in words} == words
