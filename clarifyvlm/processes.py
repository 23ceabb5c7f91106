"""One command in several processes, as `accelerate launch` starts them: who leads, and what all of them agree on.

A script reads top to bottom as if it were alone. The leader (rank 0) holds the lock, checks the pictures, prints and
writes run.json; RunRecord.start is where the others wait for its word. Without a launcher every function here answers
for one process, and torch is not imported.
"""

import os
import sys
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TypeVar

WAIT = timedelta(days=7)  # for a rank whose share takes longest

Limit = TypeVar("Limit", int, float)


def rank() -> int:
    return int(os.environ["RANK"]) if "LOCAL_RANK" in os.environ else 0


def count() -> int:
    return int(os.environ["WORLD_SIZE"]) if "LOCAL_RANK" in os.environ else 1


def is_leader() -> bool:
    return rank() == 0


def on_cpu() -> bool:
    """Whether the launcher was told to leave the GPUs alone (use_cpu in an accelerate config)."""
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("true", "1")


@cache
def has_workers() -> bool:
    """Whether processes can be started beside this one: they need semaphores, and so a /dev/shm that can be written.
    Where there is none, one process does all of it, more slowly; said once."""
    import multiprocessing

    try:
        multiprocessing.Lock()
    except (OSError, ImportError) as error:
        print(f"one process does it all: no semaphores for workers here ({error}; /dev/shm)", file=sys.stderr)
        return False
    return True


def _joined():
    """torch.distributed with its group, made by the first call (or by TrainingArguments, in training)."""
    import torch
    from accelerate import PartialState

    if not torch.distributed.is_initialized():
        PartialState(cpu=on_cpu() or not torch.cuda.is_available(), timeout=WAIT)
    return torch.distributed


def wait() -> None:
    """Until every process is here."""
    if count() > 1:
        _joined().barrier()


def leave() -> None:
    """Take the group down, once all is done: a process that just ends may bring the others down with it."""
    if count() > 1:
        group = _joined()
        group.barrier()
        group.destroy_process_group()


def from_leader(value=None):
    """The leader's `value` (picklable), in every process."""
    if count() == 1:
        return value
    box = [value]
    _joined().broadcast_object_list(box, src=0)
    return box[0]


def gather(items: list) -> list:
    """The items (picklable) of all processes, in every process: those of rank 0 first."""
    if count() == 1:
        return items
    boxes: list = [None] * count()
    _joined().all_gather_object(boxes, items)
    return [item for box in boxes for item in box]


def any_of(flag: bool) -> bool:
    """Whether `flag` is true in some process."""
    return any(gather([flag]))


def part_of(limit: Limit | None) -> Limit | None:
    """This process's part of a limit that holds for all of them together."""
    if limit is None or count() == 1:
        return limit
    return (limit + rank()) // count() if isinstance(limit, int) else limit / count()


def share_of(path: str | Path) -> Path:
    """The file that this process appends its part of `path` to: the file itself for the leader."""
    path = Path(path)
    return path if is_leader() else path.with_name(f"{path.stem}.share-{rank()}{path.suffix}")


def shares(path: str | Path) -> list[Path]:
    """The other processes' parts of `path` that are there, of this run or of one that was killed."""
    path = Path(path)
    return sorted(path.parent.glob(f"{path.stem}.share-*{path.suffix}"))
