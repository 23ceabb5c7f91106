"""The generator: exact shares, minimal pairs, disjoint splits, the same bytes everywhere, errors that say why."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from hashlib import sha256

import pytest

from clarifyvlm import rewards
from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.records import Example, Prediction
from clarifyvlm.users import USER_KINDS
from clarifyvlm.users.scripted import UNSURE, reply
from folder import dialogues
from stages import FEW, ROOT, script

GENERATE = str(ROOT / "dataset_generation" / "generate.py")
TINY = str(ROOT / "dataset_generation" / "configs" / "tiny.yaml")
SMALL = [
    "--num_train",
    "360",
    "--num_validation",
    "60",
    "--num_test",
    "120",
    "--num_test_ood",
    "60",
    *FEW,
    "--dialogue_users",
    "helpful",
]
SPLITS = ("train", "validation", "test", "test_ood")


def generate(folder, *flags, config=TINY):
    done = subprocess.run(
        [sys.executable, GENERATE, "--config", config, "--output_dir", str(folder), *flags],
        capture_output=True,
        text=True,
        timeout=600,
    )
    return done.returncode, done.stdout + done.stderr


def load(folder):
    return {s: [Example.model_validate_json(line) for line in open(folder / f"{s}.jsonl")] for s in SPLITS}


def digest(folder):
    """name -> hash of every file of examples and every picture."""
    files = [*folder.glob("*.jsonl"), *folder.glob("images/**/*.png")]
    return {str(f.relative_to(folder)): sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A small data set of the tiny world; do not write into it."""
    folder = tmp_path_factory.mktemp("data") / "tiny"
    code, text = generate(folder, *SMALL, "--num_workers", "1", "--audit", "warn")
    assert code == 0, text
    return folder


@pytest.fixture(scope="module")
def examples(data):
    return load(data)


def test_shares_are_met_exactly(examples):
    """Catches shares that are only met on average: a cell may be off by its rounding, and by nothing more."""
    import yaml

    from folder.shares import apportion, parse_shares

    shares = parse_shares(yaml.safe_load(open(TINY))["shares"])
    for split, rows in examples.items():
        got = Counter((e.ambiguity.type, e.strategy) for e in rows)
        wanted = dict(zip(shares, apportion(len(rows), list(shares.values())), strict=True))
        assert got == Counter({(s.type, s.strategy): n for s, n in wanted.items() if n}), split


def test_every_record_is_what_its_facts_say(examples):
    """Catches a label, reading or level that was written down rather than computed from the picture."""
    from clarifyvlm.strategies import LEVELS
    from clarifyvlm.world.queries import Query
    from scenes.questions import classify, readings

    for e in sum(examples.values(), []):
        query = Query(**e.provenance["query"])
        assert classify(query, e.facts.objects) == (e.ambiguity.type, e.strategy), e.id
        assert e.ambiguity.level == LEVELS[e.strategy]
        assert e.ambiguity.readings == ([] if e.strategy == "correct" else readings(query, e.facts))
        assert query.noun_phrase() in e.question or query.noun_phrase(plural=True) in e.question


def test_pictures_are_rendered_from_the_facts(data, examples):
    """Catches a picture that belongs to other facts, and a hash that belongs to another picture."""
    from PIL import Image

    from clarifyvlm.world.scenes import render

    for e in examples["validation"]:
        file = data / e.image
        assert sha256(file.read_bytes()).hexdigest() == e.image_sha256
        assert Image.open(file).convert("RGB").tobytes() == render(e.facts).tobytes()


def test_minimal_pairs_on_both_axes(examples):
    """Catches groups in which the question or the picture alone gives the strategy away."""
    for rows in examples.values():
        groups = defaultdict(list)
        for e in rows:
            groups[e.group_id].append(e)
        assert sum(len(g) for g in groups.values() if len(g) > 1) >= 0.75 * len(rows)
        for group in groups.values():
            for axis in ("image", "question"):
                met = defaultdict(list)
                for e in group:
                    met[getattr(e, axis)].append(e.strategy)
                assert all(len(set(s)) == len(s) for s in met.values()), (axis, group[0].group_id)


