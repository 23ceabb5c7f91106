"""Look-ups by a name that is not unique, and paths that lead out."""

import hashlib
import os
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from clarifyvlm.errors import UserError
from folder.names import Names
from folder.pictures import link
from outside_inputs import coco, generate
from stages import script


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("night/7.png", "day/7.png", "day/8.png", "COCO_val2014_000000000042.jpg", "x/map.jpg", "map.jpg"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "pictures"


@pytest.mark.parametrize(
    "name, found",
    [
        ("day/7.png", ["day/7.png"]),
        ("/mnt/set/day/7.png", ["day/7.png"]),
        ("C:\\set\\day\\7.png", ["day/7.png"]),
        ("./night/../day/7.png", ["day/7.png"]),
        ("7.png", ["day/7.png", "night/7.png"]),
        ("8.png", ["day/8.png"]),
        ("dusk/8.png", []),
        ("/elsewhere/map.jpg", ["map.jpg"]),
        ("x/map.jpg", ["x/map.jpg"]),
    ],
)
def test_a_name_finds_its_picture_or_all_that_it_may_mean(folder, name, found):
    """A look-up by a name that is not unique: the last part of a path alone finds another folder's picture."""
    assert Names(folder).find(name) == found


def test_a_number_is_no_name_of_another_split(folder):
    """A look-up by a name that is not unique: "train_42" finds val's picture 42."""
    names = Names(folder)
    assert names.numbered("42") == ["COCO_val2014_000000000042.jpg"] and not names.numbered("train_42")


def test_scene_graphs_of_two_renderings(tmp_path):
    """A look-up by a name that is not unique: a segmentation mask is taken for the picture of the same name."""
    from photographs.scene_graphs import Graphs, Picture
    from photographs.scene_pictures import files_of

    for kind in ("photo", "mask"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "5.png").write_bytes(b"")
    with pytest.raises(UserError, match="5: mask/5.png, photo/5.png"):
        files_of(Graphs("g.json", "GQA", {"5": Picture([], [])}), tmp_path)


def test_pictures_of_one_name_stay_apart(tmp_path):
    """A look-up by a name that is not unique: "a/b_c.png" and "a_b/c.png" overwrite each other."""
    names = [name for i in range(20) for name in (f"a/{i}_c.png", f"a_{i}/c.png")]
    examples = generate(coco(tmp_path / "in", names), tmp_path / "out")
    for e in examples:
        assert hashlib.sha256((tmp_path / "out" / e["image"]).read_bytes()).hexdigest() == e["image_sha256"]


@pytest.mark.parametrize("lead", ["/abroad/pictures/{}", "../pictures/{}", "D:\\pictures\\{}"])
def test_nothing_is_written_outside(tmp_path, lead):
    """A path that leads out: an absolute file_name is joined to the output folder, and wins."""

    def change(content):
        for image in content["images"]:
            image["file_name"] = lead.format(image["file_name"])

    examples = generate(coco(tmp_path / "in", [f"{i}.png" for i in range(40)], change), tmp_path / "out")
    for e in examples:
        assert (tmp_path / "out" / e["image"]).resolve().is_relative_to(tmp_path / "out")
    assert not Path("/abroad").exists()


def test_two_spellings_of_one_name(tmp_path):
    """A look-up by a name that is not unique: an accent in two code points, as macOS unpacks it, is not found."""
    annotations = coco(tmp_path / "in", [f"\u00e5_{i}.png" for i in range(40)])
    for path in list((tmp_path / "in" / "images").iterdir()):
        path.rename(path.with_name(unicodedata.normalize("NFD", path.name)))
    assert generate(annotations, tmp_path / "out")


def test_a_link_to_a_link_is_resolved(tmp_path):
    """A path that leads out: a relative link that is linked to dangles in the new folder."""
    picture = tmp_path / "store" / "p.png"
    picture.parent.mkdir()
    Image.new("RGB", (8, 8)).save(picture)
    (tmp_path / "data" / "images").mkdir(parents=True)
    os.symlink("../store/p.png", tmp_path / "data" / "q.png")
    os.symlink("../q.png", tmp_path / "data" / "images" / "r.png")
    digest = hashlib.sha256(picture.read_bytes()).hexdigest()
    link(tmp_path / "data", "images/r.png", digest, tmp_path / "out", "images/0/r.png")
    assert (tmp_path / "out/images/0/r.png").read_bytes() == picture.read_bytes()
    with pytest.raises(UserError, match="leads out"):
        link(tmp_path / "data", "images/r.png", digest, tmp_path / "out", "images/../../r.png")


@pytest.mark.parametrize("inside", ["out", "", "../images/out"])
def test_output_among_the_pictures(tmp_path, inside):
    """A look-up by a name that is not unique: the pictures of an output folder within the folder of pictures are found
    by the next run, which takes them for others of the same names."""
    (tmp_path / "images").mkdir()
    (tmp_path / "graphs.json").write_text("[]")
    flags = ["--source", "visual_genome", "--scene_graphs", str(tmp_path / "graphs.json"), "--num_examples", "9"]
    flags += ["--image_dir", str(tmp_path / "images"), "--output_dir", str(tmp_path / "images" / inside)]
    with pytest.raises(UserError, match="lies in --image_dir"):
        script("dataset_generation/generate.py").main(flags)
