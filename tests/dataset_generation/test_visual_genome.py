"""Photographs with scene graphs, of Visual Genome's format and GQA's. The annotations and pictures are invented."""

import json

import pytest

import invented_photos
from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.language.lexicon import plural_of
from clarifyvlm.records import Example, Object, Prediction
from clarifyvlm.users.scripted import reply
from clarifyvlm.world.queries import NUMBERS
from invented_photos import generate_visual_genome as generate
from photographs import visual_genome

SPLITS = ("train", "validation", "test")


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


def full_marks(found):
    verdicts = SceneJudge().judge(found, [Prediction(example_id=e.id, text=e.reference) for e in found])
    for e, verdict in zip(found, verdicts, strict=True):
        best = {
            k: 0 if k in ("overconfident", "over_asked") else 1 for k, v in verdict.criteria.items() if v is not None
        }
        assert {k: verdict.criteria[k] for k in best} == best, (e.question, e.reference, verdict)


def test_every_reference_gets_full_marks(data):
    """Catches an answer that does not follow from attributes and relations, and words that the judge cannot read."""
    found = examples(data)
    full_marks(found)
    assert {e.strategy for e in found} == {"answer", "infer", "enumerate", "clarify", "correct"}
    assert {e.kind for e in found} >= {"color", "position", "relation"}
    assert {(e.kind, e.strategy) for e in found} >= {("color", "clarify"), ("relation", "clarify")}
    assert not any(e.facts.complete for e in found)


NAMES = """tree pole bush surfer jacket helmet fence lamp pillow rug curtain mirror towel stove drawer racket ball shoe
fire_hydrant parking_meter street_light trash_can wine_glass tennis_racket police_car palm_tree flower_pot shirt
picnic_table cell_phone baseball_bat hat flag balloon snowboard bracelet necklace basket guitar"""


def test_names_that_coco_does_not_have(tmp_path):
    """Catches a judge that takes "there is no skier" for untrue, and "sitting on a rug" for a place."""
    names = [name.replace("_", " ") for name in NAMES.split()]
    more = {"people": ("lady", "skier", "baseball player", "child"), "held": names[::2], "things": names[1::2]}
    predicates = ("sitting on", "standing on", "lying on", "wearing", "riding", "carrying", "eating")
    graphs = invented_photos.scene_graphs(tmp_path / "a", 200, predicates=predicates, **more)
    flags = ["--num_examples", 400, "--audit", "off", "--kinds", "relation=4", "color=1", "position=1", "existence=1"]
    flags += ["--shares", "none:answer=3", "referential:enumerate=3", "referential:clarify=1", "premise:correct=3"]
    code, text = generate(tmp_path / "d", graphs, *flags, "--min_area", 0)
    assert code == 0, text
    full_marks(examples(tmp_path / "d"))


def test_other_words_for_what_is_held(data):
    """Catches a judge that knows the references only: right lists in other words scored 0, or wrong ones 1."""
    asked = [e for e in examples(data) if e.kind == "relation" and e.strategy == "enumerate"]
    assert asked
    for e in asked:
        name, held = e.provenance["query"]["name"], [r.answer for r in e.ambiguity.readings]
        for template in ("One is holding a {}", "For one {name} it is a {}"):
            for things, right in ((held, 1), (["suitcase"] * len(held), 0)):
                text = ". ".join(template.format(thing, name=name) for thing in things) + "."
                text = f"There are {NUMBERS[len(held)]} {plural_of(name)[0]}. {text}"
                (verdict,) = SceneJudge().judge([e], [Prediction(example_id=e.id, text=text)])
                assert verdict.criteria["answer_right"] == right, (text, verdict)
                assert verdict.criteria["grounded"] == 1 or not right, (text, verdict)


def test_a_reply_leads_to_the_right_answer(data):
    """Catches a reading that the user cannot name, and an answer of another reading."""
    judge = SceneJudge()
    asked = [e for e in examples(data) if e.dialogue]
    assert asked
    for e in asked:
        said = [reply(e, e.dialogue.question, i) for i in range(len(e.ambiguity.readings))]
        assert all(said) and len(set(said)) == len(said), (e.question, said)
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


