"""The labeller: what is pressed is what is written, nothing gives the right strategy away or drives the terminal."""

import io
import os
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections import Counter
from pathlib import Path

import pytest

import label
import stages
from auditing import findings
from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.records import CRITERIA, Example, Prediction
from measures.contradictions import contradiction
from measures.human_labels import Label

SCRIPT = Path(__file__).resolve().parents[2] / "inference" / "label.py"
KEY_OF = {name: key for key, name in label.STRATEGY_KEYS.items()}
ANSWERED = ["a", "y", "y", "n", "n"]  # an answer that is grounded and right
ENUMERATE, CLARIFY = 2, 3  # of stages.example


def write(folder: Path, records: list[dict], say=lambda record: record["reference"], model: str = "m") -> list[str]:
    """Examples and predictions in `folder`; the flags that all runs on them share."""
    rows = [{"example_id": r["id"], "text": say(r), "model": model} for r in records]
    jsonl.write_atomic(folder / "test.jsonl", records)
    jsonl.write_atomic(folder / "predictions.jsonl", rows)
    files = ["--data_file", folder / "test.jsonl", "--predictions", folder / "predictions.jsonl"]
    return [*map(str, files), "--output_file", str(folder / "labels.jsonl")]


def press(flags: list[str], keys, monkeypatch, *more, annotator: str = "ann") -> list[dict]:
    """Run the script on `keys`, one a line; the rows of its file."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{key}\n" for key in keys)))
    assert label.main([*flags, "--annotator", annotator, *map(str, more)]) == 0
    return rows_of(flags)


def rows_of(flags: list[str]) -> list[dict]:
    return [row.model_dump() for row in jsonl.read(flags[-1], Label)]


def wide_example(readings: int) -> dict:
    """An example of `clarify` with so many readings."""
    record = stages.example(CLARIFY)
    one = record["ambiguity"]["readings"][0]
    record["ambiguity"]["readings"] = [one | {"expression": f"star {i}"} for i in range(readings)]
    return record


@pytest.mark.parametrize("index", range(6))
def test_a_label_has_the_form_of_a_verdict(index, tmp_path, monkeypatch):
    """A criterion that people answer where the judge says "does not apply", or the other way round; a share that is
    counted otherwise. Who presses what the scene judge finds must write its verdict."""
    record = stages.example(index)
    example = Example.model_validate(record)
    says = [stages.example(i)["reference"] for i in range(6)] + ["It is red.", "", "I take you to mean the large star."]
    for number, text in enumerate(says):
        folder = tmp_path / str(number)
        folder.mkdir()
        flags = write(folder, [record], lambda r, text=text: text)
        verdict = SceneJudge().judge([example], [Prediction(example_id=example.id, text=text)])[0]
        asked = label.questions(example, verdict.used_strategy)
        count = len(example.ambiguity.readings)
        keys = [KEY_OF[verdict.used_strategy]]
        for question in asked[1:]:
            value = verdict.criteria[question.name] or 0.0
            # people are asked where the judge says "does not apply", too
            if question.name == "over_asked" and verdict.used_strategy == "clarify":
                value = 1.0
            if question.name == "complete" and verdict.criteria["answer_right"] == 1.0:
                value = max(value, 1 / count)
            keys.append(str(round(value * count)) if question.options is not label.YES_NO else "yn"[value == 0.0])
        (row,) = press(flags, keys, monkeypatch)
        assert row["used_strategy"] == verdict.used_strategy and row["criteria"] == verdict.criteria, text
        assert tuple(row["criteria"]) == CRITERIA
        assert (row["example_id"], row["model"], row["annotator"], row["text"]) == (example.id, "m", "ann", text)


def test_nothing_shown_depends_on_the_right_strategy(tmp_path, monkeypatch, capsys):
    """A labeller who sees, or can tell from what is asked, which strategy would have been right, whose work it is, or
    what the reference says."""
    said = set()
    for used in label.STRATEGY_KEYS:
        for right in stages.STRATEGIES:
            record = stages.example(ENUMERATE) | {"strategy": right, "reference": "secret words"}
            dialogue = {"reading": 0, "question": "secret words", "reply": "secret words", "answer": "secret words"}
            record["dialogue"] = dialogue if right == "clarify" else None
            flags = write(tmp_path, [record], lambda r: "It is red.", model="secret model")
            press(flags, [used, "y", "y", "n", "n", "1", "x"], monkeypatch)
            said.add((used, capsys.readouterr().out))
            Path(flags[-1]).unlink()
    assert len(said) == len(label.STRATEGY_KEYS)
    assert not any("secret" in out for _, out in said)


HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b31mred\rover\b\x7f\u202egnp\u2028next\x00 It is red.\n--- 9 of 9"


def test_no_text_drives_the_terminal(tmp_path, monkeypatch, capsys):
    """A response (or an example) that clears the screen, sets colors or turns text around while it is judged; one that
    passes for the script's own words; a label of other words than the model's."""
    record = stages.example(ENUMERATE) | {"question": HOSTILE, "image": "images/\x1b[1m.png"}
    record["ambiguity"]["readings"][0] |= {"expression": HOSTILE, "answer": HOSTILE}
    record["facts"]["objects"][0] |= {"name": HOSTILE, "hidden": [HOSTILE]}
    flags = write(tmp_path, [record], lambda r: HOSTILE + " word" * 2000)
    (row,) = press(flags, ANSWERED, monkeypatch, annotator="\x1b[31mann")
    out = capsys.readouterr().out
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028]", out)
    assert r"\x1b[2J" in out and r"\u202egnp" in out and "\n  | --- 9 of 9" in out
    assert max(map(len, out.split("\n"))) < 2000 and "characters more" in out
    assert row["text"] == HOSTILE + " word" * 2000


def test_draw_is_even_and_does_not_move(tmp_path):
    """Strategies of which there is one label among sixty; another draw after a change of the predictions' order, or
    none of the old labels in a larger one."""
    records = [stages.example(i) for i in range(60)] + [stages.example(6 * i) for i in range(10, 100)]
    items = [label.Item(e, Prediction(example_id=e.id, text=""), "m") for e in map(Example.model_validate, records)]

    def ids(*args):
        return [item.example.id for item in label.draw(*args)]

    drawn = label.draw(items, 24, 0)
    assert Counter(item.example.strategy for item in drawn) == dict.fromkeys(stages.STRATEGIES, 4)
    assert ids(items[::-1], 24, 0) == ids(items, 24, 0) != ids(items, 24, 1)
    assert set(ids(items, 24, 0)) < set(ids(items, 31, 0))
    more = Counter(item.example.strategy for item in label.draw(items, 90, 0))
    assert more == dict.fromkeys(stages.STRATEGIES, 10) | {"answer": 40}
    assert sorted(ids(items, 1000, 0)) == sorted(r["id"] for r in records)
    order = [item.example.strategy for item in drawn]
    assert order != sorted(order, key=stages.STRATEGIES.index) and order[:6] != list(stages.STRATEGIES)


def test_a_stopped_run_continues(tmp_path, monkeypatch, capsys):
    """Labels lost by a stop, an end of stdin or a torn line; a response labeled twice by one person, or kept from a
    second one; a label that counts for words that the model no longer says."""
    flags = write(tmp_path, [stages.example(6 * i) for i in range(4)])
    first = press(flags, [*ANSWERED, *ANSWERED, "a", "y", "x"], monkeypatch)
    assert len(first) == 2 and "2 of 4 labeled by ann" in capsys.readouterr().out
    with open(flags[-1], "a") as file:
        file.write('{"example_id": "torn')
    rows = press(flags, ANSWERED, monkeypatch)
    assert rows[:2] == first and len(rows) == 3
    rows = press(flags, ANSWERED * 4, monkeypatch)
    assert len(rows) == len({row["example_id"] for row in rows}) == 4
    assert len(press(flags, ["n"], monkeypatch)) == 4, "nothing is left to label"
    rows = press(flags, ANSWERED * 4, monkeypatch, annotator="bob")
    assert Counter(row["annotator"] for row in rows) == {"ann": 4, "bob": 4}
    assert [row["example_id"] for row in rows if row["annotator"] == "bob"] == [r["example_id"] for r in rows[:4]]
    write(tmp_path, [stages.example(6 * i) for i in range(4)], lambda r: "It is blue.")
    assert len(press(flags, ANSWERED, monkeypatch)) == 9


def test_keys_go_back_skip_and_stop(tmp_path, monkeypatch, capsys):
    """A wrong key that stays: u must undo it, over the border of a response and of a run too, and touch nobody else's
    labels; a skipped response that is gone for good."""
    flags = write(tmp_path, [stages.example(6 * i) for i in range(3)])
    theirs = press(flags, ANSWERED * 3, monkeypatch, annotator="bob")

    def mine(keys):
        rows = press(flags, keys, monkeypatch)
        assert rows[:3] == theirs
        return [(row["used_strategy"], row["criteria"]["grounded"]) for row in rows[3:]]

    assert mine(["u", "a", "n", "u", "u", "i", "y", "y", "n", "n", "x"]) == [("infer", 1.0)]
    assert "first one" in capsys.readouterr().out
    assert mine(["u", *ANSWERED, *ANSWERED, "u", "x"]) == [("answer", 1.0)], "the second was taken back"
    assert mine([" ", *ANSWERED]) == [("answer", 1.0)] * 2
    assert "2 of 3 labeled" in capsys.readouterr().out
    assert mine([" ", "u", "y", "q", "z", "clarify", "y", "n", "n", "y"]) == [("answer", 1.0)] * 2 + [("clarify", 1.0)]
    assert mine(["u", "u", *["n"] * 5, *["n"] * 5, "u", "y"]) == [("answer", 1.0), ("none", 0.0), ("none", 0.0)]
    assert [row["criteria"]["over_asked"] for row in rows_of(flags)[3:]] == [0.0, 0.0, 1.0]


CONTRADICTIONS = [  # example, keys up to the one that contradicts those before it, the right ones from there on
    (ENUMERATE, "eyny", "nn1", "enumerate says that there are other readings, so it is not overconfident"),
    (ENUMERATE, "iyny", "nn1", "infer says that there are other readings, so it is not overconfident"),
    (ENUMERATE, "qyy", "nny2", "clarify gives no answer, so it cannot be right"),
    (CLARIFY, "syny", "nn", "abstain gives no answer, so it cannot be overconfident"),
    (CLARIFY, "qynnn", "y2", "clarify asks what is meant"),
    (ENUMERATE, "aynyy", "n", "who asks what is meant is not overconfident"),
    (ENUMERATE, "eyynn0", "2", "a right answer is that of one reading at least"),
    (5, "innn", "yn", "no reading has an answer, so infer is overconfident"),
]


@pytest.mark.parametrize(("index", "keys", "mended", "why"), CONTRADICTIONS)
def test_answers_that_contradict_each_other_are_asked_again(index, keys, mended, why, tmp_path, monkeypatch, capsys):
    """A slip of a key that becomes a label no response can have."""
    flags = write(tmp_path, [stages.example(index)])
    (row,) = press(flags, keys + mended, monkeypatch)
    out = capsys.readouterr().out
    assert out.count("answer again") == 1 and f"{why}: answer again" in out
    example = Example.model_validate(stages.example(index))
    assert contradiction(example, row["used_strategy"], row["criteria"]) is None


def test_what_the_judge_says_never_contradicts_itself():
    """A rule that people would stumble over where they are right: no verdict of the scene judge may break one."""
    examples = [Example.model_validate(stages.example(i)) for i in range(24)]
    texts = {e.reference for e in examples} | {
        "It is red. Which did you mean?",
        "I cannot tell, but probably red.",
        "",
        "No.",
    }
    for example in examples:
        for text in sorted(texts):
            verdict = SceneJudge().judge([example], [Prediction(example_id=example.id, text=text)])[0]
            assert contradiction(example, verdict.used_strategy, verdict.criteria) is None, (example.question, text)


def test_contradictory_labels_of_an_older_file_are_asked_again(tmp_path, monkeypatch, capsys):
    """A label that contradicts itself and stays, since its response counts as labeled; two rows on one response."""
    flags = write(tmp_path, [stages.example(ENUMERATE), stages.example(6 + ENUMERATE)])
    good = press(flags, ["e", "y", "y", "n", "n", "2"] * 2, monkeypatch)
    bad = good[0] | {"criteria": good[0]["criteria"] | {"overconfident": 1.0}}
    jsonl.write_atomic(flags[-1], [bad, good[1]])
    capsys.readouterr()
    assert press(flags, ["x"], monkeypatch) == [bad, good[1]], "kept until there is another"
    assert "1 labels in" in capsys.readouterr().out
    assert press(flags, ["e", "y", "y", "n", "n", "2"], monkeypatch) == [good[1], good[0]]


@pytest.mark.parametrize("readings, key, value", [(9, "7", 7 / 9), (12, "11", 11 / 12), (12, "0", 0.0)])
def test_shares_are_counted_out_of_the_readings(readings, key, value, tmp_path, monkeypatch):
    """A share above 1 or of another number; more than nine readings, which one key cannot count."""
    flags = write(tmp_path, [wide_example(readings)])
    (row,) = press(flags, ["q", "y", "n", "n", "y", str(readings + 1), "y", key], monkeypatch)
    assert row["criteria"]["question_value"] == pytest.approx(value)


def test_the_audit_reads_the_labels(tmp_path, monkeypatch):
    """A file of labels that the audit of the judge refuses."""
    flags = write(tmp_path, [stages.example(0)])
    press(flags, ANSWERED, monkeypatch)
    (found,) = findings.read_labels(flags[-1], jsonl.read(tmp_path / "test.jsonl", Example))
    assert found.text == "It is red." and found.labels["answer_right"] == 1.0 and found.labels["overconfident"] is None


def test_the_audit_refuses_a_label_that_contradicts_itself(tmp_path):
    """A judge that is held against a label that no response can have."""
    example = Example.model_validate(stages.example(CLARIFY))
    row = {"example_id": example.id, "text": "Which?", "used_strategy": "clarify", "criteria": {"overconfident": 1.0}}
    jsonl.write_atomic(tmp_path / "labels.jsonl", [row | {"criteria": {"overconfident": 0.0}}, row])
    with pytest.raises(UserError, match="line 2: the label contradicts itself: clarify gives no answer.*label.py"):
        findings.read_labels(str(tmp_path / "labels.jsonl"), [example])


def test_predictions_of_other_tools_are_named_after_their_folder(tmp_path, monkeypatch):
    """Labels that belong to no model of the report, which knows models by their folders."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    flags = write(folder, [stages.example(0)], model="unknown")
    assert press(flags, ANSWERED, monkeypatch)[0]["model"] == "theirs"


