"""Jobs of a plan -> pictures and a JSONL file: workers build, the parent checks, orders and writes.

A source of examples is a function `build(settings, split, index, job, salt, image_dir)` of a module, so that workers
find it by its name, and its settings, which have `seed` and `users`.
"""

import multiprocessing
import random
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from pydantic import ValidationError
from tqdm import tqdm

from clarifyvlm import processes
from clarifyvlm.jsonl import dumps, read, write_text_atomic
from clarifyvlm.records import Example
from folder.dialogues import draw_user
from folder.pictures import signature

CHUNK = 16  # groups per task of a worker
MAX_REDRAWS = 50  # per group whose picture is in another split

Built = list[tuple[bytes, bytes]]  # of one job: per example the signature of its picture, and its JSON line


def write_split(
    build: Callable, settings, split: str, jobs: list, output: Path, seen: set[bytes], num_workers: int
) -> int:
    """Write <split>.jsonl and its pictures; the number of examples. Keeps what an interrupted run completed.

    `seen` holds the signatures of the pictures of earlier splits and gets those of this one (but for train, the
    last and largest: nothing needs them).
    """
    kept = keep(split, output, seen)
    if kept is not None:
        return kept
    built = _build_all(build, settings, split, jobs, range(len(jobs)), output, num_workers)
    return assemble(build, settings, split, jobs, output, seen, built)


def write_part(build: Callable, settings, split: str, jobs: list, part: range, output: Path, num_workers: int) -> int:
    """Write what a shard holds of a split, in the order of the plan; the number of examples.

    shards.py puts the parts together, and draws those pictures anew that another split shows as well.
    """
    kept = keep(split, output, set())
    if kept is not None:
        return kept
    count = 0

    def lines():
        nonlocal count
        for built in _build_all(build, settings, split, jobs, part, output, num_workers):
            count += len(built)
            yield from (line.decode() for _, line in built)

    write_text_atomic(output / f"{split}.jsonl", lines())
    return count


def keep(split: str, output: Path, seen: set[bytes]) -> int | None:
    """The number of examples of a file that is there already; None where it is not. Fills `seen` as `write_split`."""
    path = output / f"{split}.jsonl"
    if not path.exists():
        for leftover in output.glob(f".{path.name}.*.tmp"):  # of a run that was killed while it wrote
            leftover.unlink()
        return None
    print(f"{path}: complete, kept")
    if split == "train":
        with open(path, "rb") as file:
            return sum(1 for _ in file)
    signatures = [signature(example) for _, example in stream(path)]
    seen.update(signatures)
    return len(signatures)


def stream(path: Path) -> Iterator[tuple[int, Example]]:
    """(line number, example) of every line, one in memory at a time. UserError that lists all that are invalid."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    example = Example.model_validate_json(line)
                except ValidationError:
                    read(path, Example)  # says what is wrong, in which lines
                    raise
                yield number, example


def assemble(
    build: Callable, settings, split: str, jobs: list, output: Path, seen: set[bytes], all_built: Iterable[Built]
) -> int:
    """Write <split>.jsonl from what was built for each of `jobs`, in order; the number of examples.

    A group with a picture that an earlier split shows is drawn anew. The lines are shuffled.
    """
    path = output / f"{split}.jsonl"
    own: set[bytes] = set()
    offsets = array("Q")
    parts = path.with_name(f".{path.name}.parts")  # in the order of the groups; shuffled into its place below
    with open(parts, "wb") as file:
        for index, built in enumerate(all_built):
            salt = 0
            while any(signature in seen for signature, _ in built):
                salt += 1
                if salt > MAX_REDRAWS:
                    raise RuntimeError(f"{split}: group {index}: every picture is in another split already")
                built = _build(build, settings, split, output, (index, jobs[index]), salt)
            for signature, line in built:
                if split != "train":
                    own.add(signature)
                offsets.append(file.tell())
                file.write(line)
    seen |= own
    random.Random(f"{settings.seed}:{split}:order").shuffle(offsets)
    with open(parts, "rb") as file:
        write_text_atomic(path, (_line(file, offset) for offset in offsets))
    parts.unlink()
    return len(offsets)


def _line(file, offset: int) -> str:
    file.seek(offset)
    return file.readline().decode()


def _build(build: Callable, settings, split: str, output: Path, job: tuple, salt: int = 0) -> Built:
    """What one job gives: (index, what the source planned)."""
    index, planned = job
    examples = build(settings, split, index, planned, salt, output / "images")
    for example in examples:
        draw_user(example, settings.users, settings.seed)
    return [(signature(e), (dumps(e) + "\n").encode()) for e in examples]


def _build_chunk(build: Callable, settings, split: str, output: Path, jobs: list[tuple]) -> list[Built]:
    return [_build(build, settings, split, output, job) for job in jobs]


def _build_all(
    build: Callable, settings, split: str, jobs: list, part: range, output: Path, num_workers: int
) -> Iterator[Built]:
    """What `_build` gives for every job of `part`, in order. At most a few chunks per worker wait in memory."""
    chunks = ([(i, jobs[i]) for i in part[start : start + CHUNK]] for start in range(0, len(part), CHUNK))
    work = partial(_build_chunk, build, settings, split, output)
    with tqdm(total=len(part), desc=split, unit="group", mininterval=0.5) as bar:
        if num_workers <= 1 or len(part) <= CHUNK or not processes.has_workers():
            for chunk in chunks:
                yield from work(chunk)
                bar.update(len(chunk))
            return
        # An executor, not a Pool: a Pool hangs when a worker is killed.
        with ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn")) as executor:
            waiting = deque()
            for chunk in chunks:
                waiting.append(executor.submit(work, chunk))
                if len(waiting) >= 4 * num_workers:
                    built = waiting.popleft().result()
                    yield from built
                    bar.update(len(built))
            while waiting:
                built = waiting.popleft().result()
                yield from built
                bar.update(len(built))
