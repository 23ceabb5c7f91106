"""Published benchmarks: their rows become examples that say what the rows say and no more, in any released format."""

import base64
import json

import pytest

from benchmark_rows import PEOPLE, ROWS, converter, picture
from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example
from stages import script

benchmark = script("dataset_generation/benchmark.py")


@pytest.fixture
def convert(tmp_path):
    return converter(tmp_path)


@pytest.mark.parametrize(
    ("name", "strategies"),
    [
        ("aqua", ["answer", "infer", "enumerate", "clarify"]),
        ("clearvqa", ["answer", "clarify"]),
        ("mm_upd", ["answer", "correct"]),
        ("vq_focusambiguity", ["clarify", "answer"]),
        ("vizwiz", ["answer", "abstain"]),
        ("gqa", ["answer", "answer"]),
    ],
)
def test_rows_become_examples(convert, name, strategies):
    """A label that becomes another strategy; objects, boxes or answers that nobody annotated."""
    examples = convert(name, ROWS[name])
    assert [e.strategy for e in examples] == strategies
    for e in examples:
        assert e.facts.objects == [] and not e.facts.annotated and (e.facts.width, e.facts.height) == (40, 30)
        assert e.facts.source == e.provenance["benchmark"] == name and e.dialogue is None


def test_levels_and_answers_are_those_of_the_rows(convert):
    """A level lost; an answer of the minority; a reading made up."""
    assert [e.ambiguity.level for e in convert("aqua", ROWS["aqua"])] == [0, 1, 2, 3]
    clear, blurred = convert("clearvqa", ROWS["clearvqa"])
    assert (clear.question, blurred.question) == ("What color is the dog's collar?", "What color is it?")
    assert [(r.expression, r.answer) for r in blurred.ambiguity.readings] == [(clear.question, "red")]
    assert clear.group_id == blurred.group_id
    seen, hidden = convert("vizwiz", ROWS["vizwiz"])
    assert (seen.reference, seen.provenance["answers"]) == ("red", PEOPLE) and hidden.ambiguity.readings == []
    yes, cup = convert("gqa", ROWS["gqa"])
    assert (yes.reference, cup.reference, cup.kind) == ("Yes, the dog is big.", "cup", "obj")


def test_options_and_pairs_of_multiple_choice(convert):
    """Options that the model does not see, or empty ones; both versions of a question that do not find each other."""
    solvable, unsolvable = convert("mm_upd", ROWS["mm_upd"], images=None)
    assert solvable.question == "What is on the table?\nA. a cup\nB. a dog"
    assert unsolvable.question == "Look well.\nWhat is on the table?\nA. a cat\nB. a dog"
    assert solvable.provenance["pair"] == unsolvable.provenance["pair"] and solvable.group_id == unsolvable.group_id
    assert solvable.provenance["accepted"] == ["A. a cup", "A", "a cup"] and solvable.reference == "a cup"


def test_vqav2_in_two_files(convert, tmp_path):
    """Answers that meet another question; COCO's number that finds no picture; a test split without answers."""
    questions = [{"question_id": 10 * i, "image_id": 42, "question": f"Question {i}?"} for i in (1, 2, 3)]
    answers = [{"question_id": 20, "answers": [{"answer": w} for w in PEOPLE], "multiple_choice_answer": "red"}]
    answers += [{"question_id": 10, "answers": [{"answer": "two"}] * 10, "answer_type": "number"}]
    (tmp_path / "answers.json").write_text(json.dumps({"info": {}, "annotations": answers}))
    examples = convert("vqav2", {"info": {}, "questions": questions}, "--annotations", str(tmp_path / "answers.json"))
    assert [(e.question, e.reference) for e in examples] == [("Question 1?", "two"), ("Question 2?", "red")]
    assert json.loads((tmp_path / "out" / "vqav2" / "run.json").read_text())["counts"]["left_out"] == 1


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow", "tsv"])
def test_every_released_format(tmp_path, suffix):
    """A format that gives other examples than the same rows as JSON; a picture inside the row that is not found."""
    import pyarrow as pa
    import pyarrow.parquet

    rows = [
        {
            "image": {"bytes": picture(i), "path": f"{i}.png"},
            "filename": f"{i}.jpg",
            "level": i,
            "question": f"What {i}?",
        }
        for i in range(4)
    ]
    path = tmp_path / f"rows.{suffix}"
    table = pa.Table.from_pylist(rows)
    if suffix == "parquet":
        pyarrow.parquet.write_table(table, path)
    elif suffix == "arrow":
        with pa.ipc.new_stream(str(path), table.schema) as writer:
            writer.write_table(table)
    else:
        flat = [row | {"image": base64.b64encode(row["image"]["bytes"] + b"\0" * 99).decode()} for row in rows]
        if suffix == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in flat))
        else:
            lines = ["\t".join(flat[0]), *("\t".join(str(v) for v in row.values()) for row in flat)]
            path.write_text("\n".join(lines) + "\n")
    argv = ["--benchmark", "aqua", "--data_file", str(path), "--output_dir", str(tmp_path / "out")]
    assert benchmark.main([*argv, "--num_rows", "3"]) == 0
    examples = jsonl.read(tmp_path / "out" / "test.jsonl", Example)
    assert [(e.question, e.ambiguity.level) for e in examples] == [("What 0?", 0), ("What 1?", 1), ("What 2?", 2)]
    assert len({e.image for e in examples}) == 3


