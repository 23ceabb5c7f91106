"""What holds for the rows of every published benchmark: lists as text, repeats, and fields that are kept."""

import datetime

import pytest

from benchmark_rows import file_converter, picture, table
from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example
from released.items import answers_of, parsed
from stages import script


@pytest.fixture
def convert(tmp_path):
    return file_converter(tmp_path)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ('["lemon", "tea"]', ["lemon", "tea"]),
        ("['lemon', \"it's\"]", ["lemon", "it's"]),
        ("('lemon', 'tea')", ["lemon", "tea"]),
        ("[{'answer': 'lemon', 'answer_confidence': 'yes'}]", ["lemon"]),
        ({"answer": ["lemon", "tea"]}, ["lemon", "tea"]),
        (['{"answer": "lemon"}', "tea"], ["lemon", "tea"]),
        ("lemon, tea", ["lemon, tea"]),
        ("(lemon)", ["(lemon)"]),
        (7, ["7"]),
        ("", []),
        ("[]", []),
        (None, []),
        (float("nan"), []),
    ],
)
def test_text_where_a_list_is_meant(cell, words):
    """Answers taken apart into letters, or a cell of a CSV file taken for one answer."""
    assert answers_of({"answers": cell}) == words


@pytest.mark.parametrize(
    "cell",
    ["['lemon' 'tea']", "['lemon'\n 'tea']", "array(['lemon'], dtype=object)", "[lemon, tea]", '["lemon"', "{1: 2}"],
)
def test_text_that_is_no_list_is_named(cell, convert):
    """numpy's way of printing a list, of which Python makes "lemontea"; half a list taken for an answer."""
    row = {"image": "a.png", "question": "What flavor?", "answerable": 1, "answers": cell}
    with pytest.raises(UserError, match="row 1: answers (is|has no)"):
        convert("vizwiz", "val.csv", table([row]))


def test_other_text_stays():
    """A question or a hint in brackets that is taken for data."""
    assert parsed("What is (that)?", "x") == "What is (that)?" and parsed(3, "x") == 3


def test_every_released_field_is_kept(convert, tmp_path):
    """A mask, a second picture, a date or the name of the picture in the row that is lost without a word."""
    import pyarrow as pa
    import pyarrow.parquet

    row = {
        "id": 5,
        "image": {"bytes": picture(3), "path": "street/1.png"},
        "question": "What is it?",
        "label": "unambiguous",
        "mask": {"bytes": b"mask", "path": "m.png"},
        "taken": datetime.date(2024, 5, 1),
        "scores": [0.5, float("nan")],
    }
    pyarrow.parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "rows.parquet")
    argv = [
        "--benchmark",
        "vq_focusambiguity",
        "--data_file",
        tmp_path / "rows.parquet",
        "--output_dir",
        tmp_path / "o",
    ]
    assert script("dataset_generation/benchmark.py").main([str(a) for a in argv]) == 0
    (e,) = jsonl.read(tmp_path / "o" / "test.jsonl", Example)
    assert e.provenance["released"] == {
        "id": 5,
        "image": "street/1.png",
        "label": "unambiguous",
        "mask": {"bytes": "bWFzaw==", "path": "m.png"},
        "taken": "2024-05-01",
        "scores": [0.5, None],
    }


def test_rows_that_repeat(convert):
    """A row without an id that is there twice counted twice, or the whole set refused for it."""
    row = {"image": "a.png", "level": 0, "question": "What is it?"}
    assert len(convert("aqua", "rows.json", [row, row, row | {"question": "And that?"}])) == 2
    with pytest.raises(UserError, match="row 2: contradicts row 1.*: clarify, not answer"):
        convert("aqua", "rows.json", [row, row | {"level": 3, "id": 4}])
