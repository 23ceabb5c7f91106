"""Open a picture safely: RGB, upright, whole, and not so large or so long that it takes the machine down.

A picture that had to be shrunk is kept as such, losslessly, in <cache folder>/pictures, so that each epoch, stage and
process reads the small one: decoding a photograph of 12 Mpx takes a tenth of a second.
"""

import hashlib
import io
import os
import re
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clarifyvlm import processes
from clarifyvlm.errors import UserError
from clarifyvlm.jsonl import write_text_atomic
from clarifyvlm.paths import cache_folder

if TYPE_CHECKING:
    from PIL import Image

    from clarifyvlm.records import Example

MAX_PIXELS = 50_000_000  # Pillow itself only warns at 89 Mpx; 50 Mpx are 150 MB of RGB
MAX_ASPECT = 50  # longer side / shorter side
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # no EPS: it would start Ghostscript
OTHERS = {  # how files begin that come under the name of a picture
    rb"....ftyp(?:avif|avis)": "an AVIF picture; convert it to JPEG",
    rb"....ftyp(?:hei|hev|mif|msf)": "a HEIC picture, as iPhones take them; convert it to JPEG",
    rb"version https://git-lfs": "a Git LFS pointer in place of the picture; `git lfs pull` fetches it",
    rb"\s*<(?:!doctype|html|\?xml)": "a web page or other text in place of the picture; fetch it again",
    rb"$": "an empty file (0 bytes); fetch it again",
}
ORIENTATION = 0x0112  # EXIF's tag
TURNED = (2, 3, 4, 5, 6, 7, 8)  # its values for a picture that is shown otherwise than its pixels are stored
SWAPPED = (5, 6, 7, 8)  # ... with width and height exchanged
SHA256 = re.compile("[0-9a-f]{64}")
MAX_SHOWN = 20
QUICKLY_READ = 50_000_000  # bytes of pictures that are read, a twentieth of a second, whenever they are looked at


