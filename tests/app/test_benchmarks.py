"""`main.py benchmarks`: which file is which benchmark, what is skipped and why, the table, going on after a kill."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import main
from benchmark_rows import ROWS, picture
from clarifyvlm.app import benchmarks, benchmarks_table
from clarifyvlm.errors import UserError
from judge_server import GOOD, completion
from stages import ROOT

THINGS = ("dog", "cat", "cup", "tree")
HALOQUEST = ("", "image_name", "hallucination type", "question", "groundtruth responses", "split")
TYPES = ("false premises", "insufficient context", "visual challenge")


def pictures(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        (folder / name).write_bytes(picture(60 * number))


@pytest.fixture
def released(tmp_path) -> Path:
    """Three benchmarks of a few rows, each laid out in another way, and three folders that are none."""
    folder = tmp_path / "released"
    pictures(folder / "pope/val2014", "a.png", "b.png")
    rows = [
        {"question_id": i, "image": f"{'ab'[i % 2]}.png", "text": f"Is there a {thing}?", "label": ("yes", "no")[i % 2]}
        for i, thing in enumerate(THINGS)
    ]
    (folder / "pope/coco_pope_random.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pictures(folder / "vizwiz", "a.png", "b.png")
    for name in ("train.json", "val.json"):
        (folder / "vizwiz" / name).write_text(json.dumps(ROWS["vizwiz"] if name == "val.json" else []))
    (folder / "vizwiz/benchmark.yaml").write_text("data_file: val.json\n")
    pictures(folder / "hallucinations/pictures", "a.png")
    (folder / "hallucinations/benchmark.yaml").write_text("benchmark: haloquest\nimage_dir: pictures\n")
    with open(folder / "hallucinations/haloquest-eval.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HALOQUEST)
        writer.writerows([i, "a.png", kind, f"Which hat is it, {i}?", "None.", "eval"] for i, kind in enumerate(TYPES))
    (folder / "notes").mkdir()
    (folder / "vqav2").mkdir()
    pictures(folder / "gqa", "a.png")
    for name in ("a.json", "b.json"):
        (folder / "gqa" / name).write_text("{}")
    return folder


def test_a_model_is_named_and_never_taken_for_another(tmp_path, monkeypatch):
    """Two models in one column; a folder of a sweep, with = in its name, that is taken for NAME=MODEL."""
    monkeypatch.chdir(tmp_path)
    for path in ("a/sft", "b/sft", "rate=2e-5"):
        Path(path).mkdir(parents=True)
    words = ["a/sft", "two=b/sft", "rate=2e-5", "Qwen/Qwen2.5-VL-3B-Instruct", "hub=Qwen/Q", "runs/rate=1/sft-2"]
    assert benchmarks.named(words) == {
        "sft": "a/sft",
        "two": "b/sft",
        "rate=2e-5": "rate=2e-5",
        "Qwen2.5-VL-3B-Instruct": "Qwen/Qwen2.5-VL-3B-Instruct",
        "hub": "Qwen/Q",
        "sft-2": "runs/rate=1/sft-2",
    }
    with pytest.raises(UserError, match="two models would be called sft: a/sft, b/sft"):
        benchmarks.named(["a/sft", "b/sft"])
    with pytest.raises(UserError, match="NAME=MODEL, was expected"):
        benchmarks.named(["a="])


def test_which_file_has_the_rows(released):
    """The annotations, or another file's rows, taken for the data; pictures that are not looked for, or not there."""
    pope, vizwiz, gqa = (released / name for name in ("pope", "vizwiz", "gqa"))
    assert benchmarks.paths(pope, {}) == {"data_file": str(pope / "coco_pope_random.json"), "image_dir": str(pope)}
    given = {"data_file": "val.json", "image_dir": None}
    assert benchmarks.paths(vizwiz, given) == {"data_file": str(vizwiz / "val.json")}
    found = benchmarks.paths(gqa, {"annotations": "b.json"})
    assert (found["data_file"], found["annotations"]) == (str(gqa / "a.json"), str(gqa / "b.json"))
    assert benchmarks.paths(released / "vqav2", {"hub_id": "lmms-lab/VQAv2"}) == {}
    with pytest.raises(UserError, match=r"gqa has 2 data files \(a.json, b.json\). Name one in benchmark.yaml there"):
        benchmarks.paths(gqa, {})
    with pytest.raises(UserError, match="vqav2 has no data file"):
        benchmarks.paths(released / "vqav2", {})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{released}"], "a folder of released files and one model or more"),
        (["{tmp}/none", "m"], "none: no such folder"),
        (["{tmp}/empty", "m"], "empty has no folders. It needs one for each benchmark"),
        (["{released}", "m", "--output_dir", "{released}/out"], "lies in"),
        (["{released}", "m", "--jugde", "openai"], "unknown flag --jugde. Did you mean --judge"),
        (
            ["{released}", "m", "--predict.batchsize", "2"],
            "predict.py: unknown flag --batchsize. Did you mean --batch_",
        ),
        (["{released}", "{tmp}/empty"], "is empty; a model directory holds config.json"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(released, tmp_path, words, message):
    """A typing error, or a model that is not there, that is found after hours."""
    (tmp_path / "empty").mkdir()
    words = [word.format(released=released, tmp=tmp_path) for word in words]
    if "--output_dir" not in words:
        words += ["--output_dir", str(tmp_path / "out")]
    with pytest.raises(UserError, match=re.escape(message)):
        main.main(["benchmarks", *words])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("read: 3row\rerror: a.json: no such file\n", "a.json: no such file"),
        (
            "warning: an error: no\nerror: made with\n  seed: 0 -> 1\nGive --redo\n",
            "made with seed: 0 -> 1 Give --redo",
        ),
        ("Traceback\n  File x\nValueError: broken\n", "ValueError: broken"),
        ("", "it said nothing"),
    ],
)
def test_the_reason_is_the_words_of_the_script(said, error):
    """A table that says that something failed, and not what."""
    assert benchmarks.error_of(said) == error


