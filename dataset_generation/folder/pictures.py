"""Files of pictures: their sizes, those that cannot be read, those that are there twice; and how one is written."""

import os
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from clarifyvlm.errors import UserError
from clarifyvlm.images import (
    FORMATS,
    MAX_ASPECT,
    MAX_PIXELS,
    SHA256,
    SWAPPED,
    open_image,
    orientation_of,
    other_kind,
)
from clarifyvlm.records import Example, Facts
from clarifyvlm.world import scenes
from folder.faults import listed


@dataclass(frozen=True)
class Header:
    """What a picture's file says of it."""

    size: tuple[int, int]  # (width, height) of the upright picture
    orientation: int  # EXIF's, 1 to 8
    format: str = ""  # Pillow's name

    @property
    def stored(self) -> tuple[int, int]:
        """(width, height) of the pixels in the file."""
        return self.size[::-1] if self.orientation in SWAPPED else self.size


def header_of(picture: Path | bytes, name: str = "") -> Header:
    """Of a file, or of the content of a picture called `name`; from its header alone where that suffices. UserError
    as `open_image` where it is none."""
    if isinstance(picture, Path):
        try:
            with open(picture, "rb") as file:
                return _header(file)
        except Exception:  # open_image says what it is
            return Header(open_image(picture).size, 1)
    try:
        return _header(BytesIO(picture))
    except UserError as error:
        raise UserError(f"picture {name}: {error}") from None
    except Exception as error:  # of Pillow's decoders
        what = other_kind(picture[:32]) or f"not a picture in a known format ({error})"
        raise UserError(f"picture {name}: {what}") from None


def _header(file: BinaryIO) -> Header:
    from PIL import Image

    with Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS or max(width, height) > MAX_ASPECT * min(width, height):
            raise UserError(f"{width} x {height} px is too large or too long")
        if image.mode == "F" or image.mode.startswith("I"):
            raise UserError(f"mode {image.mode} (more than 8 bits a channel); save it as 8-bit RGB")
        orientation = orientation_of(image) if image.format != "PNG" or _may_turn(file) else 1
        lying = orientation in SWAPPED and image.format != "TIFF"  # Pillow gives a TIFF's size as it is seen
        return Header((height, width) if lying else (width, height), orientation, image.format)


def _may_turn(file: BinaryIO) -> bool:
    """Whether a PNG has EXIF or XMP; those may come after its pixels, which getexif() would decode to look for them."""
    place = file.tell()
    try:
        file.seek(8)  # the signature
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            begin = file.read(min(length, 20)) if kind in (b"tEXt", b"zTXt", b"iTXt") else b""
            if kind == b"eXIf" or begin.startswith((b"XML:com.adobe.xmp", b"Raw profile type")):
                return True
            file.seek(length + 4 - len(begin), os.SEEK_CUR)
        return False
    finally:
        file.seek(place)


def size_of(path: Path) -> tuple[int, int]:
    """(width, height) of the upright picture."""
    return header_of(path).size


def headers_of(
    image_dir: Path, annotated: dict[str, tuple | None], box_space: str | None = None
) -> tuple[dict[str, Header], list[str]]:
    """(file name -> header, what is wrong with some). `annotated`: the size that a picture should have, if known.

    `box_space`: what was annotated, the "upright" picture or the pixels as "stored"; None is upright, with a warning
    where EXIF turns a picture.
    """
    headers, faults, turned = {}, [], []
    for name, wanted in annotated.items():
        try:
            headers[name] = header = header_of(image_dir / name)
        except UserError as error:
            faults.append(str(error))
            continue
        turned += [name] if header.orientation != 1 else []
        found, other = (header.size, header.stored) if box_space != "stored" else (header.stored, header.size)
        if wanted and tuple(wanted) != found:
            fault = f"{image_dir / name}: is {found[0]} x {found[1]}, annotated as {wanted[0]} x {wanted[1]}"
            if tuple(wanted) == other:
                way = "upright" if box_space == "stored" else "stored"
                fault += f"; its EXIF turns it, so it fits with --box_space {way}"
            faults.append(fault)
    if turned and box_space is None and not faults:
        print(
            f"warning: EXIF turns {len(turned)} of {len(headers)} pictures ({turned[0]}, ...); boxes are taken to "
            "be of the picture as one sees it. If they are of the pixels as stored (cv2), give --box_space stored; if "
            "not, --box_space upright says so.",
            file=sys.stderr,
        )
    return headers, faults


def unusable(faults: list[str], names: list, where: str) -> UserError:
    hint = f"Mend or fetch them, or leave them out of {where}."
    return listed(f"{len(faults)} of {len(names)} pictures cannot be used", faults, hint)


def check_readable(paths: Iterable[Path]) -> None:
    """Decode every picture once, before anything is written. UserError that lists those that cannot be."""

    def fault(path: Path) -> str | None:
        try:
            open_image(path)
        except UserError as error:
            return str(error)
        return None

    paths = list(paths)
    with ThreadPoolExecutor(2) as pool:  # Pillow decodes outside the interpreter's lock
        faults = [f for f in pool.map(fault, paths) if f]
    if faults:
        raise unusable(faults, paths, "the annotations")


def distinct(names: list[str], image_dir: Path) -> list[str]:
    """Without the later ones of pictures that are the same file: two splits would show one picture."""
    by_size = defaultdict(list)
    for name in names:
        by_size[(image_dir / name).stat().st_size].append(name)
    seen, copies = set(), set()
    for group in by_size.values():
        for name in group if len(group) > 1 else ():
            digest = sha256((image_dir / name).read_bytes()).digest()
            copies |= {name} if digest in seen else set()
            seen.add(digest)
    if copies:
        print(f"{len(copies)} of {len(names)} pictures are copies of others and left out")
    return [name for name in names if name not in copies]


def signature(example: Example) -> bytes:
    """What two pictures share when they show the same things in the same places."""
    facts = example.facts
    return look(facts.source, example.image_sha256, map(vars, facts.objects))


def look(source: str, digest: str, objects: Iterable[dict]) -> bytes:
    """`signature` from the parts of a record."""
    if source != "scenes":
        return digest.encode()
    seen = sorted((o["name"], o["color"] or "", o["size"], o["pattern"], o["place"]) for o in objects)
    return sha256(repr(seen).encode()).digest()[:12]


def write_bytes(path: Path, content: bytes) -> None:
    """Write a picture that is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def link(root: Path, image: str, digest: str, output: Path, name: str) -> None:
    """The picture `image` of the data folder `root` as `name` of the folder `output`: a hard link where the disk allows
    it, else a copy; of a symbolic link, the file behind it. UserError where it is not there, is not the one that the
    record was made with (`digest`, where that is a sha256), or `name` leads out of the folder."""
    source, target = (root / image).resolve(), output / name
    if not target.resolve().is_relative_to(output.resolve()):
        raise UserError(f"{root}: image {image!r} leads out of the data folder")
    if not source.is_file():
        raise UserError(f"{root / image}: no such picture")
    if SHA256.fullmatch(digest) and sha256(source.read_bytes()).hexdigest() != digest:
        raise UserError(
            f"{root / image} was changed: it is not the picture that the record was made with (image_sha256 differs). "
            "Put the old one back, or make the data anew from this one."
        )
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:  # another disk
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)


def write_scene(path: Path, facts: Facts) -> str:
    """Render a generated scene to a PNG that is whole or absent; its sha256."""
    buffer = BytesIO()
    scenes.render(facts).save(buffer, "PNG", compress_level=1)
    write_bytes(path, buffer.getvalue())
    return sha256(buffer.getvalue()).hexdigest()
