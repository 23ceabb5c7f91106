"""`main.py publish`: a folder that loads by itself, whose card says what the records and the report say."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import main
from clarifyvlm import chat
from clarifyvlm.app import provenance
from clarifyvlm.errors import UserError
from clarifyvlm.models import loading
from clarifyvlm.models.generation import encode
from clarifyvlm.run_record import hash_input
from hub_server import TOKEN, Hub

ROOT = Path(__file__).resolve().parents[2]


def publish(model: Path, output: Path, *flags: str, **options) -> str:
    """Run the command; returns the card."""
    named = [f"--{name}={value}" for name, value in options.items()]
    assert main.main(["publish", f"--model_name_or_path={model}", f"--output_dir={output}", *flags, *named]) == 0
    return (output / "README.md").read_text()


def estimate(value: float, n: int = 40) -> dict:
    return {"value": value, "low": value - 0.06, "high": value + 0.03, "n": n}


def write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def run_dir(tmp_path, tiny_model_dir) -> Path:
    """A run as run.sh leaves it: base, data, sft, and a report on it, all with absolute paths of this machine."""
    run = tmp_path / "alice" / "run"
    shutil.copytree(tiny_model_dir, run / "base")
    write_json(run / "data/run.json", {
        "stage": "dataset_generation/generate.py", "args": {"source": "scenes", "seed": 5}, "counts": {"train": 1234},
    })  # fmt: skip
    (run / "data/train.jsonl").write_text("{}\n")
    table = "| strategy | train |\n|---|---|\n| infer | 77 |\n"
    (run / "data/README.md").write_text(f"# Card\n\n## Examples per strategy\n\n{table}")
    shutil.copytree(tiny_model_dir, run / "sft")
    (run / "sft/training_args.bin").write_bytes(str(run).encode())
    (run / "sft/log.jsonl").write_text(json.dumps({"output_dir": str(run)}))
    config = json.loads((run / "sft/config.json").read_text()) | {
        "made_for": "scenes",
        "_name_or_path": str(run / "base"),
    }
    write_json(run / "sft/config.json", config)
    read = [{"path": str(p), "sha256": hash_input(p)} for p in (run / "data/train.jsonl", run / "base")]
    write_json(run / "sft/run.json", {
        "stage": "tuning_sft", "status": "complete", "inputs": read, "commit": "c0ffee", "seconds": 12.5,
        "versions": {"trl": "9.8.7"}, "counts": {"steps": 321},
        "args": {"data_dir": str(run / "data"), "model_name_or_path": str(run / "base"), "output_dir": str(run / "sft"),
                 "learning_rate": 0.0123, "deepspeed": str(run / "zero.json"), "judge_base_url": "http://inner.host/v1",
                 "report_to": ["trackio"], "run_name": "secret plans"},
    })  # fmt: skip
    report(run, run / "sft")
    return run


def report(run: Path, model: Path) -> None:
    """A report with the rows base and tuned; tuned is `model`."""
    predictions = run / "inference/tuned/predictions.jsonl"
    predictions.parent.mkdir(parents=True)
    predictions.write_text("{}\n")
    read = [{"path": str(model), "sha256": hash_input(model)}]
    write_json(
        predictions.parent / "predictions.run.json", {"args": {"model_name_or_path": str(model)}, "inputs": read}
    )
    row = {name: estimate(value) for name, value in {
        "strategy_accuracy_macro": 0.44, "overconfident": 0.19, "over_asked": 0.31, "grounded": 0.56,
        "answer_accuracy": 0.69, "served": 0.81, "reward": 0.21, "coverage": 0.95,
    }.items()}  # fmt: skip
    row["answer_accuracy_after_reply"] = {"value": None, "low": None, "high": None, "n": 0}
    row |= {"strategy_accuracy": {"infer": estimate(0.25, 11), "clarify": estimate(0.5, 12)}, "judge_failures": 3}
    row["strategy_accuracy_by_type"] = {"vague": estimate(0.12, 13), "lexical": estimate(0.75, 14)}
    drop = {"value": -0.082, "low": -0.122, "high": -0.042, "n": 39}
    drops = {"mirror": drop | {"value": -0.01}, "options": drop}
    changed = {
        variant: {"what": f"the {variant}", "models": {"tuned": {"accuracy": {"macro": {"difference": lost}}}}}
        for variant, lost in drops.items()
    }
    served = {"a": "tuned", "b": "base", "metric": "served", "value": 0.056, "low": 0.024, "high": 0.086, "n": 38}
    write_json(run / "report/metrics.json", {
        "models": {"base": row | {"strategy_accuracy_macro": estimate(0.9)}, "tuned": row}, "differences": [served],
        "robustness": {"variants": changed}, "judges": {"tuned": ["scene"]}, "seed": 17, "examples": 40, "pictures": 20,
        "data": str(run / "data/test.jsonl"),
    })  # fmt: skip
    used = [{"path": str(predictions), "sha256": hash_input(predictions)}]
    write_json(run / "report/run.json", {"args": {"inference_dir": str(run / "inference")}, "inputs": used})


def test_the_card_says_what_the_records_and_the_report_say(run_dir, tmp_path):
    """A figure of another row, without its n or interval, or rounded otherwise; a stage or setting left out."""
    card = publish(run_dir / "sft", tmp_path / "out", report_dir=run_dir / "report", license="mit")
    for line in (
        "| Strategy accuracy (macro over the strategies) | 44.0 % [38.0, 47.0] | 40 |",
        "| Overconfident on ambiguous questions (lower is better) | 19.0 % [13.0, 22.0] | 40 |",
        "| Mean reward (no share) | 0.21 [0.15, 0.24] | 40 |",
        "| Understood by the judge; the numbers above are over these | 95.0 % [89.0, 98.0] | 40 |",
        "| infer | 25.0 % [19.0, 28.0] | 11 |",
        "| Served after at most one reply | `base` | +5.6 [+2.4, +8.6] | 38 |",
        "- Weakest strategy: `infer`, strategy accuracy 25.0 % [19.0, 28.0], n = 11.",
        "- Weakest type of ambiguity: `vague`, strategy accuracy 12.0 % [6.0, 15.0], n = 13.",
        "the options. Strategy accuracy changes by -8.2 [-12.2, -4.2] points, n = 39.",
        "judge `scene`, seed 17;",
        "Judge failures, left out: 3.",
        "source scenes, seed 5; examples: train 1,234",
        "| infer | 77 |",
        "- steps: 321",
        "`learning_rate 0.0123`, `deepspeed zero.json`, `judge_base_url` (set)",
        "- versions: trl 9.8.7",
        "- commit: c0ffee",
        "- seconds: 12.5",
        "one kind of pictures only: `scenes`",
        "\nlicense: mit\n",
        "\nlibrary_name: transformers\npipeline_tag: image-text-to-text\n",
    ):
        assert line in card, line
    assert "after the user's reply" not in card  # nothing was measured
    assert "It was not evaluated." in publish(run_dir / "sft", tmp_path / "without")


def test_nothing_of_this_machine_is_in_the_folder(run_dir, tmp_path):
    """A path or user name in a config, the card, or a pickled file of the trainer that was copied along; what the run
    is called in a tracker, or what the tracker wrote."""
    (run_dir / "sft/trackio").mkdir()
    (run_dir / "sft/trackio/clarifyvlm.db").write_text("alice")
    publish(run_dir / "sft", tmp_path / "out", report_dir=run_dir / "report")
    for path in (p for p in (tmp_path / "out").rglob("*") if p.is_file()):
        content = path.read_bytes()
        for private in (str(run_dir), "alice", "inner.host", "secret plans"):
            assert private.encode() not in content, f"{private} in {path.name}"
    assert not {"training_args.bin", "log.jsonl", "run.json", "trackio"} & {
        p.name for p in (tmp_path / "out").iterdir()
    }


def test_the_row_is_that_of_this_very_checkpoint(run_dir, tmp_path):
    """Results of another model, or of what the folder held before it was trained again, on the card."""
    with pytest.raises(UserError, match=r"none of the models of the report .*\(base, tuned\)"):
        provenance.results(run_dir / "base", run_dir / "report")
    assert provenance.results(run_dir / "sft", run_dir / "report").row == "tuned"
    assert "named by hand" in publish(
        run_dir / "base", tmp_path / "o", report_dir=run_dir / "report", model_row="tuned"
    )
    with pytest.raises(UserError, match="--model_row other"):
        provenance.results(run_dir / "sft", run_dir / "report", "other")
    (run_dir / "inference/tuned/predictions.jsonl").write_text("{}\n{}\n")
    with pytest.raises(UserError, match=r"Run report\.py again"):
        provenance.results(run_dir / "sft", run_dir / "report")
    (run_dir / "sft/generation_config.json").write_text("{}")
    with pytest.raises(UserError, match="with another content"):
        provenance.results(run_dir / "sft", run_dir / "report")


def test_stages_are_followed_as_far_as_they_are_what_was_used(run_dir, tmp_path):
    """A card that tells of a base or of data that changed since."""
    assert Path(provenance.history(run_dir / "sft").base) == run_dir / "base"
    (run_dir / "data/train.jsonl").write_text("{}\n{}\n")
    (run_dir / "base/config.json").write_text("{}")
    card = publish(run_dir / "sft", tmp_path / "out")
    assert "no longer as it was" in card and "not there any more as it was; sha256" in card and "1,234" not in card


def logits(folder: Path) -> torch.Tensor:
    model, processor = loading.load(folder, device="cpu", dtype="float32")
    inputs = encode(processor, [chat.user_turn("What is it?")], [Image.new("RGB", (96, 96), "red")])
    with torch.inference_mode():
        return model(**inputs).logits


def test_a_merged_adapter_says_what_the_adapter_says(tiny_adapter_dir, tmp_path, capsys):
    """Weights of the base alone, a layer that was not folded in, or a difference that the card does not tell."""
    card = publish(tiny_adapter_dir, tmp_path / "merged", "--merge")
    assert not loading.is_adapter(tmp_path / "merged")
    assert torch.allclose(logits(tmp_path / "merged"), logits(tiny_adapter_dir), atol=1e-4)
    differs, effect = r"differ from the adapter's by ([\d.e+-]+)", r"changes them by up to ([\d.e+-]+)"
    assert float(re.search(effect, card)[1]) > 100 * float(re.search(differs, card)[1])
    short = publish(tiny_adapter_dir, tmp_path / "short", "--merge", dtype="bfloat16")
    assert float(re.search(differs, short)[1]) > 10 * float(re.search(differs, card)[1])
    config = json.loads((tmp_path / "short/config.json").read_text())
    assert config["dtype"] == "bfloat16" and loading.load(tmp_path / "short", device="cpu")


def test_an_adapter_finds_its_base_from_where_it_is_published(tiny_adapter_dir, tiny_model_dir, tmp_path, monkeypatch):
    """An adapter that loads only from the folder where it was published, or tells where its base is."""
    monkeypatch.chdir(tmp_path)
    card = publish(tiny_adapter_dir, Path("deep/er/out"))
    monkeypatch.chdir("/")
    assert torch.equal(logits(tmp_path / "deep/er/out"), logits(tiny_adapter_dir))
    out = tmp_path / "deep/er/out"
    named = json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert not Path(named).is_absolute() and (out / named).resolve() == tiny_model_dir.resolve()
    assert "library_name: peft" in card


def test_the_snippet_of_the_card_works(asking_model_dir, tmp_path):
    """A snippet that nobody ran, or a prompt that is not the one of training."""
    card = publish(asking_model_dir, tmp_path / "out")
    Image.new("RGB", (96, 96), "white").save(tmp_path / "picture.png")
    code = re.search(r"```python\n(.*?)```", card, flags=re.S)[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "Which star do you mean?", done.stderr[-2000:]


def test_what_cannot_be_published_is_refused_and_nothing_is_left(run_dir, tiny_adapter_dir, tmp_path):
    """Torn weights or an unfinished run passed on; a folder of the user's overwritten; half a folder left behind."""
    out = tmp_path / "place/out"

    def refused(model, match, *flags, **options):
        with pytest.raises(UserError, match=match):
            publish(model, out, *flags, **options)
        assert not out.exists() or list(out.iterdir()) == [out / "mine.txt"]
        assert not out.parent.exists() or [p.name for p in out.parent.iterdir()] in ([], ["out"])

    refused(run_dir / "data", "is no model")
    refused("owner/name", "no folder here")
    refused(run_dir / "sft", "leave --merge out", "--merge")
    refused(run_dir / "sft", "owner/name", push_to_hub="name")
    refused(run_dir / "sft", "has no metrics.json", report_dir=run_dir / "data")
    refused(run_dir / "sft", "--dtype is for --merge", dtype="float32")
    refused(run_dir / "sft", r"README\.md would tell the path", license=run_dir / "sft")
    record = json.loads((run_dir / "sft/run.json").read_text())
    write_json(run_dir / "sft/run.json", record | {"status": "running"})
    refused(run_dir / "sft", "has not finished")
    weights = run_dir / "base/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    refused(run_dir / "base", "torn")
    out.mkdir(parents=True)
    (out / "mine.txt").write_text("mine")
    refused(tiny_adapter_dir, "is not empty")
    refused(tiny_adapter_dir, "no publish wrote", "--overwrite")
    (out / "mine.txt").unlink()
    publish(tiny_adapter_dir, out)
    publish(tiny_adapter_dir, out, "--overwrite", "--merge")
    assert not loading.is_adapter(out) and [p.name for p in out.parent.iterdir()] == ["out"]


