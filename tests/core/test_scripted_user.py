"""The simulated user: replies to questions, to nothing else, and never with the answer."""

import re
from pathlib import Path

import pytest

from clarifyvlm import jsonl
from clarifyvlm.language.facts import Case
from clarifyvlm.language.offers import readings_named
from clarifyvlm.records import Example
from clarifyvlm.users import scripted, wording
from clarifyvlm.users.wording import FORMS

SCENES = Path(__file__).parents[1] / "data" / "judge_scenes.jsonl"


@pytest.fixture(scope="module")
def scenes() -> dict[str, Example]:
    return {e.id: e for e in jsonl.read(SCENES, Example)}


@pytest.fixture
def no_slips(monkeypatch):
    """A user whose letters all stand where they should."""
    monkeypatch.setattr(wording, "_mistyped", lambda said, how, rng: said)


def replies(example: Example, text: str) -> list[str | None]:
    return [scripted.reply(example, text, i) for i in range(len(example.ambiguity.readings))]


LIST = "It depends on which star: the one at the top left is red and the one in the center is blue."


@pytest.mark.parametrize(
    "text", ["It is red.", "It is red, right?", "Isn't it red?", "", "There is no star.", "...", LIST]
)
def test_no_reply_where_nothing_is_asked(scenes, text):
    """A second turn after an answer: it would count as asking."""
    assert replies(scenes["ask-color"], text) == [None] * 4


@pytest.mark.parametrize(
    "text", ["Which star do you mean?", "Please tell me where it is.", "Which one, and where is it?"]
)
def test_reply_says_where(scenes, text, no_slips):
    """A reply that leaves readings together although the question separates them."""
    case = Case(scenes["ask-color"])
    for kind in ("helpful", "terse"):
        for forms in ("train", "held_out"):
            for seed in map(str, range(30)):
                said = [scripted.reply(case.example, text, i, kind, 1, forms, seed) for i in range(4)]
                assert len(set(said)) == 4
                assert [readings_named(case, reply) for reply in said] == [{0}, {1}, {2}, {3}], said


@pytest.mark.parametrize(("forms", "slip"), [("train", "btotom"), ("held_out", "botom")])
def test_a_slip_of_the_keyboard_spoils_one_word(scenes, forms, slip):
    """A slip that nobody can read, or none where slips are asked for."""
    said = "The one at the bottom right."
    typed = {wording.Speech(forms, False, str(n)).typed(said) for n in range(200)}
    assert {t for t in typed if "bottom" not in t} == {said.replace("bottom", slip)}
    assert all(readings_named(Case(scenes["ask-color"]), t) == {2} for t in typed)


def test_reply_is_the_same_every_time(scenes):
    """Dialogues that differ between machines or runs."""
    assert replies(scenes["ask-color"], "Which star?") == replies(scenes["ask-color"], "Which star?")


def test_reply_says_no_more_than_was_asked(scenes):
    """A user who gives the place when asked for the size: a useless question would look useful."""
    for reply in replies(scenes["infer-color"], "The large one or the small one?"):
        assert ("large" in reply.lower() or "small" in reply.lower()) and "top" not in reply and "bottom" not in reply
    assert "left" in scripted.reply(scenes["list-vague"], "Is it on the left or on the right?", 0)
    for kind in ("helpful", "terse"):
        said = {
            scripted.reply(scenes["ask-color"], "Is it the one at the top left?", i, kind).lower() for i in range(4)
        }
        assert len(said) == 2 and not any("top" in reply for reply in said)


def test_reply_never_gives_the_answer(scenes):
    """The model copies the answer from the user's reply."""
    for text in ("Which star do you mean?", "What color is it?", "Red or blue?", "Can you say more?", "Where is it?"):
        for reply, reading in zip(
            replies(scenes["ask-color"], text), scenes["ask-color"].ambiguity.readings, strict=True
        ):
            assert reading.answer not in reply.lower()
    for reply, reading in zip(
        replies(scenes["ask-position"], "Which red object do you mean?"),
        scenes["ask-position"].ambiguity.readings,
        strict=True,
    ):
        assert reading.answer not in reply.lower()
    asked = FORMS["asked"]["train"]
    said = {reply.strip(".").lower() for reply in replies(scenes["ask-color"], "What color is it?")}
    assert len(said) == 1 and said <= {form.strip(".").lower() for form in asked["full"] + asked["short"]}


def test_poor_questions_get_replies_that_separate_nothing(scenes):
    """A generic or mistaken question that is paid like a good one."""
    for text in ("Can you say more?", "Which square do you mean?"):
        assert len(set(replies(scenes["ask-color"], text))) == 1


