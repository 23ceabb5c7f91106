"""What `main.py ask` and the page share: streamed responses, the models behind a model, strategies read off words."""

import json
import shutil
import threading
import time

import pytest
from PIL import Image

from clarifyvlm import chat
from clarifyvlm.app import talk
from clarifyvlm.models import loading
from clarifyvlm.models.generation import Generated, Generator
from clarifyvlm.run_record import hash_input

PICTURE = Image.new("RGB", (96, 96), (200, 220, 240))


@pytest.fixture(scope="module")
def generator(asking_model_dir):
    return Generator(*loading.load(asking_model_dir, device="cpu"), max_new_tokens=60)


def test_a_stream_grows_to_the_response(generator):
    """A text that is not the model's, a stream that comes all at once, or a response without its confidence."""
    conversation = chat.user_turn("What color is the star?")
    *parts, whole = generator.stream(conversation, PICTURE)
    assert whole == generator([conversation], [PICTURE])[0] and isinstance(whole, Generated)
    assert len(parts) == whole.tokens and parts[-1] == whole.text == "Which star do you mean?"
    assert all(later.startswith(earlier) for earlier, later in zip(parts, parts[1:], strict=False))


def test_a_stream_that_is_closed_stops_the_model(tiny_model_dir):
    """A model that goes on speaking to a visitor who has left."""
    endless = Generator(*loading.load(tiny_model_dir, device="cpu"), max_new_tokens=800)
    before = set(threading.enumerate())
    stream = endless.stream(chat.user_turn("What?"), PICTURE)
    next(stream)
    (speaking,) = set(threading.enumerate()) - before
    began = time.monotonic()
    stream.close()
    speaking.join(timeout=30)
    stopped = time.monotonic() - began
    assert not speaking.is_alive()
    began = time.monotonic()
    list(endless.stream(chat.user_turn("What?"), PICTURE))
    assert stopped < (time.monotonic() - began) / 2


def test_a_fault_reaches_the_reader(generator, monkeypatch):
    """A stream that hangs where the model failed."""
    monkeypatch.setattr(generator, "_generate", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(generator.stream(chat.user_turn("What?"), PICTURE))


def test_lineage(tmp_path, tiny_model_dir, asking_model_dir):
    """A comparison with another model than the one that a checkpoint was made from."""
    sft, grpo = tmp_path / "sft", tmp_path / "grpo"
    for folder, start, stage in ((sft, tiny_model_dir, "tuning_sft"), (grpo, sft, "tuning_grpo")):
        shutil.copytree(asking_model_dir, folder)
        record = {"stage": stage, "status": "complete", "args": {"model_name_or_path": str(start)}}
        inputs = [{"path": str(start), "sha256": hash_input(start)}]
        (folder / "run.json").write_text(json.dumps(record | {"inputs": inputs}))
    assert talk.lineage(grpo) == {"GRPO": str(grpo), "SFT": str(sft), "base": str(tiny_model_dir)}
    assert talk.lineage(asking_model_dir) == {asking_model_dir.name: str(asking_model_dir)}
    shutil.rmtree(sft)
    assert talk.lineage(grpo) == {"GRPO": str(grpo)}


@pytest.mark.parametrize(
    ("question", "said", "strategy"),
    [
        ("What color is the star?", "It is red.", "answer"),
        ("What color is the star?", "Which of the stars do you mean?", "clarify"),
        ("What color is the star?", "There is no star in the picture.", "correct"),
        ("What color is the star?", "I cannot tell from the picture.", "abstain"),
        ("What color is the cup?", "I take you to mean the large cup: it is red.", "infer"),
        ("How many dogs are there?", "There are three dogs.", "answer"),
        ("What is the man holding?", "Do you mean the tall man or the child?", "clarify"),
        ("What is the man holding?", "", "none"),
        ("What is the man holding?", "<think>Which one? The tall man?</think>A red kite.", "answer"),
    ],
)
def test_strategies_by_their_words(generator, question, said, strategy):
    """On a picture that nobody annotated, a response that is taken for what it does not do."""

    class Says:
        def stream(self, messages, picture):
            yield Generated(said, 1, "stop", 0.0, 1.0)

    speaker = talk.Speaker.__new__(talk.Speaker)
    speaker.name, speaker.generator = "model", Says()
    found = talk.Talk(speaker, PICTURE, question)
    list(found.respond())
    assert found.strategy == strategy and found.asks == (strategy == "clarify")
    assert "think" not in str(found.messages), "what it thought aloud is not sent back to it"
