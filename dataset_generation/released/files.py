"""Rows and pictures of a released file: JSON, JSONL, parquet, arrow, TSV, CSV, or a data set of the hub."""

import base64
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from clarifyvlm.errors import UserError
from clarifyvlm.text_files import read_text, refuse_wide
from folder.names import SUFFIXES, Names
from released.items import parsed

# Keys under which a JSON object holds its rows.
LISTS = ("questions", "annotations", "annotation", "data", "rows", "examples")
QUESTIONS = ("question", "text")  # an object with one of them is a row
LONGEST_NAME = 100  # of a picture, in characters: what is longer is the picture itself, as base64


def read(path: str | Path) -> Iterator[dict]:
    """The rows of a file, in its order. An object of objects gives each its key as `key`. UserError: no such form."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"{path}: {path.suffix or 'no suffix'} is none of {', '.join(FORMATS)}")
    try:
        yield from FORMATS[suffix](path)
    except (ValueError, OSError) as error:  # json's, csv's and pyarrow's
        raise UserError(f"{path}: cannot be read as {path.suffix[1:]}: {error}") from None


def read_hub(name: str, config: str | None, split: str) -> Iterator[dict]:
    """The rows of a data set of the hub (network, or its local cache), with pictures as bytes."""
    import datasets

    try:
        rows = datasets.load_dataset(name, config, split=split)
    except Exception as error:  # datasets raises what its many back ends do
        raise UserError(
            f"--hub_id {name}: cannot be loaded ({type(error).__name__}: {str(error)[:200]}). Without a network give "
            "--data_file and --image_dir."
        ) from None
    for column, feature in rows.features.items():
        if isinstance(feature, datasets.Image):
            rows = rows.cast_column(column, datasets.Image(decode=False))
    yield from rows


def _opened(path: Path, **how):
    """A text file of any size, read as `read_text` does."""
    with open(path, "rb") as file:
        refuse_wide(file.read(4), path)
    return open(path, encoding="utf-8-sig", **how)


def _json(path: Path) -> Iterator[dict]:
    text = read_text(path)
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data"):
            raise
        content = [json.loads(line) for line in text.split("\n") if line.strip()]  # JSON lines under JSON's name
    if isinstance(content, dict) and any(isinstance(content.get(key), str) for key in QUESTIONS):
        content = [content]  # one such line
    if isinstance(content, dict):
        inner = next((content[key] for key in LISTS if isinstance(content.get(key), list)), None)
        if inner is None:
            if not all(isinstance(row, dict) for row in content.values()):
                raise ValueError(f"neither a list, nor an object of rows, nor one with {', '.join(LISTS)}")
            inner = [{"key": key, **row} for key, row in content.items()]
        content = inner
    yield from _objects(content)


def _jsonl(path: Path) -> Iterator[dict]:
    with _opened(path) as file:
        is_list = file.read(1) == "["
    if is_list:  # JSON under the name of JSON lines
        yield from _json(path)
        return
    with _opened(path) as file:
        yield from _objects(json.loads(line) for line in file if line.strip())


def _objects(rows) -> Iterator[dict]:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ValueError(f"row {number} is no object: {str(row)[:60]}")
        yield row


def _parquet(path: Path) -> Iterator[dict]:
    import pyarrow.parquet

    for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=64):
        yield from batch.to_pylist()


def _arrow(path: Path) -> Iterator[dict]:
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        try:
            reader = pa.ipc.open_stream(file)
        except pa.ArrowInvalid:
            whole = pa.ipc.open_file(file)
            reader = (whole.get_batch(i) for i in range(whole.num_record_batches))
        for batch in reader:
            for start in range(0, batch.num_rows, 64):
                yield from batch.slice(start, 64).to_pylist()


def _table(path: Path) -> Iterator[dict]:
    csv.field_size_limit(sys.maxsize)  # pictures as base64
    with _opened(path, newline="") as file:
        for number, row in enumerate(
            csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ","), start=1
        ):
            if None in row:
                raise ValueError(f"row {number} has more cells than there are columns")
            yield row


FORMATS = {
    ".json": _json,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".tsv": _table,
    ".csv": _table,
}


def is_content(value) -> bool:
    """Whether a cell is a picture itself, and not a name."""
    if isinstance(value, dict):
        return bool(value.get("bytes"))
    if isinstance(value, str):
        return len(value) > LONGEST_NAME and Path(value[-9:]).suffix.lower() not in SUFFIXES
    return isinstance(value, bytes)


class Pictures:
    """Finds the picture of a row: in the row itself (bytes, base64), or in `folder` by name, stem or COCO's number.
    `doubtful` has the names that may mean several, with these."""

    def __init__(self, folder: str | Path | None):
        self.folder = folder
        self._names = Names(folder, "--image_dir") if folder else None
        self.doubtful: dict[str, list[str]] = {}
        if folder and not self._names.files:
            others = self._names.others
            raise UserError(
                f"--image_dir {folder}: no pictures there ({', '.join(SUFFIXES)})"
                + (f"; {len(others)} of other kinds are ({others[0]}, ...): convert them to JPEG" if others else "")
            )

    def get(self, value) -> tuple[str, bytes] | None:
        """(file name, content) of what a row gives as its picture; None where there is none, or no one."""
        if isinstance(value, str) and value.startswith("{"):  # of a CSV file
            value = parsed(value, "picture")
        if isinstance(value, dict):
            if value.get("bytes"):
                return Path(value.get("path") or "picture").name, value["bytes"]
            value = value.get("path")
        if isinstance(value, bytes):
            return "picture", value
        name = str(value if value is not None else "")
        if self._names and name and not is_content(name):
            found = self._found(name)
            if len(found) > 1:
                self.doubtful[name] = found
            if len(found) == 1:
                return Path(found[0]).name, (self._names.folder / found[0]).read_bytes()
        try:
            encoded = name.partition(";base64,")[2] if name.startswith("data:") else name
            return ("picture", base64.b64decode(encoded, validate=True)) if is_content(name) else None
        except ValueError:
            return None

    def _found(self, name: str) -> list[str]:
        """By the path; without an ending, by the stem; a number alone also by COCO's."""
        if found := self._names.find(name):
            return found
        if Path(name).suffix.lower() in SUFFIXES:
            return []
        for suffix in SUFFIXES:
            if found := self._names.find(f"{name}{suffix}"):
                return found
        return self._names.numbered(name.removesuffix(".0"))
