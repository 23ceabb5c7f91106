"""Checkpoints that a killed run can trust: each is sealed with the hashes of its files once it is whole.

The Trainer writes a checkpoint file by file, and `get_last_checkpoint` takes the highest number even where
the machine stopped half-way. So a seal (checkpoint.json) is written last, and resuming goes to the newest
checkpoint whose files still match it.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

SEAL = "checkpoint.json"


def seal(folder: str | Path) -> None:
    """Write the seal of a checkpoint that is whole: the sha256 of every file, by relative path."""
    folder = Path(folder)
    temporary = folder / f"{SEAL}.tmp"
    temporary.write_text(json.dumps(_hashes(folder), indent=1))
    os.replace(temporary, folder / SEAL)


def fault(folder: str | Path) -> str | None:
    """What is wrong with a checkpoint, in words; None where its files are those that were sealed."""
    folder = Path(folder)
    try:
        sealed = json.loads((folder / SEAL).read_text())
    except FileNotFoundError:
        return "it was not finished"
    except ValueError:
        return f"{SEAL} is torn"
    found = _hashes(folder)
    missing = sorted(set(sealed) - set(found))
    if missing:
        return f"{missing[0]} is missing"
    changed = sorted(name for name in sealed if sealed[name] != found[name])
    return f"{changed[0]} is not what was saved" if changed else None


def last_whole(output_dir: str | Path) -> Path | None:
    """The newest whole checkpoint-N in output_dir, or None. Removes torn ones after it, and says so."""
    for folder in sorted(Path(output_dir).glob("checkpoint-*"), key=_step, reverse=True):
        why = fault(folder)
        if why is None:
            return folder
        print(f"{folder} cannot be resumed from ({why}): falling back to the one before it", flush=True)
        shutil.rmtree(folder)  # a later save of the same step must not mix with its files
    return None


def _step(folder: Path) -> int:
    number = folder.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1


def _hashes(folder: Path) -> dict[str, str]:
    hashes = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(SEAL):
            with path.open("rb") as file:
                hashes[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes
