"""Numbers as text, and empty lists."""

import json

import pytest
from PIL import Image

from clarifyvlm.errors import UserError
from outside_inputs import coco, generate
from photographs import scene_graphs as scene_graphs_of
from photographs.values import identity, number, truth, whole
from photographs.visual_genome import NAMES as NAMES_OF_VG
from small_examples import write_examples
from stages import script

NAMES = [f"{i}.png" for i in range(40)]


def as_text(content: dict) -> None:
    for image in content["images"]:
        image |= {name: str(image[name]) for name in ("id", "width", "height")}
    for row in content["annotations"]:
        row |= {"image_id": str(row["image_id"]), "category_id": f"{row['category_id']}", "iscrowd": "0"}
        row["bbox"] = [f"{v:.1f}" for v in row["bbox"]]


def test_numbers_as_text_give_the_same_data(tmp_path):
    """Numbers as text: "0" is true, so that every thing is a crowd; a size differs from itself."""
    plain = generate(coco(tmp_path / "a", NAMES), tmp_path / "one")
    assert generate(coco(tmp_path / "b", NAMES, as_text), tmp_path / "two") == plain


@pytest.mark.parametrize(
    "row, name, value, said",
    [
        ("images", "width", "wide", "picture 0.png: width 'wide'"),
        ("images", "height", None, "picture 0.png: height None"),
        ("images", "height", 0, "picture 0.png: height 0"),
        ("annotations", "iscrowd", "maybe", "annotation 1: iscrowd 'maybe'"),
        ("annotations", "iscrowd", float("nan"), "annotation 1: iscrowd nan"),
        ("annotations", "bbox", ["a", 1, 2, 3], "annotation 1: bbox"),
    ],
)
def test_the_row_is_named(tmp_path, row, name, value, said):
    """Numbers as text: a traceback from the depth, or a value that is made up."""

    def change(content):
        content[row][0][name] = value

    with pytest.raises(UserError, match=said):
        generate(coco(tmp_path / "a", NAMES, change), tmp_path / "out")


def test_values():
    """Numbers as text: the parts."""
    assert (number("1e2"), number("-3"), whole("240.0")) == (100, -3, 240)
    assert [truth(v) for v in ("0", "1", "False", "true", None, 1.0, "0.0")] == [0, 1, 0, 1, 0, 1, 0]
    assert (identity("12"), identity(12.0), identity("012"), identity("a")) == (12, 12, "012", "a")
    for wrong in ("", "x", "nan", "inf", True, None, [1]):
        with pytest.raises(ValueError):
            number(wrong)


def test_no_pictures(tmp_path):
    """Empty lists: a message about shares where there is no picture."""

    def change(content):
        content["images"], content["annotations"] = [], []

    with pytest.raises(UserError, match="has no pictures"):
        generate(coco(tmp_path / "a", NAMES, change), tmp_path / "out")


@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_no_train_examples(tmp_path, tiny_model_dir, stage):
    """Empty lists: StopIteration out of the trainer."""
    data = write_examples(tmp_path / "data", 2)
    (data.parent / "validation.jsonl").write_text(data.read_text())
    (data.parent / "train.jsonl").write_text("\n")
    flags = ["--model_name_or_path", str(tiny_model_dir), "--data_dir", str(data.parent)]
    flags += ["--output_dir", str(tmp_path / "out")] + ["--allow_base_model"] * (stage == "grpo")
    with pytest.raises(UserError, match=r"train\.jsonl has no examples"):
        script(f"tuning_{stage}/train.py").main(flags)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("way", ["an empty file", "0 of them"])
def test_no_validation_examples(tmp_path, tiny_model_dir, way):
    """Empty lists: SFT trains to its end, saves, and dies of a loss that there is not."""
    data = write_examples(tmp_path / "data", 2)
    (data.parent / "train.jsonl").write_text(data.read_text())
    (data.parent / "validation.jsonl").write_text("" if way == "an empty file" else data.read_text())
    flags = ["--model_name_or_path", str(tiny_model_dir), "--data_dir", str(data.parent), "--max_steps", "1"]
    flags += ["--output_dir", str(tmp_path / "out"), "--bf16", "false", "--per_device_train_batch_size", "2"]
    flags += ["--num_validation_examples", "0"] if way == "0 of them" else []
    train = script("tuning_sft/train.py")
    with pytest.raises(UserError, match="--eval_strategy"):
        train.main([*flags, "--eval_strategy", "epoch"])
    assert train.main(flags) == 0 == train.main(flags)
    assert '"status": "complete"' in (tmp_path / "out" / "run.json").read_text()


