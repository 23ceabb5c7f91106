"""Photographs with scene graphs, of Visual Genome's format and GQA's. The annotations and pictures are invented."""

import json
import subprocess
import sys

import invented_photos
import pytest
from stages import ROOT, script

from clarifyvlm.errors import UserError
from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.records import Example, Object, Prediction
from clarifyvlm.user import reply

GENERATE = str(ROOT / "dataset_generation" / "generate.py")
CONFIG = str(ROOT / "dataset_generation" / "configs" / "visual_genome.yaml")
SPLITS = ("train", "validation", "test")


def generate(folder, graphs, *flags):
    flags = ["--scene_graphs", str(graphs), "--image_dir", str(graphs.parent / "images"), *map(str, flags)]
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
    import source_visual_genome

    return source_visual_genome


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    return invented_photos.scene_graphs(tmp_path_factory.mktemp("graphs") / "a", 200)


@pytest.fixture(scope="module")
def data(tmp_path_factory, graphs):
    folder = tmp_path_factory.mktemp("visual_genome") / "data"
    code, text = generate(folder, graphs, "--num_examples", 260)
    assert code == 0, text
    return folder


def examples(folder):
    return [Example.model_validate_json(line) for s in SPLITS for line in open(folder / f"{s}.jsonl")]


def test_every_reference_gets_full_marks(data):
    """Catches an answer that does not follow from attributes and relations, and words that the judge cannot read."""
    judge = SceneJudge()
    found = examples(data)
    verdicts = judge.judge(found, [Prediction(example_id=e.id, text=e.reference) for e in found])
    for e, verdict in zip(found, verdicts, strict=True):
        best = {
            k: 0 if k in ("overconfident", "over_asked") else 1 for k, v in verdict.criteria.items() if v is not None
        }
        assert {k: verdict.criteria[k] for k in best} == best, (e.question, e.reference, verdict)
    assert {e.strategy for e in found} == {"answer", "infer", "enumerate", "clarify", "correct"}
    assert {e.kind for e in found} >= {"color", "position", "relation"}
    assert {(e.kind, e.strategy) for e in found} >= {("color", "clarify"), ("relation", "clarify")}
    assert not any(e.facts.complete for e in found)


def test_a_reply_leads_to_the_right_answer(data):
    """Catches a reading that the user cannot name, and an answer of another reading."""
    judge = SceneJudge()
    asked = [e for e in examples(data) if e.dialogue]
    assert asked
    for e in asked:
        said = [reply(e, e.dialogue.question, i) for i in range(len(e.ambiguity.readings))]
        assert all(said) and len(set(said)) == len(said), (e.question, said)
        meant = e.ambiguity.readings[e.dialogue.reading]
        assert meant.expression.split(" at the ")[-1].split(" in the ")[-1] in e.dialogue.reply
        turns = [("assistant", e.dialogue.question), ("user", e.dialogue.reply), ("assistant", e.dialogue.answer)]
        turns = [{"role": role, "text": text} for role, text in turns]
        (verdict,) = judge.judge([e], [Prediction(example_id=e.id, turns=turns, reading=e.dialogue.reading)])
        assert verdict.answer_right_after_reply == 1, (e.question, e.dialogue)


def test_no_picture_in_two_splits_and_the_same_bytes_again(data, graphs, tmp_path):
    """Catches a leak between splits, and draws that depend on the number of workers or on the hash seed."""
    split_of = {}
    for e in examples(data):
        assert split_of.setdefault(e.image_sha256, e.split) == e.split and (data / e.image).exists()
    code, text = generate(tmp_path / "d", graphs, "--num_examples", 260, "--num_workers", 2)
    assert code == 0, text
    for split in SPLITS:
        assert (tmp_path / "d" / f"{split}.jsonl").read_bytes() == (data / f"{split}.jsonl").read_bytes()


