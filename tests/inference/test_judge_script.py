"""inference/judge.py: predictions to verdicts, in order, whole after a kill, and never a number for a failure."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.records import Example, Verdict
from judge_server import GOOD, completion
from stages import ROOT, script

SCENES = Path(__file__).parents[1] / "data" / "judge_scenes.jsonl"
judge = script("inference/judge.py")


@pytest.fixture
def files(tmp_path):
    """(data file, predictions file): a response to every scene, in another order than the data's."""
    examples = jsonl.read(SCENES, Example)
    rows = [{"example_id": e.id, "text": "It is red." if i % 2 else "Which one?"} for i, e in enumerate(examples)]
    jsonl.write_atomic(tmp_path / "predictions.jsonl", rows[::-1])
    return SCENES, tmp_path / "predictions.jsonl"


def argv(files, output: Path, *more: str) -> list[str]:
    data, predictions = files
    return ["--data_file", str(data), "--predictions", str(predictions), "--output_file", str(output), *more]


def record(output: Path) -> dict:
    return json.loads(output.with_name(f"{output.stem}.run.json").read_text())


def test_verdicts_in_the_order_of_the_predictions(files, tmp_path):
    """Verdicts of other examples, or in another order; another tool's minimal rows refused."""
    output = tmp_path / "verdicts.jsonl"
    assert judge.main(argv(files, output)) == 0
    verdicts = jsonl.read(output, Verdict)
    rows = [json.loads(line) for line in files[1].read_text().splitlines()]
    assert [v.example_id for v in verdicts] == [row["example_id"] for row in rows]
    assert {v.judge for v in verdicts} == {"scene"} and {v.used_strategy for v in verdicts} >= {"answer", "clarify"}
    assert record(output)["status"] == "complete" and record(output)["counts"]["judge_failures"] == 0


def test_turns_of_another_tool(files, tmp_path):
    """A prediction of turns alone, without text or model, refused."""
    row = {"id": "answer-color", "turns": [{"role": "assistant", "text": "It is red."}]}
    jsonl.write_atomic(files[1], [row])
    assert judge.main(argv(files, tmp_path / "verdicts.jsonl")) == 0
    assert jsonl.read(tmp_path / "verdicts.jsonl", Verdict)[0].criteria["strategy_right"] == 1


def test_rerun_of_a_complete_run_does_nothing(files, tmp_path, capsys):
    """Time and money spent twice."""
    output = tmp_path / "verdicts.jsonl"
    judge.main(argv(files, output))
    before = output.stat().st_mtime_ns
    assert judge.main(argv(files, output)) == 0
    assert output.stat().st_mtime_ns == before and "complete already" in capsys.readouterr().out


def test_killed_and_rerun_gives_the_same_bytes(tmp_path):
    """Verdicts lost, doubled, torn or out of order after a kill -9."""
    examples = jsonl.read(SCENES, Example)
    many = [e.model_copy(update={"id": f"{e.id}-{n}"}) for n in range(60) for e in examples]
    jsonl.write_atomic(tmp_path / "test.jsonl", many)
    jsonl.write_atomic(
        tmp_path / "predictions.jsonl",
        ({"example_id": e.id, "text": "There are two stars: the one at the top left is red."} for e in many),
    )
    files = (tmp_path / "test.jsonl", tmp_path / "predictions.jsonl")
    whole, killed = tmp_path / "whole" / "verdicts.jsonl", tmp_path / "killed" / "verdicts.jsonl"
    judge.main(argv(files, whole))
    command = [sys.executable, str(ROOT / "inference" / "judge.py"), *argv(files, killed)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    while not killed.exists() or killed.stat().st_size < 40_000:
        assert process.poll() is None, "finished before it could be killed: more rows are needed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with open(killed, "ab") as file:
        file.write(b'{"example_id": "torn')
    assert record(killed)["status"] == "running"
    assert judge.main(argv(files, killed)) == 0
    assert killed.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("config", sorted((ROOT / "inference" / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_configs_are_accepted(files, tmp_path, config):
    """A config whose judge section has a key that judge.py does not know."""
    assert judge.main(["--config", str(config), *argv(files, tmp_path / "verdicts.jsonl")]) == 0


@pytest.mark.parametrize("stage", ["inference", "tuning_grpo"])
def test_presets_of_real_models_say_who_judges(stage):
    """The scene judge by default and without a word for a model whose English it may not read."""
    for path in sorted((ROOT / stage / "configs").glob("*.yaml")):
        if path.stem in ("tiny", "smoke"):
            continue
        content = yaml.safe_load(path.read_text())
        judge_of = content["judge"] if stage == "tuning_grpo" else content["judge"]["judge"]
        assert judge_of == "scene" and "--judge extract" in path.read_text(), path


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"example_id": "no-such", "text": "Red."}], "not in .*no-such"),
        ([{"example_id": "answer-color", "text": "a"}] * 2, ":2: example_id: 'answer-color' is already on line 1"),
        ([{"example_id": "answer-color"}], ':1: .*needs "text" or "turns"'),
        ([{"text": "Red."}], ":1: example_id"),
        ([], "no predictions"),
    ],
)
def test_bad_predictions_are_refused(files, tmp_path, rows, message):
    """Predictions of another data set silently left out, or a duplicate counted twice."""
    jsonl.write_atomic(files[1], rows)
    with pytest.raises(UserError, match=message):
        judge.main(argv(files, tmp_path / "verdicts.jsonl"))
    assert not (tmp_path / "verdicts.jsonl").exists()


def test_missing_file_names_the_command(files, tmp_path):
    """A traceback instead of the command that makes the file."""
    with pytest.raises(UserError, match="inference/predict.py"):
        judge.main(argv((files[0], tmp_path / "none" / "predictions.jsonl"), tmp_path / "verdicts.jsonl"))