def value(share: float | None, n: int) -> dict:
    return {"value": share, "low": share, "high": share, "n": n}


def test_the_table_says_what_it_knows_and_no_more(tmp_path):
    """A metric of another benchmark; a model that failed shown with old numbers; a difference with its sign lost."""
    (tmp_path / "run.json").write_text(json.dumps({"args": {"benchmark": "pope"}}))
    (tmp_path / "README.md").write_text("# POPE\n\nLeft out: 2 rows that repeat an earlier one.\n")
    one = {"strategy_accuracy_macro": value(0.5, 4), "overconfident": value(None, 0), "over_asked": value(0.25, 4)}
    one["judge_failures"] = 1
    metrics = dict.fromkeys(("examples", "pictures", "seed", "resamples"), 4) | {"judge": "j", "notes": [], "data": "d"}
    metrics["models"] = dict.fromkeys(("a", "b", "old"), one)
    metrics["published"] = {name: {"vqa_named": value(0.75, 4), "unanswerable": None} for name in metrics["models"]}
    metrics["strata"] = {name: {"dual": value(0.5, 2)} for name in metrics["models"]}
    change = {"b": "a", "low": -0.3, "high": 0.1, "p": 0.5, "n": 4, "value": -0.1}
    metrics["differences"] = [change | {"a": name, "metric": "over_asked"} for name in ("b", "old")]
    metrics["published_differences"] = [change | {"a": "b", "metric": "vqa_named", "value": 0.05}]
    found = benchmarks_table.of_benchmark(metrics, tmp_path, ["a", "b"], "a")
    skipped = [{"benchmark": "x", "model": None, "why": "no | data\nfile", "failed": False}]
    content = {"models": {"a": "m/a", "b": "m/b", "old": "m/o"}, "first": "a", "num_rows": None}
    text = benchmarks_table.markdown(content | {"benchmarks": {"pope": found}, "skipped": skipped})
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert [row["own"] for row in found["rows"]] == [False, False, False]
    assert rows[0] == ["benchmark", "metric", "n", "a", "b", "old", "b \u2212 a", "old \u2212 a"]
    assert [row[1:] for row in rows if row[0] == "pope"] == [
        ["VQA accuracy, a sentence around the answer allowed", "4"]
        + ["75.0 [75.0, 75.0]", "75.0 [75.0, 75.0]", "n/a", "+5.0 [\u221230.0, +10.0]", "n/a"],
        ["right strategy", "4", "50.0 [50.0, 50.0]", "50.0 [50.0, 50.0]", "n/a", "n/a", "n/a"],
        ["over-asked", "4", "25.0 [25.0, 25.0]", "25.0 [25.0, 25.0]", "n/a", "\u221210.0 [\u221230.0, +10.0]", "n/a"],
    ]
    assert "| x | all | no \\| data file |" in text
    assert "- pope: Left out: 2 rows that repeat" in text and "- pope: judge failures on responses of b: 1." in text


