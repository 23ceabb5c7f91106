"""Predictions: whole, in order, the same after a kill, and refused before a model loads where the input is bad."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import predict
from clarifyvlm import chat, images, jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.language.facts import Case
from clarifyvlm.language.offers import readings_named
from clarifyvlm.models import loading
from clarifyvlm.records import Example, Prediction
from clarifyvlm.users import scripted
from small_examples import write_examples

ROOT = Path(__file__).resolve().parents[2]

QUESTIONS = ("What color is the star?", "What color is the star? Tell me.", "Which one is it, and is it red or blue?")


@pytest.fixture
def run(test_file, tmp_path):
    def run_predict(model: Path, *flags: str, out: str = "out", data: Path = test_file) -> Path:
        output = tmp_path / out / "predictions.jsonl"
        argv = ["--model_name_or_path", str(model), "--data_file", str(data), "--output_file", str(output)]
        assert predict.main([*argv, "--device", "cpu", "--max_new_tokens", "32", *flags]) == 0
        return output

    return run_predict


def record(output: Path) -> dict:
    return json.loads(output.with_name("predictions.run.json").read_text())


# --- what a prediction says --------------------------------------------------------------------------------------


def test_dialogue_is_played_when_the_model_asks(run, test_file, asking_model_dir):
    """No reply to a question, a reply to an answer, or a reply for another reading than the recorded one."""
    examples = jsonl.read(test_file, Example)
    rows = jsonl.read(run(asking_model_dir, "--turns", "2", "--seed", "3"), Prediction)
    assert [row.example_id for row in rows] == [example.id for example in examples]
    asked = [row for row in rows if row.text.endswith("?")]
    assert asked and len(asked) < len(rows)
    for example, row in zip(examples, rows, strict=True):
        assert row.finish_reasons == ["stop"] * len(row.completion_tokens) and 0 < row.confidence <= 1
        if row not in asked:
            assert len(row.turns) == 1 and row.user_kind == "helpful" and row.messages == chat.messages(example)
            continue
        assert [turn.role for turn in row.turns] == ["assistant", "user", "assistant"] and row.turns[
            2
        ].text == "It is red."
        readings = example.ambiguity.readings
        assert row.reading == random.Random(f"3:{example.id}").randrange(len(readings))
        assert readings_named(Case(example), row.turns[1].text) == {row.reading}
        assert row.messages == chat.messages(example, row.turns[:2])


def test_replies_kept_for_evaluation(run, test_file, asking_model_dir):
    """--reply_forms held_out that replies in the words of training all the same."""
    said = {}
    for forms in ("train", "held_out"):
        rows = jsonl.read(run(asking_model_dir, "--turns", "2", "--reply_forms", forms, out=forms), Prediction)
        said[forms] = [row.turns[1].text for row in rows if row.turns[1:]]
    assert len(said["train"]) == len(said["held_out"]) and not set(said["train"]) & set(said["held_out"])


def test_one_turn_by_default(run, asking_model_dir):
    """A simulated user who speaks where nobody asked for one."""
    output = run(asking_model_dir)
    assert all(len(row.turns) == 1 for row in jsonl.read(output, Prediction))
    assert record(output)["counts"]["asked"] == 0


def test_users_of_several_kinds(run, test_file, asking_model_dir):
    """One kind for all, another kind after a resume, or a kind that depends on what the model said."""
    rows = jsonl.read(run(asking_model_dir, "--turns", "2", "--user_kinds", "unsure=1", "helpful=1"), Prediction)
    assert {r.user_kind for r in rows} == {"unsure", "helpful"}
    for row in rows:
        if row.turns[1:]:
            assert (row.turns[1].text in scripted.UNSURE) == (row.user_kind == "unsure")


def test_another_user_replies_twice(run, test_file, asking_model_dir):
    """A second reply that is lost or goes to another dialogue; a user of another kind than the one asked for."""
    rows = jsonl.read(run(asking_model_dir, "--turns", "2", "--user_kinds", "unsure"), Prediction)
    assert {r.turns[1].text for r in rows if r.turns[1:]} <= set(scripted.UNSURE)
    assert {r.user_kind for r in rows} == {"unsure"}
    output = run(asking_model_dir, "--turns", "3", "--user_kinds", "unsure", out="three")
    longer = jsonl.read(output, Prediction)
    assert any(row.turns[3:] for row in longer) and not all(row.turns[3:] for row in longer)
    for example, first, row in zip(jsonl.read(test_file, Example), rows, longer, strict=True):
        assert (row.turns[:3], row.reading) == (first.turns, first.reading)
        if row.turns[3:]:
            assert [t.role for t in row.turns] == ["assistant", "user"] * 2 + ["assistant"]
            assert row.turns[3].text in scripted.UNSURE and row.turns[3] != row.turns[1]
            assert row.messages == chat.messages(example, row.turns[:4]) and len(row.completion_tokens) == 3


def test_a_cost_is_told_and_noted(run, test_file, asking_model_dir):
    """A model that is not told what a question costs, or a prediction that does not say so."""
    rows = jsonl.read(run(asking_model_dir, "--turns", "2", "--ask_cost", "0.5"), Prediction)
    for example, row in zip(jsonl.read(test_file, Example), rows, strict=True):
        assert row.ask_cost == 0.5 and row.messages[:2] == chat.messages(example, ask_cost=0.5)
        assert row.reading == random.Random(f"0:{example.id}").randrange(len(example.ambiguity.readings))


def test_log_probabilities_are_the_models_own(asking_model_dir, tmp_path):
    """Confidence shifted by a token, summed over padding, or taken after the temperature."""
    import torch

    from clarifyvlm.models.generation import Generator, encode

    model, processor = loading.load(asking_model_dir, device="cpu")
    checked = 0
    pictures = [images.open_image(write_examples(tmp_path).parent / f"images/000{i}.png") for i in range(3)]
    conversations = [chat.user_turn(question) for question in QUESTIONS]
    for settings in ({}, {"temperature": 0.7, "top_p": 0.9}):
        together = Generator(model, processor, max_new_tokens=32, **settings)(conversations, pictures, seed=1)
        for conversation, picture, said in zip(conversations, pictures, together, strict=True):
            inputs = encode(processor, [conversation], [picture])
            text = said.text + processor.tokenizer.eos_token * (said.finish_reason == "stop")
            tokens = processor.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
            if tokens.shape[1] != said.tokens:  # bytes that are no text do not survive the way back
                continue
            checked += 1
            length = inputs["input_ids"].shape[1]
            inputs["input_ids"] = torch.cat([inputs["input_ids"], tokens], dim=1)
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
            with torch.inference_mode():
                logprobs = model(**inputs).logits[0, length - 1 : -1].log_softmax(-1)
            expected = logprobs.gather(1, tokens[0][:, None]).sum().item()
            assert said.logprob == pytest.approx(expected, abs=1e-3)
    assert checked >= 4


def test_neighbours_in_a_batch_change_nothing(asking_model_dir):
    """Right padding, or padding that the model attends to: a response that depends on its neighbors."""
    from PIL import Image

    from clarifyvlm.models.generation import Generator

    generate = Generator(*loading.load(asking_model_dir, device="cpu"), max_new_tokens=32)
    conversations = [chat.user_turn(question) for question in QUESTIONS]
    pictures = [Image.new("RGB", (96, 96), color) for color in ("red", "green", "blue")]
    together = generate(conversations, pictures)
    for conversation, picture, said in zip(conversations, pictures, together, strict=True):
        (alone,) = generate([conversation], [picture])
        assert (alone.text, alone.tokens) == (said.text, said.tokens)
        assert alone.logprob == pytest.approx(said.logprob, abs=1e-3)


def test_picture_matters_and_blank_image_hides_it(run, test_file, tiny_model_dir, tmp_path):
    """A model that never gets the picture; --blank_image that still shows it."""
    seen = jsonl.read(run(tiny_model_dir), Prediction)
    blank = jsonl.read(run(tiny_model_dir, "--blank_image", out="blank"), Prediction)
    assert any(a.logprob != b.logprob for a, b in zip(seen, blank, strict=True))
    same_question = [row for row in blank if row.messages == blank[0].messages]
    assert len(same_question) > 1 and len({row.logprob for row in same_question}) == 1
    assert len({row.logprob for row in seen if row.messages == blank[0].messages}) > 1


def test_blank_question_hides_the_words_only(run, tiny_model_dir):
    """--blank_question that still sends the question, or that loses the picture."""
    blank = jsonl.read(run(tiny_model_dir, "--blank_question", out="blank"), Prediction)
    assert {row.messages[0]["content"][1]["text"] for row in blank} == {"?"}
    assert len({row.logprob for row in blank}) > 1


def test_adapter_speaks_differently_from_its_base(run, tiny_model_dir, tiny_adapter_dir):
    """An evaluation of the base under the adapter's name."""
    base = jsonl.read(run(tiny_model_dir), Prediction)
    tuned = jsonl.read(run(tiny_adapter_dir, out="tuned"), Prediction)
    assert any(a.logprob != b.logprob for a, b in zip(base, tuned, strict=True))
    assert base[0].model == tiny_model_dir.name and tuned[0].model == tiny_adapter_dir.name


