"""JSONL files: reading with file:line:field errors, whole-file writes that are complete or absent, and an append
that continues where a killed run stopped."""

import json
import os
import re
import tempfile
from array import array
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AliasChoices, BaseModel, ValidationError

from clarifyvlm import processes
from clarifyvlm.errors import UserError
from clarifyvlm.records import SPLITS
from clarifyvlm.text_files import refuse_wide

R = TypeVar("R", bound=BaseModel)

MAX_SHOWN = 5  # bad lines named in one error
MADE_BY: dict[str, str] = {  # file name -> the script that makes it
    **dict.fromkeys(SPLITS, "dataset_generation/generate.py"),
    "predictions": "inference/predict.py",
    "verdicts": "inference/judge.py",
}


def dumps(row: BaseModel | dict) -> str:
    """One row as one line, without the newline. Raises ValueError for NaN and infinity, which JSON has not."""
    content = row.model_dump(mode="json") if isinstance(row, BaseModel) else row
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def read(
    path: str | Path, model: type[R], *, unique: str | None = None, made_by: str | None = None, mend: bool = False
) -> list[R]:
    """All rows of a file as `model`, in order; empty lines are passed over.

    `unique` names a field that may not repeat. Raises UserError that names every fault as file:line: field: problem
    (the first few of them), and for a missing file the command that makes it (`made_by`, or known from its name).
    With `mend`, bytes that are no UTF-8 and halves of surrogate pairs are no faults: they become U+FFFD.
    """
    return [row for _, row in _rows(Path(path), model, unique, made_by, mend)]


class Indexed(Sequence[R]):
    """The rows of a file as `read` has them, each read from the file when it is asked for: a data set of any size is
    trained on in the same memory. `notes[i]` is `note(row i)`, what the caller wants to know of every row beforehand;
    `first` keeps only so many rows.

    Raises UserError for invalid rows, like `read`, when it is made.
    """

    def __init__(self, path: str | Path, model: type[R], note: Callable[[R], Any], first: int | None = None):
        self.path, self.model, self.notes = Path(path), model, []
        self._starts = array("Q")  # bytes
        for start, row in _rows(self.path, model):
            self._starts.append(start)
            self.notes.append(note(row))
        self._starts, self.notes = self._starts[:first], self.notes[:first]

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> R:  # type: ignore[override]  # one row at a time: no slices
        with self.path.open("rb") as file:
            file.seek(self._starts[index])
            return self.model.model_validate_json(file.readline())


def _rows(
    path: Path, model: type[R], unique: str | None = None, made_by: str | None = None, mend: bool = False
) -> Iterator[tuple[int, R]]:
    """(where its line begins, row) of every row; raises the UserError of `read` after the last."""
    faults, end = [], 0
    seen: dict[object, int] = {}  # value of `unique` -> its line
    for number, line in enumerate(_lines(path, made_by), start=1):
        start, end = end, end + len(line)
        if number == 1 and line.startswith(BOM_UTF8):  # of Excel, Notepad
            start, line = len(BOM_UTF8), line[len(BOM_UTF8) :]
        if not line.strip():
            continue
        try:
            row = model.model_validate_json(_mended(line) if mend else line)
        except ValidationError as error:
            faults += [f"{path}:{number}: {problem}" for problem in _problems(error, model)]
            continue
        if unique is not None:
            value = getattr(row, unique)
            if value in seen:
                name = next((n for n in _names(model, unique) if n in json.loads(_mended(line))), unique)
                faults.append(f"{path}:{number}: {name}: {value!r} is already on line {seen[value]}")
            seen[value] = number
        yield start, row
    if faults:
        more = f"\n  ... and {len(faults) - MAX_SHOWN} more" if len(faults) > MAX_SHOWN else ""
        raise UserError("invalid records\n  " + "\n  ".join(faults[:MAX_SHOWN]) + more)


def _lines(path: Path, made_by: str | None = None) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            refuse_wide(file.peek(4)[:4], path)
            yield from file
    except FileNotFoundError:
        script = made_by or MADE_BY.get(path.stem)
        hint = f" `python {script}` makes it." if script else ""
        raise UserError(f"no file {path}.{hint}") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; give the JSONL file in it.") from None


def _mended(line: bytes) -> bytes:
    """A JSON line whose text other tools can read: U+FFFD for what is no character."""
    try:
        if b"\\ud" not in line.lower():
            return line.decode("utf-8", "replace").encode()
        content = json.loads(line.decode("utf-8", "replace"))
    except ValueError:
        return line
    return re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", json.dumps(content, ensure_ascii=False)).encode()