def scene_graphs(tmp_path, **types) -> list[dict]:
    """A file of Visual Genome with ids of other types: name of the id -> type."""
    rows = []
    for i in (1, 2):
        box = {"x": 1, "y": 1, "w": 9, "h": 9}
        objects = [{"object_id": 10 * i + j, "names": [name], **box} for j, name in enumerate(("man", "cup"))]
        relation = {"predicate": "holding", "subject_id": 10 * i, "object_id": 10 * i + 1}
        rows.append({"image_id": i, "objects": objects, "relationships": [relation]})
    for row in rows:
        for part in (row, *row["objects"], *row["relationships"]):
            part |= {name: kind(part[name]) for name, kind in types.items() if name in part}
    return rows


@pytest.mark.parametrize("types", [{"object_id": str}, {"subject_id": str}, {"object_id": float}, {"image_id": float}])
def test_ids_of_scene_graphs(tmp_path, types):
    """Numbers as text: an object "12" is not the 12 of a relation, and picture 1.0 is not 1.jpg."""
    path = tmp_path / "graphs.json"
    path.write_text(json.dumps(scene_graphs(tmp_path, **types)))
    graphs = scene_graphs_of.load(str(path), NAMES_OF_VG)
    assert list(graphs.pictures) == ["1", "2"]
    assert graphs.pictures["1"].relations == [("holding", 10, 11)]


def test_an_id_that_is_there_as_a_number_and_as_text(tmp_path):
    """Numbers as text: of pictures 1 and "1" the second replaces the first, and what the first shows is denied."""
    rows = scene_graphs(tmp_path)
    rows.append({"image_id": "1", "objects": []})
    (tmp_path / "graphs.json").write_text(json.dumps(rows))
    with pytest.raises(UserError, match=r"1 pictures are there more than once\s+image_id 1"):
        scene_graphs_of.load(str(tmp_path / "graphs.json"), NAMES_OF_VG)


def test_numbers_of_objects_in_gqa(tmp_path):
    """Numbers as text: GQA's objects have their ids as keys, and a converter gives the ends of relations as numbers."""
    objects = {str(i): {"name": "cup", "x": 1, "y": 1, "w": 9, "h": 9} for i in (1, 2)}
    objects["1"]["relations"] = [{"name": "on", "object": 2}]
    (tmp_path / "graphs.json").write_text(json.dumps({"7": {"width": 20, "height": 20, "objects": objects}}))
    graphs = scene_graphs_of.load(str(tmp_path / "graphs.json"), NAMES_OF_VG)
    assert graphs.pictures["7"].relations == [("on", "1", "2")]


def test_a_class_without_a_name(tmp_path):
    """Numbers as text, and their like: null becomes a class called "None", and people are asked where the None is."""

    def change(content):
        content["categories"][1]["name"] = None

    with pytest.raises(UserError, match="category 2: name None"):
        generate(coco(tmp_path / "a", NAMES, change), tmp_path / "out")


@pytest.mark.parametrize("kind", [str, float])
def test_ids_of_questions_and_their_answers(tmp_path, kind):
    """Numbers as text: questions and annotations that give one picture as 7 and "7" are called those of two splits."""
    questions = [{"question_id": kind(5), "image_id": kind(7), "question": "What is it?"}]
    answers = [{"question_id": 5, "image_id": 7, "answers": [{"answer": "a cup"}]}]
    (tmp_path / "q.json").write_text(json.dumps({"questions": questions}))
    (tmp_path / "a.json").write_text(json.dumps({"annotations": answers}))
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images/COCO_val2014_000000000007.jpg")
    flags = ["--benchmark", "vqav2", "--data_file", str(tmp_path / "q.json"), "--annotations", str(tmp_path / "a.json")]
    flags += ["--image_dir", str(tmp_path / "images"), "--output_dir", str(tmp_path / "out")]
    assert script("dataset_generation/benchmark.py").main(flags) == 0
    assert '"a cup"' in (tmp_path / "out/test.jsonl").read_text()