def test_splits_share_no_picture(examples):
    """Catches a test picture, or one that shows the same things in the same places, among the training pictures."""
    looks = {
        s: {tuple(sorted((o.name, o.color or "", o.size, o.place) for o in e.facts.objects)) for e in rows}
        for s, rows in examples.items()
    }
    for a in SPLITS:
        for b in SPLITS:
            assert a == b or not looks[a] & looks[b], (a, b)
    ids = [e.id for rows in examples.values() for e in rows]
    assert len(set(ids)) == len(ids)


def test_ood_pictures_hold_what_no_other_picture_does(examples):
    """Catches a held-out pair of shape and color that a training picture shows or a training question names."""

    def pairs(rows):
        shown = {(o.name, o.color) for e in rows for o in e.facts.objects}
        return shown | {(q.get("name"), q.get("color")) for e in rows for q in [e.provenance["query"]]}

    known = pairs(examples["train"] + examples["validation"] + examples["test"])
    for e in examples["test_ood"]:
        new = {(o.name, o.color) for o in e.facts.objects if not o.hidden} - known
        assert new, e.id


def test_every_reading_can_be_played_and_every_reference_is_right(examples):
    """Catches a reference that breaks its own strategy, and a dialogue that leads to another reading's answer."""
    judge = SceneJudge()
    for e in sum(examples.values(), []):
        (verdict,) = judge.judge([e], [Prediction(example_id=e.id, text=e.reference)])
        wrong = {k: v for k, v in verdict.criteria.items() if k in ("overconfident", "over_asked") and v}
        wrong |= {
            k: v for k, v in verdict.criteria.items() if k not in ("overconfident", "over_asked") and v not in (None, 1)
        }
        assert verdict.failure is None and not wrong, (e.question, e.reference, wrong)
        if e.dialogue:
            d = e.dialogue
            replies = [reply(e, d.question, i) for i in range(len(e.ambiguity.readings))]
            assert all(replies) and replies[d.reading] == d.reply
            turns = [("assistant", d.question), ("user", d.reply), ("assistant", d.answer)]
            played = Prediction(example_id=e.id, turns=[{"role": r, "text": t} for r, t in turns], reading=d.reading)
            assert judge.judge([e], [played])[0].answer_right_after_reply == 1, (e.question, turns)
            (listed,) = judge.judge([e], [Prediction(example_id=e.id, text=d.listed)])
            assert listed.listed == listed.criteria["grounded"] == 1, (e.question, d.listed)


def test_other_users_reply_and_are_answered_as_they_should_be(data, examples, tmp_path):
    """Catches a final answer that asserts a reading which nobody told, users who change more than their dialogue, and
    shares of users that are not those asked for."""
    users = ("helpful=2", "terse=1", "changes_mind=1", "unsure=1", "wrong=1", "off_topic=2")
    code, text = generate(tmp_path / "d", *SMALL, "--audit", "off", "--dialogue_users", *users)
    assert code == 0, text
    counts, judge = Counter(), SceneJudge()
    for split, there in load(tmp_path / "d").items():
        for ours, before in zip(there, examples[split], strict=True):
            assert ours.model_copy(update={"dialogue": None}) == before.model_copy(update={"dialogue": None})
            if d := ours.dialogue:
                counts[d.user_kind] += 1
                assert d.reply == reply(ours, d.question, d.reading, d.user_kind)
                turns = [("assistant", d.question), ("user", d.reply), ("assistant", d.answer)]
                turns = [{"role": r, "text": t} for r, t in turns]
                played = Prediction(example_id=ours.id, turns=turns, reading=d.reading, user_kind=d.user_kind)
                assert rewards.total(ours, judge.judge([ours], [played])[0], played) == 1, d
                if d.user_kind == "wrong" and d.reply not in UNSURE:
                    told = "There is no" in d.answer or "I see no" in d.answer
                    assert told or d.answer == dialogues.UNSEEN
                    counts["told so"] += told
    assert counts.pop("told so") > 0.5 * counts["wrong"]
    share = {kind: counts[kind] / counts.total() for kind in USER_KINDS}
    assert 0.1 < share["helpful"] < 0.4 and all(0.03 < share[kind] < 0.35 for kind in USER_KINDS), counts


