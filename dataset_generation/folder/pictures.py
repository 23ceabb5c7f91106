"""Files of pictures: their sizes, those that cannot be read, those that are there twice; and how one is written."""

import os
import shutil
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from clarifyvlm.errors import UserError
from clarifyvlm.images import FORMATS, MAX_ASPECT, MAX_PIXELS, open_image
from clarifyvlm.records import Example
from folder.faults import listed

ROTATED = (5, 6, 7, 8)  # EXIF orientations that swap width and height


def size_of(path: Path) -> tuple[int, int]:
    """(width, height) of the upright picture, from its header alone. UserError as `open_image` where it is none."""
    from PIL import Image

    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            plain = image.mode != "F" and not image.mode.startswith("I") and width * height <= MAX_PIXELS
            # A PNG's orientation may come after its pixels: getexif() would decode them.
            if plain and max(width, height) <= MAX_ASPECT * min(width, height) and image.format != "PNG":
                return (height, width) if image.getexif().get(0x0112) in ROTATED else (width, height)
            if plain and "exif" not in image.info:
                return width, height
    except Exception:  # open_image says what it is
        pass
    return open_image(path).size


def sizes_of(image_dir: Path, annotated: dict[str, tuple | None]) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """(file name -> size, what is wrong with some). `annotated`: the size that a picture should have, if known."""
    sizes, faults = {}, []
    for name, wanted in annotated.items():
        try:
            sizes[name] = width, height = size_of(image_dir / name)
        except UserError as error:
            faults.append(str(error))
            continue
        if wanted and tuple(wanted) != sizes[name]:
            faults.append(f"{image_dir / name}: is {width} x {height}, annotated as {wanted[0]} x {wanted[1]}")
    return sizes, faults


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


def link(root: Path, image: str, output: Path, name: str) -> None:
    """The picture `image` of the data folder `root` as `name` of the folder `output`: a hard link where the disk allows
    it, else a copy. UserError where it is not there, or `name` leads out of the folder."""
    source, target = root / image, output / name
    if not target.resolve().is_relative_to(output.resolve()):
        raise UserError(f"{root}: image {image!r} leads out of the data folder")
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except FileNotFoundError:
        raise UserError(f"{source}: no such picture") from None
    except OSError:  # another disk
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
