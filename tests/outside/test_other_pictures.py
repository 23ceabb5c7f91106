"""Pictures that are not those annotated, and pictures from phones."""

import io
import struct
from pathlib import Path

import pytest
from PIL import Image, ImageCms

import predict
from clarifyvlm import images
from clarifyvlm.errors import UserError
from clarifyvlm.jsonl import read
from clarifyvlm.records import Example
from folder.pictures import header_of
from outside_inputs import COLORS, coco, generate
from photographs.boxes import turned
from small_examples import write_examples

ORIENTATIONS = range(1, 9)


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[images.ORIENTATION] = orientation
    return exif


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_a_box_of_stored_pixels_turns_with_its_picture(tmp_path, orientation, suffix):
    """A picture that is not the one annotated: the boxes are of the pixels before EXIF turned them."""
    picture = Image.new("RGB", (60, 40), "white")
    picture.paste("red", (8, 24, 20, 36))
    path = tmp_path / f"p.{suffix}"
    picture.save(path, exif=oriented(orientation), quality=95)
    header = header_of(path)
    assert (header.orientation, header.stored) == (orientation, (60, 40))
    x, y, w, h = turned((8, 24, 12, 12), orientation, *header.stored)
    red, green, _ = images.open_image(path).getpixel((int(x + w / 2), int(y + h / 2)))
    assert red > 200 > 60 > green and header.size == images.open_image(path).size


@pytest.mark.parametrize(
    "orientation, flags", [(3, []), (4, ["--box_space", "stored"]), (6, ["--box_space", "stored"])]
)
def test_boxes_of_stored_pixels(tmp_path, capsys, orientation, flags):
    """A picture that is not the one annotated: left and right are exchanged, and nothing is said."""
    names = [f"{i}.jpg" for i in range(40)]
    save = {"exif": oriented(orientation), "quality": 95}
    examples = generate(coco(tmp_path / "in", names, **save), tmp_path / "out", *flags)
    if not flags:
        assert "EXIF turns" in capsys.readouterr().err
        return
    for e in examples:
        picture = images.open_image(tmp_path / "out" / e["image"])
        assert picture.size == (e["facts"]["width"], e["facts"]["height"])
        for o in e["facts"]["objects"]:
            x0, y0, x1, y1 = o["box"]
            seen = picture.getpixel((int((x0 + x1) / 2), int((y0 + y1) / 2)))
            assert sum(abs(a - b) for a, b in zip(seen, COLORS[o["name"]], strict=True)) < 60


def test_a_turned_picture_of_the_other_size_says_how_it_fits(tmp_path):
    """A picture that is not the one annotated: a message of two sizes that does not say why they differ."""
    annotations = coco(tmp_path / "in", [f"{i}.jpg" for i in range(40)], exif=oriented(6))
    with pytest.raises(UserError, match="--box_space stored"):
        generate(annotations, tmp_path / "out")


@pytest.fixture
def data(tmp_path) -> Path:
    return write_examples(tmp_path / "data", 6)