# --- the same file whatever happens ------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [["--turns", "2"], ["--turns", "2", "--temperature", "0.8"]])
def test_any_cut_continues_to_the_same_bytes(tmp_path, asking_model_dir, flags):
    """A resumed file that differs from an undisturbed one: other batches, other samples, order of completion."""
    data = write_examples(tmp_path / "data", 24)
    output = tmp_path / "predictions.jsonl"
    argv = ["--model_name_or_path", str(asking_model_dir), "--data_file", str(data), "--output_file", str(output)]
    argv += ["--device", "cpu", "--max_new_tokens", "28", "--batch_size", "2", *flags]
    predict.main(argv)
    whole = output.read_bytes()
    for cut in (1, whole.index(b"\n", len(whole) // 2) + 1, len(whole) - 1, len(whole)):
        output.write_bytes(whole[:cut])
        path = output.with_name("predictions.run.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), "status": "running"}))
        predict.main(argv)
        assert output.read_bytes() == whole, f"cut at byte {cut}"
        assert record(output)["status"] == "complete"


@pytest.mark.slow
def test_kill_9_then_rerun_is_byte_identical(run, tmp_path, asking_model_dir):
    """A real kill between two writes that leaves a lock, a torn line or a status that blocks the next run."""
    data = write_examples(tmp_path / "many", 160)
    flags = ["--batch_size", "2", "--turns", "2"]
    output = tmp_path / "killed/predictions.jsonl"
    command = [sys.executable, ROOT / "inference/predict.py", "--model_name_or_path", asking_model_dir]
    command += ["--data_file", data, "--output_file", output, "--device", "cpu", "--max_new_tokens", "32", *flags]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (output.exists() and output.stat().st_size > 3000):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = output.read_bytes().count(b"\n")
    assert 0 < done < 160
    run(asking_model_dir, *flags, out="killed", data=data)
    assert output.read_bytes() == run(asking_model_dir, *flags, out="whole", data=data).read_bytes()
    assert record(output)["resumed"] == 1 and not list(output.parent.glob(".*"))


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_workers_say_the_same_and_their_errors_are_plain(run, asking_model_dir, monkeypatch):
    """Chunks that come out of order or twice, a worker that is never asked, a UserError with a worker's traceback."""
    flags = ("--batch_size", "2", "--turns", "2")
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    alone = jsonl.read(run(asking_model_dir, *flags, out="alone"), Prediction)
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    made, mine = predict._predict_chunk, os.getpid()

    def in_a_worker(args, generator, chunk, start, bar=None):
        assert os.getpid() != mine
        if args.seed == 9:
            raise UserError("the picture is gone")
        return made(args, generator, chunk, start, bar)

    monkeypatch.setattr(predict, "_predict_chunk", in_a_worker)
    shared = jsonl.read(run(asking_model_dir, *flags, out="shared"), Prediction)
    assert [(row.example_id, row.text) for row in shared] == [(row.example_id, row.text) for row in alone]
    assert all(a.logprob == pytest.approx(b.logprob, abs=1e-3) for a, b in zip(shared, alone, strict=True))
    with pytest.raises(UserError, match="^the picture is gone$"):
        run(asking_model_dir, *flags, "--seed", "9", out="error")


def test_complete_file_is_left_alone_and_other_settings_are_refused(run, asking_model_dir, capsys):
    """A finished file generated again, or continued under other settings."""
    output = run(asking_model_dir, "--num_examples", "4")
    before = output.stat().st_mtime_ns
    run(asking_model_dir, "--num_examples", "4", "--batch_size", "3")
    assert output.stat().st_mtime_ns == before and "complete already" in capsys.readouterr().out
    with pytest.raises(UserError, match="num_examples: 4 -> 5"):
        run(asking_model_dir, "--num_examples", "5")
    run(asking_model_dir, "--num_examples", "5", "--overwrite")
    assert len(jsonl.read(output, Prediction)) == 5


def test_memory_that_runs_out_halves_the_batch(run, asking_model_dir, monkeypatch, capsys):
    """A run lost at its longest batch; halves in another order; no word on what to lower."""
    import torch
    from transformers import LlavaForConditionalGeneration

    monkeypatch.setattr("torch.get_num_threads", lambda: 1)  # no workers: what they note is lost with them
    whole = run(asking_model_dir).read_bytes()
    generate = LlavaForConditionalGeneration.generate
    sizes, room = [], 3

    def limited(self, **inputs):
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return generate(self, **inputs)

    monkeypatch.setattr(LlavaForConditionalGeneration, "generate", limited)
    halved = run(asking_model_dir, out="halved")
    assert halved.read_bytes() == whole and sizes == [8, 4, 2, 2, 2, 2, 2]
    assert "batches of 2" in capsys.readouterr().err
    room = 0
    with pytest.raises(UserError, match="--max_new_tokens"):
        run(asking_model_dir, out="none")


# --- bad input ---------------------------------------------------------------------------------------------------


def test_bad_input_fails_before_a_model_loads(run, test_file, tmp_path, tiny_model_dir, monkeypatch):
    """A typo found after minutes of loading; output of an earlier run harmed by it."""

    def no_load(*args, **kwargs):
        raise AssertionError("a model was loaded before the input was checked")

    output = run(tiny_model_dir)
    before = output.read_bytes()
    monkeypatch.setattr(loading, "load", no_load)
    lines = test_file.read_text().splitlines()

    def refused(words: str, *flags: str, model=tiny_model_dir, **more):
        with pytest.raises(UserError, match=words):
            run(model, *flags, **more)

    refused("no model directory", model=tmp_path / "nowhere", out="new")
    (tmp_path / "empty").mkdir()
    refused("is empty", model=tmp_path / "empty", out="new")
    refused("generate.py", data=test_file.with_name("test_ood.jsonl"), out="new")
    refused("--turns: 4 must be at most 3", "--turns", "4", out="new")
    refused("needs --turns 2", "--user_kinds", "terse", out="new")
    refused("--turns 2 or 3", "--reply_forms", "held_out", out="new")
    refused("--batch_size: 0 must be at least 1", "--batch_size", "0", out="new")
    refused("unknown flag --modl", "--modl", "x", out="new")
    test_file.write_text("\n".join([*lines[:3], lines[3][:70]]) + "\n")
    refused(r"test\.jsonl:4: not a whole JSON object", out="new")
    test_file.write_text("\n".join(lines) + "\n")
    shutil.copy(test_file.parent / "images/0000.png", tmp_path / "kept.png")
    (test_file.parent / "images/0000.png").unlink()
    (test_file.parent / "images/0001.png").write_bytes(b"no picture")
    refused(r"(?s)2 of 10 pictures.*0000\.png.*0001\.png", out="new")
    assert not (tmp_path / "new/predictions.jsonl").exists() and output.read_bytes() == before


def test_error_is_one_screen_without_traceback(test_file, tmp_path):
    """A traceback for a mistake of the user; exit code 0."""
    command = [sys.executable, ROOT / "inference/predict.py", "--model_name_or_path", tmp_path / "none"]
    command += ["--data_file", test_file, "--output_file", tmp_path / "p.jsonl"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: no model directory")
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) < 20


@pytest.mark.parametrize("config", sorted((ROOT / "inference/configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_is_parsed(config):
    """A shipped preset with a key that the script no longer has."""
    argv = ["--config", str(config), "--model_name_or_path", "m", "--data_file", "d", "--output_file", "o.jsonl"]
    kinds = [predict.PredictArguments, predict.EndpointArguments, predict.users.UserArguments]
    args, *_ = predict.parse_args(kinds, argv, section="predict", check=predict._check)
    assert args.turns == 2