@pytest.mark.slow
def test_the_audit_passes(tmp_path):
    """Catches questions or pictures that are picked so that they give the strategy away."""
    graphs = invented_photos.scene_graphs(tmp_path / "a", 2000)
    sizes = ["--num_train", 2000, "--num_validation", 200, "--num_test", 1300]
    code, text = generate(tmp_path / "d", graphs, "--audit", "fail", *sizes)
    assert code == 0, text
    assert json.loads((tmp_path / "d" / "audit.json").read_text())["passed"]
    assert len({e.image for e in examples(tmp_path / "d") if e.split == "test"}) >= 300


@pytest.mark.slow
def test_a_leaky_template_is_caught(tmp_path):
    """Catches an audit that is blind on this source: "is there a" is only ever answered, and the words say so."""
    graphs = invented_photos.scene_graphs(tmp_path / "a", 800)
    flags = ["--shares", "none:answer=1", "referential:enumerate=1", "--kinds", "position=1", "existence=5"]
    flags += ["--num_train", 600, "--num_validation", 100, "--num_test", 200, "--audit", "fail"]
    code, text = generate(tmp_path / "d", graphs, *flags)
    assert code == 3 and "the question probe names the strategy" in text, text


def test_gqa(tmp_path):
    """Catches a reader that takes one format for the other, and a size that is not checked."""
    graphs = invented_photos.scene_graphs(tmp_path / "a", 60, gqa=True)
    code, text = generate(tmp_path / "d", graphs, "--num_examples", 60)
    assert code == 0 and "GQA" in (tmp_path / "d" / "README.md").read_text(), text
    assert {e.kind for e in examples(tmp_path / "d")} >= {"color", "relation"}
    rows = json.loads(graphs.read_text())
    rows["3"]["width"] += 1
    graphs.write_text(json.dumps(rows))
    code, text = generate(tmp_path / "e", graphs, "--num_examples", 60)
    assert code == 2 and "1 of 60 pictures cannot be used" in text and "3.png" in text, text


def test_two_folders_of_pictures(graphs, tmp_path):
    """Catches Visual Genome's pictures, which come in two folders, taken for missing."""
    import shutil

    shutil.copytree(graphs.parent, tmp_path / "a")
    images = tmp_path / "a" / "images"
    for i, path in enumerate(sorted(images.iterdir())):
        (images / f"VG_100K_{i % 2}").mkdir(exist_ok=True)
        path.rename(images / f"VG_100K_{i % 2}" / path.name)
    code, text = generate(tmp_path / "d", tmp_path / "a" / "scene_graphs.json", "--num_examples", 40, "--audit", "off")
    assert code == 0, text
    (images / "VG_100K_0" / "1.png").unlink()
    code, text = generate(tmp_path / "e", tmp_path / "a" / "scene_graphs.json", "--num_examples", 40)
    assert code == 2 and "1 of 200 pictures" in text and "1.jpg" in text, text


# --- the words of annotators -----------------------------------------------------------------------------------------


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
def test_names(source, raw, name, group):
    """Catches synonyms that are taken for two things, and groups under one box that are taken for one thing."""
    assert source.NAMES.canonical(raw) == (name, group)


@pytest.mark.parametrize("raw", ["", "man's hat", "12", "a b c d", "café", "<b>", "man in black"])
def test_what_is_no_name(source, raw):
    """Catches garbage that is asked about."""
    assert source.NAMES.canonical(raw) is None


@pytest.mark.parametrize(
    "attributes, color",
    [
        (["red"], "red"), (["dark red", "shiny"], "red"), (["gray"], "grey"), (["grey", "gray"], "grey"),
        (["tan"], "beige"), (["red", "blue"], None), (["red and white"], None), (["red", "not red"], None),
        (["striped", "red"], None), (["not red"], None), (["tall"], None), ([], None), (["Light-Blue"], "blue"),
    ],
)  # fmt: skip
def test_colors(source, attributes, color):
    """Catches a color that the attributes contradict, one color under two names, and people who are given a color."""
    assert source.NAMES.color("car", attributes) == color
    assert source.NAMES.color("man", attributes) is None and source.NAMES.color("batter", attributes) is None


