"""Shards put together are the data set that one run makes, or an error that says which shard is at fault and why."""

import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from clarifyvlm.config import parse_args
from clarifyvlm.errors import UserError
from clarifyvlm.run_record import hash_code
from generating import plan
from generating.options import Options
from stages import ROOT, kill_when, script

GENERATE, SHARDS = "dataset_generation/generate.py", "dataset_generation/shards.py"
CROWDED = [  # so few pictures are possible that splits draw the same ones
    *("--world", "tiny", "--max_objects", "1", "--count_weights", "1", "--kinds", "color=1", "shape=1"),
    *("--shares", "none:answer=1", "premise:correct=1", "--num_workers", "1"),
    *("--num_train", "120", "--num_validation", "24", "--num_test", "24", "--num_test_ood", "12"),
]


def run(path, *flags):
    command = [sys.executable, str(ROOT / path), *map(str, flags)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def digest(folder):
    """name -> hash of every file but run.json, which names the folders and the time."""
    files = [f for f in folder.rglob("*") if f.is_file() and f.name != "run.json"]
    return {str(f.relative_to(folder)): sha256(f.read_bytes()).hexdigest() for f in files}


def make_shards(folder, flags, count):
    for number in range(1, count + 1):
        code, text = run(GENERATE, *flags, "--shard", f"{number}/{count}", "--output_dir", folder / f"shard-{number}")
        assert code == 0, text
    return [folder / f"shard-{number}" for number in range(1, count + 1)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What one run makes; do not write into it."""
    folder = tmp_path_factory.mktemp("whole") / "data"
    code, text = run(GENERATE, *CROWDED, "--audit", "warn", "--output_dir", folder)
    assert code == 0, text
    return folder


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """The same in three shards; do not write into them."""
    return make_shards(tmp_path_factory.mktemp("shards"), CROWDED, 3)


@pytest.fixture
def copies(shards, tmp_path):
    """Shards of this test's own, to be spoilt."""
    return [Path(shutil.copytree(s, tmp_path / "shards" / s.name)) for s in shards]


def merge(shards, output, *flags):
    return run(SHARDS, "--shards", *shards, "--output_dir", output, "--audit", "warn", *flags)


def test_merged_files_are_those_of_one_run(whole, shards, tmp_path):
    """Catches another order of the lines, a picture of the test split that another shard's training part shows, and
    pictures that are copied where links would do."""
    draws = [json.loads(line)["provenance"]["draw"] for line in open(whole / "train.jsonl")]
    assert any(draws), "no picture was drawn anew: this test sees nothing"
    kept = [digest(s) for s in shards]
    code, text = merge([shards[2], shards[0], shards[1]], tmp_path / "data")
    assert code == 0, text
    assert digest(tmp_path / "data") == digest(whole)
    assert [digest(s) for s in shards] == kept, "merging changed a shard"
    merged = list((tmp_path / "data" / "images").rglob("*.png"))
    assert sum(f.stat().st_nlink > 1 for f in merged) > 0.8 * len(merged), "pictures take room twice"
    code, text = merge([shards[2], shards[0], shards[1]], tmp_path / "data")
    assert code == 0 and "nothing to do" in text


@pytest.mark.slow
@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no second file system")
def test_merged_onto_another_disk(whole, shards, tmp_path):
    """Catches a merge that stops where pictures cannot be linked."""
    if os.stat("/dev/shm").st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("no second file system")
    import tempfile

    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        code, text = merge(shards, Path(folder) / "data")
        assert code == 0, text
        assert digest(Path(folder) / "data") == digest(whole)


@pytest.mark.slow
def test_killed_merge_goes_on(whole, shards, tmp_path):
    """Catches a merge that takes half a split for the whole, or trips over the pictures that are there."""
    flags = ["--shards", *shards, "--output_dir", tmp_path / "data", "--audit", "warn"]
    kill_when(SHARDS, tmp_path / "data" / "test.jsonl", *flags)
    code, text = merge(shards, tmp_path / "data")
    assert code == 0 and "test.jsonl: complete, kept" in text, text
    assert digest(tmp_path / "data") == digest(whole)


@pytest.mark.slow
def test_more_shards_than_groups(whole, tmp_path):
    """Catches parts that overlap or leave something out where they do not divide evenly; an empty part."""
    shards = make_shards(tmp_path, CROWDED, 5)
    code, text = merge(shards, tmp_path / "data")
    assert code == 0, text
    assert digest(tmp_path / "data") == digest(whole)


@pytest.mark.slow
def test_photographs(tmp_path):
    """Catches a merge that knows generated scenes only."""
    annotations = photographs(tmp_path / "photos")
    flags = ["--source", "coco", "--coco_annotations", annotations, "--image_dir", tmp_path / "photos"]
    flags += ["--shares", "none:answer=1", "premise:correct=1", "--kinds", "position=1", "existence=1"]
    flags += ["--num_train", 20, "--num_validation", 4, "--num_test", 8, "--num_workers", 1]
    code, text = run(GENERATE, *flags, "--audit", "warn", "--output_dir", tmp_path / "whole" / "data")
    assert code == 0, text
    code, text = merge(make_shards(tmp_path, flags, 2), tmp_path / "data")
    assert code == 0, text
    assert digest(tmp_path / "data") == digest(tmp_path / "whole" / "data")
    annotations.write_text(annotations.read_text() + " ")
    code, text = merge([tmp_path / "shard-1", tmp_path / "shard-2"], tmp_path / "again")
    assert code == 2 and "not the file that" in text, text


def photographs(folder):
    """Forty pictures with one dog or cat each, and their annotations."""
    from PIL import Image

    folder.mkdir()
    images, rows = [], []
    for i in range(40):
        Image.new("RGB", (90, 90), (5 * i, 200, 90)).save(folder / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": 90, "height": 90})
        box = [5 + 30 * (i % 3), 5 + 30 * (i // 3 % 3), 20, 20]
        rows.append({"id": i, "image_id": i, "category_id": 1 + i % 2, "bbox": box, "area": 400, "iscrowd": 0})
    categories = [{"id": 1, "name": "dog", "supercategory": "animal"}, {"id": 2, "name": "cat"}]
    path = folder / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": rows, "categories": categories}))
    return path


def test_a_shard_is_missing_or_there_twice(shards, copies, tmp_path):
    """Catches a data set that lacks an eighth, or has one twice, without a word."""
    code, text = merge(shards[:2], tmp_path / "data")
    assert code == 2 and "3/3 is missing" in text, text
    code, text = merge([*shards, copies[1]], tmp_path / "data")
    assert code == 2 and "2/3 is there 2 times" in text and str(copies[1]) in text, text
    assert not (tmp_path / "data").exists()


def change_record(shard, **changes):
    path = shard / "run.json"
    record = json.loads(path.read_text())
    record["args"] |= changes.pop("args", {})
    record["versions"] |= changes.pop("versions", {})
    path.write_text(json.dumps(record | changes))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"args": {"seed": 1}}, "seed 1, not 0"),
        ({"args": {"num_train": 360}}, "num_train 360, not 120"),
        ({"args": {"shard": "2/4"}}, "of 4 shards, not 3"),
        ({"code": {"bytes": "0123"}}, "made by other code"),
        ({"versions": {"pillow": "1.0"}}, "pillow 1.0, not"),
        ({"inputs": [{"path": "x", "sha256": "0"}]}, "other input files"),
        ({"status": "running"}, "its run was interrupted"),
        ({"args": {"shard": None}}, "is no shard"),
        ({"stage": "tuning_sft/train.py"}, "is no shard"),
    ],
)
def test_shards_that_do_not_go_together(copies, tmp_path, change, said):
    """Catches shards of two data sets, or half a shard, in one."""
    change_record(copies[1], **change)
    code, text = merge(copies, tmp_path / "data")
    assert code == 2 and said in text and str(copies[1]) in text and "Traceback" not in text, text


def test_shards_made_by_other_code_than_this(copies, tmp_path):
    """Catches pictures that are drawn anew by another generator than the one that drew the rest."""
    for shard in copies:
        change_record(shard, code={"bytes": "0123"}, versions={"pillow": "1.0"})
    code, text = merge(copies, tmp_path / "data")
    assert code == 2 and "were changed since" in text and "pillow 1.0, here" in text, text


def test_folders_that_are_no_shards(tmp_path, copies):
    """Catches a traceback in place of a name; all that are at fault are said at once."""
    (copies[0] / "run.json").write_text("{")
    shutil.rmtree(copies[1] / "images")
    code, text = merge([*copies, tmp_path / "nothing"], tmp_path / "data")
    assert code == 2 and "3 shards that cannot be used" in text and "not readable" in text
    assert "images is gone" in text and "has no run.json" in text and "Traceback" not in text, text


@pytest.mark.parametrize("fault", ["lost", "added", "swapped", "torn"])
def test_lines_that_were_changed(copies, tmp_path, fault):
    """Catches a shard that was cut off or edited on its way."""
    spoil(copies[1] / "train.jsonl", fault)
    code, text = merge(copies, tmp_path / "data")
    assert code == 2 and f"{copies[1]}: train.jsonl is not what was written" in text and "--shard 2/3" in text, text
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("fault", "line"), [("lost", "its end"), ("added", "41"), ("relabeled", "1")])
def test_lines_that_were_not_planned(copies, tmp_path, fault, line):
    """Catches a plan that is another one here than where the shard was made."""
    path = copies[1] / "train.jsonl"
    spoil(path, fault)
    counts = json.loads((copies[1] / "run.json").read_text())["counts"]
    counts["sha256"]["train"] = sha256(path.read_bytes()).hexdigest()
    change_record(copies[1], counts=counts)
    code, text = merge(copies, tmp_path / "data")
    assert code == 2 and f"{path}:{line}: not what was planned" in text, text
    assert not (tmp_path / "data" / "train.jsonl").exists()


