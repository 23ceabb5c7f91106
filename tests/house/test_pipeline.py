"""./run.sh from end to end, as a user runs it: what it leaves behind, what a rerun does, and what a kill -9 costs."""

import json
import os
import random
import shutil
import time
from pathlib import Path

import pytest

from clarifyvlm import jsonl
from clarifyvlm.records import CRITERIA, Example, Prediction, Verdict
from run_sh import STEP, STEPS, Run
from stages import ROOT

pytestmark = pytest.mark.slow

MODELS = ("base", "sft", "grpo")
CONTRACT = (
    *(f"data/{name}" for name in ("train.jsonl", "validation.jsonl", "test.jsonl", "test_ood.jsonl", "images")),
    *(f"data/{name}" for name in ("README.md", "audit.json", "run.json")),
    *("judge_audit.json", "judge_audit.run.json"),
    *(f"{stage}/{name}" for stage in ("sft", "grpo") for name in ("model.safetensors", "config.json", "run.json")),
    *(f"inference/{model}/{name}.jsonl" for model in MODELS for name in ("predictions", "verdicts")),
    *(f"report/{name}" for name in ("metrics.json", "report.md", "report.html", "run.json")),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("pipeline")


def contents(run: Path) -> dict[str, bytes]:
    """What must be the same in every run of one seed: data, weights, predictions, verdicts and metrics."""
    wanted = ("data/**/*", "*/*.safetensors", "inference/*/*.jsonl", "judge_audit.json", "report/metrics.json")
    paths = [p for pattern in wanted for p in run.glob(pattern) if p.is_file() and p.name != "run.json"]
    return {str(p.relative_to(run)): p.read_bytes() for p in sorted(paths)}


def left_over(run: Path) -> list[str]:
    return [str(p) for p in run.rglob("*") if p.name.startswith(".") or p.suffix in (".tmp", ".lock", ".parts")]


def test_every_file_of_the_contract_is_there(finished):
    """A stage that ends well and leaves out a file which the next stage, or the user, expects."""
    run, said = finished.folder, finished.said
    assert not [name for name in CONTRACT if not (run / name).exists()] and not left_over(run)
    assert (run / "report/report.md").read_text() in said
    assert said.rstrip().splitlines()[-1].startswith("The report: ") and "report.html" in said.rstrip().splitlines()[-1]
    assert "Traceback" not in said and "Warning" not in said
    assert len(STEP.findall(said)) == STEPS
    records = [json.loads(p.read_text()) for p in run.rglob("*run.json") if "checkpoint" not in str(p)]
    assert len(records) == STEPS and all(r["status"] == "complete" and r["versions"] for r in records)


def test_records_of_the_stages_fit_each_other(finished):
    """Predictions or verdicts on other examples than asked, judge failures that nobody counts, a report without a
    model."""
    run = finished.folder
    examples = jsonl.read(run / "data/test.jsonl", Example, unique="id")
    metrics = json.loads((run / "report/metrics.json").read_text())
    assert set(metrics["models"]) == set(MODELS) and {"constant_policies", "differences", "seed", "judge"} < set(
        metrics
    )
    for model in MODELS:
        said = jsonl.read(run / f"inference/{model}/predictions.jsonl", Prediction, unique="example_id")
        found = jsonl.read(run / f"inference/{model}/verdicts.jsonl", Verdict, unique="example_id")
        assert [p.example_id for p in said] == [v.example_id for v in found] == [e.id for e in examples]
        judged = [v for v in found if not v.failure]
        assert all(set(v.criteria) == set(CRITERIA) for v in judged)
        assert all(v.failure == "not_understood" for v in found if v.failure)
        macro = metrics["models"][model]["strategy_accuracy_macro"]
        assert (
            macro["n"] == len(judged) > 0.5 * len(examples)
            and 0 <= macro["low"] <= macro["value"] <= macro["high"] <= 1
        )


@pytest.mark.parametrize("made", ["now", "before the modules moved into rooms"])
def test_second_run_skips_what_is_complete(finished, folder, made):
    """Work done twice; a run folder that is taken for another one once it is moved; one of an earlier version (its
    stages' names and options) that is made anew or refused."""
    whole, seconds = finished.folder, finished.seconds
    run = Path(shutil.copytree(whole, folder / made))
    records = (Path(__file__).parents[1] / "data" / "records_before_rooms.json").read_text()
    records = json.loads(records.replace("runs/smoke", str(run)))
    for name, record in records.items() if made != "now" else ():
        path = run / name
        made_in = str(finished.made_in)
        today = json.loads(path.read_text().replace(str(whole), str(run)).replace(made_in, str(run)))
        if record.get("stage", "").startswith(("predict", "judge", "audit", "dataset")):  # options that came since
            record["args"] = today["args"] | record["args"]
        path.write_text(json.dumps(today | record))
    kept = {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file() and "report" not in p.parts}
    again = Run("smoke", run, log=folder / f"{made}.log")
    said = again.wait()
    assert again.process.returncode == 0, said[-1500:]
    assert said.count("complete") >= STEPS - 1 and "it/s" not in said and "ex/s" not in said
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert time.monotonic() - again.began < 1.5 * sum(seconds)


def test_changed_config_is_refused_and_overwrite_goes_through(finished, folder):
    """Old and new settings mixed in one folder; --overwrite that leaves a stage as it was; a seed passed over."""
    run = finished.folder
    before = contents(run)
    refused = Run("smoke", run, log=folder / "refused.log", GENERATE_ARGS="--num_train 60")
    said = refused.wait()
    assert refused.process.returncode == 2 and "Traceback" not in said and not refused.steps, "planned, and nothing run"
    assert "num_train: " in said and "-> 60" in said and "--redo" in said and "--overwrite" not in said
    assert contents(run) == before

    other = Path(shutil.copytree(run, folder / "other"))
    anew = Run("smoke", other, "--seed", 1, "--overwrite", "--until", "sft", log=folder / "anew.log")
    said = anew.wait()
    assert anew.process.returncode == 0, said[-1500:]
    after = contents(other)
    for name in ("data/train.jsonl", "sft/model.safetensors", "inference/sft/predictions.jsonl"):
        assert after[name] != before[name], name
    assert not {e.id for e in jsonl.read(other / "data/test.jsonl", Example)} & {
        e.id for e in jsonl.read(run / "data/test.jsonl", Example)
    }


def test_kill_at_any_moment_costs_nothing(finished, folder):
    """kill -9 in each stage, at a random moment: a torn file taken for whole, a line twice or never, a resume
    that goes on with other random numbers."""
    whole, seconds = finished.folder, finished.seconds
    rng = random.Random(os.environ.get("CLARIFYVLM_TEST_SEED", "kill"))
    run = finished.made_in  # the path of the undisturbed run, for the paths that its files name
    kills = 0
    scripts = STEP.findall(finished.said)
    firsts = [scripts.index(name) for name in dict.fromkeys(scripts)]
    for number in firsts:
        disturbed = Run("smoke", run, log=folder / f"killed{kills}.log")
        if disturbed.wait_for_step(number):
            time.sleep(rng.uniform(0.2, 0.8) * seconds[number])
        if disturbed.process.poll() is None:
            disturbed.kill()
            kills += 1
    last = Run("smoke", run, log=folder / "last.log")
    said = last.wait()
    assert last.process.returncode == 0, said[-1500:]
    assert kills > len(firsts) / 2 and not left_over(run)
    undisturbed, after = contents(whole), contents(run)
    assert set(after) == set(undisturbed)
    assert not [name for name in undisturbed if after[name] != undisturbed[name]]


def test_two_runs_in_one_folder(folder):
    """Two runs that write into each other's files."""
    first = Run("smoke", folder / "two", log=folder / "first.log")
    try:
        assert first.wait_for_step(2)  # the model's answers: longer than the second run's start
        second = Run("smoke", folder / "two", log=folder / "second.log")
        said = second.wait()
        assert second.process.returncode == 2 and "another run (process" in said and "Traceback" not in said
        assert first.process.poll() is None
    finally:
        first.kill()


def test_photographs_through_all_stages(folder):
    """A frame that only generated scenes fit: judge, report or training that asks for a color or a shape."""
    photos = Path(os.environ.get("CLARIFYVLM_COCO_DIR", ROOT.parent / "shared/photos/coco"))
    if not (photos / "instances.json").exists():
        pytest.skip(f"no photographs in {photos} (CLARIFYVLM_COCO_DIR)")
    run = Run(
        "coco",
        folder / "coco",
        log=folder / "coco.log",
        GENERATE_ARGS=f"--coco_annotations {photos}/instances.json --image_dir {photos}/images --num_examples 60",
        SFT_ARGS="--max_steps 2 --num_validation_examples 6",
        GRPO_ARGS="--max_steps 1 --save_steps 1 --num_prompts 6 --num_validation_examples 6",
        PREDICT_ARGS="--num_examples 12 --max_new_tokens 24",
    )
    said = run.wait()
    assert run.process.returncode == 0, said[-1500:]
    assert not [name for name in CONTRACT if "test_ood" not in name and not (folder / "coco" / name).exists()]
    facts = [e.facts for e in jsonl.read(folder / "coco/data/test.jsonl", Example)]
    assert facts and all(f.source == "coco" for f in facts)
    metrics = json.loads((folder / "coco/report/metrics.json").read_text())
    assert all(metrics["models"][m]["strategy_accuracy_macro"]["n"] == 12 for m in MODELS)
    assert all(metrics["models"][m]["judge_failures"] == 0 for m in MODELS)
    assert len(metrics["notes"]) == 3 and all("made for pictures of scenes" in note for note in metrics["notes"])
