"""A poisoned author: wrong readings, leaked answers, orders, no JSON, refusals. None of its wordings may get in."""

import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from test_author import examples, generate, quick

from clarifyvlm.records import Example
from scripted_author import DIALOGUES, QUESTIONS, RAW, RESPONSES, ScriptedAuthor, derived


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return generate(tmp_path_factory.mktemp("poisoned") / "data", 24, 12)


def poisoned(data: Path, once: bool = False) -> ScriptedAuthor:
    """Half of the questions and two fifths of the responses are bad, each kind in turn."""
    turn = {"question": 0, "response": 0}
    drawn: dict[str, str | None] = {}

    def draw(key: str, kinds: list[str], share: float) -> str | None:
        part = key[0]
        if key not in drawn:
            bad = random.Random(key).random() < share
            name = "question" if part == "q" else "response"
            turn[name] += bad
            drawn[key] = kinds[turn[name] % len(kinds)] if bad else None
        return drawn[key]

    def bad_question(question: str, example: Example) -> str | None:
        return draw(f"q{question}", [*QUESTIONS, *RAW], 0.5)

    def bad_response(example: Example) -> str | None:
        kinds = list(DIALOGUES) if example.dialogue else [*RESPONSES, *RAW]
        return draw(f"r{example.id}", kinds, 0.4)

    return ScriptedAuthor(examples(data), bad_question, bad_response, once)


def accepted_in_bad_faith(output: Path, bad: dict[tuple, str]) -> list[tuple]:
    found = []
    for e in examples(output):
        said = {"response": e.reference}
        if e.dialogue:
            said |= {"reply": e.dialogue.reply, "answer": e.dialogue.answer}
        keys = (e.provenance["template"], e.question), (e.provenance["plan"], json.dumps(said))
        found += [(bad[key], e.strategy, e.question, said) for key in keys if key in bad]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("steps", ["all", "code"])
def test_no_bad_row_of_500(tmp_path, steps):
    """A poisoned wording that is accepted: wrong readings, leaked answers, orders, no JSON, refusals, ... Also where
    no model verifies: the poisoned one may be the verifier. And checks that reject what is honest."""
    data = generate(tmp_path / "data", 780, 60)
    verify = ["--verify", "schema", "language", "leak", "reference", "duplicate", "readings", "blind"]
    verify = verify if steps == "all" else verify[:-1]
    with poisoned(data) as server:
        if steps == "code":
            server._readings = _gullible(examples(data))
        assert quick(server, data, tmp_path / "out", *verify, "--max_attempts", 2, "--max_repeats", 1000) in (0, 3)
        bad = dict(server.bad)
    rows = [json.loads(line) for line in open(tmp_path / "out" / "progress.jsonl")]
    assert accepted_in_bad_faith(tmp_path / "out", bad) == []
    kinds = set(bad.values())
    assert kinds >= {*QUESTIONS, *RESPONSES, *DIALOGUES, *RAW}, "not tried: all of them were to be"
    outcomes = Counter(row["outcome"] for row in rows)
    assert len(bad) >= 200 and outcomes["dropped"] >= 500, (len(bad), outcomes)
    plans = {e.id: e for e in examples(data)}
    poisoned_plans = {plan for plan, _ in bad}
    honest = [row for row in rows if not poisoned_plans & {row["id"], plans[row["id"]].question}]
    assert len(honest) > 150 and {row["outcome"] for row in honest} == {"accepted"}, "an honest wording was rejected"


def _gullible(plans: list[Example]):
    """A verifier that finds whatever the plan says, whatever the question: what code does not see then passes."""
    by_picture = {}
    for e in plans:
        by_picture.setdefault(json.dumps([o.id for o in e.facts.objects] + [list(map(round, o.box)) for o in
                              e.facts.objects]), []).append(e)  # fmt: skip

    def readings(data: dict, rules: str) -> dict:
        key = json.dumps([o["id"] for o in data["picture"]] + [o["box"] for o in data["picture"]])
        asked, plans = data["question"].lower(), by_picture[key]
        whole = [e for e in plans if e.question.lower() in asked]
        near = [e for e in plans if e.question[-12:-1].lower() in asked]
        example = (whole or near or plans)[0]
        return {"readings": derived(example, example.question)}

    return readings


def test_bad_at_first(data, tmp_path):
    """A wording that is not asked for again, without the reason, or for ever."""
    with poisoned(data, once=True) as server:
        quick(server, data, tmp_path / "out")
        requests = [r for r in server.requests if "response_format" in r]
    assert len(examples(tmp_path / "out")) == len(examples(data))
    assert accepted_in_bad_faith(tmp_path / "out", server.bad) == []
    again = [r for r in requests if "rejected_before" in r["messages"][1]["content"]]
    assert again and all('"why"' in r["messages"][1]["content"] for r in again)
    rejections = [json.loads(line) for line in open(tmp_path / "out" / "rejections.jsonl")]
    assert {"id", "attempt", "step", "reason", "wording"} <= set(rejections[0])
    attempts = Counter(max(e.provenance["attempts"].values()) for e in examples(tmp_path / "out"))
    assert set(attempts) == {1, 2}
    card = (tmp_path / "out" / "README.md").read_text()
    for (part, step), n in Counter((r["part"], r["step"]) for r in rejections).items():
        assert re.search(rf"\| {step} \| {part} \| \d+ \| {n} \(", card), f"{step} of {part}: {n} rejected"