def spoil(path, fault):
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(
        {
            "lost": "".join(lines[:-4]),
            "added": "".join([*lines, lines[-1]]),
            "swapped": "".join([*lines[:4], *lines[8:], *lines[4:8]]),
            "torn": "".join(lines)[:-40],
            "relabeled": "".join([lines[0].replace('"split": "train"', '"split": "test"'), *lines[1:]]),
        }[fault]
    )


def test_a_picture_that_was_changed(copies, tmp_path):
    """Catches a picture that was torn on its way, or is of another data set."""
    picture = next((copies[2] / "images" / "test").iterdir())
    picture.write_bytes(picture.read_bytes()[:-5])
    code, text = merge(copies, tmp_path / "data")
    assert code == 2 and str(picture) in text and "--shard 3/3" in text, text


def test_ids_and_pictures_are_looked_at_again(whole, tmp_path):
    """Catches a fault of the merge itself: an id twice, a picture in two splits, a wrong number."""
    (options,) = parse_args([Options], [*CROWDED, "--output_dir", str(tmp_path)])
    jobs = plan.planned(options).jobs
    check_merged = script(SHARDS).check_merged
    for split in jobs:
        shutil.copy(whole / f"{split}.jsonl", tmp_path)
    check_merged(tmp_path, jobs)
    train = (tmp_path / "train.jsonl").read_text().splitlines(keepends=True)
    with open(tmp_path / "test.jsonl", "a") as file:
        file.write(train[0])
    with pytest.raises(UserError, match="is there 2 times") as caught:
        check_merged(tmp_path, jobs)
    said = str(caught.value)
    assert json.loads(train[0])["id"] in said and "test: 25 examples, not 24" in said
    assert "1 pictures are in both test and train" in said or "1 pictures are in both train and test" in said, said