def test_where_pictures_are_from(graphs, tmp_path):
    """Catches an address that is lost, and one that is written where the scene graphs have none."""
    rows = json.loads(graphs.read_text())
    rows = [r | ({"image_url": f"http://vg/{r['image_id']}"} if r["image_id"] % 2 else {}) for r in rows]
    (tmp_path / "images").symlink_to(graphs.parent / "images")
    (tmp_path / "g.json").write_text(json.dumps(rows))
    code, text = generate(tmp_path / "d", tmp_path / "g.json", "--num_examples", 80, "--audit", "off")
    assert code == 0, text
    for e in examples(tmp_path / "d"):
        id = int(e.image.split("/")[-1].removesuffix(".png"))
        assert e.provenance.get("source_url") == (f"http://vg/{id}" if id % 2 else None)
        assert "license" not in e.provenance


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


def thing(id, name, place, salience=0.2, share=0.1, color=None, relations=()):
    from clarifyvlm.world.places import PLACES

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


def test_strategies_follow_from_attributes():
    """Catches a color question whose strategy does not follow from the colors, or with an answer that is in doubt."""
    question = visual_genome.Question("color", "car")
    corners = ("top left", "top right", "bottom left", "bottom right")

    def strategy(*colors):
        slot = visual_genome.classify(
            question, [thing(f"o{i}", "car", p, color=c) for i, (p, c) in enumerate(zip(corners, colors, strict=False))]
        )
        return slot and f"{slot.type}:{slot.strategy}"

    assert strategy("red") == "none:answer" and strategy() == "premise:correct"
    assert strategy("red", "red") == "referential:answer"
    assert strategy("red", "blue") == "referential:enumerate"
    assert strategy("red", "blue", "red", "green") == "referential:clarify"
    assert strategy("red", None) is None and strategy("silver", "grey") is None


def test_strategies_follow_from_relations():
    """Catches an answer of someone of whom nobody wrote what they hold, or two things; a bat and a baseball bat."""
    question = visual_genome.Question("relation", "man", predicate="holding")

    def strategy(first, second, *held):
        men = [
            thing("o1", "man", "top left", relations=[("holding", o) for o in first]),
            thing("o2", "man", "top right", relations=[("holding", o) for o in second]),
        ]
        slot = visual_genome.classify(
            question, men + [thing(f"h{i}", n, "center", 0.01, 0.01) for i, n in enumerate(held)]
        )
        return slot and slot.strategy

    assert strategy(["h0"], ["h1"], "cup", "book") == "enumerate"
    assert strategy(["h0"], ["h1"], "cup", "cup") == "answer"
    assert strategy(["h0"], [], "cup") is None and strategy(["h0"], ["h0", "h1"], "cup", "book") is None
    assert strategy(["h0"], [None], "cup") is None and strategy(["h0"], ["h1"], "bat", "baseball bat") is None


def test_a_name_is_absent_only_where_nothing_carries_it():
    """Catches "there is no person" beside a man, "no car" beside a police car or cars, and a question about one of
    them."""
    import random

    from photographs import scene_graphs

    graphs = scene_graphs.Graphs("", "GQA", {})
    asked = dict.fromkeys(["person", "man", "car", "dog", "light", "grass"], 5)

    def names(objects, groups=()):
        rows = [thing(f"o{i}", n, "center", color="red") for i, n in enumerate(objects)]
        return {q.name for q in visual_genome._questions(rows, list(groups), asked, graphs, random.Random(0), 0.001)}

    assert not {"person", "car"} & names(["man", "police car"]) and "man" in names(["man"])
    assert "car" not in names(["bench"], groups=["car"]) and "car" in names(["bench"])
    assert not {"man", "person"} & names(["man", "person"])
    assert "grass" not in names(["grass"]) and "light" not in names(["light"])  # uncountable; a word of many meanings


# --- bad input -------------------------------------------------------------------------------------------------------


def test_boxes_of_pictures_that_were_resized(graphs, tmp_path):
    """Catches boxes that lie elsewhere than what they are about."""
    rows = [r | {"objects": [o | {"x": 3 * o["x"]} for o in r["objects"]]} for r in json.loads(graphs.read_text())]
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
        (["--salience_area_weight", "-1"], "must be at least 0"),
        (["--salient_threshold", "60"], "must be at most 1"),
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
