"""JSONL files: errors that name the place, complete-or-absent writes, appending after a kill."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from clarifyvlm import jsonl
from clarifyvlm.errors import UserError, run_main
from clarifyvlm.records import Example, Prediction
from small_examples import star_example


def lines(*rows) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


GOOD = star_example(0, "a.png", "0")


@pytest.mark.parametrize(
    "content,words",
    [
        (lines(GOOD, json.dumps(GOOD)[:50]), [":2:", "torn"]),
        (lines(GOOD, {**GOOD, "strategy": "guess"}), [":2: strategy", "'guess'"]),
        (lines(GOOD, {k: v for k, v in GOOD.items() if k != "question"}), [":2: question", "required"]),
        (lines({**GOOD, "facts": {**GOOD["facts"], "objects": [{"id": "o"}]}}), [":1: facts.objects.0.name"]),
        (lines({**GOOD, "strategy": "answer"}), [":1:", "dialogue"]),
        (lines(GOOD, GOOD), [":2: id", "'ex0000'", "line 1"]),
        (lines("[1]"), [":1:"]),
        (lines("\xff\x00"), [":1:"]),
    ],
)
def test_bad_lines_are_named(tmp_path, content, words):
    """An error without file, line and field; a bad line that is skipped."""
    path = tmp_path / "train.jsonl"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError) as error:
        jsonl.read(path, Example, unique="id")
    assert all(word in str(error.value) for word in ["train.jsonl", *words]), error.value


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"id": "a", "text": ""}] * 2, ":2: id: 'a' is already on line 1"),
        ([{"example_id": "a", "text": ""}] * 2, ":2: example_id: 'a' is already on line 1"),
        ([{"example_id": "a", "text": ""}, {"id": "a", "text": ""}], ":2: id: 'a' is already on line 1"),
        ([{"id": 7, "text": ""}], ":1: id: "),
        ([{"text": ""}], ":1: example_id or id: Field required"),
    ],
)
def test_messages_use_the_name_that_the_file_uses(rows, said, tmp_path):
    """`example_id` in a message about a file that has none: whoever wrote `id` looks for it in vain."""
    path = tmp_path / "predictions.jsonl"
    path.write_bytes(lines(*rows).encode())
    with pytest.raises(UserError) as error:
        jsonl.read(path, Prediction, unique="example_id", mend=True)
    assert said in str(error.value)


def test_many_bad_lines_fit_one_screen(tmp_path):
    """Ten thousand errors that scroll the first one away."""
    path = tmp_path / "p.jsonl"
    path.write_text('{"a": 1}\n' * 10_000)
    with pytest.raises(UserError) as error:
        jsonl.read(path, Prediction)
    assert len(str(error.value).splitlines()) < 10 and "more" in str(error.value)


def test_missing_file_names_the_command_that_makes_it(tmp_path):
    """A bare FileNotFoundError that leaves a newcomer guessing."""
    with pytest.raises(UserError, match=r"dataset_generation/generate\.py"):
        jsonl.read(tmp_path / "train.jsonl", Example)


def test_round_trip_keeps_order_unicode_and_extra_fields(tmp_path):
    """Fields of the user's own lost on the way, or text escaped beyond reading."""
    rows = [Prediction(example_id=f"e{i}", text="Wélche 星?\n", my_note=i) for i in range(3)]
    jsonl.write_atomic(tmp_path / "p.jsonl", rows)
    assert jsonl.read(tmp_path / "p.jsonl", Prediction) == rows
    assert "星" in (tmp_path / "p.jsonl").read_text(encoding="utf-8")


def test_indexed_rows_are_those_of_the_list(tmp_path):
    """A row read from the wrong place in the file: after an empty line, after letters of several bytes, at the end."""
    path = tmp_path / "p.jsonl"
    rows = [Prediction(example_id=f"e{i}", text="星" * i) for i in range(4)]
    path.write_text("\n" + "\n\n".join(jsonl.dumps(row) for row in rows), encoding="utf-8")
    indexed = jsonl.Indexed(path, Prediction, lambda row: len(row.text))
    assert list(indexed) == rows and indexed.notes == [0, 1, 2, 3] and indexed[-1] == rows[-1]
    first = jsonl.Indexed(path, Prediction, lambda row: row.example_id, first=2)
    assert (len(first), first.notes) == (2, ["e0", "e1"])
    path.write_text(lines({"a": 1}))
    with pytest.raises(UserError, match=r"p\.jsonl:1: example_id"):
        jsonl.Indexed(path, Prediction, len)


def test_failed_write_leaves_the_old_file(tmp_path):
    """A half-written file in the place of a whole one; a temporary file left behind."""
    path = tmp_path / "a.jsonl"
    jsonl.write_atomic(path, [{"a": 1}])

    def rows():
        yield {"a": 2}
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        jsonl.write_atomic(path, rows())
    with pytest.raises(ValueError):
        jsonl.write_atomic(path, [{"a": float("nan")}])
    assert path.read_text() == '{"a": 1}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_append_continues_and_drops_only_a_torn_last_line(tmp_path, capsys):
    """Rows twice after a kill, a row glued to a torn one, or whole rows lost with it."""
    path = tmp_path / "p.jsonl"
    path.write_text(lines({"example_id": "a"}, {"example_id": "b"}) + '{"example_id": "c", "te')
    with jsonl.Appender(path) as output:
        assert output.done == {"a", "b"} and output.dropped
        output.append({"example_id": "c"})
        assert "c" in output.done
    assert path.read_text() == lines({"example_id": "a"}, {"example_id": "b"}, {"example_id": "c"})
    assert "torn last line" in capsys.readouterr().out


def test_append_refuses_a_bad_line_inside(tmp_path):
    """A corrupt file continued as if it were whole."""
    path = tmp_path / "p.jsonl"
    path.write_text(lines({"example_id": "a"}, "{torn", {"example_id": "b"}))
    with pytest.raises(UserError, match=r"p\.jsonl:2: example_id"):
        jsonl.Appender(path)
    assert path.read_text().count("\n") == 3


def test_append_on_a_full_disk_takes_the_torn_line_back(tmp_path, monkeypatch, capsys):
    """A full disk that leaves a torn line, or a traceback instead of what to do."""
    path = tmp_path / "p.jsonl"
    output = jsonl.Appender(path)
    output.append({"example_id": "a"})

    class Full:  # a real file of which only a few more bytes fit
        def __init__(self, file):
            self.file, self.room = file, 5

        def write(self, data):
            if self.room == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            data, self.room = data[: self.room], 0
            return self.file.write(data)

        def __getattr__(self, name):
            return getattr(self.file, name)

    monkeypatch.setattr(output, "_file", Full(output._file))

    def main():
        output.append({"example_id": "b"})

    with pytest.raises(SystemExit) as left:
        run_main(main)
    assert left.value.code == 1 and path.read_text() == lines({"example_id": "a"})
    assert "disk is full" in capsys.readouterr().err and output.done == {"a"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_said_in_one_line(tmp_path):
    """A traceback when the disk is full."""
    code = (
        "from clarifyvlm.errors import run_main\n"
        "def main():\n    with open('/dev/full', 'w') as f: f.write('x' * 100000)\n"
        "run_main(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "disk is full" in done.stderr and "Traceback" not in done.stderr
