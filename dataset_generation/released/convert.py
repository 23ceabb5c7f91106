"""Rows of a released benchmark as examples, or what is wrong with them."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from clarifyvlm.errors import UserError
from folder.faults import listed
from folder.names import refuse_doubtful
from released import module
from released.files import Pictures, is_content
from released.items import Benchmark, Item, blank, kept
from released.rows import SPLITS, Source

if TYPE_CHECKING:
    from clarifyvlm.records import Example

SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp"}
WRITERS = 4  # threads: they wait for the disk
UNANSWERED, REPEATED = "rows without public answers", "rows that repeat an earlier one"
TEXTS = ("question", "text", "blurred_question")
CONTRADICTING = "rows that contradict an earlier one"


class Conversion:
    """The examples of a source. `run` makes them and writes nothing, `write_pictures` writes what they show."""

    def __init__(self, source: Source, pictures: Pictures, split: str, leave_out_contradictions: bool):
        self.source, self.pictures, self.split = source, pictures, split
        self.leave_out_contradictions = leave_out_contradictions
        self.benchmark: Benchmark = module(source.benchmark).BENCHMARK
        self.examples: list[Example] = []
        self.left_out: Counter[str] = Counter()
        self._faults: list[str] = []
        self._missing: list[str] = []
        self._ids: dict[str, int] = {}  # of an example -> its row
        self._asked: dict[tuple, tuple[int, Item]] = {}  # (picture, version, question) -> its first row

    def run(self) -> None:
        """UserError that lists what is wrong with the rows."""
        from tqdm import tqdm

        rows = tqdm(self.source.read(), "read", unit="row", mininterval=0.5)
        number, released = 0, {}
        for number, (row, released) in enumerate(rows, start=1):
            try:
                self._add(number, row, released)
            except ValueError as error:
                self._faults.append(f"row {number}: {error}")
        name, benchmark = self.source.name, self.benchmark
        if self.left_out[UNANSWERED] == number > 0:
            raise UserError(
                f"{name}: none of its {number:,} rows has {' or '.join(benchmark.labels)}. {benchmark.unlabeled} "
                f"(It has {', '.join(map(str, released))}; other names: --columns {benchmark.labels[0]}=...)"
            )
        if self._faults:
            problem = f"{name}: {len(self._faults):,} rows are not as {self.source.benchmark} has them"
            raise listed(problem, self._faults, "Is it another version? --columns ours=theirs renames columns.")
        refuse_doubtful(name, self.pictures.doubtful)
        if self._missing:
            where = f"in {self.pictures.folder}" if self.pictures.folder else "in the rows"
            problem = f"{name}: {len(self._missing):,} pictures are not {where}"
            raise listed(problem, self._missing, "Give their folder: --image_dir.")
        if not self.examples:
            raise UserError(f"{name}: no row with a question{' and its answers' if self.left_out[UNANSWERED] else ''}")

    def write_pictures(self, output: Path) -> None:
        """The pictures of the examples, as they are. UserError where the rows have changed since `run`."""
        from tqdm import tqdm

        from folder.pictures import write_bytes

        left = {example.image_sha256: example.image for example in self.examples}

        def write(content: bytes) -> None:
            image = left.pop(sha256(content).hexdigest(), None)
            if image and not (output / image).exists():
                write_bytes(output / image, content)

        rows = (row for row, _ in tqdm(self.source.read(), "write", unit="row", mininterval=0.5))
        found = (picture[2] for row in rows if (picture := self._found(row)))
        with ThreadPoolExecutor(WRITERS) as pool:
            while batch := list(islice(found, 8 * WRITERS)):
                list(pool.map(write, batch))
        if left:
            raise UserError(f"{self.source.name}: {len(left):,} pictures are no longer there")

    def _found(self, row: dict) -> tuple[str, str, bytes] | None:
        """(column, file name, content) of the row's picture."""
        given = ((name, row[name]) for name in self.benchmark.pictures if not blank(row.get(name)))
        return next(((name, *picture) for name, value in given if (picture := self.pictures.get(value))), None)

    def _add(self, number: int, row: dict, released: dict) -> None:
        """Keep the examples of a row. ValueError for one that is not as the benchmark has them."""
        benchmark = self.benchmark
        if absent := [name for name in benchmark.required if blank(row.get(name))]:
            raise ValueError(f"no {', '.join(absent)}")
        if wrong := [name for name in TEXTS if not (blank(row.get(name)) or isinstance(row[name], str))]:
            raise ValueError(f"{wrong[0]} is {row[wrong[0]]!r}: text was expected")
        if benchmark.labels and all(blank(row.get(name)) for name in benchmark.labels):
            self.left_out[UNANSWERED] += 1
            return
        self._check_split(row)
        items = module(self.source.benchmark).items(row)
        if not items:
            self.left_out[UNANSWERED] += 1
            return
        if (found := self._found(row)) is None:
            given = [str(row[name])[:80] for name in benchmark.pictures if not blank(row.get(name))]
            self._missing.append(" or ".join(given) or f"row {number} names none")
            return
        column, name, content = found
        image, digest, size = self._picture(name, content)
        named = {name: items[0].about.get(name, row.get(name)) for name in benchmark.key}
        key = "-".join(str(value) for value in named.values() if not blank(value))
        fields = dict(released)
        if is_content(fields.get(column)):  # it is in the folder of pictures
            shown = fields.pop(column)
            fields |= {column: shown["path"]} if isinstance(shown, dict) and shown.get("path") else {}
        fields = kept(fields)
        for item in items:
            group = item.about.get("pair") or (key or digest[:16] if len(items) > 1 else None)
            example = self._example(item, key or Path(name).stem, group, image, digest, size, fields)
            if example.id in self._ids:
                if key:
                    raise ValueError(f"{key} {item.version} is in row {self._ids[example.id]} already")
                self.left_out[REPEATED] += 1
                continue
            first, other = self._asked.setdefault((digest, item.version, item.question), (number, item))
            if other is not item and (problem := _contradiction(item, other)):
                if not self.leave_out_contradictions:
                    hint = " (--benchmark ambiguous_vqa reads such rows)" if "new_question" in released else ""
                    raise ValueError(
                        f"contradicts row {first}, of the same picture and question: {problem}{hint}; "
                        "--leave_out_contradictions keeps the first"
                    )
                self.left_out[CONTRADICTING] += 1
                continue
            self._ids[example.id] = number
            self.examples.append(example)

    def _check_split(self, row: dict) -> None:
        """ValueError for rows that are there to train on and would become a test."""
        for name in SPLITS:
            if self.split == "test" and str(row.get(name)).strip().lower() in ("train", "training"):
                raise ValueError(f"{name} is {row[name]!r}: a row to train on. Give --split train")

    def _example(self, item: Item, key: str, group: str | None, image: str, digest: str, size: tuple, fields: dict):
        from clarifyvlm.records import Ambiguity, Dialogue, Example, Facts, Reading

        benchmark = self.source.benchmark
        question, reply, answer = item.dialogue or ("", "", "")
        about = {k: kept(v) for k, v in item.about.items() if v is not None}
        known = about | {"question": item.question}
        return Example(
            id=sha256(f"{benchmark}:{key}:{item.version}:{item.question}:{digest}".encode()).hexdigest()[:16],
            split=self.split,
            image=image,
            image_sha256=digest,
            question=item.question,
            kind=str(item.kind),
            ambiguity=Ambiguity(
                type=item.type,
                level=item.level,
                readings=[Reading(objects=[], expression=e, answer=a) for e, a in item.readings],
            ),
            strategy=item.strategy,
            reference=str(item.reference),
            dialogue=Dialogue(reading=0, question=question, reply=reply, answer=answer) if item.dialogue else None,
            group_id=f"{benchmark}-{group}" if group else None,
            facts=Facts(source=benchmark, width=size[0], height=size[1], objects=[], complete=False),
            provenance={"benchmark": benchmark, "key": key, "version": item.version}
            | about
            | {"released": {k: v for k, v in fields.items() if k not in known or known[k] != v}},
        )

    def _picture(self, name: str, content: bytes) -> tuple[str, str, tuple[int, int]]:
        """(path relative to the output, sha256, (width, height)) of a picture."""
        from folder.pictures import header_of

        digest, header = sha256(content).hexdigest(), header_of(content, name)
        if (suffix := SUFFIXES.get(header.format)) is None:
            raise UserError(f"picture {name}: neither {', '.join(SUFFIXES)}")
        return f"images/{self.split}/{digest[:16]}{suffix}", digest, header.size


def _contradiction(item: Item, other: Item) -> str | None:
    """How two items of one question contradict each other; None where they do not."""
    if item.strategy != other.strategy:
        return f"{item.strategy}, not {other.strategy}"
    ours, theirs = item.answers(), other.answers()
    if item.strategy == "answer" and ours and theirs and not ours & theirs:
        return f"{item.reference!r}, not {other.reference!r}"
    return None