def thing(id, name, place, salience=0.2, share=0.1, color=None, relations=()):
    from clarifyvlm.places import PLACES

    row, column = divmod(PLACES.index(place), 3)
    x, y = 100 * column + 50, 100 * row + 50
    return Object(
        id=id,
        name=name,
        box=(x - 9, y - 9, x + 9, y + 9),
        place=place,
        salience=salience,
        area_share=share,
        color=color,
        relations=[{"predicate": p, "object": o} for p, o in relations],
    )


def test_strategies_follow_from_attributes(source):
    """Catches a color question whose strategy does not follow from the colors, or with an answer that is in doubt."""
    question = source.Question("color", "car")
    corners = ("top left", "top right", "bottom left", "bottom right")

    def strategy(*colors):
        slot = source.classify(
            question, [thing(f"o{i}", "car", p, color=c) for i, (p, c) in enumerate(zip(corners, colors, strict=False))]
        )
        return slot and f"{slot.type}:{slot.strategy}"

    assert strategy("red") == "none:answer" and strategy() == "premise:correct"
    assert strategy("red", "red") == "referential:answer"
    assert strategy("red", "blue") == "referential:enumerate"
    assert strategy("red", "blue", "red", "green") == "referential:clarify"
    assert strategy("red", None) is None and strategy("silver", "grey") is None


def test_strategies_follow_from_relations(source):
    """Catches an answer of someone of whom nobody wrote what they hold, or two things; a bat and a baseball bat."""
    question = source.Question("relation", "man", predicate="holding")

    def strategy(first, second, *held):
        men = [
            thing("o1", "man", "top left", relations=[("holding", o) for o in first]),
            thing("o2", "man", "top right", relations=[("holding", o) for o in second]),
        ]
        slot = source.classify(question, men + [thing(f"h{i}", n, "center", 0.01, 0.01) for i, n in enumerate(held)])
        return slot and slot.strategy

    assert strategy(["h0"], ["h1"], "cup", "book") == "enumerate"
    assert strategy(["h0"], ["h1"], "cup", "cup") == "answer"
    assert strategy(["h0"], [], "cup") is None and strategy(["h0"], ["h0", "h1"], "cup", "book") is None
    assert strategy(["h0"], [None], "cup") is None and strategy(["h0"], ["h1"], "bat", "baseball bat") is None


def test_two_boxes_of_one_thing_are_merged(source):
    """Catches one man who is asked about as two, with half of his attributes each; and two neighbours merged."""
    import scene_graphs

    def names(*rows):
        objects = [(i, name, box, list(attributes)) for i, (name, box, *attributes) in enumerate(rows)]
        picture = scene_graphs.Picture(objects, [("HOLDS", 0, len(rows) - 1)])
        found = scene_graphs.facts_of(picture, (300, 300), source.NAMES, (0.7, 0.3), False)
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


def test_a_name_is_absent_only_where_nothing_carries_it(source):
    """Catches "there is no person" beside a man, "no car" beside a police car or cars, and a question about one of
    them."""
    import random

    import scene_graphs

    graphs = scene_graphs.Graphs("", "GQA", {})
    asked = dict.fromkeys(["person", "man", "car", "dog", "light", "grass"], 5)

    def names(objects, groups=()):
        rows = [thing(f"o{i}", n, "center", color="red") for i, n in enumerate(objects)]
        return {q.name for q in source._questions(rows, list(groups), asked, graphs, random.Random(0), 0.001)}

    assert not {"person", "car"} & names(["man", "police car"]) and "man" in names(["man"])
    assert "car" not in names(["bench"], groups=["car"]) and "car" in names(["bench"])
    assert not {"man", "person"} & names(["man", "person"])
    assert "grass" not in names(["grass"]) and "light" not in names(["light"])  # uncountable; a word of many meanings


# --- bad input -------------------------------------------------------------------------------------------------------


