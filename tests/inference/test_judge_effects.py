"""What should not move a judge: harmless variants of a response, and judges that are moved by them on purpose."""

import json
import math
import random
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

import audit_judge
from auditing import judge_effects
from auditing.corruptions import labeled, padded, reworded
from clarifyvlm import jsonl
from clarifyvlm.judges import JudgeArguments
from clarifyvlm.judges.families import family
from clarifyvlm.judges.gate import MAX_CHARACTERS, gate
from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.records import Example, Prediction
from judge_server import GOOD, Server, completion
from stages import FEW, ROOT, script

SCENE_EFFECTS = ["self_consistency", "readings_reversed", "padded_1.5x", "padded_2x", "padded_3x", "reworded"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("effects") / "data"
    argv = ["--config", str(ROOT / "dataset_generation/configs/tiny.yaml"), "--output_dir", str(folder), "--seed", "6"]
    argv += ["--num_train", "240", "--num_validation", "0", "--num_test", "300", "--num_test_ood", "0"]
    script("dataset_generation/generate.py").main([*argv, *FEW, "--image_size", "48"])
    return folder / "test.jsonl"


@pytest.fixture(scope="module")
def responses(data):
    return [r for r in labeled(jsonl.read(data, Example), 0) if r.text]


def run(data: Path, output: Path, *flags) -> dict:
    argv = ["--data_file", data, "--output_file", output, "--resamples", 200, "--num_canary_examples", 1]
    argv += ["--num_natural", 0, *flags]
    assert audit_judge.main([str(a) for a in argv]) == 0
    return json.loads(output.read_text())


def met(response, text: str) -> bool:
    """Whether the scene judge finds the labels of `response` in `text`."""
    (verdict,) = SceneJudge().judge([response.example], [Prediction(example_id=response.example.id, text=text)])
    found = verdict.criteria | {"used_strategy": verdict.used_strategy}
    return all(judge_effects.same(value, found[name]) for name, value in response.labels.items())


@pytest.mark.parametrize("factor", judge_effects.PADDED)
def test_padding_claims_nothing_and_has_the_length(responses, factor):
    """Padding that makes a claim, that the gate stops, or that is shorter than its name says: no measure of length."""
    rng = random.Random(0)
    for r in responses:
        text, words = padded(r.text, factor, rng), len(r.text.split())
        assert r.text in text and gate(r.example, text) is None and met(r, text), text
        assert words < len(text.split()) <= factor * words + 1 and len(text.split()) > factor * words - 2
    assert padded("word " * (MAX_CHARACTERS // 6), 3, rng) is None and padded("", 3, rng) is None


def test_other_words_say_the_same(responses):
    """A rewording that changes what is said: every judge would flip on it, and rightly."""
    changed = [(r, reworded(r.text)) for r in responses]
    assert all(text and text != r.text for r, text in changed), [r.text for r, text in changed if not text][:3]
    assert len({r.fault for r, _ in changed}) == 11
    wrong = [text for r, text in changed if not met(r, text)]
    assert wrong == []
    assert reworded("A response of nobody that is built here.") is None


def test_items_are_spread(responses):
    """Effects that are measured on references only, since they are most of the responses."""
    items = judge_effects.spread(responses, 60)
    assert len(items) == 60 and {r.fault for r in items} == {r.fault for r in responses}
    assert {r.example.strategy for r in items} == {r.example.strategy for r in responses}
    assert len(judge_effects.spread(responses[:5], 60)) == 5


def test_reversed_readings_keep_the_dialogue(responses):
    """A dialogue that is about another reading than before, once the readings are turned around."""
    e = next(r.example for r in responses if r.example.strategy == "clarify")
    turned = judge_effects._reversed(e)
    assert turned.ambiguity.readings == e.ambiguity.readings[::-1] != e.ambiguity.readings
    assert turned.ambiguity.readings[turned.dialogue.reading] == e.ambiguity.readings[e.dialogue.reading]


def test_scene_judge_is_not_moved(data, tmp_path):
    """A default judge that pays for length, for an order or for luck."""
    found = run(data, tmp_path / "audit.json")
    assert list(found["effects"]) == SCENE_EFFECTS and found["warnings"] == []
    for name, effect in found["effects"].items():
        assert effect["n"] >= 25 and effect["failures"] == 0
        assert set(effect["flips"]) >= {"used_strategy", "grounded"} and effect["reward_shift"]["n"] == effect["n"]
        assert all(f["value"] == 0 for f in effect["flips"].values()), name
    assert run(data, tmp_path / "again.json") == found


def biased(bias):
    """`make_judge` of a scene judge with `bias(example, text) -> whether any response is right to it`."""

    class Biased(SceneJudge):
        def _verdict(self, example, prediction):
            verdict = super()._verdict(example, prediction)
            right = {"strategy_right": 1.0, "grounded": 1.0}
            update = {"used_strategy": example.strategy, "criteria": verdict.criteria | right}
            return verdict.model_copy(update=update) if bias(example, prediction.text) else verdict

    return lambda *args, **options: Biased()


def test_judge_that_pays_for_length_shows(data, tmp_path, monkeypatch, capsys):
    """A judge that pays for words, which GRPO would learn to make, or an audit that blames the order for it."""
    monkeypatch.setattr(audit_judge, "make_judge", biased(lambda example, text: len(text.split()) > 8))
    found = run(data, tmp_path / "audit.json")
    shifts = {name: effect["reward_shift"] for name, effect in found["effects"].items()}
    assert shifts["padded_3x"]["low"] > 0.05 and shifts["padded_3x"]["value"] > shifts["padded_1.5x"]["value"]
    assert shifts["readings_reversed"]["value"] == 0
    assert found["effects"]["padded_3x"]["flips"]["used_strategy"]["value"] > 0.1
    told = [w for w in found["warnings"] if "pays longer responses more (padded_3x): reward +" in w]
    assert len(told) == 1 and f"! {told[0]}" in capsys.readouterr().out


def test_judge_that_goes_by_the_order_shows(data, tmp_path, monkeypatch):
    """A judge that goes by which reading comes first, and an audit that does not turn them around."""
    monkeypatch.setattr(audit_judge, "make_judge", biased(by_first_reading))
    effects = run(data, tmp_path / "audit.json")["effects"]
    assert effects["readings_reversed"]["flips"]["used_strategy"]["value"] > 0.1
    assert effects["padded_3x"]["flips"]["used_strategy"]["value"] == 0


def by_first_reading(example: Example, text: str) -> bool:
    readings = example.ambiguity.readings
    return len(readings) > 1 and readings[0].expression < readings[-1].expression


@pytest.mark.slow
def test_llm_judge_by_its_variants(data, tmp_path, capsys):
    """An LLM judge that is asked the same from the cache, sees the picture where it should not, keeps its order, or is
    called more often than was said."""
    # One call at a time: an odd number of items, judged twice in a row, gets the one and then the other.
    turn, said = count(), GOOD | {"answered_readings": []}
    with Server() as server:
        server.reply = lambda request: completion(said | {"used_strategy": ("answer", "enumerate")[next(turn) % 2]})
        flags = ["--judge", "openai", "--judge_base_url", server.url, "--judge_model", "qwen3-32b"]
        flags += ["--judge_concurrency", 1, "--judge_cache_dir", tmp_path / "cache"]
        flags += ["--policy_model", "Qwen/Qwen2.5-VL-3B-Instruct"]
        found = run(data, tmp_path / "audit.json", *flags, "--num_responses", 40, "--num_effect_items", 15)
        asked = [r for r in server.requests if fields_of(r)]
    assert list(found["effects"])[2] == "criteria_reversed" and list(found["effects"])[-1] == "without_picture"
    consistency = found["effects"]["self_consistency"]
    assert consistency["n"] == 15 and consistency["flips"]["used_strategy"]["value"] > 0.5
    told = "\n".join(found["warnings"])
    assert (
        "does not agree with itself" in told
        and "self-preference: qwen3-32b judges Qwen/" in told
        and "unreliable on" in told
    )
    announced = int(capsys.readouterr().out.split(" calls of the judge")[0].split()[-1])
    assert 15 * 7 < len(asked) == found["usage"]["calls"] <= announced
    assert sum(fields_of(r) != fields_of(asked[0]) for r in asked) == 15  # criteria_reversed
    assert sum(isinstance(r["messages"][1]["content"], str) for r in asked) == 15  # without_picture


def test_natural_responses_are_few_and_judged_without_their_pictures(data, tmp_path, capsys):
    """A thousand calls that nobody asked for, a judge that looks for pictures that are not there, or calls that were
    not announced."""
    said = GOOD | {"answered_readings": [], "separated_readings": []}
    with Server() as server:
        server.reply = lambda request: completion(said)
        flags = ["--judge", "openai", "--judge_base_url", server.url, "--judge_model", "m", "--no_judge_cache"]
        flags += ["--num_responses", 5, "--num_effect_items", 0, "--num_canary_examples", 0, "--num_natural", 12]
        found = run(data, tmp_path / "audit.json", *flags)
        pictures = [isinstance(r["messages"][-1]["content"], list) for r in server.requests if fields_of(r)]
    assert pictures.count(True) <= 5 and 5 < pictures.count(False) <= 12
    assert found["natural"]["responses"] == 12 and found["natural"]["facts_alone"] is True
    assert "5 constructed and 12 natural responses" in capsys.readouterr().out
    assert len(pictures) == found["usage"]["calls"]
    paid = SimpleNamespace(usage=object())
    args = SimpleNamespace(num_natural=None, seed=0)
    assert len(audit_judge._natural(args, paid)) == 200 < len(audit_judge._natural(args, SceneJudge()))


def test_budget_holds_over_all_judges(data, tmp_path):
    """A budget that every variant of the judge spends anew."""
    with Server() as server:
        flags = ["--judge", "openai", "--judge_base_url", server.url, "--judge_model", "m", "--judge_concurrency", 1]
        flags += ["--no_judge_cache", "--judge_max_calls", 70, "--num_responses", 40, "--num_effect_items", 15]
        found = run(data, tmp_path / "audit.json", *flags)
        asked = [r for r in server.requests if fields_of(r)]
    assert found["usage"]["calls"] == len(asked) == 70
    assert found["effects"]["reworded"]["n"] == 0 and found["effects"]["reworded"]["failures"] == 15
    assert any("the judge failed on" in w for w in found["warnings"])


@pytest.mark.parametrize(
    "name,expected",
    [
        ("Qwen/Qwen2.5-VL-3B-Instruct", "qwen"),
        ("meta-llama/Llama-3.2-11B-Vision", "llama"),
        ("llava-hf/llava-v1.6-mistral-7b-hf", "llava"),
        ("OpenGVLab/InternVL3-8B", "internvl"),
        ("google/paligemma2-3b", "gemma"),
        ("HuggingFaceTB/SmolVLM-256M", "smol"),
        ("gpt-4o-mini", "gpt"),
        ("o3-mini", "gpt"),
        ("claude-sonnet", "claude"),
        ("mistralai/Pixtral-12B", "mistral"),
        ("deepseek-ai/deepseek-vl2", "deepseek"),
        ("microsoft/Phi-4-multimodal", "phi"),
        ("ollama/dolphin", None),
        ("philosophy/judge", None),
    ],
)
def test_family_by_name(name, expected):
    """Self-preference that nobody is warned of, or a warning for a name that only sounds alike."""
    assert family(name) == expected


def test_family_of_a_checkpoint(tmp_path):
    """An adapter or a checkpoint whose folder's name says nothing: the family is in its files."""
    base, adapter = tmp_path / "base", tmp_path / "grpo"
    for folder in (base, adapter):
        folder.mkdir()
    assert family(str(base)) is None
    (base / "config.json").write_text(json.dumps({"architectures": ["Gemma3ForConditionalGeneration"]}))
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    assert family(str(base)) == family(str(adapter)) == "gemma"
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "Qwen/Qwen2.5-VL-3B"}))
    assert family(str(adapter)) == "qwen"
    (adapter / "adapter_config.json").write_text("{")
    assert family(str(adapter)) is None


