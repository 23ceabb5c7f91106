"""COCO-format annotations and pictures that are at fault: each is named, and nothing is written."""

import json

import pytest

from invented_photos import generate_coco as generate
from invented_photos import instances


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


BROKEN = {
    "not JSON": (lambda a: "{", "not in COCO's instances format"),
    "captions": (lambda a: a | {"annotations": [{"id": 1, "image_id": 0, "caption": "a"}]}, "no 'bbox'"),
    "no categories": (lambda a: {k: v for k, v in a.items() if k != "categories"}, "no 'categories'"),
    "unknown class": (lambda a: a | {"categories": a["categories"][:1]}, "annotations have a class"),
    "unknown picture": (lambda a: a | {"images": a["images"][:-1]}, "annotations are of a picture"),
    "repeated pictures": (lambda a: a | {"images": a["images"] + a["images"][:3]}, "3 picture ids"),
    "repeated annotations": (lambda a: a | {"annotations": a["annotations"] * 2}, "annotation ids"),
    "a bbox of three": (lambda a: changed(a, [1, 2, 3]), "12 boxes are not four numbers"),
    "a bbox of words": (lambda a: changed(a, ["a", "b", "c", "d"]), "12 boxes are not four numbers"),
    "outside": (lambda a: changed(a, [200, 10, 99, 9]), "12 boxes reach outside"),
}


def changed(annotations, bbox):
    rows = [row | {"bbox": bbox} if i < 12 else row for i, row in enumerate(annotations["annotations"])]
    return annotations | {"annotations": rows}


@pytest.mark.parametrize("fault", BROKEN)
def test_annotations_that_contradict_themselves(tmp_path, fault):
    """Catches a KeyError from the depth, a silent repair, and a list of ten thousand lines."""
    from clarifyvlm.errors import UserError
    from photographs import coco_annotations

    path = instances(tmp_path / "a", 4)
    change, said = BROKEN[fault]
    broken = change(json.loads(path.read_text()))
    path.write_text(broken if isinstance(broken, str) else json.dumps(broken))
    with pytest.raises(UserError, match=said) as error:
        coco_annotations.load(str(path))
    text = str(error.value)
    assert str(path) in text and len(text.splitlines()) <= 13
    if "12 boxes" in said:
        assert "... and 2 more" in text


def test_pictures_without_annotations(tmp_path):
    """Catches a crash on them, a question about what nobody annotated, and silence about how many there are."""
    path = instances(tmp_path / "a", 40)
    annotations = json.loads(path.read_text())
    annotations["annotations"] = [a for a in annotations["annotations"] if a["image_id"] % 2]
    path.write_text(json.dumps(annotations))
    flags = ["--shares", "none:answer=1", "premise:correct=1", "--num_examples", "80", "--audit", "off"]
    code, text = generate(tmp_path / "d", path, tmp_path / "a" / "images", *flags)
    assert code == 0 and "20 of the pictures have no annotations" in text, text
    bare = [e for e in map(json.loads, open(tmp_path / "d" / "train.jsonl")) if not e["facts"]["objects"]]
    assert bare and all(e["strategy"] == "correct" or e["kind"] == "existence" for e in bare)


def test_a_share_that_cannot_be_met_names_classes_and_numbers(tmp_path):
    """Catches an error that does not say what there is."""
    path = instances(tmp_path / "a", 30)
    flags = ["--shares", "referential:infer=1", "--num_examples", "999"]
    code, text = generate(tmp_path / "d", path, tmp_path / "a" / "images", *flags)
    assert code == 2 and "referential:infer asks for 999" in text and "They come from: " in text, text
    code, text = generate(tmp_path / "e", path, tmp_path / "a" / "images", "--shares", "unanswerable:abstain=1")
    assert code == 2 and "boxes cannot say that something is hidden" in text, text


