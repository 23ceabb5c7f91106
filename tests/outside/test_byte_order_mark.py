"""Files that Excel, Notepad and PowerShell write: a byte order mark."""

import codecs
import json

import pytest

from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example
from outside_inputs import coco, generate
from released import files
from small_examples import write_examples

NAMES = [f"{i}.png" for i in range(40)]


def test_examples(tmp_path):
    """A byte order mark: the first line is called torn, or its offset is off by three bytes."""
    data = write_examples(tmp_path, 3)
    rows = jsonl.read(data, Example)
    data.write_bytes(codecs.BOM_UTF8 + data.read_bytes())
    assert jsonl.read(data, Example) == rows
    indexed = jsonl.Indexed(data, Example, lambda e: e.id)
    assert [indexed[i] for i in range(3)] == rows
    with jsonl.Appender(data, key="id") as output:
        assert output.done == {e.id for e in rows}


def test_annotations(tmp_path):
    """A byte order mark: the annotations are called no COCO."""
    path = coco(tmp_path / "a", NAMES)
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert generate(path, tmp_path / "out")


@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv"])
def test_rows_of_benchmarks(tmp_path, suffix):
    """A byte order mark: the first column has a name that nobody sees."""
    path = tmp_path / f"rows.{suffix}"
    row = {"question": "Why?", "level": "1"}
    text = "question,level\nWhy?,1\n" if suffix == "csv" else json.dumps([row] if suffix == "json" else row)
    path.write_text(text, encoding="utf-8-sig")
    assert list(files.read(path)) == [row]
    path.write_text(text, encoding="utf-16")
    with pytest.raises(UserError, match="UTF-16, by its byte order mark"):
        list(files.read(path))


def test_other_codings_are_named(tmp_path):
    """A byte order mark: of UTF-16 the message is that of a torn line."""
    data = write_examples(tmp_path, 1)
    data.write_text(data.read_text(), encoding="utf-16")
    with pytest.raises(UserError, match="UTF-16, by its byte order mark"):
        jsonl.read(data, Example)
