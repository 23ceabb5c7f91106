"""Predictions of a model behind an endpoint: the real client, a server of the test's own."""

import json
import math
import time

import pytest

import predict
from clarifyvlm import chat, jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example, Prediction

LOGPROBS = [-0.1, -0.2, -0.3]


def reply(request: dict) -> tuple:
    """Asks at the first turn, answers after a reply; with log-probabilities."""
    turns = [m for m in request["messages"] if m["role"] == "assistant"]
    text = "It is red." if turns else "Which star do you mean? Where is it?"
    logprobs = {"content": [{"token": "x", "logprob": p} for p in LOGPROBS]} if request.get("logprobs") else None
    choice = {"message": {"content": text}, "finish_reason": "stop", "logprobs": logprobs}
    return 200, {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}, {}


@pytest.fixture
def run(server, test_file, tmp_path):
    server.reply = reply

    def predicted(*flags: str, out: str = "out") -> list[Prediction]:
        output = tmp_path / out / "predictions.jsonl"
        argv = ["--backend", "openai", "--endpoint_base_url", server.url, "--model_name_or_path", "big-vlm"]
        argv += ["--data_file", str(test_file), "--output_file", str(output), "--endpoint_max_retries", "0"]
        assert predict.main([*argv, "--endpoint_cache_dir", str(tmp_path / "cache"), *flags]) == 0
        return jsonl.read(output, Prediction)

    return predicted


def asked(server) -> list[dict]:
    """The requests but for the check at the start."""
    return [r for r in server.requests if isinstance(r["messages"][0]["content"], list)]


def test_dialogue_in_the_order_of_the_data(run, server, test_file):
    """Responses dealt to other examples, a turn that is lost, or a conversation that is built in another way."""

    def late(request):
        time.sleep(0.05 * (len(server.requests) % 3))
        status, body, headers = reply(request)
        if len(request["messages"]) > 1:
            words = request["messages"][0]["content"][-1]["text"]
            body["choices"][0]["message"]["content"] = f"It is red. {words}"
        return status, body, headers

    server.reply = late
    rows, examples = run("--turns", "2", "--batch_size", "4"), jsonl.read(test_file, Example)
    assert [r.example_id for r in rows] == [e.id for e in examples] and server.most_in_flight > 1
    for row, example in zip(rows, examples, strict=True):
        assert row.model == "big-vlm" and row.messages[0] == chat.messages(example)[0]
        if len(row.turns) > 1:
            assert row.turns[2].text == f"It is red. {example.question}" and row.completion_tokens == [3, 3]
    assert any(len(row.turns) == 3 for row in rows)
    (image, text), *_ = [r["messages"][0]["content"] for r in asked(server)]
    assert image["image_url"]["url"].startswith("data:image/png;base64,") and text["type"] == "text"


def test_a_reasoning_block_is_kept_and_not_sent_back(run, server):
    """A user who replies to what a model thought, a model that reads its own thoughts again, or predictions without
    them."""

    def aloud(request):
        status, body, headers = reply(request)
        message = body["choices"][0]["message"]
        message["content"] = f"<think>Is it red?</think>\n{message['content']}"
        return status, body, headers

    server.reply = aloud
    rows = [row for row in run("--turns", "2") if len(row.turns) > 1]
    assert rows and all(row.text.startswith("<think>") and "<think>" in row.turns[2].text for row in rows)
    sent = [m["content"] for r in asked(server) for m in r["messages"] if m["role"] == "assistant"]
    assert set(sent) == {"Which star do you mean? Where is it?"}
    assert all("think" not in str(row.messages) for row in rows)

    def only_a_block(request):
        status, body, headers = aloud(request)
        body["choices"][0]["message"]["content"] = "<think>Which star do they mean? Where is it?</think>"
        return status, body, headers

    server.reply = only_a_block
    assert all(len(row.turns) == 1 for row in run("--turns", "2", "--temperature", "0.7", out="other"))


def test_log_probabilities(run, server):
    """Confidence made up, or taken over other tokens; an endpoint without log-probabilities that ends the run."""
    row = run()[0]
    assert row.logprob == pytest.approx(sum(LOGPROBS), abs=1e-4)
    assert row.confidence == pytest.approx(math.exp(sum(LOGPROBS) / 3), abs=1e-4)

    def without(request):
        return (
            (400, {"error": {"message": "logprobs is not supported"}}, {}) if "logprobs" in request else reply(request)
        )

    server.reply = without
    rows = run("--max_new_tokens", "7", out="without")
    assert all(row.logprob is None and row.confidence is None and row.text for row in rows)


def test_sampling_and_blanks_reach_the_endpoint(run, server):
    """Settings that are lost on the way; a blank question or picture that is not."""
    run("--temperature", "0.7", "--top_p", "0.9", "--max_new_tokens", "11", "--blank_question", "--blank_image")
    requests = asked(server)
    assert {(r["temperature"], r["top_p"], r["max_tokens"]) for r in requests} == {(0.7, 0.9, 11)}
    assert len({r["seed"] for r in requests}) == len(requests), "the same draws for all"
    assert {r["messages"][0]["content"][1]["text"] for r in requests} == {"?"}
    assert "response_format" not in requests[0]
    assert len({r["messages"][0]["content"][0]["image_url"]["url"] for r in requests}) == 1


def test_a_failure_ends_the_run_and_nothing_is_paid_twice(run, server, test_file):
    """An empty prediction in place of a failed call; calls repeated by the run that goes on."""
    examples = jsonl.read(test_file, Example)

    def fails(request):
        return (500, {"error": {"message": "out of order"}}, {}) if len(server.requests) == 4 else reply(request)

    server.reply = fails
    with pytest.raises(UserError, match="failed: http_5xx .*out of order.* the same command"):
        run("--batch_size", "1")
    before = len(asked(server))
    server.reply = reply
    rows = run("--batch_size", "1")
    assert len(rows) == len(examples) and all(row.text for row in rows)
    seen = [json.dumps(r["messages"]) for r in asked(server)]
    assert before < len(seen) <= len(examples) + 1


def test_budget_and_flags(run, server):
    """More calls than allowed; an endpoint's flags where a model of this machine is asked."""
    with pytest.raises(UserError, match="--endpoint_max_calls is spent"):
        run("--endpoint_max_calls", "2")
    assert len(asked(server)) == 2
    with pytest.raises(UserError, match="needs --backend openai"):
        run("--backend", "transformers")
    with pytest.raises(UserError, match="big-vlm.* does not answer.*mend --endpoint_base_url, --model_name_or_path"):
        run("--endpoint_base_url", "http://127.0.0.1:9/v1", out="nobody")