def test_changed_predictions_are_noticed(files, tmp_path):
    """Verdicts on an older model's words kept beside new predictions."""
    output = tmp_path / "verdicts.jsonl"
    judge.main(argv(files, output))
    files[1].write_text(files[1].read_text().replace("It is red.", "It is blue."))
    with pytest.raises(UserError, match="content of .*predictions.jsonl.*--overwrite|--overwrite"):
        judge.main(argv(files, output))
    assert judge.main(argv(files, output, "--overwrite")) == 0


# --- a judge that fails


def openai_flags(server) -> list[str]:
    return ["--judge", "openai", "--judge_base_url", server.url, "--judge_model", "m", "--judge_max_retries", "0"]


def test_failures_stop_the_run_and_are_asked_again(files, tmp_path, server, capsys):
    """Failures scored as 0, verdicts lost when the judge goes down, or paid for twice when it is back."""
    down = [True]
    names = ("photo-answer", "premise", "harmless")

    def reply(request):
        text = request["messages"][-1]["content"]
        if down and any(f"QUESTION: {by_id[n].question}\n" in text for n in names):
            return 500, {"error": {"message": "overloaded"}}, {}
        return completion(GOOD | {"answered_readings": [], "separated_readings": []})

    by_id = {e.id: e for e in jsonl.read(SCENES, Example)}
    server.reply = reply
    output = tmp_path / "verdicts.jsonl"
    with pytest.raises(UserError, match=r"failed on \d+ of 27 predictions \(http_5xx \d+\)") as error:
        judge.main(argv(files, output, *openai_flags(server)))
    assert "--judge_max_failure_share" in str(error.value)
    rows = jsonl.read(output, Verdict)
    failed = {v.example_id for v in rows if v.failure}
    assert len(rows) == 27 and failed > set(names)
    assert all(v.criteria == {} for v in rows if v.failure) and record(output)["status"] == "running"

    down.clear()
    calls = len(server.requests)
    assert judge.main(argv(files, output, *openai_flags(server))) == 0
    assert len(server.requests) == calls + len(failed) + 1, "one preflight call, and only what failed"
    order = [json.loads(line)["example_id"] for line in files[1].read_text().splitlines()]
    assert [v.example_id for v in jsonl.read(output, Verdict)] == order
    assert record(output)["counts"]["judge_failures"] == 0 and "asking again" in capsys.readouterr().out


def test_what_is_not_understood_is_not_asked_again(files, tmp_path, monkeypatch, capsys):
    """A judge that is to be mended though it is whole and reads no such English; the same question put to it again;
    numbers that nobody gets because a share of responses is not understood."""
    asked = []

    class Deaf(SceneJudge):
        def _verdict(self, example, prediction):
            asked.append(example.id)
            if len(asked) % 2:
                return super()._verdict(example, prediction)
            return Verdict(example_id=example.id, judge="scene", failure="not_understood")

    monkeypatch.setattr(judge, "make_judge", lambda *_, **__: Deaf())
    output = tmp_path / "verdicts.jsonl"
    with pytest.raises(UserError, match=r"\(not_understood 13\).*does not read.*--judge openai.*--judge extract"):
        judge.main(argv(files, output))
    assert judge.main(argv(files, output, "--judge_max_failure_share", "0.6")) == 0
    assert len(asked) == 27, "what was not understood stays so"
    assert "51.9 % understood" in capsys.readouterr().out
    assert record(output)["counts"]["failures"] == {"not_understood": 13}


def test_a_few_failures_are_recorded_and_counted(files, tmp_path, server):
    """A run stopped by one bad reply, or a failure that leaves no trace."""
    first = []

    def reply(request):
        if "QUESTION: Where is the cat?" in json.dumps(request["messages"]):
            first.append(1)
            return completion("no JSON")
        return completion(GOOD | {"answered_readings": [], "separated_readings": []})

    server.reply = reply
    output = tmp_path / "verdicts.jsonl"
    assert judge.main(argv(files, output, *openai_flags(server))) == 0
    assert first and record(output)["counts"]["failures"] == {"unparsable": 1}
    (failed,) = [v for v in jsonl.read(output, Verdict) if v.failure]
    assert failed.example_id == "photo-premise" and failed.raw == "no JSON"


def test_spent_budget_keeps_what_was_judged(files, tmp_path, server):
    """A budget that loses the verdicts it paid for, counts what was never asked as failures, or cannot be raised."""
    server.reply = lambda request: completion(GOOD | {"answered_readings": [], "separated_readings": []})
    output = tmp_path / "verdicts.jsonl"
    flags = [*openai_flags(server), "--no_judge_cache", "true"]
    with pytest.raises(UserError, match="--judge_max_calls.*is spent: 2 calls"):
        judge.main(argv(files, output, *flags, "--judge_max_calls", "2"))
    kept = jsonl.read(output, Verdict)
    assert len(kept) == 2 and all(v.failure is None for v in kept)
    calls = len(server.requests)
    assert judge.main(argv(files, output, *flags)) == 0
    verdicts = jsonl.read(output, Verdict)
    assert len(server.requests) == calls + len(verdicts) - 2 + 1, "one preflight call, and only what was missing"
    assert record(output)["counts"]["usage"]["calls"] == len(verdicts) - 2


def test_judge_down_at_start(files, tmp_path):
    """Minutes of timeouts before anyone learns that the server is not there."""
    flags = ["--judge", "openai", "--judge_base_url", "http://127.0.0.1:9/v1", "--judge_model", "m"]
    with pytest.raises(UserError, match="http://127.0.0.1:9/v1 .model m. does not answer"):
        judge.main(argv(files, tmp_path / "verdicts.jsonl", *flags))