def test_the_same_bytes_with_any_number_of_workers(data, tmp_path):
    """Catches draws that depend on which process makes them, or on the order in which processes finish."""
    code, text = generate(tmp_path / "d", *SMALL, "--num_workers", "3", "--audit", "off")
    assert code == 0, text
    assert digest(tmp_path / "d") == digest(data)


def test_another_seed_gives_other_data(data, tmp_path):
    """Catches a seed that is not used."""
    code, text = generate(tmp_path / "d", *SMALL, "--seed", "1", "--audit", "off", "--num_workers", "1")
    assert code == 0, text
    ours, theirs = digest(data), digest(tmp_path / "d")
    assert ours.keys() != theirs.keys() or all(ours[k] != theirs[k] for k in ours)


def test_killed_and_run_again_gives_the_same_bytes(data, tmp_path):
    """Catches files that a kill leaves torn, or half a split that a second run takes for the whole."""
    folder = tmp_path / "d"
    command = [sys.executable, GENERATE, "--config", TINY, "--output_dir", str(folder), *SMALL, "--num_workers", "1"]
    process = subprocess.Popen([*command, "--audit", "off"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while time.monotonic() < end and not (folder / "images" / "train").exists():
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "train.jsonl").exists()
    code, text = generate(folder, *SMALL, "--audit", "off", "--num_workers", "1")
    assert code == 0, text
    assert digest(folder) == digest(data)
    assert not list(folder.glob(".*.parts"))


def test_card_and_record(data):
    """Catches a card whose counts or command are not those of the data."""
    card = (data / "README.md").read_text()
    assert "| train.jsonl | 360 |" in card and "contact_sheet.png" in card and "--num_train 360" in card
    assert (data / "contact_sheet.png").stat().st_size > 10_000
    record = json.loads((data / "run.json").read_text())
    assert record["status"] == "complete" and record["counts"]["train"] == 360


def test_kinds_and_shares_are_both_met_exactly():
    """Catches a rare kind that gets what is left over: count questions that are abstained from half the time."""
    from collections import Counter
    from random import Random

    from folder.shares import Slot
    from scenes.layout import plan

    shares = {Slot("none", "answer"): 40, Slot("referential", "clarify"): 20, Slot("referential", "enumerate"): 20}
    shares |= {Slot("premise", "correct"): 10, Slot("unanswerable", "abstain"): 10}
    kinds = {"color": 60, "position": 20, "count": 10, "existence": 10}
    for total in (1000, 333):
        groups = plan(total, shares, kinds, 0.02, Random(0))
        asked = [(ask.kind, slot) for group in groups for ask in group for slot in ask.slots]
        assert len(asked) == total
        for given, wanted in ((Counter(k for k, _ in asked), kinds), (Counter(s for _, s in asked), shares)):
            assert all(abs(given[key] - total * w / 100) < 1 for key, w in wanted.items()), given
        abstained = Counter(kind for kind, slot in asked if slot.strategy == "abstain")
        assert abs(abstained["count"] - 0.125 * total * 0.1) <= 1, "spread over the kinds that can have it"


def test_replayed_questions(tmp_path):
    """Catches an answer that is not so in its picture, a kind that never comes, and an unseen pair in training."""
    sizes = ("--num_train", "0", "--num_validation", "0", "--num_test", "0", "--num_test_ood", "0", *FEW)
    code, text = generate(tmp_path, *sizes, "--num_replay", "360", "--audit", "off")
    assert code == 0, text
    found = [Example.model_validate_json(line) for line in open(tmp_path / "replay.jsonl")]
    plain = {"list", "verify", "compare", "what_at", "describe", "scene", "chat"}
    assert len(found) == 360 and sum(e.kind in plain for e in found) == 180, "a half is as in unambiguous.jsonl"
    assert {e.kind for e in found} == plain | {"color", "shape", "position", "size", "count", "existence"} and {
        e.strategy for e in found
    } == {"answer"}
    checked = 0
    for e in found:
        places = {o.place: o for o in e.facts.objects}
        named = [places[p] for p in places if f" {p}" in e.question or e.question.endswith(p)]
        if e.kind == "what_at" and e.reference != "Nothing." and named:  # else the place is misspelt
            (o,) = named
            checked += 1
            assert o.size in e.reference and (o.color or "wrapped") in e.reference, (e.question, e.reference)
        if e.kind == "scene":
            count = sum(o.name == "star" for o in e.facts.objects)
            said = {0: "", 1: "a star", 2: "two stars", 3: "three stars", 4: "four stars"}.get(count, "stars")
            assert said in e.reference.lower() and (count or "star" not in e.reference), e.reference
    names = {n for e in found if e.kind == "list" for n in ("circle", "square", "triangle", "star") if n in e.question}
    assert len(names) == 4 and checked > 5


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--shares", "vague:infer=1"], "vague:infer cannot be met"),
        (["--shares", "spatial:clarify=1"], "three places"),
        (["--shares", "premise:answer=1"], "always met with `correct`"),
        (["--shares", "none:clarify=1"], "always met with `answer`"),
        (["--shares", "referential:ask=1"], "unknown strategy 'ask'"),
        (["--shares", "referential:clarify"], "is not type:strategy=number"),
        (["--shares", "referential:clarify=nan"], "from 0 up"),
        (["--kinds", "colour=1"], "unknown kind 'colour'"),
        (["--dialogue_users", "grumpy=1"], "dialogue_users: no user is 'grumpy'; there are helpful"),
        (["--max_objects", "12"], "1 <= min <= max <= 9"),
        (
            ["--shares", "referential:clarify=1", "--kinds", "color=1", "--max_objects", "3", "--num_train", "4"],
            "Allow more objects",
        ),
        (["--kinds", "count=9", "color=1"], "questions about it can only be none:answer, unanswerable:abstain"),
        (["--min_per_cell", "5000"], "examples would be color questions where `answer`"),
        (["--source", "coco"], "--coco_annotations"),
    ],
)
def test_what_cannot_be_met_is_said_before_anything_is_written(tmp_path, flags, said):
    """Catches a share that is quietly left out, and a traceback in place of a reason."""
    code, text = generate(
        tmp_path / "d", "--num_validation", "0", "--num_test", "0", "--num_test_ood", "0", *FEW, *flags
    )
    assert code == 2 and said in text and "Traceback" not in text, text


def test_shipped_configs_are_planned(tmp_path):
    """Catches a shipped config with a key or a share that does not work."""
    from authoring.arguments import AuthorArguments
    from clarifyvlm.config import parse_args
    from folder.shares import parse_kinds, parse_shares
    from generating.options import Options
    from generating.plan import planned

    author = script("dataset_generation/author.py")
    folder = ROOT / "dataset_generation" / "configs"
    argv = ["--config", str(folder / "author.yaml"), "--data_dir", "d", "--output_dir", "o", "--author_model", "m"]
    parse_args([author.Options, AuthorArguments], argv)
    for config in sorted(set(folder.glob("*.yaml")) - {folder / "author.yaml"}):
        (options,) = parse_args([Options], ["--config", str(config), "--output_dir", str(tmp_path)])
        assert parse_shares(options.shares) and parse_kinds(options.kinds)
        if options.source == "scenes":
            jobs = planned(options).jobs["train"]
            assert sum(len(job.slots) for job in jobs) == options.num_train, config