def start(log: Path, released: Path, output: Path, *flags: str) -> subprocess.Popen:
    command = [sys.executable, "main.py", "benchmarks", str(released), "models/tiny", str(released.parent / "copy")]
    with open(log, "wb") as out:
        command += ["--output_dir", str(output), "--predict.max_new_tokens", "8", "--predict.device", "cpu", *flags]
        return subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, start_new_session=True)


@pytest.mark.slow
def test_what_the_judge_cannot_know_is_skipped_before_a_model_answers(released, tmp_path):
    """Hours of predictions that nothing can judge; a number made of none."""
    shutil.copytree(ROOT / "models/tiny", tmp_path / "copy")
    assert start(tmp_path / "log", released, tmp_path / "out").wait(timeout=600) == 2
    assert "no benchmark of" in (tmp_path / "log").read_text()
    skipped = json.loads((tmp_path / "out/benchmarks.json").read_text())["skipped"]
    why = {line["benchmark"]: line["why"] for line in skipped}
    assert all("--judge scene needs facts" in why[name] for name in ("pope", "vizwiz", "hallucinations"))
    assert not list((tmp_path / "out").rglob("predictions.jsonl"))


@pytest.mark.slow
def test_three_benchmarks_two_models_one_kill(released, tmp_path, server):
    """What was done before a kill done again or lost; a folder that is no benchmark passed over in silence, or the end
    of all; a benchmark without its own metric, or numbers without n, interval and difference."""
    reply = GOOD | {"used_strategy": "abstain", "states_answer": False, "answered_readings": []}
    server.reply = lambda request: completion(reply)
    judge = ["--judge", "openai", "--judge_base_url", server.url, "--judge_model", "m", "--judge_sees_image", "yes"]
    shutil.copytree(ROOT / "models/tiny", tmp_path / "copy")
    log, out = tmp_path / "log", tmp_path / "out"
    killed = start(log, released, out, *judge)
    while log.read_text(errors="replace").count("inference/predict.py --") < 2:
        assert killed.poll() is None, log.read_text()[-2000:]
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    (whole,) = out.glob("*/inference/*/verdicts.run.json")
    before = whole.read_bytes()
    assert json.loads(before)["status"] == "complete" and not (out / "benchmarks.md").exists()

    assert start(log, released, out, *judge).wait(timeout=1200) == 0, log.read_text()[-2000:]
    assert whole.read_bytes() == before
    content = json.loads((out / "benchmarks.json").read_text())
    assert {line["benchmark"]: line["model"] for line in content["skipped"]} == dict.fromkeys(("gqa", "notes", "vqav2"))
    text = (out / "benchmarks.md").read_text()
    assert "notes is the name of no benchmark" in text and "gqa has 2 data files" in text
    rows = {(name, row["key"]): row for name, found in content["benchmarks"].items() for row in found["rows"]}
    reports = {name: json.loads((out / name / "report/metrics.json").read_text()) for name in content["benchmarks"]}
    assert {name: report["examples"] for name, report in reports.items()} == {
        "hallucinations": 3,
        "pope": 4,
        "vizwiz": 2,
    }
    for model in ("tiny", "copy"):
        for name, report in reports.items():
            right = report["models"][model]["strategy_accuracy_macro"]
            assert rows[name, "strategy_accuracy_macro"]["models"][model] == right and right["n"] == report["examples"]
        own = reports["vizwiz"]["published"][model]["unanswerable"]["f1"]
        assert rows["vizwiz", "unanswerable.f1"]["models"][model] == own
    for key in (("pope", "vqa_accuracy"), ("vizwiz", "strategy_accuracy_macro"), ("hallucinations", "overconfident")):
        row = rows[key]
        assert row["models"]["tiny"] == row["models"]["copy"] and row["models"]["tiny"]["n"] > 0
        assert row["differences"]["copy"]["value"] == 0.0 and row["differences"]["copy"]["b"] == "tiny"
        assert f"| {key[0]} | {row['name']}" in text

    stages = [p for p in out.rglob("*") if p.is_file() and "report" not in p.parts and p.parent != out]
    times, asked = {p: p.stat().st_mtime_ns for p in stages}, len(server.requests)
    assert start(log, released, out, *judge).wait(timeout=1200) == 0, log.read_text()[-2000:]
    assert {p: p.stat().st_mtime_ns for p in stages} == times and len(server.requests) == asked
    assert json.loads((out / "benchmarks.json").read_text())["skipped"] == content["skipped"]