def test_columns_of_another_version(convert):
    """A release with other names that cannot be read, or is read wrongly without a word."""
    rows = [{"image": "a.png", "query": "What color is the dog?", "label": "ambiguous"}]
    with pytest.raises(UserError, match="no question. It has image, query, label. .*--columns question=..."):
        convert("vq_focusambiguity", rows)
    (example,) = convert("vq_focusambiguity", rows, "--columns", "question=query", "ambiguous=label")
    assert example.question == "What color is the dog?" and example.strategy == "clarify"
    assert example.provenance["released"] == rows[0]  # nothing of a row is lost


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([{"image": "a.png", "question": "Q?", "level": 0}, {"image": "a.png", "level": 0}], "row 2: no question"),
        ([{"image": "a.png", "question": ["Q?"], "level": 0}], "row 1: question is .'Q.'.: text was expected"),
        ([{"image": "a.png", "question": "Q?", "level": 7}], "row 1: level is 7: 0, 1, 2, 3 was expected"),
        (
            [{"image": f"{i}.png", "question": "Q?", "level": 0} for i in range(12)],
            "12 pictures .*\n.*0.png(.|\n)*2 more",
        ),
        ([{"image": "a.png", "question": "Q?", "level": 0}] * 2, "0 rows|row 2"),
        ([], "no row with a question"),
        ({"info": 3}, "neither a list, nor an object of rows"),
        ([3], "row 1 is no object"),
    ],
)
def test_bad_rows_are_named(convert, tmp_path, rows, complaint):
    """A traceback, or a part of a benchmark that passes for the whole."""
    if complaint.startswith("0 rows"):
        rows = [row | {"id": "x"} for row in rows]
    with pytest.raises(UserError, match=complaint):
        convert("aqua", rows)
    assert not (tmp_path / "out" / "aqua" / "test.jsonl").exists()


def test_bad_flags_and_files(tmp_path):
    """A traceback of a library, or a silent run on nothing."""

    def refused(complaint: str, *flags: str) -> None:
        with pytest.raises(UserError, match=complaint):
            benchmark.main(["--benchmark", "aqua", "--output_dir", str(tmp_path / "out"), *flags])

    refused("--data_file or --hub_id")
    refused("no such file", "--data_file", str(tmp_path / "none.json"))
    for name, content in (("x.json", "{"), ("x.jsonl", "{\n"), ("x.parquet", "no"), ("x.arrow", "no")):
        (tmp_path / name).write_text(content)
        refused("cannot be read as", "--data_file", str(tmp_path / name))
    (tmp_path / "x.xml").write_text("")
    refused("is none of .json", "--data_file", str(tmp_path / "x.xml"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "y.json").write_text(json.dumps(ROWS["aqua"]))
    refused("no pictures there", "--data_file", str(tmp_path / "y.json"), "--image_dir", str(tmp_path / "empty"))
    refused("ours=theirs", "--data_file", str(tmp_path / "y.json"), "--columns", "question")


def test_rerun_does_nothing_and_another_setting_is_refused(convert, capsys):
    """Work done twice; a folder with rows of two settings."""
    convert("vizwiz", ROWS["vizwiz"])
    capsys.readouterr()
    convert("vizwiz", ROWS["vizwiz"])
    assert "nothing to do" in capsys.readouterr().out
    with pytest.raises(UserError, match="other settings"):
        convert("vizwiz", ROWS["vizwiz"], "--num_rows", "1")
