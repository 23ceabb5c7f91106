"""Parquet files with pictures: `datasets` loads what was in the data folder, and it can be made a folder again."""

import io
import json
import subprocess
import sys
from hashlib import sha256

import pytest

from clarifyvlm.jsonl import dumps
from clarifyvlm.records import Example
from stages import ROOT, example, kill_when, script, write_data

EXPORT = "dataset_generation/export.py"


def export(*flags):
    command = [sys.executable, str(ROOT / EXPORT), *map(str, flags)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def load(folder, cache):
    from datasets import load_dataset

    return load_dataset(str(folder), cache_dir=str(cache))


def to_example(row):
    script(EXPORT)
    from released.parquet_rows import to_example

    return to_example(row)


def read(path):
    return [Example.model_validate_json(line) for line in open(path)]


def files(folder):
    return {p.name: p.read_bytes() for p in (folder / "data").iterdir()}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Every strategy; some records hold what other tools add, and pictures of other kinds. Do not write into it."""
    from PIL import Image

    folder = write_data(tmp_path_factory.mktemp("export") / "data", train=24, validation=6)
    rows = [json.loads(line) for line in open(folder / "train.jsonl")]
    rows[0] |= {"difficulty": 3, "image_path": "mine", "extra": {"a": [None, 1.5]}, "nothing": None}
    rows[1]["facts"] |= {"camera": {"make": "Ü\\u2028"}}
    rows[1]["facts"]["objects"][0] |= {"attributes": ["old", "wet"], "box": [1.25, 2, 1 / 3, 1e-9]}
    rows[2]["ambiguity"] |= {"votes": 2}
    rows[2]["ambiguity"]["readings"][1] |= {"share": 0.25}
    rows[3]["dialogue"] |= {"json": "x"}
    rows[4]["provenance"] = {"source": "coco", "license": "CC BY 2.0", "source_url": "https://example.org/1", "n": None}
    rows[5]["provenance"] = {"source": "scenes", "license": None, "seed": 0}
    rows[6]["group_id"] = None
    photo = io.BytesIO()
    Image.new("RGB", (60, 40), "#246").save(photo, "JPEG")
    (folder / "images" / "photo é.jpg").write_bytes(photo.getvalue())
    rows[7] |= {"image": "images/photo é.jpg", "image_sha256": sha256(photo.getvalue()).hexdigest()}
    lines = [dumps(Example(**row)) + "\n" for row in rows]
    (folder / "train.jsonl").write_text("".join(lines), encoding="utf-8")
    lines = [dumps(e) + "\n" for e in read(folder / "validation.jsonl")]
    (folder / "validation.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def hub(data, tmp_path_factory):
    """`data` exported; do not write into it."""
    folder = tmp_path_factory.mktemp("hub") / "hub"
    code, text = export("--data_dir", data, "--output_dir", folder)
    assert code == 0, text
    return folder


def test_datasets_loads_the_same_values_and_pictures(data, hub, tmp_path):
    """Catches a field that is lost, cut, renamed or of another type, and a picture that is another one's."""
    from PIL import Image

    loaded = load(hub, tmp_path)
    assert {s: len(d) for s, d in loaded.items()} == {"train": 24, "validation": 6}
    for split, rows in loaded.items():
        for row, e in zip(rows, read(data / f"{split}.jsonl"), strict=True):
            assert to_example(row) == e
            assert dumps(to_example(row)) == dumps(e)
            assert row["question"] == e.question and row["facts"]["objects"][0]["name"] == e.facts.objects[0].name
            assert (row["dialogue"] is None) == (e.dialogue is None)
            with Image.open(data / e.image) as picture:
                assert row["image"].tobytes() == picture.tobytes() and row["image"].format == picture.format


def test_streaming_gives_the_same(data, hub):
    """Catches files that load only as a whole."""
    from datasets import load_dataset

    rows = load_dataset(str(hub), split="train", streaming=True)
    assert [to_example(row) for row in rows] == read(data / "train.jsonl")


def test_a_data_folder_again(data, hub, tmp_path):
    """Catches a way back that other stages cannot read: other bytes, pictures elsewhere."""
    code, text = export("--import_dir", hub, "--output_dir", tmp_path / "back")
    assert code == 0, text
    for name in ("train.jsonl", "validation.jsonl"):
        assert (tmp_path / "back" / name).read_bytes() == (data / name).read_bytes()
    for e in read(data / "train.jsonl"):
        assert (tmp_path / "back" / e.image).read_bytes() == (data / e.image).read_bytes()


def test_card_has_the_header_of_the_hub(hub):
    """Catches a header that the hub refuses or that says other than the files: names, sizes, features, paths."""
    from datasets import load_dataset_builder
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCard

    card = DatasetCard.load(hub / "README.md")
    header = card.data.to_dict()
    assert header["license"] == "other" and header["language"] == ["en"]
    assert header["task_categories"] == ["visual-question-answering"] and header["size_categories"] == ["n<1K"]
    (config,) = header["configs"]
    for entry in config["data_files"]:
        assert list(hub.glob(entry["path"])), entry
    info = DatasetInfosDict.from_dataset_card_data(card.data)["default"]
    script(EXPORT)
    from released.parquet_rows import features

    assert info.features == features() == load_dataset_builder(str(hub)).info.features
    assert {s: i.num_examples for s, i in info.splits.items()} == {"train": 24, "validation": 6}
    assert info.download_size == sum(len(content) for content in files(hub).values())
    assert "| CC BY 2.0 | 1 |" in card.text and "| apache-2.0 | 1 |" in card.text and "| not known | 28 |" in card.text


def test_header_license(tmp_path):
    """Catches a license that is invented, or that holds for some of the pictures only."""
    from collections import Counter

    script(EXPORT)
    from folder.card import hub_header
    from released.parquet_rows import features

    split = {"examples": 2000, "bytes": 1, "file_bytes": 1}
    for licenses, said in (
        ({"apache-2.0": 2}, "apache-2.0"),
        ({None: 2}, "unknown"),
        ({None: 2, "cc-by-4.0": 1}, "other"),
        ({"apache-2.0": 2, "cc-by-4.0": 1}, "other"),
        ({"Flickr Commons": 2}, "other"),
    ):
        header = hub_header("x", features(), {"train": split}, Counter(licenses)).to_dict()
        assert header["license"] == said and header["size_categories"] == ["1K<n<10K"], licenses


def test_license_and_source_of_every_picture(hub, tmp_path):
    """Catches a license that is dropped on the way, or made up where the source gives none."""
    rows = load(hub, tmp_path)["train"]["provenance"]
    assert (rows[4]["license"], rows[4]["source_url"]) == ("CC BY 2.0", "https://example.org/1")
    assert (rows[5]["source"], rows[5]["license"], rows[5]["source_url"]) == ("scenes", "apache-2.0", None)
    assert rows[0]["license"] is None and json.loads(rows[5]["json"])["license"] is None


def noisy(folder, count):
    """Examples with pictures of about 300 kB each."""
    import random

    from PIL import Image

    (folder / "images").mkdir(parents=True)
    lines = []
    for i in range(count):
        content = io.BytesIO()
        Image.frombytes("RGB", (320, 320), random.Random(i).randbytes(320 * 320 * 3)).save(content, "PNG")
        row = example(i) | {"image": f"images/{i}.png", "image_sha256": sha256(content.getvalue()).hexdigest()}
        (folder / row["image"]).write_bytes(content.getvalue())
        lines.append(json.dumps(row) + "\n")
    (folder / "train.jsonl").write_text("".join(lines))
    return folder


def test_files_are_bounded_and_in_order(tmp_path):
    """Catches one file of any size, row groups that do not fit into memory, and rows in another order."""
    import pyarrow.parquet as pq

    noisy(tmp_path / "data", 10)
    code, text = export("--data_dir", tmp_path / "data", "--output_dir", tmp_path / "hub", "--max_shard_mb", 1)
    assert code == 0, text
    paths = sorted((tmp_path / "hub" / "data").iterdir())
    assert [p.name for p in paths] == [f"train-{i:05d}-of-00004.parquet" for i in range(4)]
    assert all(p.stat().st_size < 1.1e6 for p in paths)
    assert [i for p in paths for i in pq.read_table(p, columns=["id"])["id"].to_pylist()] == [
        e.id for e in read(tmp_path / "data" / "train.jsonl")
    ]
    assert len(load(tmp_path / "hub", tmp_path / "cache")["train"]) == 10


def test_row_groups_come_as_they_are_full(data, tmp_path, monkeypatch):
    """Catches a split that is held in memory as a whole."""
    import pyarrow.parquet as pq

    module = script(EXPORT)
    monkeypatch.setattr(module, "ROW_GROUP_ROWS", 10)
    module.main(["--data_dir", str(data), "--output_dir", str(tmp_path / "hub")])
    metadata = pq.read_metadata(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet")
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [10, 10, 4]


@pytest.mark.slow
def test_killed_and_run_again_gives_the_same_bytes(tmp_path):
    """Catches a file that a kill leaves torn, and parts of an interrupted run that stay beside the whole."""
    noisy(tmp_path / "data", 40)
    flags = ["--data_dir", tmp_path / "data", "--max_shard_mb", 1, "--output_dir"]
    kill_when(EXPORT, tmp_path / "killed" / "data" / ".train-00003.tmp", *flags, tmp_path / "killed")
    assert not list((tmp_path / "killed" / "data").glob("*.parquet"))
    for name in ("killed", "whole"):
        code, text = export(*flags, tmp_path / name)
        assert code == 0, text
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    left_out = tmp_path / "whole" / "data" / "train-00002-of-00014.parquet"
    left_out.unlink()
    record = tmp_path / "whole" / "run.json"
    record.write_text(record.read_text().replace('"complete"', '"running"'))
    assert export(*flags, tmp_path / "whole")[0] == 0
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def spoilt(data, folder, change):
    """A copy of `data` in which `change` was done to every row of train.jsonl."""
    import shutil

    shutil.copytree(data, folder)
    rows = [json.loads(line) for line in open(folder / "train.jsonl")]
    for i, row in enumerate(rows):
        change(i, row)
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": "images/gone.png"}, ["24 of 24 examples", "gone.png: No such file", "train.jsonl:1:", "14 more"]),
        ({"image_sha256": "0" * 64}, ["24 of 24 examples", "is not the one that the record was made with"]),
        ({"image": "train.jsonl", "image_sha256": ""}, ["24 of 24 examples", "train.jsonl"]),
        ({"id": "same"}, ["23 of 24 examples", "train.jsonl:2: id 'same' is there twice", "and 13 more"]),
        ({"strategy": "guess"}, ["train.jsonl:1: strategy"]),
    ],
)
def test_examples_that_cannot_be_exported(data, tmp_path, change, said):
    """Catches a parquet file with rows that lack their picture or have another one, and a traceback."""
    folder = spoilt(data, tmp_path / "data", lambda i, row: row.update(change))
    code, text = export("--data_dir", folder, "--output_dir", tmp_path / "hub")
    assert code == 2 and "Traceback" not in text and all(s in text for s in said), text
    assert not list((tmp_path / "hub" / "data").iterdir())