@pytest.mark.parametrize(
    ("file", "added", "watched"),
    [
        ("dataset_generation/generate.py", "x = 1\n", "both"),
        ("dataset_generation/scenes/questions.py", "# a comment\n", "bytes"),
        ("dataset_generation/photographs/coco.yaml", "\n", "both"),
        ("dataset_generation/folder/new.py", "x = 1\n", "both"),
        ("clarifyvlm/language/lexicon.py", "x = 1\n", "both"),
        ("clarifyvlm/world/phrasings.yaml", "\n", "both"),
        ("clarifyvlm/judges/rubric.py", "x = 1\n", ""),
        ("dataset_generation/configs/tiny.yaml", "\n", ""),
        ("dataset_generation/README.md", "\n", ""),
        ("dataset_generation/scenes/__pycache__/questions.cpython-311.pyc", "x", ""),
        ("dataset_generation/authoring/prompts.py", "x = 1\n", ""),
    ],
)
def test_digest_of_the_code(tmp_path, file, added, watched):
    """Catches shards of two generators in one data set, and data that are taken for today's: a room that the digest
    does not see. And what is refused for nothing: another config, compiled code, a comment, a room that makes no
    examples."""
    for folder in ("dataset_generation", "clarifyvlm"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = hash_code(plan.MAKING, tmp_path)
    assert before == hash_code(plan.MAKING)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    with open(tmp_path / file, "a") as changed:
        changed.write(added)
    after = hash_code(plan.MAKING, tmp_path)
    assert [after[how] != before[how] for how in ("bytes", "syntax")] == [bool(watched), watched == "both"]


def test_code_that_is_gone():
    """Catches a traceback in front of run.sh where a run was made by a file that this version no longer has; and a name
    of MAKING that is none, so that nobody watches what it stood for."""
    gone, none = hash_code(["clarifyvlm/gone.py", "clarifyvlm/gone"]), hash_code([])
    assert gone["syntax"] == none["syntax"] != hash_code(["clarifyvlm/records.py"])["syntax"]
    assert [path for path in plan.MAKING if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("shard", ["9/8", "0/4", "2", "a/b", "1/", "-1/3"])
def test_shard_numbers(tmp_path, shard):
    """Catches a shard number that makes an empty or a wrong part."""
    code, text = run(GENERATE, *CROWDED, f"--shard={shard}", "--output_dir", tmp_path / "d")
    assert code == 2 and "is not i/n" in text and not (tmp_path / "d").exists(), text