def test_misspelt_word(scenes):
    """The user who cannot say which word was meant."""
    said = replies(scenes["list-word"], "Do you mean green or red?")
    assert "green" in said[0] and "red" in said[1]


def test_photographs(scenes):
    """Two dogs that only their places tell apart: an expression of the reading is all that is left to say."""
    assert "large" in scripted.reply(scenes["photo-infer"], "Which dog do you mean?", 0)
    assert "small" in scripted.reply(scenes["photo-infer"], "The large dog or the small one?", 1)


def test_reading_out_of_range(scenes):
    """An index error in the middle of inference."""
    assert scripted.reply(scenes["premise"], "Which star do you mean?", 0) is None


def test_terse_users_say_the_same_in_fewer_words(scenes):
    """A terse reply that says something else, or as much."""
    counts = {kind: 0 for kind in ("helpful", "terse")}
    for kind in counts:
        for seed in map(str, range(50)):
            said = scripted.reply(scenes["ask-color"], "Where is it?", 0, kind, seed=seed)
            counts[kind] += len(said.split())
    assert counts["terse"] < 0.7 * counts["helpful"]


@pytest.mark.parametrize("text", ["Which star do you mean?", "Where is it?", "The large one or the small one?"])
def test_wrong_users_describe_none_of_the_readings(scenes, text):
    """A "wrong" reply that is right for one of the readings after all, or the same one twice."""
    example = scenes["ask-color"]
    for reading in range(4):
        first, second = (scripted.reply(example, text, reading, "wrong", turn) for turn in (1, 2))
        assert first != second
        for said in (first, second):
            assert readings_named(Case(example), said) == set(), said


def test_users_who_change_their_mind_end_with_what_they_mean(scenes, no_slips):
    """A reply that ends with another reading than the one in mind, or names only that one; a place never told after a
    yes that was none."""
    case = Case(scenes["ask-color"])
    for forms in ("train", "held_out"):
        for reading in range(4):
            for text in ("Which star do you mean?", "Is it the one at the top left?"):
                for seed in map(str, range(20)):
                    said = scripted.reply(case.example, text, reading, "changes_mind", 1, forms, seed).lower()
                    if "top left" in text and reading == 0:
                        continue  # "No. Sorry, yes."
                    first, last = re.split(r"(?<=.)\b(?:no wait|no|sorry|actually),? ", said, maxsplit=1)
                    if "top left" not in text:
                        assert readings_named(case, last) == {reading} != readings_named(case, first), said
                    else:
                        assert "yes" in first or "yep" in first or "right" in first or "yeah" in first
                        assert readings_named(case, last) == {reading}, said
    useless = scripted.reply(case.example, "What color is it?", 0, "changes_mind")
    assert readings_named(case, useless) == set()


def test_ways_of_replying():
    """Too few forms, or none that is kept for evaluation; one that is in both parts."""
    train, held_out = [], []
    for kind, parts in FORMS.items():
        if isinstance(parts, dict) and "held_out" in parts and kind != "typing":
            for part, forms in (("train", train), ("held_out", held_out)):
                found = parts[part]
                found = found if isinstance(found, list) else [*found["full"], *found["short"]]
                forms += [(kind, form) for form in found]
    assert len(set(train)) + len(set(held_out)) >= 60
    assert len(set(held_out)) >= 0.25 * (len(set(train)) + len(set(held_out)))
    assert not set(train) & set(held_out)


def test_replies_vary(scenes):
    """One form for every example, or a form that depends on the reading: replies alike in meaning would differ."""
    said = {scripted.reply(scenes["ask-color"], "Which star do you mean?", 0, seed=str(n)) for n in range(100)}
    assert len(said) > 30
    held = {
        scripted.reply(scenes["ask-color"], "Which star do you mean?", 0, "helpful", 1, "held_out", str(n))
        for n in range(100)
    }
    assert len(held & said) < 0.2 * len(held)
    for n in range(30):
        same = [scripted.reply(scenes["ask-color"], "Is it at the top?", i, seed=str(n)) for i in (0, 3)]
        assert same[0] == same[1]


@pytest.mark.parametrize("kind", ["unsure", "off_topic"])
def test_users_who_do_not_help_tell_nothing(scenes, kind):
    """A word of the reading in a reply that should not tell it; the same words again to a second question."""
    example = scenes["ask-color"]
    places = {o.place for o in example.facts.objects}
    for reading in range(4):
        said = [scripted.reply(example, "Which star do you mean?", reading, kind, turn) for turn in (1, 2)]
        assert said[0] != said[1] and not any(place in reply for place in places for reply in said)
    assert scripted.reply(example, "It is red.", 0, kind) is None
