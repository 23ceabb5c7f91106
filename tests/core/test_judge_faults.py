"""Every fault of a judge's endpoint: what the verdict file, the rewards, the exit code and the rerun are."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from clarifyvlm import jsonl, rewards
from clarifyvlm.errors import UserError
from clarifyvlm.judges.rubric import NOTHING
from clarifyvlm.records import Example, Prediction, Verdict
from judge_server import GOOD, completion, make
from stages import ROOT, script

SCENES = Path(__file__).parents[1] / "data" / "judge_scenes.jsonl"
BAD = ("number 3.", "number 7.")  # the responses that the endpoint fails on


def wrong(**changes):
    return completion(GOOD | changes)


# fault -> (the reply, the failure's name, calls for it with one retry allowed)
FAULTS = {
    "malformed JSON": (lambda r: completion('{"used_strategy": "enum'), "unparsable", 2),
    "prose": (lambda r: completion("I would say it passes."), "unparsable", 2),
    "missing field": (lambda r: completion({"used_strategy": "answer"}), "schema", 2),
    "unknown strategy": (lambda r: wrong(used_strategy="excellent"), "schema", 2),
    "a grade for a boolean": (lambda r: wrong(states_answer=10), "schema", 2),
    "NaN": (lambda r: completion(json.dumps(GOOD).replace("true", "NaN")), "schema", 2),
    "reading out of range": (lambda r: wrong(separated_readings=[7]), "schema", 2),
    "a web page": (lambda r: (200, "<html>busy</html>", {"Content-Type": "text/html"}), "unparsable", 2),
    "no JSON by that name": (lambda r: (200, "busy", {}), "unparsable", 2),
    "no choices": (lambda r: (200, {"id": "x", "object": "chat.completion", "choices": []}, {}), "unparsable", 2),
    "no content": (lambda r: completion(None), "unparsable", 1),
    "refusal": (lambda r: completion(None, refusal="I cannot help with that."), "refused", 1),
    "content filter": (lambda r: completion("", "content_filter"), "refused", 1),
    "cut off": (lambda r: completion(json.dumps(GOOD)[:40], "length"), "cut_off", 1),
    "400": (lambda r: (400, {"error": {"message": "no such format"}}, {}), "http_400", 1),
    "500": (lambda r: (500, {"error": {"message": "boom"}}, {}), "http_5xx", 2),
    "429": (lambda r: (429, {"error": {"message": "slow down"}}, {}), "rate_limited", 2),
    "429, Retry-After": (lambda r: (429, {"error": {"message": "slow"}}, {"Retry-After": "0.1"}), "rate_limited", 2),
    "429, come back tomorrow": (lambda r: (429, {"error": {}}, {"Retry-After": "86400"}), "rate_limited", 1),
    "hang": (lambda r: "hang", "timeout", 1),
    "slow drip": (lambda r: "drip", "timeout", 1),
    "connection dropped": (lambda r: "drop", "connection", 2),
    "connection reset": (lambda r: "reset", "connection", 2),
    "half a body": (lambda r: "half", "connection", 2),
}


@pytest.fixture(scope="module")
def example() -> Example:
    return next(e for e in jsonl.read(SCENES, Example) if e.id == "list-color")


def is_bad(request: dict) -> bool:
    return any(text in json.dumps(request["messages"][1:2]) for text in BAD)


@pytest.fixture
def files(example, tmp_path) -> list[str]:
    """Flags of judge.py for ten predictions."""
    many = [example.model_copy(update={"id": f"e{n}"}) for n in range(10)]
    jsonl.write_atomic(tmp_path / "test.jsonl", many)
    rows = [{"example_id": f"e{n}", "text": f"This is number {n}."} for n in range(10)]
    jsonl.write_atomic(tmp_path / "predictions.jsonl", rows)
    names = {"data_file": "test", "predictions": "predictions", "output_file": "verdicts"}
    return [part for flag, name in names.items() for part in (f"--{flag}", str(tmp_path / f"{name}.jsonl"))]


def flags(server, *more: str) -> list[str]:
    endpoint = ["--judge", "openai", "--judge_base_url", server.url, "--judge_model", "m"]
    return [*endpoint, "--judge_timeout_s", "1.5", "--judge_max_retries", "1", *more]


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(server, files, tmp_path, example, fault):
    """A fault that is scored as a bad response, that raises and ends a training run, that loses or doubles a verdict,
    or that is paid for again once the endpoint is well."""
    broken, name, calls = FAULTS[fault]
    server.reply = lambda request: broken(request) if is_bad(request) else completion(GOOD)
    judge, output = script("inference/judge.py"), tmp_path / "verdicts.jsonl"
    with pytest.raises(UserError, match=rf"failed on 2 of 10 predictions \({name} 2\).*judge_max_failure_share"):
        judge.main([*files, *flags(server)])
    assert sum(map(is_bad, server.requests)) == 2 * calls and len(server.requests) == 1 + 8 + 2 * calls
    verdicts = {v.example_id: v for v in jsonl.read(output, Verdict, unique="example_id")}
    assert {i for i, v in verdicts.items() if v.failure == name} == {"e3", "e7"} and len(verdicts) == 10
    for n, verdict in ((n, verdicts[f"e{n}"]) for n in range(10)):
        reward = rewards.total(example, verdict, Prediction(example_id=f"e{n}", text=f"This is number {n}."))
        assert (reward is None and verdict.criteria == {}) if n in (3, 7) else reward == pytest.approx(1.0)
    assert json.loads((tmp_path / "verdicts.run.json").read_text())["status"] == "running"

    server.requests.clear()
    server.reply = lambda request: completion(GOOD)
    assert judge.main([*files, *flags(server)]) == 0
    assert len(server.requests) == 3, "one preflight call, and only what failed"
    assert [v.example_id for v in jsonl.read(output, Verdict)] == [f"e{n}" for n in range(10)]
    assert all(v.failure is None for v in jsonl.read(output, Verdict))


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, {}), (402, {}), (404, {}), (429, {"code": "insufficient_quota", "message": "no money"})],
)
def test_what_no_retry_mends_stops_the_run(server, files, tmp_path, status, error):
    """A wrong key or an empty account that fails every prediction one by one, or is asked once more after it said so;
    verdicts lost with it."""
    server.reply = lambda request: (status, {"error": error}, {}) if is_bad(request) else completion(GOOD)
    judge = script("inference/judge.py")
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        judge.main([*files, *flags(server, "--judge_concurrency", "1")])
    kept = jsonl.read(tmp_path / "verdicts.jsonl", Verdict)
    assert [v.example_id for v in kept] == ["e0", "e1", "e2"] and not any(v.failure for v in kept)
    assert len(server.requests) == 1 + 4
    server.requests.clear()
    server.reply = lambda request: completion(GOOD)
    assert judge.main([*files, *flags(server)]) == 0 and len(server.requests) == 1 + 7


def test_bursts_of_errors_pass(server, example):
    """A bad second of the endpoint that costs verdicts though retries are allowed."""
    began = time.monotonic()
    server.reply = lambda r: (500, {}, {}) if time.monotonic() - began < 0.7 else completion(GOOD)
    predictions = [Prediction(example_id=example.id, text=f"This is number {i}.") for i in range(12)]
    verdicts = make(server, judge_max_retries=3, judge_timeout_s=10.0).judge([example] * 12, predictions)
    assert all(v.failure is None for v in verdicts)


def test_repair_names_the_fault_and_is_used(server, example):
    """A reply that lacks one brace, paid for and thrown away; a repair that does not say what is wrong."""

    def reply(request):
        return completion(GOOD) if len(request["messages"]) > 2 else wrong(separated_readings=[7])

    server.reply = reply
    prediction = Prediction(example_id=example.id, text="Both.")
    (verdict,) = make(server).judge([example], [prediction])
    assert verdict.failure is None and len(server.requests) == 2
    said, mend = server.requests[1]["messages"][-2:]
    assert said["role"] == "assistant" and '"separated_readings": [7]' in said["content"]
    assert "separated_readings.0: 7 is none of 1, 2" in mend["content"]
    make(server).judge([example], [prediction])
    assert len(server.requests) == 2, "the repaired reply was not kept"


def test_death_and_return_of_the_server(server, files, tmp_path):
    """A server that dies in the middle: verdicts lost, an exit code of 0, or everything asked again on its return."""
    enough = threading.Event()

    def reply(request):
        if len(server.requests) > 4:
            enough.set()
            time.sleep(0.3)  # these are on their way when it dies
        return completion(GOOD)

    server.reply = reply
    command = [sys.executable, str(ROOT / "inference/judge.py"), *files, *flags(server, "--judge_concurrency", "1")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert enough.wait(60)
    server.close()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2 and "connection" in error and "Traceback" not in error
    before = jsonl.read(tmp_path / "verdicts.jsonl", Verdict)
    good = [v.example_id for v in before if not v.failure]
    assert len(good) >= 3

    server.requests.clear()
    server.reply = lambda request: completion(GOOD)
    server.start()
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert len(server.requests) == 1 + 10 - len(good)
    assert [v.example_id for v in jsonl.read(tmp_path / "verdicts.jsonl", Verdict)] == [f"e{n}" for n in range(10)]


def test_rewards_of_a_batch_with_faults(server, example):
    """A judge failure that reaches GRPO as a number, or that takes the other completions of its group along."""
    module = script("tuning_grpo/reward_functions.py")
    server.reply = lambda request: (500, {}, {}) if is_bad(request) else completion(GOOD | NOTHING)
    scorer = module.JudgeRewards(make(server), rewards.RewardWeights())
    texts = [f"This is number {n}." for n in range(8)]
    completions = [[{"role": "assistant", "content": text}] for text in texts]
    logged = {}
    for function in scorer.functions:
        found = function(completions, [example] * 8, log_metric=logged.__setitem__)
        assert [i for i, value in enumerate(found) if value is None] == [3, 7]
    assert logged["judge_failures"] == 0.25 and scorer.failed_batches == 0
