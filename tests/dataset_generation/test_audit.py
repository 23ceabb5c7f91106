"""The audit finds what gives the strategy away, and fails the stage on it."""

import json
import subprocess
import sys

import pytest

from folder import audit
from folder.probes import probe as run_probes
from stages import ROOT

GENERATE = str(ROOT / "dataset_generation" / "generate.py")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Short rows as `collect` gives them: 600 + 300 plain pictures, nothing gives the strategy away."""
    import random

    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    rng = random.Random(0)
    strategies = ("answer", "clarify", "correct")
    sample = {"train": [], "test": []}
    for split, n in (("train", 600), ("test", 300)):
        for i in range(n):
            path = folder / f"{split}{i}.png"
            Image.new("RGB", (24, 24), tuple(rng.randrange(256) for _ in range(3))).save(path)
            sample[split].append(
                {
                    "question": f"What color is the {rng.choice(('star', 'circle', 'square'))}?",
                    "image": str(path),
                    "strategy": strategies[i % 3],
                    "type": "none",
                    "kind": "color",
                    "group": str(i),
                    "form": "referential",
                    "reference": rng.randrange(10, 60),
                    "position": rng.random(),
                }
            )
    return sample


def leaky(rows, change):
    return {split: [row | change(row) for row in part] for split, part in rows.items()}


def test_nothing_is_found_where_nothing_is(rows):
    """Catches a probe that is out of bounds by itself (trained on what it is measured on)."""
    probes = run_probes(rows, 0)
    assert all(p["ok"] for p in probes.values()), probes


@pytest.mark.parametrize("probe", ["question", "picture", "position"])
def test_a_leak_made_on_purpose_is_found(rows, probe, tmp_path):
    """Catches a probe that is blind: each must find the leak that it is there for."""
    from PIL import Image

    strategies = ["answer", "clarify", "correct"]
    shade = {}
    for i, strategy in enumerate(strategies):
        shade[strategy] = str(tmp_path / f"{strategy}.png")
        Image.new("RGB", (24, 24), (80 * i, 80 * i, 80 * i)).save(shade[strategy])
    change = {
        "question": lambda r: {"question": r["question"] + (" Be careful." if r["strategy"] == "clarify" else "")},
        "picture": lambda r: {"image": shade[r["strategy"]]},
        "position": lambda r: {"position": strategies.index(r["strategy"]) / 3 + r["position"] / 3},
    }[probe]
    found = run_probes(leaky(rows, change), 0)
    assert not found[probe]["ok"] and found[probe]["accuracy"] > found[probe]["limit"]
    assert all(p["ok"] for name, p in found.items() if name != probe)


def test_a_leak_within_one_kind_is_found(rows):
    """Catches probes that look at all kinds together, where a kind's own leak drowns."""
    others = {split: [r | {"kind": "shape", "group": f"s{r['group']}"} for r in part] for split, part in rows.items()}
    given_away = leaky(rows, lambda r: {"question": r["question"] + (" Sure." if r["strategy"] == "correct" else "")})
    found = run_probes({split: given_away[split] + others[split] + others[split] for split in rows}, 0)["question"]
    assert found["within"]["shape"]["ok"] and not found["within"]["color"]["ok"]


def test_a_kind_that_is_abstained_from_more_often():
    """Catches a set whose few count questions are abstained from half the time: it teaches not to count."""
    from collections import Counter

    table = Counter({("train", "color:answer"): 900, ("train", "color:abstain"): 100})
    table |= {("train", "count:answer"): 10, ("train", "count:abstain"): 10}
    found = audit._kinds({"tables": {"kind and strategy": table}}, 0.1)
    assert len(found["off"]) == 1 and "abstain is right for 50.0% of the count questions" in found["off"][0]
    assert audit._kinds({"tables": {"kind and strategy": table}}, None) == {}


