"""Variants of examples: what is right stays right, and the change is really made, in the picture and in every word."""

import hashlib
import json
import random
import re

import numpy as np
import pytest
import yaml
from PIL import Image

from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.images import open_image
from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.language.facts import Case
from clarifyvlm.language.lexicon import vocabulary
from clarifyvlm.language.normal import TOKEN, normalize
from clarifyvlm.language.offers import readings_named
from clarifyvlm.records import Example, Prediction
from clarifyvlm.world import scenes, wording
from clarifyvlm.world.places import place_of
from clarifyvlm.world.queries import Query
from predicting import transforms
from scenes import questions
from stages import ROOT, script

DATA = ROOT / "dataset_generation"
ALL = list(transforms.TRANSFORMS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Generated scenes with every strategy and kind of question: test.jsonl and its pictures."""
    folder = tmp_path_factory.mktemp("transforms") / "data"
    sizes = ["--num_train", "6", "--num_validation", "6", "--num_test", "150", "--num_test_ood", "0"]
    flags = ["--config", str(DATA / "configs" / "scenes.yaml"), "--output_dir", str(folder), "--image_size", "64"]
    kinds = ["color=3", "shape=3", "size=1", "position=2", "count=1", "existence=1", "relation=1", "comparison=1"]
    flags += ["--kinds", *kinds, "attribute=1", "--audit", "off", "--num_workers", "1"]
    assert script("dataset_generation/generate.py").main([*flags, *sizes]) == 0
    return folder


@pytest.fixture(scope="module")
def examples(folder):
    return jsonl.read(folder / "test.jsonl", Example)


@pytest.fixture(scope="module")
def changed(folder, examples, tmp_path_factory):
    """Transform -> (its folder, its examples)."""
    made = {}
    for name in ALL:
        path = transforms.apply(name, examples, folder, tmp_path_factory.mktemp(name))
        made[name] = path.parent, jsonl.read(path, Example, unique="id")
    return made


def photograph(kind: str, answer: str, strategy: str = "answer", **other) -> Example:
    """A question about the one dog at the middle left of an annotated photograph."""
    box = {"id": "1", "name": "dog", "box": [10, 20, 30.25, 40], "place": "middle left", "salience": 1.0}
    reading = {"objects": ["1"], "expression": "the first dog from the left at the middle left", "answer": answer}
    content = {
        "id": "photo", "split": "test", "image": "p.png", "image_sha256": "0" * 64, "question": "Which side?",
        "kind": kind, "ambiguity": {"type": "none", "level": 0, "readings": [reading]}, "strategy": strategy,
        "reference": "It is on the left.",
        "facts": {"source": "coco", "width": 96, "height": 64, "objects": [box], "complete": False},
    }  # fmt: skip
    return Example.model_validate(content | other)


def meadow():
    return Image.new("RGB", (96, 64), (90, 120, 60))


def pixels(root, example: Example) -> np.ndarray:
    return np.asarray(open_image(root / example.image))


# --- all of them


@pytest.mark.parametrize("name", ALL)
def test_the_reference_stays_right(name, changed, examples):
    """A transform that changes what is right: words for one side left unswapped, options that the judge reads as a
    part of the question, a phrasing of another kind."""
    by_id = {e.id: e for e in examples}
    found = changed[name][1]
    verdicts = SceneJudge().judge(found, [Prediction(example_id=e.id, text=e.reference) for e in found])
    assert found
    for example, verdict in zip(found, verdicts, strict=True):
        assert verdict.criteria["strategy_right"] == 1, example.question
        assert verdict.criteria["grounded"] != 0, example.question
        named, before = Case(example).question, Case(by_id[example.id]).question
        if name != "mirror":
            assert (named.given(), named.unknown) == (before.given(), before.unknown), example.question


def words_known(reply: str) -> bool:
    """Whether it has no slip of the keyboard."""
    return all(vocabulary().one.get(w) for w in TOKEN.findall(normalize(reply)) if len(w) > 4)


@pytest.mark.parametrize("name", ALL)
def test_the_dialogue_stays_right(name, changed):
    """A reply or a final answer for the original picture."""
    found = [e for e in changed[name][1] if e.dialogue]
    assert {e.kind for e in found} >= {"color", "position"}
    predictions = []
    for e in found:
        if words_known(e.dialogue.reply):
            assert readings_named(Case(e), e.dialogue.reply) == {e.dialogue.reading}, e.dialogue.reply
        turns = [e.dialogue.question, e.dialogue.reply, e.dialogue.answer]
        roles = ["assistant", "user", "assistant"]
        turns = [{"role": role, "text": text} for role, text in zip(roles, turns, strict=True)]
        predictions.append(Prediction(example_id=e.id, turns=turns, reading=e.dialogue.reading))
    assert all(v.answer_right_after_reply == 1 for v in SceneJudge().judge(found, predictions))


@pytest.mark.parametrize("name", ALL)
def test_the_query_still_has_these_readings(name, changed):
    """Facts, readings and query that no longer belong together, worked out anew from the changed facts."""
    for example in changed[name][1]:
        query = Query(**example.provenance["query"])
        found = questions.readings(query, example.facts)
        readings = [] if example.strategy == "correct" else found
        assert {r.model_dump_json() for r in readings} == {r.model_dump_json() for r in example.ambiguity.readings}
        for o in example.facts.objects:
            x0, y0, x1, y1 = o.box
            assert place_of((x0 + x1) / 2, (y0 + y1) / 2, example.facts.width, example.facts.height) == o.place


@pytest.mark.parametrize("name", ALL)
def test_files_say_what_they_are(name, changed, folder, examples):
    """Ids that no verdict on the original matches, a stale sha256, two files for one picture, provenance lost."""
    root, found = changed[name]
    order = [e.id for e in examples]
    assert [e.id for e in found] == [i for i in order if i in {e.id for e in found}]
    by_id = {e.id: e for e in examples}
    for example in found:
        before = by_id[example.id]
        assert hashlib.sha256((root / example.image).read_bytes()).hexdigest() == example.image_sha256
        assert set(example.provenance) == {*before.provenance, "transform"}
        assert example.provenance["transform"] == name and "transform" not in before.provenance
        if name in ("reworded", "options", "options_reversed"):
            assert example.image_sha256 == before.image_sha256
        else:
            assert not np.array_equal(pixels(root, example), pixels(folder, before))
    assert len({e.image for e in found}) == len({by_id[e.id].image for e in found}) == len(list(root.glob("images/*")))
    record = json.loads((root / "examples.run.json").read_text())
    assert record["counts"] == {"examples": len(found), "left_out": len(examples) - len(found)}


# --- one by one


def test_mirror_is_the_mirrored_picture(changed, folder, examples):
    """Words mirrored and the picture not, or upside down."""
    root, found = changed["mirror"]
    assert len(found) == len(examples)
    for example, before in zip(found, examples, strict=True):
        assert np.array_equal(pixels(root, example), pixels(folder, before)[:, ::-1])


def test_mirrored_twice_is_the_original(examples, folder):
    """A word or a box that is swapped one way only."""
    for example in examples:
        picture = open_image(folder / example.image)
        once = transforms.mirror(example, picture)
        again, drawn = transforms.mirror(*once)
        assert again == example and np.array_equal(np.asarray(drawn), np.asarray(picture))
        if example.kind == "relation":
            assert once[0].question != example.question


def test_mirror_of_a_photograph():
    """Answers, references and expressions of photographs, which name sides in other words than scenes do."""
    example = photograph("position", "left")
    found, _ = transforms.mirror(example, meadow())
    (reading,) = found.ambiguity.readings
    assert found.facts.objects[0].box == (65.75, 20, 86, 40) and found.facts.objects[0].place == "middle right"
    assert reading.expression == "the first dog from the right at the middle right" and reading.answer == "right"
    assert found.reference == "It is on the right." and example.reference == "It is on the left."


@pytest.mark.parametrize("file", ["clarifyvlm/world/phrasings.yaml", "dataset_generation/photographs/coco.yaml"])
def test_phrasings_name_sides_by_whole_words_only(file):
    """A phrasing with "leftmost", or with "right" in the sense of correct, that mirroring would get wrong."""
    text = yaml.safe_dump(yaml.safe_load((ROOT / file).read_text(encoding="utf-8")))
    assert not re.findall(r"\w*(?:left|right)\w*", text, re.IGNORECASE)


def test_resize_scales_picture_and_boxes(changed, folder, examples):
    """Boxes of the old size beside the larger picture."""
    root, found = changed["resize"]
    for example, before in zip(found, examples, strict=True):
        assert pixels(root, example).shape == (80, 80, 3) and (example.facts.width, example.facts.height) == (80, 80)
        boxes = [[o.box for o in e.facts.objects] for e in (example, before)]
        assert np.allclose(boxes[0], np.multiply(boxes[1], 1.25), atol=0.01)
        small = np.asarray(open_image(root / example.image).resize((64, 64)), float)
        assert np.abs(small - pixels(folder, before)).mean() < 8


def test_background_changes_and_nothing_else(changed, examples):
    """A picture that is not that of the facts, or the same background again."""
    root, found = changed["background"]
    names = sorted(scenes.BACKGROUNDS)
    for example, before in zip(found, examples, strict=True):
        step = names.index(example.facts.background) - names.index(before.facts.background)
        assert step % len(names) == 1
        assert np.array_equal(pixels(root, example), np.asarray(scenes.render(example.facts)))
        assert example.facts.objects == before.facts.objects and example.question == before.question


def test_background_leaves_foreign_pictures_alone(examples, folder):
    """A picture that someone has edited, drawn anew without the edit."""
    picture = open_image(folder / examples[0].image)
    assert transforms.background(examples[0], picture)
    picture.putpixel((3, 3), (255, 0, 0))
    assert transforms.background(examples[0], picture) is None


def test_reworded_is_another_phrasing_of_the_same(changed, examples):
    """The same words again, words of another kind of question, or a draw that depends on the file's order."""
    found = changed["reworded"][1]
    by_id = {e.id: e for e in examples}
    assert len(found) == len(examples)
    for example in found:
        query = Query(**example.provenance["query"])
        assert example.question != by_id[example.id].question
        assert example.question in {wording.question(query, random.Random(i)) for i in range(60)}
    again = [transforms.reworded(e, None)[0].question for e in reversed(examples)]
    assert again == [e.question for e in reversed(found)]


def test_reworded_leaves_foreign_questions_alone(examples):
    """A question in a user's own words, replaced by the generator's."""
    own = next(e for e in examples if not e.provenance.get("form_held_out"))
    own = own.model_copy(update={"question": "Colour of it, please?"})
    assert transforms.reworded(own, None) is None


def test_options_are_the_answers(changed, examples):
    """Options that lack an answer, name a hidden one, repeat one, or stand beside a question for yes or a number."""
    by_id = {e.id: e for e in examples}
    found = changed["options"][1]
    assert {e.kind for e in found} == {"color", "shape", "size", "position"}
    right_first = []
    for example, other in zip(found, changed["options_reversed"][1], strict=True):
        question = by_id[example.id].question
        offered = (e.question.removeprefix(question).lstrip("? ").rstrip("?").lower() for e in (example, other))
        values, back = (re.split(", | or ", words) for words in offered)
        answers = {r.answer for r in example.ambiguity.readings}
        assert (
            values == back[::-1] and len(set(values)) == len(values) == max(2, len(answers)) and answers <= set(values)
        )
        assert None not in answers and example.strategy not in ("correct", "abstain")
        if len(answers) == 1:
            right_first.append(values[0] in answers)
    assert 0.2 < np.mean(right_first) < 0.8, "the right answer's place among the options gives it away"


@pytest.mark.parametrize(
    "example",
    [
        photograph("color", None),
        photograph("count", "one"),
        photograph("existence", "yes"),
        photograph("color", "red", ambiguity={"type": "lexical", "level": 0, "readings": []}),
    ],
    ids=["hidden", "count", "existence", "no reading"],
)
def test_options_need_answers(example):
    """Options for what the picture hides (which says that it does not), or for a number."""
    assert transforms.options(example, None) is None and transforms.options_reversed(example, None) is None


def test_options_of_a_side_are_both_sides():
    """A photograph's "left" offered beside a place of the grid."""
    asked = transforms.options(photograph("position", "left"), None)[0].question
    assert asked in ("Which side? Left or right?", "Which side? Right or left?")


# --- apply


def test_a_rerun_does_nothing(examples, folder, tmp_path, capsys):
    """A complete variant written anew, so that the predictions made from it count as made from other data."""
    path = transforms.apply("mirror", examples[:8], folder, tmp_path)
    files = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file()}
    assert transforms.apply("mirror", examples[:8], folder, tmp_path) == path
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file()} == files
    with pytest.raises(UserError, match="other settings(.|\n)*--overwrite"):
        transforms.apply("mirror", examples[:9], folder, tmp_path)
    transforms.apply("mirror", examples[:9], folder, tmp_path, overwrite=True)
    assert len(jsonl.read(path, Example)) == 9


@pytest.mark.parametrize("name", ["background", "reworded"])
def test_photographs_have_no_other_background_or_words(name, tmp_path):
    """An empty file of examples, found out after the model has loaded; or a folder left behind."""
    meadow().save(tmp_path / "p.png")
    with pytest.raises(transforms.AppliesToNone, match=f"{name}.*scenes.*none of the 1 examples"):
        transforms.apply(name, [photograph("position", "left")], tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_name_is_refused(examples, folder, tmp_path):
    """A typing error that ends in a KeyError, or that does not say what there is."""
    with pytest.raises(UserError, match="no transform 'miror'.*mirror, resize, background"):
        transforms.apply("miror", examples, folder, tmp_path)


def test_a_missing_picture_is_named(examples, tmp_path):
    """A traceback of Pillow's for a data file without its pictures."""
    with pytest.raises(UserError, match="no such picture"):
        transforms.apply("reworded", examples[:1], tmp_path, tmp_path / "out")