def rows_of(graphs):
    return json.loads(graphs.read_text())


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
        lambda rows: [r | {"objects": [o | {"x": "1"} for o in r["objects"]]} for r in rows],
        "boxes are not four numbers",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_graphs_that_contradict_themselves(source, graphs, tmp_path, fault):
    """Catches a KeyError from the depth and a list of ten thousand lines."""
    import scene_graphs

    change, said = BROKEN[fault]
    broken = change(rows_of(graphs))
    path = tmp_path / "g.json"
    path.write_text(broken if isinstance(broken, str) else json.dumps(broken))
    with pytest.raises(UserError, match=said) as error:
        scene_graphs.load(str(path), source.NAMES)
    assert str(path) in str(error.value) and len(str(error.value).splitlines()) <= 13


def test_merged_ids_and_a_few_slips(source, tmp_path):
    """Catches relations that are lost since Visual Genome merged their objects, and a set of 100,000 pictures
    that one slip makes unusable."""
    import scene_graphs

    box = {"x": 1, "y": 1, "w": 9, "h": 9}
    objects = [
        {"object_id": 1, "names": ["man"], "merged_object_ids": [7], **box},
        {"object_id": 2, "name": "cup", **box},
    ]
    relations = [{"predicate": "holds", "subject_id": 7, "object": {"object_id": 2}} for _ in range(30)]
    relations.append({"predicate": "holds", "subject_id": 5, "object_id": 2})
    (tmp_path / "g.json").write_text(json.dumps([{"image_id": 1, "objects": objects, "relationships": relations}]))
    graphs = scene_graphs.load(str(tmp_path / "g.json"), source.NAMES)
    assert graphs.pictures["1"].relations[0] == ("holds", 1, 2) and graphs.doing["man"]["holding"] == 30
    facts = scene_graphs.facts_of(graphs.pictures["1"], (300, 300), source.NAMES, (0.7, 0.3), False)
    assert {"predicate": "holding", "object": "o1"} in facts["objects"][1]["relations"]


def test_boxes_of_pictures_that_were_resized(source, graphs, tmp_path):
    """Catches boxes that lie elsewhere than what they are about."""
    rows = [r | {"objects": [o | {"x": 3 * o["x"]} for o in r["objects"]]} for r in rows_of(graphs)]
    (tmp_path / "images").symlink_to(graphs.parent / "images")
    (tmp_path / "g.json").write_text(json.dumps(rows))
    code, text = generate(tmp_path / "d", tmp_path / "g.json", "--num_examples", 40)
    assert code == 2 and "were the pictures resized?" in text and "... and" in text, text


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--shares", "unanswerable:abstain=1"], "`abstain` cannot be asked of them"),
        (["--kinds", "count=1"], "--trust_scene_graphs"),
        (["--supercategories", "0.5"], "only classes of COCO"),
        (["--num_test_ood", "5"], "leave it at 0"),
        (["--salience_area_weight", "-1"], "from 0 up"),
        (["--salient_threshold", "60"], "from 0 to 1"),
        (["--scene_graphs", "nowhere.json"], "no file nowhere.json"),
        (["--image_dir", "nowhere"], "no folder nowhere"),
    ],
)
def test_options_that_cannot_be(graphs, tmp_path, flags, said):
    """Catches an error that does not say why or what to do."""
    code, text = generate(tmp_path / "d", graphs, "--num_examples", 20, *flags)
    assert code == 2 and said in text and "Traceback" not in text, text


def test_trusted_graphs_are_counted(graphs, tmp_path):
    """Catches facts that stay incomplete although the user vouches for them."""
    flags = ["--trust_scene_graphs", "--kinds", "count=1", "--shares", "none:answer=1", "--num_examples", 40]
    code, text = generate(tmp_path / "d", graphs, *flags, "--audit", "off")
    assert code == 0, text
    found = examples(tmp_path / "d")
    assert all(e.kind == "count" and e.facts.complete for e in found)
