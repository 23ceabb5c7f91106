"""The extract judge in the scripts that take a judge: judge.py and its resume, the audit, the reward of GRPO."""

import json
import shutil
from pathlib import Path

import pytest

import audit_judge
from clarifyvlm import jsonl, rewards
from clarifyvlm.errors import UserError
from clarifyvlm.judges import JudgeArguments, extract_schema, make_judge
from clarifyvlm.records import Example, Verdict
from judge_server import completion
from scripted_extractor import make_extract, response_in, scripted
from stages import script

SCENES = Path(__file__).parents[1] / "data" / "judge_scenes.jsonl"
EXAMPLES = {e.id: e for e in jsonl.read(SCENES, Example)}
RED = {"claims": [{"span": "It is red", "kind": "is", "property": "color", "value": "red"}]}
WHICH = {"questions": [{"span": "Which one", "open": True}]}
judge = script("inference/judge.py")


def flags(server) -> list[str]:
    return ["--judge", "extract", "--judge_base_url", server.url, "--judge_model", "m", "--judge_max_retries", "0"]


def test_resume_asks_only_for_what_failed(server, tmp_path):
    """Verdicts that a refused reply takes with it, a failure scored as 0, a rerun that pays for what it has, or a
    report that does not say who judged."""
    rows = [
        {"example_id": e, "text": f"It is red {i}." if i % 2 else f"Which one {i}?"} for i, e in enumerate(EXAMPLES)
    ]
    jsonl.write_atomic(tmp_path / "predictions.jsonl", rows)
    poisoned = [True]

    def reply(request):
        text = response_in(request)
        if poisoned and "5" in text:
            return completion(extract_schema.reply(claims=[{"span": "is green", "kind": "exists"}]))
        return completion(extract_schema.reply(**(RED if "red" in text else WHICH)))

    server.reply = reply
    output = tmp_path / "verdicts.jsonl"
    argv = ["--data_file", str(SCENES), "--predictions", str(tmp_path / "predictions.jsonl"), "--output_file"]
    argv += [str(output), *flags(server)]
    with pytest.raises(UserError, match=r"failed on 3 of 27 predictions \(invented_span 3\)"):
        judge.main(argv)
    assert len(server.requests) == 1 + 24 + 2 * 3, "the preflight call, and once more for what was refused"
    poisoned.clear()
    server.requests.clear()
    assert judge.main(argv) == 0 and len(server.requests) == 1 + 3
    verdicts = jsonl.read(output, Verdict)
    assert [v.example_id for v in verdicts] == list(EXAMPLES) and not any(v.failure for v in verdicts)
    assert {v.judge for v in verdicts} == {f"extract:m:claims-{extract_schema.VERSION}"}
    assert {v.used_strategy for v in verdicts} >= {"answer", "clarify"}
    server.requests.clear()
    assert judge.main([*argv[:5], str(tmp_path / "again.jsonl"), *argv[6:]]) == 0
    assert len(server.requests) == 1, "the preflight call; all else is in the cache"
    assert jsonl.read(tmp_path / "again.jsonl", Verdict) == verdicts

    row = tmp_path / "inference" / "model"
    row.mkdir(parents=True)
    for file in ("predictions.jsonl", "verdicts.jsonl"):
        shutil.copy(tmp_path / file, row / file)
    argv = ["--data_file", str(SCENES), "--inference_dir", str(row.parent), "--resamples", "100", "--output_dir"]
    assert script("inference/report.py").main([*argv, str(tmp_path / "report")]) == 0
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["judge"] == verdicts[0].judge


def test_rows_without_annotations_are_refused(server, tmp_path):
    """Verdicts on pictures of which nothing is known, by a judge that checks claims against nothing."""
    bare = EXAMPLES["answer-color"].facts.model_copy(update={"objects": [], "complete": False})
    jsonl.write_atomic(tmp_path / "d.jsonl", [EXAMPLES["answer-color"].model_copy(update={"facts": bare})])
    jsonl.write_atomic(tmp_path / "p.jsonl", [{"id": "answer-color", "text": "It is red."}])
    files = ["--data_file", str(tmp_path / "d.jsonl"), "--predictions", str(tmp_path / "p.jsonl")]
    with pytest.raises(UserError, match="--judge extract needs facts"):
        judge.main([*files, "--output_file", str(tmp_path / "v.jsonl"), *flags(server)])
    assert server.requests == []


def test_audit_shows_a_model_that_reads_nothing(server, tmp_path, capsys):
    """An audit that an extract judge passes which takes everything for off topic, that asks for the criteria of a
    rubric that it has not, or that does not say how many calls are to come."""
    server.reply = lambda request: completion(extract_schema.reply(off_topic=True))
    output = tmp_path / "audit.json"
    argv = ["--data_file", str(SCENES), "--output_file", str(output), "--num_responses", "40", "--resamples", "100"]
    argv += ["--num_effect_items", "5", "--num_canary_examples", "2", "--num_natural", "20"]
    assert audit_judge.main([*argv, *flags(server)]) == 0
    found = json.loads(output.read_text())
    assert found["judge"] == f"extract:m:claims-{extract_schema.VERSION}" and found["judge_failures"] == {}
    assert found["canaries"]["passed"] == [] and found["warnings"]
    assert found["criteria"]["used_strategy"]["accuracy"]["value"] < 0.2
    assert "self_consistency" in found["effects"] and "criteria_reversed" not in found["effects"]
    assert "1 call each" in capsys.readouterr().out


def test_reward_of_grpo(server):
    """A refused reply that trains as a score, or a policy that is paid by other criteria than the report shows."""
    texts = ["It is red.", "It is blue.", "Which one is it?"]
    blue = {"claims": [{"span": "It is blue", "kind": "is", "property": "color", "value": "blue"}]}
    scripted(server, {texts[0]: RED, texts[1]: blue, texts[2]: RED})
    scorer = script("tuning_grpo/reward_functions.py").JudgeRewards(make_extract(server), rewards.RewardWeights())
    completions, example = [[{"role": "assistant", "content": text}] for text in texts], EXAMPLES["answer-color"]
    columns = [function(completions, example=[example] * 3) for function in scorer.functions]
    terms = [dict(zip(scorer.names, row, strict=True)) for row in zip(*columns, strict=True)]
    assert terms[0]["strategy"] == 1 and terms[0]["grounding"] == terms[0]["answer"] == 0
    assert terms[1]["strategy"] == 1 and terms[1]["grounding"] == terms[1]["answer"] == -1
    assert set(terms[2].values()) == {None} and scorer.last_failure == "invented_span"
    module = script("tuning_grpo/train.py")
    options = module.Options(model_name_or_path="m", data_dir="d", reference_judge="auto")
    args = JudgeArguments(judge="extract", judge_model="m")
    assert module.reference_of(options, args, [example]).name == "scene", "logged beside it where facts are complete"
    assert make_judge(args).name.startswith("extract:m:")
