"""The ablation's tables, from models whose every word is known: who is right, who asks, what a question costs."""

import json
from pathlib import Path

import pytest
import yaml

from clarifyvlm import jsonl
from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.records import Example, Prediction, Turn
from small_examples import write_examples
from stages import ROOT

ASK, REPLY = "Which star do you mean?", "The one at the top left."


@pytest.fixture
def ablation(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import ablation

    return ablation


@pytest.fixture
def models(ablation):
    """What it trains and measures."""
    import ablation_models

    return ablation_models


def write_model(folder: Path, name: str, examples: list[Example], asks: bool, then: str, cost: float | None = None):
    """What a model said that asks where there are four stars (or guesses), and says `then` to the reply."""
    said = []
    for example in examples:
        turns = [Turn(role="assistant", text="It is red.")]
        if asks and example.strategy == "clarify":
            turns = [Turn(role=role, text=t) for role, t in (("assistant", ASK), ("user", REPLY), ("assistant", then))]
        reading = 0 if example.strategy == "clarify" else None
        said.append(Prediction(example_id=example.id, turns=turns, reading=reading, ask_cost=cost))
    (folder / name).mkdir(parents=True)
    jsonl.write_atomic(folder / name / "predictions.jsonl", said)
    jsonl.write_atomic(folder / name / "verdicts.jsonl", SceneJudge().judge(examples, said))
    (folder / name / "verdicts.run.json").write_text('{"status": "complete"}')


@pytest.fixture
def seeds(tmp_path, models):
    """Two seeds: one turn answers replies wrongly, dialogues rightly but of users who change their mind; who is told a
    cost asks up to 0.4; of those who know one cost, all ask but the one of 0.8."""
    folders = [tmp_path / f"tiny-{seed}" for seed in (0, 1)]
    for folder in folders:
        examples = jsonl.read(write_examples(folder / "data", 8), Example)
        for name, then in (("GRPO, one turn", "It is blue."), ("GRPO, dialogues", "It is red."), (models.TOLD, "I")):
            slug = models.slug(name)
            write_model(folder / "plain", slug, examples, True, then)
            for kind in models.OTHERS:
                end = {"changes_mind": "It is green.", "wrong": "There is no such star."}.get(kind, then)
                write_model(folder / "users" / f"user_{kind}", slug, examples, True, end)
            (folder / slug).mkdir()
            (folder / slug / "log.jsonl").write_text(json.dumps({"step_time": 2.0}) + "\n")
        for cost in models.COSTS:
            told, fixed = folder / "costs" / f"{cost:g}", models.slug(f"one cost, {cost:g}")
            write_model(told, models.slug(models.TOLD), examples, cost <= 0.4, "It is red.", cost)
            write_model(told, fixed, examples, cost < 0.8, "It is red.", cost)
    return folders


def test_tables(seeds, ablation, models, tmp_path):
    """A difference with the wrong sign, a seed or a user left out, a utility that forgets what was paid."""
    assert (
        ablation.main(["--tables", "--seeds", "0", "1", "--run_dir", str(tmp_path), "--output_dir", str(tmp_path)]) == 0
    )
    content = json.loads((tmp_path / "ablation.json").read_text())
    assert list(content["models"]) == ["GRPO, one turn", "GRPO, dialogues", models.TOLD]  # others: not there yet
    one, talks = content["models"]["GRPO, one turn"], content["models"]["GRPO, dialogues"]
    assert one["answered"]["value"] == 0 and talks["answered"]["n"] == 8
    assert talks["answered"]["value"] == pytest.approx(2 / 3, abs=1e-3)
    assert content["differences"]["GRPO, one turn"]["answered"]["value"] == -talks["answered"]["value"]
    assert talks["believed"]["value"] == 0 and talks["believed"]["n"] == 8
    by_user = {kind: found["value"] for kind, found in content["users"]["GRPO, dialogues"].items()}
    assert by_user == {"helpful": 1, "terse": 1, "changes_mind": 0}
    assert talks["guessed"]["value"] == 1 and talks["asked_again"]["value"] == 0  # "It is red.", whoever replied
    assert one["asked_needlessly"]["value"] == 0 and talks["strategy"]["value"] == 1
    costs = content["costs"]
    assert [costs[c]["asked"]["value"] for c in ("0", "0.2", "0.4", "0.6", "0.8")] == [1, 1, 1, 0, 0]
    # half of the questions have one reading and earn 1; the others 1 - cost, or a guess, which is what is meant here
    assert costs["0.4"]["utility"]["value"] == pytest.approx(0.8) and costs["0.8"]["utility"]["value"] == 1
    assert [costs[c]["best_utility"]["value"] for c in costs] == [1] * 5  # of the guess, at every cost
    assert costs["0"]["best"] == 0 and {costs[c]["best"] for c in list(costs)[1:]} == {0.8}
    shown = (tmp_path / "ablation.md").read_text()
    assert "| GRPO, dialogues | 100.0 [" in shown and "seeds 0, 1" in shown


def test_a_model_that_a_seed_lacks_is_left_out(seeds, models):
    """A row over fewer seeds than its neighbors."""
    late = seeds[1] / "users" / "user_terse" / models.slug("GRPO, dialogues") / "verdicts.run.json"
    late.write_text('{"status": "running"}')
    from ablation_tables import Tables

    assert Tables(seeds, [0, 1], resamples=50).models == ["GRPO, one turn", models.TOLD]


def test_every_model_is_another(ablation, models):
    """Two rows that are the same run, or one that learns from fewer completions than the others."""
    runs = [models.slug(name) for name in models.MODELS | models.FIXED]
    assert len(set(runs)) == len(runs)
    config = yaml.safe_load((ROOT / f"tuning_grpo/configs/{models.PRESET}.yaml").read_text())
    completions = config["num_prompts"] * config["num_generations"]
    others = [flags for flags in (models.MODELS | models.FIXED).values() if ablation.prompts(flags)]
    assert others and all(flags[1] * ablation.prompts(flags)[1] == completions for flags in others)
