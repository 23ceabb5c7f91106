"""Rows and pictures of a released file: JSON, JSONL, parquet, arrow, TSV, CSV, or a data set of the hub."""

import base64
import binascii
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from clarifyvlm.errors import UserError

LISTS = ("questions", "annotations", "data", "rows", "examples")  # keys under which a JSON object holds its rows
LONGEST_NAME = 100  # of a picture, in characters: what is longer is the picture itself, as base64
PICTURES = (".jpg", ".jpeg", ".png", ".webp")


def read(path: str | Path) -> Iterator[dict]:
    """The rows of a file, in its order. An object of objects gives each its key as `key`. UserError: no such form."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.suffix not in FORMATS:
        raise UserError(f"{path}: {path.suffix or 'no suffix'} is none of {', '.join(FORMATS)}")
    try:
        yield from FORMATS[path.suffix](path)
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


def _json(path: Path) -> Iterator[dict]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, dict):
        inner = next((content[key] for key in LISTS if isinstance(content.get(key), list)), None)
        if inner is None:
            if not all(isinstance(row, dict) for row in content.values()):
                raise ValueError(f"neither a list, nor an object of rows, nor one with {', '.join(LISTS)}")
            inner = [{"key": key, **row} for key, row in content.items()]
        content = inner
    yield from _objects(content)


def _jsonl(path: Path) -> Iterator[dict]:
    with open(path, encoding="utf-8") as file:
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
    with open(path, encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")


FORMATS = {
    ".json": _json,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".tsv": _table,
    ".csv": _table,
}


class Pictures:
    """Finds the picture of a row: in the row itself (bytes, base64), or in `folder` by name, stem or COCO's number."""

    def __init__(self, folder: str | Path | None):
        self._paths: dict[str, Path] = {}
        for path in sorted(Path(folder).rglob("*")) if folder else ():
            if path.suffix.lower() in PICTURES:
                for name in (path.relative_to(folder).as_posix(), path.name, path.stem, _number(path.stem)):
                    self._paths.setdefault(name, path)
        if folder and not self._paths:
            raise UserError(f"--image_dir {folder}: no pictures there ({', '.join(PICTURES)})")

    def get(self, value) -> tuple[str, bytes] | None:
        """(file name, content) of what a row gives as its picture; None where there is none."""
        if isinstance(value, dict):
            if value.get("bytes"):
                return Path(value.get("path") or "picture").name, value["bytes"]
            value = value.get("path")
        if isinstance(value, bytes):
            return "picture", value
        name = str(value if value is not None else "")
        for known in (name, name.rsplit("/", 1)[-1], _number(name)):
            if path := self._paths.get(known):
                return path.name, path.read_bytes()
        try:
            return ("picture", base64.b64decode(name, validate=True)) if len(name) > LONGEST_NAME else None
        except binascii.Error:
            return None


def _number(name: str) -> str:
    """ "COCO_val2014_000000000042" and "42" -> "#42"."""
    digits = name.rsplit("_", 1)[-1]
    return f"#{int(digits)}" if digits.isascii() and digits.isdigit() else name
