"""Kind: a reply kept before it is proven usable. What an endpoint once said stops neither this run nor the next."""

import json
import sqlite3

import pytest

import predict
from clarifyvlm import jsonl
from clarifyvlm.endpoint.cache import FILE, ReplyCache
from clarifyvlm.endpoint.client import ChatRequest, Endpoint
from clarifyvlm.endpoint.shapes import json_object
from clarifyvlm.judges import JudgeArguments, make_judge
from clarifyvlm.records import Prediction, Verdict
from judge_server import GOOD, completion
from stages import script

ANY = GOOD | {"answered_readings": []}  # of a question with one reading or several
HALF = '{"choices": [{"message": {"content": "It is red \\ud83d."}, "finish_reason": "stop"}]}'
POISON = {  # what a server says in place of a plain response -> the text that is kept of it
    "half an emoji": (HALF, "It is red \N{REPLACEMENT CHARACTER}."),
    "a whole emoji in two halves": (HALF.replace("\\ud83d", "\\ud83d\\ude00"), "It is red \N{GRINNING FACE}."),
    "a null": (HALF.replace("\\ud83d", "\\u0000"), "It is red \N{REPLACEMENT CHARACTER}."),
    "no text": ('{"choices": [{"message": {"content": null}, "finish_reason": "stop"}], "usage": null}', ""),
    "a number for a text": ('{"choices": [{"message": {"content": 3}, "logprobs": {"content": null}}]}', ""),
    "counts that are none": (
        HALF.replace(" \\ud83d", "")[:-1] + ', "usage": {"completion_tokens": "3"}}',
        "It is red.",
    ),
}


@pytest.fixture
def run(server, test_file, tmp_path):
    def predicted(*more: str) -> list[Prediction]:
        output = tmp_path / "out" / "predictions.jsonl"
        argv = ["--backend", "openai", "--endpoint_base_url", server.url, "--model_name_or_path", "m"]
        argv += ["--data_file", str(test_file), "--output_file", str(output), "--endpoint_max_retries", "0"]
        assert predict.main([*argv, "--endpoint_cache_dir", str(tmp_path / "cache"), *more]) == 0
        return jsonl.read(output, Prediction)

    return predicted


@pytest.mark.parametrize("poison", POISON)
def test_predictions(server, run, poison):
    """Fault: half an emoji or a null in one response is a traceback, now and from the cache of every rerun."""
    body, text = POISON[poison]
    server.reply = lambda request: (200, body, {})
    assert {p.text for p in run()} == {text}
    sent = len(server.requests)
    assert {p.text for p in run("--overwrite")} == {text}
    assert len(server.requests) <= sent + 1, "kept, but for the check at the start"


KEPT = {
    "as an older version kept it": json.dumps({"choice": json.loads(HALF)["choices"][0], "usage": {}}),
    "log-probabilities of null": '{"choice": {"message": {"content": "x"}, "logprobs": {"content": [{"logprob": '
    'null}]}}, "usage": {}}',
    "no choice": "{}",
    "a list": "[]",
    "torn": '{"choice": {"mess',
    "brackets without end": "[" * 100_000,
}


@pytest.mark.parametrize("kept", KEPT)
def test_a_cache_that_holds_what_cannot_be_used(server, run, tmp_path, kept):
    """Fault: a reply that was kept and cannot be read ends every run that meets it."""
    server.reply = lambda request: completion("It is red.")
    run()
    with sqlite3.connect(tmp_path / "cache" / FILE) as db:
        db.execute("UPDATE replies SET reply = ?", (KEPT[kept],))
    assert all(p.text for p in run("--overwrite"))


def judged(server, test_file, tmp_path, cache: str | None) -> int:
    rows = [{"id": json.loads(line)["id"], "text": "It is a star."} for line in test_file.read_text().splitlines()]
    jsonl.write_atomic(tmp_path / "predictions.jsonl", rows)
    argv = ["--judge", "openai", "--judge_base_url", server.url, "--judge_model", "m", "--judge_max_retries", "0"]
    argv += ["--data_file", str(test_file), "--predictions", str(tmp_path / "predictions.jsonl"), "--overwrite"]
    argv += ["--output_file", str(tmp_path / "verdicts.jsonl"), *(["--judge_cache_dir", cache] if cache else [])]
    return script("inference/judge.py").main(argv)


@pytest.mark.parametrize("evidence", ["lists \\ud83d both", "lists \\u0000 both", "lists \\ud83d\\ude00 both"])
def test_verdicts(server, test_file, tmp_path, evidence):
    """Fault: half an emoji that a judge writes in its JSON stops the run when the verdict is written."""
    text = json.dumps(ANY).replace("lists both", evidence)
    server.reply = lambda request: completion(text)
    for _ in range(2):
        assert judged(server, test_file, tmp_path, str(tmp_path / "cache")) == 0
        assert all(v.failure is None for v in jsonl.read(tmp_path / "verdicts.jsonl", Verdict))


def test_escapes_that_are_text_stay_as_they_are():
    """Fault: mending that breaks a backslash before what looks like the half of a pair."""
    said = json_object('{"path": "C:\\\\ud83d\\\\u0000", "face": "\\ud83d\\ude00", "half": ["\\ude00"]}')
    assert said == {"path": "C:\\ud83d\\u0000", "face": "\N{GRINNING FACE}", "half": ["\N{REPLACEMENT CHARACTER}"]}


@pytest.mark.parametrize("wrong", [KeyError, TypeError, AttributeError, IndexError, RecursionError])
def test_a_reader_that_fails_is_a_failure_of_the_reply(server, tmp_path, wrong):
    """Fault: whatever else a reader raises at a strange reply is a traceback, and the reply is kept."""

    def parse(text: str) -> dict:
        raise wrong("strange")

    cache = ReplyCache(tmp_path / "cache")
    endpoint = Endpoint(server.url, "m", max_retries=0, cache=cache)
    question = ChatRequest("key", lambda spelt_out: [{"role": "user", "content": "x"}], {}, parse)
    assert endpoint.run(endpoint.ask(question)).failure == "unparsable"
    assert cache.get("key") is None


@pytest.mark.parametrize("moment", ["at the start", "in the middle"])
def test_a_broken_cache_that_nobody_asked_for(server, test_file, tmp_path, monkeypatch, capsys, moment):
    """Fault: a torn file in ~/.cache ends every run of every role until it is deleted by hand."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    folder = tmp_path / "home" / "clarifyvlm"
    folder.mkdir(parents=True)
    if moment == "at the start":
        (folder / FILE).write_text("no database, but long enough to be taken for one" * 40)
        server.reply = lambda request: completion(ANY)
        assert judged(server, test_file, tmp_path, None) == 0
    else:
        judge = make_judge(JudgeArguments(judge="openai", judge_base_url=server.url, judge_model="m"))
        with sqlite3.connect(folder / FILE) as db:
            db.execute("DROP TABLE replies")
        assert judge.endpoint.cache.get("x") is None
        judge.endpoint.cache.put("x", "y")
    assert capsys.readouterr().err.count("cannot be used") == 1