def _names(model: type[BaseModel], field: str) -> list[str]:
    """The names that a field may have in a file, the one that counts first."""
    alias = model.model_fields[field].validation_alias if field in model.model_fields else None
    return [str(name) for name in alias.choices] if isinstance(alias, AliasChoices) else [field]


def _problems(error: ValidationError, model: type[BaseModel]) -> list[str]:
    problems = []
    for item in error.errors(include_url=False):
        field = ".".join(str(part) for part in item["loc"])
        if item["type"] == "missing":
            field = " or ".join(_names(model, field))
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "json_invalid":
            message = f"not a whole JSON object ({message.removeprefix('Invalid JSON: ')}); the line may be torn"
        given = (
            f" (got {str(item['input'])[:40]!r})" if field and item["type"] not in ("missing", "json_invalid") else ""
        )
        problems.append(f"{field}: {message}{given}" if field else message)
    return problems


def write_atomic(path: str | Path, rows: Iterable[BaseModel | dict]) -> int:
    """Write all rows, then put the file in its place in one step. Returns the number of rows."""
    count = 0

    def lines():
        nonlocal count
        for row in rows:
            count += 1
            yield dumps(row) + "\n"

    write_text_atomic(path, lines())
    return count


def write_text_atomic(path: str | Path, parts: str | Iterable[str]) -> None:
    """Write text to a file that is complete or absent: a temporary file beside it, then a rename."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.writelines([parts] if isinstance(parts, str) else parts)
            file.flush()
            os.fsync(file.fileno())
        with suppress(PermissionError):  # a disk that knows no such rights
            os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


class Appender:
    """Rows appended one whole line at a time to a file that an earlier, killed run may have begun.

    `done` holds the `key` of every row already there. A torn last line (one without its newline) is dropped, and
    `dropped` says so; a bad line anywhere else is a UserError. A line that does not fit on the disk is taken back.
    """

    def __init__(self, path: str | Path, key: str = "example_id"):
        self.path, self.key = Path(path), key
        self.dropped = False
        self.done: set[str] = set()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = self.path.read_bytes() if self.path.exists() else b""
        whole = content.rfind(b"\n") + 1
        for number, line in enumerate(content[:whole].split(b"\n")[:-1], start=1):
            if line.strip():
                self.done.add(self._key_of(line, number))
        self.dropped = whole < len(content)
        self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115 (closed by __exit__)
        if self.dropped:
            print(f"{self.path}: dropped a torn last line ({len(content) - whole} bytes) of an interrupted run")
            self._file.truncate(whole)

    def _key_of(self, line: bytes, number: int) -> str:
        try:
            return json.loads(line)[self.key]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.path}:{number}: {self.key}: cannot continue this file ({type(error).__name__}: {error}). "
                "Mend or remove the line, or write to another file."
            ) from None

    def append(self, row: BaseModel | dict) -> None:
        data = (dumps(row) + "\n").encode()
        start = os.fstat(self._file.fileno()).st_size
        written = 0
        try:
            while written < len(data):
                written += self._file.write(data[written:])
        except BaseException as error:
            self._file.truncate(start)
            if isinstance(error, OSError):
                error.filename = str(self.path)
            raise
        self.done.add(row[self.key] if isinstance(row, dict) else getattr(row, self.key))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.fsync(self._file.fileno())
        self._file.close()


@contextmanager
def shared_appender(path: str | Path, ids: Sequence[str], key: str = "example_id") -> Iterator[Appender]:
    """An Appender for rows that several processes make, each its share of them: afterwards `path` has them all, in the
    order of `ids`. In every process `done` begins as the set of what an earlier, killed run left, whoever wrote it."""
    path = Path(path)
    if processes.is_leader():
        _bring_together(path, ids, key)
        with Appender(path, key) as output:
            pass
    done = processes.from_leader(output.done if processes.is_leader() else None)
    with Appender(processes.share_of(path), key) as output:
        output.done |= done
        yield output
    processes.wait()
    if processes.is_leader():
        _bring_together(path, ids, key)
    processes.wait()


def _bring_together(path: Path, ids: Sequence[str], key: str) -> None:
    """Take the other processes' rows into `path`, each once, in the order of `ids`; then remove their files."""
    shares = processes.shares(path)
    lines: dict[str, bytes] = {}
    for part in (path, *shares):
        if part.exists():
            with Appender(part, key):  # drops a torn last line
                pass
            for line in part.read_bytes().splitlines(keepends=True):
                lines.setdefault(json.loads(line)[key], line)
    place = {name: i for i, name in enumerate(ids)}
    ordered = sorted(lines, key=lambda name: place.get(name, len(place)))
    if shares or ordered != list(lines):
        write_text_atomic(path, (lines[name].decode() for name in ordered))
    for part in shares:
        part.unlink()
