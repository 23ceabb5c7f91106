"""Mixed data sets: exact shares, whole groups, pictures that are found, and no picture in two splits."""

import json
from collections import Counter
from hashlib import sha256

import pytest

from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example
from stages import ROOT, script

mix = script("dataset_generation/mix.py")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two data folders of generated scenes, of 48 and 24 training examples."""
    made = []
    for seed, train in ((1, 48), (2, 24)):
        folder = tmp_path_factory.mktemp("mix") / f"seed{seed}"
        sizes = ["--num_train", str(train), "--num_validation", "12", "--num_test", "12", "--num_test_ood", "0"]
        argv = ["--config", str(ROOT / "dataset_generation/configs/smoke.yaml"), *sizes, "--seed", str(seed)]
        argv += ["--audit", "off", "--num_workers", "1", "--output_dir", str(folder)]
        assert script("dataset_generation/generate.py").main(argv) == 0
        made.append(folder)
    return made


def mixed(folders, output, *flags):
    argv = ["--data_dirs", *map(str, folders), "--output_dir", str(output), "--audit", "off", *flags]
    assert mix.main(argv) == 0
    splits = ("train", "validation", "test")
    return {s: jsonl.read(output / f"{s}.jsonl", Example, unique="id") for s in splits}


def source(folders, example):
    return next(i for i, f in enumerate(folders) if example.provenance["seed"] == i + 1)


def test_shares_are_exact(folders, tmp_path):
    """A share that is nearly met, or a split smaller than it could be."""
    found = mixed(folders, tmp_path / "a", "--shares", "3", "1")
    assert Counter(source(folders, e) for e in found["train"]) == {0: 48, 1: 16}
    assert Counter(source(folders, e) for e in found["test"]) == {0: 12, 1: 4}
    found = mixed(folders, tmp_path / "b", "--shares", "1", "2", "--num_train", "20")
    assert Counter(source(folders, e) for e in found["train"]) == {0: 7, 1: 13}


def test_groups_stay_whole_and_pictures_are_found(folders, tmp_path):
    """Minimal pairs torn apart, two pictures under one name, or records that changed on the way."""
    found = mixed(folders, tmp_path / "a", "--shares", "1", "1", "--num_train", "24")
    before = {e.id: e for f in folders for e in jsonl.read(f / "train.jsonl", Example)}
    groups = Counter((e.provenance["seed"], e.group_id) for e in found["train"])
    whole = Counter((e.provenance["seed"], e.group_id) for e in before.values())
    assert all(groups[g] == whole[g] for g in groups)
    for example in found["train"]:
        assert sha256((tmp_path / "a" / example.image).read_bytes()).hexdigest() == example.image_sha256
        assert example.model_copy(update={"image": before[example.id].image}) == before[example.id]
    card = (tmp_path / "a" / "README.md").read_text()
    assert "shares 1 : 1" in card and json.loads((tmp_path / "a" / "run.json").read_text())["counts"]["train"] == 24
    again = mixed(folders, tmp_path / "b", "--shares", "1", "1", "--num_train", "24")
    assert (tmp_path / "a" / "train.jsonl").read_bytes() == (tmp_path / "b" / "train.jsonl").read_bytes()
    assert again == found


def test_bad_mixtures_are_named(folders, tmp_path):
    """A mixture that is smaller than asked for, or that leaks its test pictures into training, without a word."""

    def refused(match, dirs, *flags):
        with pytest.raises(UserError, match=match):
            mixed(dirs, tmp_path / "out", *flags)
        assert not (tmp_path / "out").exists()

    asked = "seed2/train.jsonl: 40 examples are asked for .* has 24"
    refused(asked, folders, "--shares", "1", "1", "--num_train", "80")
    refused("2 --data_dirs and 1 --shares", folders, "--shares", "1")
    refused("--shares: 0.0 must be above 0", folders, "--shares", "1", "0")
    refused("twice", [folders[0], folders[0]], "--shares", "1", "1")
    refused("no split is in all", [folders[0], tmp_path], "--shares", "1", "1")
    leak = tmp_path / "leak"
    rows = [e.model_copy(update={"id": f"x{e.id}"}) for e in jsonl.read(folders[0] / "test.jsonl", Example)]
    for split in ("train", "validation", "test"):
        jsonl.write_atomic(leak / f"{split}.jsonl", [e.model_copy(update={"split": split}) for e in rows[:4]])
        rows = rows[4:]
    refused("pictures would be in two splits:?\n", [folders[0], leak], "--shares", "1", "1", "--num_train", "8")