def test_replaced_pictures_are_named(data, monkeypatch, tmp_path):
    """A picture that is not the one annotated: pictures were replaced since, and nobody looks at image_sha256."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(images, "QUICKLY_READ", 0)
    examples = read(data, Example)
    assert images.check_unchanged(examples, data.parent) is None
    reads = []
    monkeypatch.setattr(images, "_digest", reads.append)
    assert images.check_unchanged(examples, data.parent) is None and not reads, "sizes and times are enough"
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Image.new("RGB", (96, 96), "navy").save(data.parent / examples[2].image)
    with pytest.raises(UserError, match=r"(?s)1 of 6 pictures.*0002\.png: was changed"):
        images.check_unchanged(examples, data.parent)


@pytest.mark.parametrize("known", [True, False])
def test_predictions_on_other_pictures_are_not_complete(data, tiny_model_dir, tmp_path, known):
    """A picture that is not the one annotated: predictions on the old pictures are called complete."""
    if not known:  # records of one's own, without hashes
        data.write_text(data.read_text().replace('"image_sha256": "', '"image_sha256": "x'))
    flags = ["--model_name_or_path", str(tiny_model_dir), "--data_file", str(data), "--device", "cpu"]
    flags += ["--max_new_tokens", "4", "--output_file", str(tmp_path / "out" / "predictions.jsonl")]
    assert predict.main(flags) == 0 == predict.main(flags)
    Image.new("RGB", (96, 96), "navy").save(data.parent / "images/0001.png")
    with pytest.raises(UserError, match="was changed" if known else "pictures:"):
        predict.main(flags)


def test_exif_out_of_range(tmp_path):
    """Pictures from phones: writing a broken EXIF anew raises, and the picture, whole and turned, is not opened."""
    exif = oriented(6)
    exif[0x8827] = 70_000  # ISO speed; 16 bits in the standard
    content = io.BytesIO()
    Image.new("RGB", (60, 40), "red").save(content, "JPEG", exif=exif)
    broken = content.getvalue().replace(struct.pack(">H", 0x8827) + b"\0\4", struct.pack(">H", 0x8827) + b"\0\x08")
    (tmp_path / "p.jpg").write_bytes(broken)
    assert images.open_image(tmp_path / "p.jpg").size == (40, 60)


def test_two_pictures_in_one_file(tmp_path):
    """Pictures from phones: a .jpg with a second picture (MPO) is called no JPEG."""
    path = tmp_path / "p.jpg"
    second = Image.new("RGB", (60, 40), "blue")
    Image.new("RGB", (60, 40), "red").save(path, "MPO", save_all=True, append_images=[second])
    assert images.open_image(path).getpixel((5, 5))[0] > 200
    assert header_of(path.read_bytes(), "p.jpg").format == "MPO"


@pytest.mark.parametrize(
    "content, said",
    [
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
        (b"\0\0\0\x1cftyphevx" + bytes(40), "HEIC"),
        (b"\0\0\0\x20ftypavif" + bytes(40), "AVIF"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>Not found</html>", "web page"),
        (b"", "empty file"),
    ],
)
def test_what_is_no_picture_in_a_known_format_is_named(tmp_path, content, said):
    """Pictures from phones, and what stands in their places: all of it is called no picture."""
    (tmp_path / "p.jpg").write_bytes(content)
    for look in (lambda: images.open_image(tmp_path / "p.jpg"), lambda: header_of(content, "p.jpg")):
        with pytest.raises(UserError, match=said):
            look()


def test_colors_of_another_profile(tmp_path):
    """Pictures from phones: the numbers of a profile of its own are taken for sRGB, and colors are others."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")  # red and blue change places
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    profile = bytes(profile).replace("sRGB built-in".encode("utf-16-be"), "invented one!".encode("utf-16-be"))
    Image.new("RGB", (20, 20), "red").save(
        tmp_path / "p.png", icc_profile=profile.replace(b"sRGB built-in", b"invented one!")
    )
    red, _, blue = images.open_image(tmp_path / "p.png").getpixel((5, 5))
    assert red < 10 and blue > 245
    Image.new("RGB", (20, 20), "red").save(tmp_path / "q.png", icc_profile=b"no profile")
    assert images.open_image(tmp_path / "q.png").getpixel((5, 5)) == (255, 0, 0)


def test_data_of_other_photographs_are_not_complete(tmp_path):
    """A picture that is not the one annotated: photographs were replaced since, and the data are called complete."""
    annotations = coco(tmp_path / "in", [f"{i}.png" for i in range(40)])
    used = generate(annotations, tmp_path / "out")
    assert generate(annotations, tmp_path / "out") == used
    Image.new("RGB", (210, 150), "navy").save(annotations.parent / "images" / Path(used[0]["image"]).name)
    with pytest.raises(UserError, match="pictures: "):
        generate(annotations, tmp_path / "out")
