"""Finding the picture that a row names: one, or none, and never another one of a like name."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from clarifyvlm.errors import UserError
from folder.faults import listed

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
OTHERS = (".heic", ".heif", ".avif", ".tif", ".tiff", ".bmp", ".gif")  # pictures that are not looked for


class Names:
    """The pictures of a folder and of the folders in it, by name.

    A name finds the file whose path it is; else the file whose path it ends with ("/data/coco/val/1.jpg" finds
    "val/1.jpg" or "1.jpg", not "train/1.jpg"); else the one whose path ends with it ("1.jpg" finds "val/1.jpg").
    Letters count as equal when they look alike (Unicode NFC): macOS stores an accent as a character of its own.
    `files` are those that names may mean, by their `suffixes` (None: all files), `others` the pictures of other kinds.
    """

    def __init__(self, folder: str | Path, option: str = "image_dir", suffixes: Iterable[str] | None = SUFFIXES):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise UserError(f"{option}: no folder {folder}")
        self.files, self.others = [], []
        self._of: dict[tuple[str, ...], set[str]] = defaultdict(set)  # last parts of a path -> files
        for name in sorted(_walk(self.folder)):
            suffix = PurePosixPath(name).suffix.lower()
            if suffixes is not None and suffix not in suffixes:
                self.others += [name] if suffix in (*SUFFIXES, *OTHERS) else []
                continue
            self.files.append(name)
            parts = _parts(name)
            for i in range(len(parts)):
                self._of[parts[i:]].add(name)
        self._exact = set(self.files)

    def find(self, name: str) -> list[str]:
        """The files that `name` may mean, relative to the folder: one where it is plain, none, or several."""
        if name in self._exact:
            return [name]
        parts = _parts(_within(name, self.folder))
        whole = [f for f in self._of.get(parts, ()) if len(_parts(f)) == len(parts)]
        if not whole:
            for i in range(1, len(parts)):  # the longest path that the name ends with
                whole = [f for f in self._of.get(parts[i:], ()) if len(_parts(f)) == len(parts) - i]
                if whole:
                    break
        return sorted(whole or self._of.get(parts, ()))

    def find_stem(self, stem: str) -> list[str]:
        """As `find`, for a name without its ending."""
        return sorted(self._stems.get(_nfc(stem), ()))

    def numbered(self, number: str) -> list[str]:
        """The files whose names end with a number, as COCO's do: "42" finds COCO_val2014_000000000042.jpg."""
        return sorted(self._numbers.get(int(number), ())) if number.isascii() and number.isdecimal() else []

    @cached_property
    def _stems(self) -> dict[str, set[str]]:
        stems = defaultdict(set)
        for file in self.files:
            stems[_nfc(PurePosixPath(file).stem)].add(file)
        return stems

    @cached_property
    def _numbers(self) -> dict[int, set[str]]:
        numbers = defaultdict(set)
        for file in self.files:
            if digits := re.search(r"(?:^|_)([0-9]+)$", PurePosixPath(file).stem):
                numbers[int(digits[1])].add(file)
        return numbers


def _walk(folder: Path) -> Iterator[str]:
    """The files of a folder and of those in it, links to folders included, relative to it; no hidden ones."""
    seen = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        folders[:] = [] if real in seen else [f for f in folders if not f.startswith(".")]
        files = [] if real in seen else files
        seen.add(real)
        prefix = Path(root).relative_to(folder)
        yield from ((prefix / f).as_posix() for f in files if not f.startswith("."))


def check_apart(image_dir: str | None, output_dir: str) -> None:
    """UserError where the output would lie among the pictures: the next run would find each of them twice."""
    if image_dir and Path(output_dir).resolve().is_relative_to(Path(image_dir).resolve()):
        raise UserError(f"--output_dir {output_dir} lies in --image_dir {image_dir}: give a folder outside of it.")


def refuse_doubtful(where: str, doubtful: dict[str, list[str]]) -> None:
    """UserError where a name may mean several pictures: name -> these."""
    if doubtful:
        raise listed(
            f"{where}: {len(doubtful)} names may mean more than one picture",
            [f"{name}: {', '.join(found)}" for name, found in doubtful.items()],
            "Give the folder in which there is one of each, or names with their folders.",
        )


def _within(name: str, folder: Path) -> str:
    """A path of another system or of the whole machine, as one that may end like a file of `folder`."""
    name = name.replace("\\", "/")
    for root in (folder.as_posix(), folder.resolve().as_posix()):
        if name.startswith(f"{root}/"):
            return name[len(root) + 1 :]
    return name


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a path in one spelling, without "." and what ".." takes back."""
    parts: list[str] = []
    for part in _nfc(name).split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return tuple(parts)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