def test_a_picture_that_cannot_be_decoded_stops_the_run_before_anything_is_written(tmp_path):
    """Catches a torn picture whose header is whole: it would end up in the data."""
    path = instances(tmp_path / "a", 20)
    for picture in (tmp_path / "a" / "images").iterdir():
        picture.write_bytes(picture.read_bytes()[:-60])
    flags = ["--shares", "none:answer=1", "--num_examples", "20"]
    code, text = generate(tmp_path / "d", path, tmp_path / "a" / "images", *flags)
    assert code == 2 and "pictures cannot be used" in text and "truncated" in text, text
    assert not list((tmp_path / "d").glob("*.jsonl"))


def test_two_files_of_one_picture(tmp_path):
    """Catches one picture in two splits under two names, and a run that breaks off at it."""
    path = instances(tmp_path / "a", 40)
    images = tmp_path / "a" / "images"
    for i in range(20):
        (images / f"{20 + i}.png").write_bytes((images / f"{i}.png").read_bytes())
    flags = ["--shares", "none:answer=1", "--num_examples", "90", "--audit", "off"]
    code, text = generate(tmp_path / "d", path, images, *flags)
    assert code == 0 and "20 of 40 pictures are copies of others" in text, text


def test_license_and_source_of_every_picture(tmp_path):
    """Catches attribution that is lost on the way to the records, and a license that nobody gave."""
    path = instances(tmp_path / "a", 40)
    annotations = json.loads(path.read_text())
    annotations["licenses"] = [
        {"id": 0, "name": "Attribution License", "url": "http://creativecommons.org/licenses/by/2.0/"},
        {"id": 1, "name": "No known copyright restrictions", "url": "http://flickr.com/commons/usage/"},
    ]
    for row in annotations["images"]:
        row["license"] = row["id"] % 3
        row |= {"flickr_url": f"http://f/{row['id']}"} if row["id"] % 2 else {"coco_url": f"http://c/{row['id']}"}
    path.write_text(json.dumps(annotations))
    flags = ["--shares", "none:answer=1", "--num_examples", "90", "--audit", "off"]
    code, text = generate(tmp_path / "d", path, tmp_path / "a" / "images", *flags)
    assert code == 0, text
    for e in map(json.loads, open(tmp_path / "d" / "train.jsonl")):
        id = int(e["image"].split("/")[-1].removesuffix(".png"))
        assert e["provenance"].get("license") == ("cc-by-2.0", "No known copyright restrictions", None)[id % 3]
        assert e["provenance"]["source_url"] == f"http://{'f' if id % 2 else 'c'}/{id}"


@pytest.mark.parametrize("orientation", [None, 3, 6])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_sizes_from_headers(tmp_path, orientation, suffix):
    """Catches a header's size that is not the size of the picture as it is shown: a camera held upright."""
    from PIL import Image

    from clarifyvlm.images import open_image
    from folder import pictures

    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (60, 40)).save(path, exif=exif)
    assert pictures.size_of(path) == open_image(path).size == ((40, 60) if orientation == 6 else (60, 40))


def test_pictures_of_one_name_in_two_folders(tmp_path):
    """Catches one picture that overwrites another."""
    path = instances(tmp_path / "a", 20)
    annotations, images = json.loads(path.read_text()), tmp_path / "a" / "images"
    for i, row in enumerate(annotations["images"]):
        (images / f"f{i}").mkdir()
        (images / row["file_name"]).rename(images / f"f{i}" / "x.png")
        row["file_name"] = f"f{i}/x.png"
    path.write_text(json.dumps(annotations))
    flags = ["--shares", "none:answer=1", "--num_examples", "40", "--audit", "off"]
    code, text = generate(tmp_path / "d", path, images, *flags)
    assert code == 0, text
    digests = {}
    for split in ("train", "validation", "test"):
        for e in map(json.loads, open(tmp_path / "d" / f"{split}.jsonl")):
            assert digests.setdefault(e["image"], e["image_sha256"]) == e["image_sha256"]
