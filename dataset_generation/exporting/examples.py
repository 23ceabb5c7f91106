"""The examples of a data folder with their pictures, looked at before they go to somebody else."""

import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from clarifyvlm.errors import UserError
from clarifyvlm.records import Example
from folder.faults import listed


def with_pictures(
    data_dir: Path, split: str, seen: set[bytes], fault_of: Callable[[Example], str | None] = lambda example: None
) -> Iterator[tuple[Example, bytes]]:
    """Each example of a split and the content of its picture's file.

    UserError at the end, which names the examples that cannot be exported; after the first of them none is given.
    `seen` holds `short` hashes of the ids of earlier splits and gets those of this one: some 100 bytes each.
    `fault_of`: what else is wrong with an example, if anything.
    """
    from tqdm import tqdm

    from folder.write import stream

    faults, count = [], 0
    for number, example in tqdm(stream(data_dir / f"{split}.jsonl"), desc=split, unit="row", mininterval=0.5):
        picture, fault = _picture(data_dir / example.image, example.image_sha256)
        if not _within(example.image):
            fault = f"picture {example.image!r} leads out of the folder, so that nobody could import it"
        key = short(example.id)
        fault = f"id {example.id!r} is there twice" if key in seen else fault
        seen.add(key)
        fault = fault or fault_of(example)
        if fault:
            faults.append(f"{data_dir / split}.jsonl:{number}: {fault}")
        elif not faults:
            yield example, picture
        count += 1
    if faults:
        hint = "Generate the data again, or mend these lines."
        raise listed(f"{len(faults)} of {count} examples cannot be exported", faults, hint)
    if not count:
        print(f"{split}: no examples, left out")


def short(text: str) -> bytes:
    return sha256(text.encode()).digest()[:8]


def _within(name: str) -> bool:
    """Whether a path stays in the folder that it is relative to."""
    return not os.path.isabs(name) and not os.path.normpath(name).startswith("..")


def _picture(path: Path, digest: str) -> tuple[bytes, str | None]:
    """(content, None), or what is wrong with it. `digest`: what it should be, where that is known."""
    from clarifyvlm.images import open_image

    try:
        content = path.read_bytes()
        if not digest:
            open_image(path)
    except OSError as error:
        return b"", f"picture {path}: {error.strerror}"
    except UserError as error:
        return b"", str(error)
    if digest and sha256(content).hexdigest() != digest:
        return b"", f"picture {path} is not the one that the record was made with (image_sha256 differs)"
    return content, None