def test_the_same_id_in_two_splits(data, tmp_path):
    """Catches ids that are looked at within a split only."""
    first = read(data / "validation.jsonl")[0].id
    folder = spoilt(data, tmp_path / "data", lambda i, row: row.update({"id": first} if i == 3 else {}))
    code, text = export("--data_dir", folder, "--output_dir", tmp_path / "hub")
    assert code == 2 and "is there twice" in text and first in text, text


def test_a_folder_without_data_and_data_that_are_not_complete(data, tmp_path):
    """Catches an export of half a data set, and an empty one."""
    code, text = export("--data_dir", tmp_path, "--output_dir", tmp_path / "hub")
    assert code == 2 and "generate.py" in text, text
    folder = spoilt(data, tmp_path / "data", lambda i, row: None)
    (folder / "run.json").write_text(json.dumps({"status": "running"}))
    code, text = export("--data_dir", folder, "--output_dir", tmp_path / "hub")
    assert code == 2 and "is not complete" in text, text
    code, text = export("--output_dir", tmp_path / "hub")
    assert code == 2 and "--import_dir" in text, text
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "train.jsonl").touch()
    code, text = export("--data_dir", tmp_path / "empty", "--output_dir", tmp_path / "hub")
    assert code == 2 and "no examples in" in text, text
    assert not (tmp_path / "hub").exists()


def test_imported_pictures_stay_in_the_folder(hub, tmp_path):
    """Catches a downloaded file that writes to a place of its own choice, or whose pictures were exchanged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(hub / "data" / "train-00000-of-00001.parquet")
    for name, column, value, said in (
        ("out", "image_path", "../stolen.png", "leads out of"),
        ("other", "image_sha256", "0" * 64, "is not the record's"),
        ("two", "image_path", "images/one.png", "another row has another picture"),
    ):
        (tmp_path / name / "data").mkdir(parents=True)
        changed = table.set_column(table.column_names.index(column), column, pa.array([value] * len(table)))
        pq.write_table(changed, tmp_path / name / "data" / "train-00000-of-00001.parquet")
        code, text = export("--import_dir", tmp_path / name, "--output_dir", tmp_path / "back" / name)
        assert code == 2 and said in text and "Traceback" not in text, text
    assert not (tmp_path / "back" / "stolen.png").exists()
    code, text = export("--import_dir", tmp_path / "nothing", "--output_dir", tmp_path / "back" / "x")
    assert code == 2 and "parquet files" in text, text
