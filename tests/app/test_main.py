"""The terminal: `main.py ask` plays two turns, with and without a terminal; `main.py run` hands over to run.sh."""

import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import main
from clarifyvlm.errors import UserError
from clarifyvlm.run_record import hash_input

ROOT = Path(__file__).resolve().parents[2]

ASKED = "What color is the star?"


@pytest.fixture
def ask(test_file, asking_model_dir, monkeypatch, capsys):
    def run(question: str, stdin: str = "", **flags) -> str:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        values = {
            "image": test_file.parent / "images/0000.png",
            "model_name_or_path": asking_model_dir,
            "device": "cpu",
        }
        argv = [f"--{name}={value}" for name, value in {**values, **flags}.items() if value is not None]
        assert main.main(["ask", *argv, "--question", question]) == 0
        return capsys.readouterr().out

    return run


def test_model_answers_or_asks_and_uses_the_reply(ask):
    """A second turn that is not played, or a reply awaited where nothing was asked."""
    assert [line.split("    ")[0] for line in ask(ASKED, "The one at the top left.\n").splitlines()] == [
        f"You:   {ASKED}",
        "Model: Which star do you mean?",
        "You:   The one at the top left.",
        "Model: It is red.",
    ]
    assert len(ask(ASKED + " Tell me.", "unread\n").splitlines()) == 2
    assert "no reply" in ask(ASKED, "")


def test_ctrl_c_while_a_reply_is_awaited(test_file, asking_model_dir):
    """ "What was written so far is kept" of a command that writes nothing; a traceback."""
    picture = str(test_file.parent / "images/0000.png")
    command = [sys.executable, str(ROOT / "main.py"), "ask", "--image", picture, "--question", ASKED]
    process = subprocess.Popen(
        [*command, "--model_name_or_path", str(asking_model_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    said = next(line for line in process.stdout if line.startswith("Model: "))
    assert "Which star" in said
    time.sleep(0.5)  # it now waits for the reply
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130 and error.splitlines()[-1] == "stopped" and "Traceback" not in error


def test_ask_in_a_real_terminal(test_file, asking_model_dir):
    """A prompt that never shows, or a reply that is not read, in a terminal."""
    picture = str(test_file.parent / "images/0000.png")
    command = [sys.executable, str(ROOT / "main.py"), "ask", "--image", picture, "--question", ASKED]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*command, "--model_name_or_path", str(asking_model_dir)], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = ""
    while not shown.endswith("You:   ") or "Model:" not in shown:
        shown += os.read(ours, 1000).decode()
    os.write(ours, b"The one at the top left.\n")
    while "Model: It is red." not in shown:
        shown += os.read(ours, 1000).decode()
    assert process.wait(timeout=60) == 0
    os.close(ours)


def test_compare_asks_the_models_before_it_too(ask, tmp_path, asking_model_dir, tiny_model_dir):
    """A comparison that leaves a model out, or tells the reply to one that asked nothing."""
    folder = tmp_path / "tuned"
    shutil.copytree(asking_model_dir, folder)
    inputs = [{"path": str(tiny_model_dir), "sha256": hash_input(tiny_model_dir)}]
    record = {"stage": "tuning_sft", "status": "complete", "inputs": inputs}
    (folder / "run.json").write_text(json.dumps(record | {"args": {"model_name_or_path": str(tiny_model_dir)}}))
    out = ask(ASKED, "The one at the top left.\n", model_name_or_path=folder, compare="true", max_new_tokens=30)
    heads = [line.split(":")[0] for line in out.splitlines() if re.match(r"(You|SFT|base): ", line)]
    assert heads[:3] == ["You", "SFT", "base"] and heads[3:5] == ["You", "SFT"]
    assert "[clarify, confidence" in out and "It is red." in out


def test_default_model_is_named_or_its_command(ask, tmp_path, monkeypatch, asking_model_dir, capsys):
    """A silent guess at a model, or an error that does not say how to make one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "ROOT", tmp_path)
    with pytest.raises(UserError, match=r"\./run\.sh"):
        ask(ASKED, model_name_or_path=None)
    (tmp_path / "runs/tiny").mkdir(parents=True)
    (tmp_path / "runs/tiny/grpo").symlink_to(asking_model_dir)
    assert "Model: It is red." in ask(ASKED + " Tell me.", model_name_or_path=None)


def test_mistakes_are_named(ask, test_file):
    """A traceback for a wrong picture, command or flag."""
    with pytest.raises(UserError, match="no such picture"):
        ask(ASKED, image="nowhere.png")
    with pytest.raises(UserError, match="is empty"):
        ask(" ")
    with pytest.raises(UserError, match="'demoo'"):
        main.main(["demoo"])
    with pytest.raises(UserError, match="--image"):
        main.main(["ask", "--imag", "x", "--question", "y"])
    assert main.main([]) == 2 and main.main(["--help"]) == 0


def test_run_hands_over_to_run_sh(tmp_path):
    """Flags lost between main.py and run.sh, or its exit code."""
    done = subprocess.run([sys.executable, ROOT / "main.py", "run", "no_such_preset"], capture_output=True, text=True)
    assert done.returncode == 2 and "no_such_preset" in done.stderr
    shutil.copy(ROOT / "main.py", tmp_path)
    (tmp_path / "run.sh").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 3\n")
    (tmp_path / "run.sh").chmod(0o755)
    words, environment = ["tiny", "my runs/a", "--overwrite"], os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, tmp_path / "main.py", "run", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 3 and done.stdout.splitlines() == words