def open_image(path: str | Path, *, max_side: int | None = None) -> "Image.Image":
    """The picture as RGB, turned as its EXIF says, transparency over white; the first frame of an animation.

    `max_side` shrinks a picture whose longer side has more pixels, keeping its shape; it is kept for the next time.

    Raises UserError that names the file: missing, not a picture, truncated, above MAX_PIXELS, longer than MAX_ASPECT,
    or of a mode with no one meaning in 8-bit RGB (16-bit, 32-bit and float pictures).
    """
    from PIL import Image, UnidentifiedImageError

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: {'is a folder, not a picture' if path.is_dir() else _no_such(path)}")
    if max_side and (kept := _kept(path, max_side)).is_file():
        with suppress(OSError, SyntaxError), Image.open(kept, formats=["PNG"]) as image:
            return image.convert("RGB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(path, formats=FORMATS)
        with opened as image:
            width, height = image.size  # from the header: nothing is decoded yet
            if width * height > MAX_PIXELS:
                raise UserError(
                    f"{path}: {width} x {height} px is {width * height / 1e6:.0f} Mpx, above the cap of "
                    f"{MAX_PIXELS / 1e6:.0f} Mpx; make it smaller"
                )
            if max(width, height) > MAX_ASPECT * min(width, height):
                raise UserError(f"{path}: {width} x {height} px is longer than {MAX_ASPECT}:1; crop it")
            if image.mode == "F" or image.mode.startswith("I"):
                raise UserError(f"{path}: mode {image.mode} (more than 8 bits a channel); save it as 8-bit RGB")
            upright = _in_srgb(_turned(image))
            if upright.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in upright.info:
                upright = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
            picture = upright.convert("RGB")
            if max_side and max(picture.size) > max_side:
                picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
                _keep(picture, kept)
            return picture
    except UserError:
        raise
    except UnidentifiedImageError:
        with open(path, "rb") as file:
            if other := other_kind(file.read(32)):
                raise UserError(f"{path}: {other}") from None
        raise UserError(f"{path}: not a picture in a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise UserError(f"{path}: above the cap of {MAX_PIXELS / 1e6:.0f} Mpx; make it smaller") from None
    except PermissionError:
        raise UserError(f"{path}: no permission to read it") from None
    except Exception as error:  # Pillow's decoders raise whatever goes wrong in them
        raise UserError(f"{path}: corrupt or truncated picture ({error})") from None


def _no_such(path: Path) -> str:
    """That it is not there; and that another one is, whose name looks the same."""
    alike = unicodedata.normalize("NFC", path.name)
    there = path.parent.iterdir() if path.parent.is_dir() else ()
    if any(unicodedata.normalize("NFC", p.name) == alike for p in there):
        return "no such picture; one is there whose name looks the same and has other Unicode (NFC, NFD): rename it"
    return "no such picture"


def other_kind(begin: bytes) -> str | None:
    """What a file is that is no picture in a known format, by its first bytes."""
    return next((what for how, what in OTHERS.items() if re.match(how, begin, re.I | re.S)), None)


def _in_srgb(image: "Image.Image") -> "Image.Image":
    """With its colors as one sees them, where a profile says what its numbers mean: Display P3 of phones, CMYK."""
    from PIL import ImageCms

    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK"):
        return image
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(given):
            return image
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        return ImageCms.profileToProfile(image, given, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError):  # of other colors than the picture, or torn: the numbers are as good
        return image


def orientation_of(image: "Image.Image") -> int:
    """1 to 8, as EXIF or XMP says; 1 where it says nothing, or nothing that can be read."""
    try:
        found = image.getexif().get(ORIENTATION)
    except Exception:  # a field that does not hold together: the pixels are whole all the same
        return 1
    return found if found in TURNED else 1


def _turned(image: "Image.Image") -> "Image.Image":
    """The picture as one sees it. Pillow's exif_transpose writes the EXIF anew, and stops at a number out of range."""
    from PIL.Image import Transpose

    image.load()  # a PNG's orientation may come after its pixels
    found = orientation_of(image)
    ways = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(ways[found]) if found in ways else image


def _kept(path: Path, max_side: int) -> Path:
    """Where the shrunk picture is kept; another name when the file at `path` changes."""
    stat = path.stat()
    key = hashlib.sha256(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns} {max_side} sRGB".encode()).hexdigest()
    return cache_folder() / "pictures" / key[:2] / f"{key[2:34]}.png"


def _keep(picture: "Image.Image", kept: Path) -> None:
    with suppress(OSError):  # a full disk or a home that cannot be written: then without
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_suffix(f".{os.getpid()}.tmp")
        try:
            picture.save(temporary, format="PNG", compress_level=1)
            temporary.replace(kept)
        finally:
            temporary.unlink(missing_ok=True)


def root_of(data_file: str | Path, examples: "Sequence[Example]") -> Path | None:
    """The folder that the pictures of a data file are relative to; None where the first one is not there."""
    root = Path(data_file).parent
    return root if examples and (root / examples[0].image).is_file() else None


class Shown(NamedTuple):
    """What is to be known of an example to look after its picture."""

    image: str
    image_sha256: str


def check_unchanged(examples: "Iterable[Example | Shown]", root: str | Path) -> str | None:
    """UserError where a picture is not the one that its record was made with (image_sha256). Gives a hash over those
    pictures whose records know none, so that a run can tell them from others; None where there are none.

    Many pictures are read once: afterwards their names, sizes and times are enough, until one of these changes. Of
    several processes the leader looks. Where none was changed, those that are missing are left to `check_images`.
    """
    root, stats = Path(root).resolve(), []
    known: dict[str, str] = {}
    if not processes.is_leader():
        return None
    for example in examples:
        known.setdefault(example.image, example.image_sha256 if SHA256.fullmatch(example.image_sha256) else "")
    for name, digest in known.items():
        with suppress(OSError):
            stat = (root / name).stat()
            stats.append((name, digest, stat.st_size, stat.st_mtime_ns))
    key = hashlib.sha256(repr((str(root), stats)).encode()).hexdigest()
    seen = cache_folder() / "pictures" / key[:2] / f"{key[2:34]}.seen"
    large = sum(size for _, _, size, _ in stats) > QUICKLY_READ
    with suppress(OSError):
        return seen.read_text() or None
    found = {name: _digest(root / name) for name, *_ in stats}
    if any(digest and known[name] not in ("", digest) for name, digest in found.items()):
        changed = [name for name in known if known[name] not in ("", found.get(name))]
        more = f"\n  ... and {len(changed) - MAX_SHOWN} more" if len(changed) > MAX_SHOWN else ""
        raise UserError(
            f"{len(changed)} of {len(known)} pictures are not those that the records were made with\n  "
            + "\n  ".join(_fault(root / name) for name in changed[:MAX_SHOWN])
            + f"{more}\nPut those back that were changed, or make the data anew from these (generate.py --overwrite; "
            "with run.sh, GENERATE_ARGS=--overwrite)."
        )
    unknown = sorted((name, digest) for name, digest in found.items() if not known[name])
    together = hashlib.sha256(repr(unknown).encode()).hexdigest() if unknown else ""
    with suppress(OSError):  # a full disk or a home that cannot be written: then they are read each time
        if large:
            write_text_atomic(seen, together)
    return together or None


def _fault(path: Path) -> str:
    """What is wrong with a picture that is not the record's."""
    try:
        open_image(path)
    except UserError as error:
        return str(error)
    return f"{path}: was changed (image_sha256 differs)"


def _digest(path: Path) -> str:
    """sha256; "" for what cannot be read."""
    with suppress(OSError), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return ""


def check_images(names: Iterable[str], root: str | Path, *, max_side: int | None = None) -> int:
    """Decode every picture (paths relative to `root`) once, and shrink it. Returns how many there are.

    Raises one UserError that lists all bad ones: to be called before a model loads. Of several processes the leader
    looks.
    """
    root, faults = Path(root), []
    names = dict.fromkeys(names)
    for name in names if processes.is_leader() else ():
        try:
            open_image(root / name, max_side=max_side)
        except UserError as error:
            faults.append(str(error))
    if faults:
        more = f"\n  ... and {len(faults) - MAX_SHOWN} more" if len(faults) > MAX_SHOWN else ""
        raise UserError(
            f"{len(faults)} of {len(names)} pictures cannot be used\n  " + "\n  ".join(faults[:MAX_SHOWN]) + more
        )
    return len(names)
