"""Groups -> pictures and a JSONL file: workers build, the parent checks, orders and writes."""

import multiprocessing
import random
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import source_coco
import source_scenes
from tqdm import tqdm

from clarifyvlm.jsonl import dumps, read, write_text_atomic
from clarifyvlm.records import Example

SOURCES = {"scenes": source_scenes, "coco": source_coco}
CHUNK = 16  # groups per task of a worker
MAX_REDRAWS = 50  # per group whose picture is in another split


def write_split(source: str, settings, split: str, jobs: list, output: Path, seen: set[bytes], num_workers: int) -> int:
    """Write <split>.jsonl and its pictures; the number of examples. Keeps what an interrupted run completed.

    `seen` holds the signatures of the pictures of earlier splits and gets those of this one (but for train, the
    last and largest: nothing needs them).
    """
    path = output / f"{split}.jsonl"
    if path.exists():
        examples = read(path, Example)
        seen.update(SOURCES[source].signature(e) for e in examples)
        print(f"{path}: complete, kept")
        return len(examples)
    order = random.Random(f"{settings.seed}:{split}:order")
    own: set[bytes] = set()
    offsets, count = [], 0
    parts = path.with_name(f".{path.name}.parts")  # in the order of the groups; shuffled into its place below
    with open(parts, "wb") as file:
        for index, built in enumerate(_build_all(source, settings, split, jobs, output, num_workers)):
            salt = 0
            while any(signature in seen for signature, _ in built):
                salt += 1
                if salt > MAX_REDRAWS:
                    raise RuntimeError(f"{split}: group {index}: every picture is in another split already")
                built = _build(source, settings, split, output, (index, jobs[index]), salt)
            for signature, line in built:
                own.add(signature)
                offsets.append((file.tell(), len(line)))
                file.write(line)
                count += 1
    if split != "train":
        seen |= own
    order.shuffle(offsets)
    with open(parts, "rb") as file:
        write_text_atomic(path, (_line(file, *place) for place in offsets))
    parts.unlink()
    return count


def _line(file, offset: int, length: int) -> str:
    file.seek(offset)
    return file.read(length).decode()


def _build(source: str, settings, split: str, output: Path, job: tuple, salt: int = 0) -> list[tuple[bytes, bytes]]:
    """(signature of the picture, JSON line) per example of one job, (index, what the source planned)."""
    index, planned = job
    examples = SOURCES[source].build(settings, split, index, planned, salt, output / "images")
    return [(SOURCES[source].signature(e), (dumps(e) + "\n").encode()) for e in examples]


def _build_chunk(source: str, settings, split: str, output: Path, jobs: list[tuple]) -> list[list[tuple[bytes, bytes]]]:
    return [_build(source, settings, split, output, job) for job in jobs]


def _build_all(source: str, settings, split: str, jobs: list, output: Path, num_workers: int):
    """What `_build` gives for every job, in order. At most a few chunks per worker wait in memory."""
    numbered = list(enumerate(jobs))
    chunks = [numbered[i : i + CHUNK] for i in range(0, len(numbered), CHUNK)]
    work = partial(_build_chunk, source, settings, split, output)
    with tqdm(total=len(jobs), desc=split, unit="group", mininterval=0.5) as bar:
        if num_workers <= 1 or len(jobs) <= CHUNK:
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
            for future in waiting:
                built = future.result()
                yield from built
                bar.update(len(built))
