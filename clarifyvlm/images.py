"""Open a picture safely: RGB, upright, whole, and not so large or so long that it takes the machine down.

A picture that had to be shrunk is kept as such, losslessly, in <cache folder>/pictures, so that each epoch, stage and
process reads the small one: decoding a photograph of 12 Mpx takes a tenth of a second.
"""

import hashlib
import os
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from clarifyvlm import processes
from clarifyvlm.errors import UserError
from clarifyvlm.paths import cache_folder

if TYPE_CHECKING:
    from PIL import Image

    from clarifyvlm.records import Example

MAX_PIXELS = 50_000_000  # Pillow itself only warns at 89 Mpx; 50 Mpx are 150 MB of RGB
MAX_ASPECT = 50  # longer side / shorter side
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # no EPS: it would start Ghostscript
MAX_SHOWN = 20


def open_image(path: str | Path, *, max_side: int | None = None) -> "Image.Image":
    """The picture as RGB, turned as its EXIF says, transparency over white; the first frame of an animation.

    `max_side` shrinks a picture whose longer side has more pixels, keeping its shape; it is kept for the next time.

    Raises UserError that names the file: missing, not a picture, truncated, above MAX_PIXELS, longer than MAX_ASPECT,
    or of a mode with no one meaning in 8-bit RGB (16-bit, 32-bit and float pictures).
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: {'is a folder, not a picture' if path.is_dir() else 'no such picture'}")
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
            upright = ImageOps.exif_transpose(image)
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
        raise UserError(f"{path}: not a picture in a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise UserError(f"{path}: above the cap of {MAX_PIXELS / 1e6:.0f} Mpx; make it smaller") from None
    except PermissionError:
        raise UserError(f"{path}: no permission to read it") from None
    except (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError) as error:  # Pillow's decoders
        raise UserError(f"{path}: corrupt or truncated picture ({error})") from None


def _kept(path: Path, max_side: int) -> Path:
    """Where the shrunk picture is kept; another name when the file at `path` changes."""
    stat = path.stat()
    key = hashlib.sha256(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns} {max_side}".encode()).hexdigest()
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