def test_panel_is_audited(data, tmp_path, capsys):
    """A panel whose members are not counted, or whose family goes unseen; an unknown policy, taken for safe."""
    said = GOOD | {"answered_readings": []}
    with Server() as server:
        server.reply = lambda request: completion({k: v for k, v in said.items() if k in fields_of(request)})
        member = f"judge: openai, judge_base_url: '{server.url}', judge_model"
        members = ["judge: scene", f"{member}: gemma-3-27b, judge_calls: per_criterion", f"{member}: qwen3-32b"]
        panel = tmp_path / "panel.yaml"
        panel.write_text("judges:\n" + "".join(f"  - {{{m}}}\n" for m in members))
        flags = ["--judge", "panel", "--judge_panel", panel, "--no_judge_cache", "--num_responses", 20]
        found = run(data, tmp_path / "a.json", *flags, "--num_effect_items", 6, "--policy_model", "google/gemma-3-4b")
        asked = sum(bool(fields_of(r)) for r in server.requests)
        other = run(data, tmp_path / "b.json", *flags, "--num_effect_items", 0, "--policy_model", tmp_path)
    assert "criteria_reversed" in found["effects"] and found["judge_failures"] == {}
    announced = int(capsys.readouterr().out.split("up to ")[1].split()[0])
    assert asked == found["usage"]["calls"] <= announced < 2 * asked
    assert any("self-preference" in w and "gemma" in w for w in found["warnings"])
    assert any(f"the family of {tmp_path} is unknown" in w for w in other["warnings"])


def fields_of(request: dict) -> list[str]:
    """The fields that a call asks for; none for the check at the start."""
    return list(request.get("response_format", {}).get("json_schema", {}).get("schema", {}).get("properties", {}))


def test_scene_judge_has_no_rubric_and_no_picture(responses):
    """Effects of a rubric or a picture, measured on a judge that knows neither."""
    planned = judge_effects.variants(responses[:20], JudgeArguments(), False, repeats=3, seed=0)
    assert list(planned) == SCENE_EFFECTS and planned["self_consistency"].judgments == 40


def test_a_reward_that_is_unknown_shifts_nothing(data):
    """A judge that does not know whether a response is grounded, which ended the audit."""
    example = next(e for e in jsonl.read(data, Example) if e.strategy == "answer")
    prediction = Prediction(example_id=example.id, text=example.reference)
    (verdict,) = SceneJudge().judge([example], [prediction])
    unknown = verdict.model_copy(update={"criteria": verdict.criteria | {"grounded": None}, "unknown": ["grounded"]})
    assert judge_effects._shift(example, [verdict, verdict]) == 0
    assert math.isnan(judge_effects._shift(example, [verdict, unknown]))