def test_a_long_reference_is_no_failure(rows):
    """Catches a bound on what wins by nature."""
    found = run_probes(leaky(rows, lambda r: {"reference": len(r["strategy"]) * 10}), 0)
    assert found["reference_length"]["accuracy"] > 0.6 and found["reference_length"]["ok"]


def test_balance_and_shared_pictures():
    """Catches a missed share, a type that nobody asked for, and a test picture among the training pictures."""
    from collections import Counter

    stats = {
        "counts": {"train": 10},
        "tables": {"type and strategy": Counter({("train", "none:answer"): 9, ("train", "premise:correct"): 1})},
        "sample": {},
        "shared_pictures": 1,
        "repeated": 0,
        "lines": 10,
        "groups": Counter(),
    }
    found = audit.audit(stats, {"none:answer": 5, "referential:clarify": 5}, 0)
    said = " ".join(found["failures"])
    assert not found["passed"]
    assert "none:answer has 9" in said and "premise:correct has 1 examples, but no share" in said
    assert "1 pictures in two splits" in said


def test_a_failing_audit_fails_the_stage_after_everything_is_written(tmp_path):
    """Catches an audit that nobody hears of, and one that throws the data away.

    Where only one-reading questions name a place, the words say which strategies are possible.
    """
    folder = tmp_path / "d"
    flags = ["--shares", "none:answer=1", "spatial:infer=1", "--place_share", "0.9", "--num_train", "400"]
    flags += ["--num_validation", "100", "--num_test", "200", "--num_test_ood", "0", "--num_workers", "1"]
    flags += ["--output_dir", str(folder), "--world", "tiny", "--kinds", "color=1"]
    command = [sys.executable, GENERATE, *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "the question probe names the strategy" in done.stderr and "--audit warn" in done.stderr
    found = json.loads((folder / "audit.json").read_text())
    assert not found["passed"] and not found["probes"]["question"]["ok"]
    for name in ("train.jsonl", "test.jsonl", "README.md", "contact_sheet.png"):
        assert (folder / name).exists()
    again = subprocess.run([*command, "--audit", "warn"], capture_output=True, text=True, timeout=600)
    assert again.returncode == 0, again.stderr
    assert json.loads((folder / "run.json").read_text())["counts"]["audit"] == "failed"


def default_data(folder, *flags) -> tuple[int, dict]:
    """Exit code and audit of the default config with few or many examples."""
    sizes = ["--num_validation", "0", "--num_test", "100", "--num_test_ood", "0", "--num_unambiguous", "0"]
    config = str(ROOT / "dataset_generation" / "configs" / "tiny.yaml")
    command = [sys.executable, GENERATE, "--config", config, "--output_dir", str(folder), *sizes, "--num_replay", "0"]
    done = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=900)
    return done.returncode, json.loads((folder / "audit.json").read_text())


@pytest.mark.slow
def test_the_default_data_have_no_shortcut_within_a_kind(tmp_path):
    """Catches a kind or type in which words, picture or position give the strategy away: seen only in many examples."""
    code, found = default_data(tmp_path / "d", "--num_train", "20000", "--image_size", "48")
    within = found["probes"]["question"]["within"]
    assert code == 0 and found["passed"], found["failures"]
    assert {"color", "shape", "position", "count", "existence", "color, referential"} <= set(within)
    assert all(row["n"] >= 400 for row in within.values())


def test_a_kind_that_is_rare_and_mostly_abstained_from_fails(tmp_path):
    """Data of which SFT learned to abstain from counting: few such questions, half of them unanswerable."""
    kinds = ["--kinds", "color=48", "shape=48", "count=2", "existence=2", "--min_per_cell", "0", "--image_size", "48"]
    shares = ["--shares", "none:answer=50", "referential:clarify=30", "unanswerable:abstain=2", "premise:correct=18"]
    code, found = default_data(tmp_path / "d", "--num_train", "600", *kinds, *shares)
    assert code == 3 and not found["passed"] and any("count" in text for text in found["failures"]), found["failures"]
