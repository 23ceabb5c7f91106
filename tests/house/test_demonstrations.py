"""Demonstrations against rewards, from models whose every word is known: values, differences, how many are replaced."""

import json
import shutil
from pathlib import Path

import pytest

from clarifyvlm import jsonl
from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.records import Example, Prediction, Turn
from small_examples import write_examples


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import demonstrations_tables

    return demonstrations_tables


def write_model(folder: Path, name: str, asks: bool) -> None:
    """A model that asks where there are four stars, and is answered; or guesses everywhere."""
    for split in ("test", "unambiguous"):
        examples = jsonl.read(folder / "data" / f"{split}.jsonl", Example)
        said = []
        for example in examples:
            texts = ["It is red."]
            if asks and example.strategy == "clarify":
                texts = ["Which star do you mean?", "The one at the top left.", "It is red."]
            turns = [Turn(role=("assistant", "user")[i % 2], text=text) for i, text in enumerate(texts)]
            said.append(Prediction(example_id=example.id, turns=turns, reading=0))
        place = folder / split / name
        place.mkdir(parents=True)
        jsonl.write_atomic(place / "predictions.jsonl", said)
        jsonl.write_atomic(place / "verdicts.jsonl", SceneJudge().judge(examples, said))
        (place / "verdicts.run.json").write_text('{"status": "complete"}')


def test_tables(tables, tmp_path):
    """A difference with the wrong sign, a seed left out, models of another size in the curve, a size that one seed
    lacks."""
    folders = {}
    for seed in (0, 1):
        folders[seed] = folder = tmp_path / f"seed-{seed}"
        write_examples(folder / "data", 8)
        for split in ("test", "unambiguous"):  # ids of a seed are its own
            rows = [json.loads(line) for line in (folder / "data" / "test.jsonl").read_text().splitlines()]
            rows = [r | {"id": r["id"].removesuffix(f"-{seed}") + f"-{seed}"} for r in rows]
            (folder / "data" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        for name in ("base", "sft-500", "sft-2000"):
            write_model(folder, name, asks=False)
        for name in ("sft-20000", "grpo-2000", "longer-2000"):
            write_model(folder, name, asks=True)
    shutil.rmtree(folders[1] / "test" / "sft-500")
    tables.write(folders, [500, 2000, 20_000], tmp_path)
    content = json.loads((tmp_path / "demonstrations.json").read_text())
    models = content["default"]["models"]
    assert models["grpo-2000"]["right_in_the_end"] | {"low": 0, "high": 0} == {"value": 1, "low": 0, "high": 0, "n": 16}
    assert models["sft-2000"]["strategy_accuracy"]["clarify"]["value"] == 0
    differences = {(r["a"], r["b"], r["metric"]): r["value"] for r in content["default"]["differences"]}
    assert differences["grpo-2000", "sft-2000", "strategy_accuracy_macro"] == pytest.approx(0.5)
    assert differences["grpo-2000", "longer-2000", "right_in_the_end"] == 0
    assert list(content["curve"]) == ["2000", "20000"] and set(content["curve"]["20000"]) == {"sft"}
    assert content["replaced"]["strategy_accuracy_macro"] == {"demonstrations": 20000, "times": 10, "at_least": False}
    shown = (tmp_path / "demonstrations.md").read_text()
    assert "| SFT + GRPO on 2,000 minus SFT on 2,000, points | all seeds | p (Holm) | seed 0 | seed 1 |" in shown
    assert (
        "SFT alone needs 20,000, 10 times as many" in shown and (tmp_path / "demonstrations.svg").stat().st_size > 999
    )


@pytest.mark.parametrize(
    ("sft", "grpo", "found"),
    [
        ({500: 0.7, 2000: 0.8, 8000: 0.9}, 0.85, (4000, 2, False)),  # half of the way, on a logarithmic axis
        ({500: 0.7, 2000: 0.8, 8000: 0.9}, 0.95, (8000, 4, True)),
        ({500: 0.7, 2000: 0.8, 8000: 0.9}, 0.75, (1000, 0.5, False)),
        ({500: 0.7, 2000: 0.8}, 0.6, (500, 0.2, False)),
    ],
)
def test_how_many_demonstrations_are_replaced(tables, sft, grpo, found):
    """A number beyond what was measured, or one of GRPO's own curve."""
    curve = {n: {"sft": {"right_in_the_end": {"value": value}}} for n, value in sft.items()}
    curve[2000]["grpo"] = {"right_in_the_end": {"value": grpo}}
    assert tuple(tables._replaced(curve, "right_in_the_end").values()) == found
    assert tables._replaced({2000: curve[2000]}, "right_in_the_end") is None