def test_bad_input_is_told(tmp_path, monkeypatch):
    """A traceback, or labels of the wrong thing, where a flag or file is wrong."""
    flags = write(tmp_path, [stages.example(0)])

    def told(*more, instead=flags):
        with pytest.raises(UserError) as error:
            press(instead, [], monkeypatch, *more)
        return str(error.value)

    assert "--num_labels: 0 must be at least 1" in told("--num_labels", 0)
    assert "--annotator is empty" in told("--annotator", " ")
    assert "must end in .jsonl" in told("--output_file", tmp_path / "labels.json")
    assert "--output_file and --predictions are one file" in told("--output_file", tmp_path / "predictions.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    assert "folder.jsonl: cannot be written" in told("--output_file", tmp_path / "folder.jsonl")
    jsonl.write_atomic(tmp_path / "verdicts.jsonl", [{"example_id": "a", "judge": "scene"}])
    assert "verdicts.jsonl:1: model: Field required" in told("--output_file", tmp_path / "verdicts.jsonl")
    jsonl.write_atomic(tmp_path / "predictions.jsonl", [{"example_id": "elsewhere", "text": "It is red."}])
    assert "1 of 1 predictions are about examples that are not in" in told()
    (tmp_path / "predictions.jsonl").write_text("")
    assert "has no predictions" in told()
    assert not Path(flags[-1]).exists()


class Terminal:
    """The script in a terminal of its own."""

    def __init__(self, flags: list[str]):
        self.end, self.tty = os.openpty()
        command = [sys.executable, str(SCRIPT), *flags, "--annotator", "ann"]
        self.process = subprocess.Popen(command, preexec_fn=self._log_in)

    def _log_in(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # tests that were started in the background ignore it
        os.login_tty(self.tty)

    def until(self, text: str) -> str:
        """What is said up to `text`."""
        said, deadline = "", time.monotonic() + 60
        while text not in said:
            assert time.monotonic() < deadline, f"no {text!r} in {said!r}"
            if select.select([self.end], [], [], 0.2)[0]:
                said += os.read(self.end, 65536).decode(errors="replace")
        return said

    def press(self, key: str, text: str = " > ") -> str:
        os.write(self.end, key.encode())
        return self.until(text)

    def as_it_was(self) -> bool:
        """Whether the terminal echoes and waits for Enter, as a shell needs it."""
        wanted = termios.ECHO | termios.ICANON
        return termios.tcgetattr(self.tty)[3] & wanted == wanted

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.end)
        os.close(self.tty)


def test_in_a_terminal_single_keys_do(tmp_path):
    """Keys that wait for Enter or are shown raw, an arrow key that labels ("ESC [ C" holds a c), a number that ends
    after its first digit, and a terminal that stays without echo."""
    flags = write(tmp_path, [wide_example(12)])
    with Terminal(flags) as terminal:
        assert "1 of 1" in terminal.until("a/i/e/q/c/s/n/u/x > ")
        assert not terminal.as_it_was()
        os.write(terminal.end, b"\x1b[C")
        time.sleep(0.3)
        assert "correct" not in terminal.press("Q", "y/n/u/x > ")
        for key in "ynn":
            terminal.press(key)
        terminal.press("y", "0..12, then Enter > ")
        terminal.press("u", "y/n/u/x > ")
        terminal.press("y", "0..12, then Enter > ")
        assert "last one" in terminal.press("12\x7f1\r")
        terminal.press("x", "1 of 1 labeled by ann")
        assert terminal.process.wait(30) == 0 and terminal.as_it_was()
    (row,) = rows_of(flags)
    assert row["used_strategy"] == "clarify" and row["criteria"]["question_value"] == pytest.approx(11 / 12)


def test_an_interrupt_keeps_everything(tmp_path):
    """Ctrl-C that loses labels, prints a traceback or leaves the terminal without echo."""
    flags = write(tmp_path, [stages.example(6 * i) for i in range(3)])
    with Terminal(flags) as terminal:
        terminal.until(" > ")
        for key in [*ANSWERED, "a"]:
            terminal.press(key)
        said = terminal.press("\x03", "stopped")
        assert "1 of 3 labeled by ann; the same command shows the others" in said and "Traceback" not in said
        assert terminal.process.wait(30) == 130 and terminal.as_it_was()
    assert len(rows_of(flags)) == 1
