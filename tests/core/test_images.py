"""Pictures: opened alike whatever their file says, and bad ones named before a model loads."""

import pytest
from PIL import Image, ImageDraw

from clarifyvlm import images
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example
from small_examples import star_example


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_8_bit_mode_opens_as_rgb(tmp_path, mode):
    """A grey or palette picture that crashes the processor in the middle of a run."""
    path = tmp_path / ("a.tiff" if mode in ("CMYK", "YCbCr") else "a.png")
    how = {"compression": "tiff_lzw"} if mode == "YCbCr" else {}  # Pillow before 13 does not read its own without
    Image.new("RGB", (20, 10), (255, 255, 255)).convert(mode).save(path, **how)
    picture = images.open_image(path)
    assert picture.mode == "RGB" and picture.size == (20, 10) and picture.getpixel((3, 3)) == (255, 255, 255)


def test_transparent_is_white(tmp_path):
    """Transparent pixels shown as whatever colour hides under them."""
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert images.open_image(tmp_path / "a.png").getpixel((0, 0)) == (255, 255, 255)


def test_exif_turn_is_applied(tmp_path):
    """A phone's picture that lies on its side, so that left and top are wrong."""
    picture = Image.new("RGB", (40, 20), "white")
    ImageDraw.Draw(picture).rectangle((0, 0, 9, 19), fill="black")  # the left edge
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    picture.save(tmp_path / "a.jpg", exif=exif, quality=95)
    opened = images.open_image(tmp_path / "a.jpg")
    assert opened.size == (20, 40) and opened.getpixel((10, 2))[0] < 50 and opened.getpixel((10, 37))[0] > 200


def test_max_side_shrinks_and_keeps_the_shape(tmp_path):
    """A 12-megapixel photograph that becomes 16,000 image tokens."""
    Image.new("RGB", (400, 200)).save(tmp_path / "a.png")
    assert images.open_image(tmp_path / "a.png", max_side=100).size == (100, 50)
    assert images.open_image(tmp_path / "a.png", max_side=1000).size == (400, 200)


def bad_pictures(folder):
    """Name -> (how it comes to be, words of the error)."""
    Image.effect_noise((64, 64), 50).save(folder / "whole.png")
    (folder / "cut.png").write_bytes((folder / "whole.png").read_bytes()[:-200])
    Image.effect_noise((64, 64), 50).save(folder / "whole.jpg")
    (folder / "cut.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:-300])
    (folder / "text.png").write_text("no picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / "folder.png").mkdir()
    Image.new("1", (8000, 8000)).save(folder / "huge.png")
    Image.new("1", (20000, 20000)).save(folder / "bomb.png")
    Image.new("L", (1000, 10)).save(folder / "strip.png")
    Image.new("I;16", (10, 10)).save(folder / "deep.png")
    Image.new("F", (10, 10)).save(folder / "float.tiff")
    return {
        "missing.png": "no such picture",
        "cut.png": "truncated",
        "cut.jpg": "truncated",
        "text.png": "not a picture",
        "empty.png": "empty file",
        "folder.png": "folder",
        "huge.png": "64 Mpx",
        "bomb.png": "Mpx",
        "strip.png": "50:1",
        "deep.png": "8-bit",
        "float.tiff": "8-bit",
    }


def test_all_bad_pictures_are_listed_at_once(tmp_path):
    """One bad picture per run and hour; a bomb that fills the memory; a cut picture shown half grey."""
    expected = bad_pictures(tmp_path)
    names = [*expected, "whole.png", "whole.jpg", "whole.png"]
    examples = [Example.model_validate(star_example(i, name, "0")) for i, name in enumerate(names)]
    with pytest.raises(UserError) as error:
        images.check_images([e.image for e in examples], tmp_path)
    message = str(error.value)
    assert message.startswith(f"{len(expected)} of {len(expected) + 2} pictures")
    for name, words in expected.items():
        (line,) = [line for line in message.splitlines() if f"/{name}:" in line]
        assert words in line, line
    assert images.check_images([e.image for e in examples[-3:]], tmp_path) == 2


def kept(tmp_path) -> list:
    return sorted((tmp_path / "cache").rglob("*.png"))


def test_a_shrunk_picture_is_kept_and_is_the_same(tmp_path):
    """A cache that changes what the model sees, keeps what need not be kept, or grows with each look."""
    picture = Image.effect_noise((300, 200), 90).convert("RGB")
    picture.save(tmp_path / "a.jpg")
    first = images.open_image(tmp_path / "a.jpg", max_side=100)
    assert len(kept(tmp_path)) == 1
    again = images.open_image(tmp_path / "a.jpg", max_side=100)
    assert again.tobytes() == first.tobytes() and again.size == (100, 67) and again.mode == "RGB"
    images.open_image(tmp_path / "a.jpg", max_side=300)
    assert len(kept(tmp_path)) == 1


def test_a_changed_picture_is_not_its_old_self(tmp_path):
    """A picture that was replaced, and whose first version goes on being shown."""
    Image.new("RGB", (300, 200), "white").save(tmp_path / "a.png")
    images.open_image(tmp_path / "a.png", max_side=100)
    Image.new("RGB", (300, 210), "black").save(tmp_path / "a.png")
    assert images.open_image(tmp_path / "a.png", max_side=100).getpixel((5, 5)) == (0, 0, 0)


def test_a_torn_or_unwritable_cache_does_no_harm(tmp_path, monkeypatch):
    """A cache file that a killed process left half, or a home without room, that stops a training."""
    Image.effect_noise((300, 200), 90).convert("RGB").save(tmp_path / "a.png")
    whole = images.open_image(tmp_path / "a.png", max_side=100).tobytes()
    (file,) = kept(tmp_path)
    for content in (file.read_bytes()[:500], b"no picture"):
        file.write_bytes(content)
        assert images.open_image(tmp_path / "a.png", max_side=100).tobytes() == whole
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "taken"))
    assert images.open_image(tmp_path / "a.png", max_side=100).tobytes() == whole