def push(model: Path, output: Path, url: str, *flags: str, token: str | None = TOKEN) -> subprocess.CompletedProcess:
    home = output.parent / "hf"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | {"HF_HOME": str(home)}
    environment |= {"HF_ENDPOINT": url, "HF_HUB_DISABLE_XET": "1"} | ({"HF_TOKEN": token} if token else {})
    command = [
        "publish",
        f"--model_name_or_path={model}",
        f"--output_dir={output}",
        "--push_to_hub",
        "owner/name",
        *flags,
    ]
    return subprocess.run(
        [sys.executable, ROOT / "main.py", *command], env=environment, capture_output=True, text=True, timeout=120
    )


def test_a_push_needs_a_token_and_a_hub(tiny_model_dir, tiny_adapter_dir, tmp_path):
    """A traceback, or minutes of work, before it turns out that nothing can be pushed."""
    for done, said in (
        (push(tiny_model_dir, tmp_path / "out", "http://127.0.0.1:9", token=None), "needs a token"),
        (push(tiny_model_dir, tmp_path / "out", "http://127.0.0.1:9"), "cannot reach the hub"),
        (push(tiny_adapter_dir, tmp_path / "out", "http://127.0.0.1:9"), "--base_model owner/name"),
    ):
        assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
        assert not (tmp_path / "out").exists()


def test_a_push_uploads_the_folder(tiny_model_dir, tmp_path):
    """Files left out, a repository that others see in spite of --private, or a wrong token taken for no network."""
    with Hub() as hub:
        done = push(tiny_model_dir, tmp_path / "wrong", hub.url, token="hf_wrong")
        assert done.returncode == 2 and "the hub refuses" in done.stderr and not hub.files, done.stderr
        done = push(tiny_model_dir, tmp_path / "out", hub.url, "--private")
        assert done.returncode == 0 and hub.private, done.stderr[-3000:]
        assert hub.files == {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
        assert "hf download owner/name" in (tmp_path / "out/README.md").read_text()
    with Hub(public_already=True) as hub:
        done = push(tiny_model_dir, tmp_path / "other", hub.url, "--private")
        assert done.returncode == 2 and "public: nothing was uploaded" in done.stderr and not hub.files
