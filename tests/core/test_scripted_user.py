"""The simulated user: replies to questions, to nothing else, and never with the answer."""

from pathlib import Path

import pytest

from clarifyvlm import jsonl
from clarifyvlm.records import Example
from clarifyvlm.users import scripted

SCENES = Path(__file__).parents[1] / "data" / "judge_scenes.jsonl"


@pytest.fixture(scope="module")
def scenes() -> dict[str, Example]:
    return {e.id: e for e in jsonl.read(SCENES, Example)}


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
def test_reply_says_where(scenes, text):
    """A reply that leaves readings together although the question separates them."""
    said = replies(scenes["ask-color"], text)
    for reply, place in zip(said, ("top left", "center", "bottom right", "top right"), strict=True):
        assert place in reply and reply.endswith(".")
    assert len(set(said)) == 4


def test_reply_is_the_same_every_time(scenes):
    """Dialogues that differ between machines or runs."""
    assert replies(scenes["ask-color"], "Which star?") == replies(scenes["ask-color"], "Which star?")


def test_reply_says_no_more_than_was_asked(scenes):
    """A user who gives the place when asked for the size: a useless question would look useful."""
    for reply in replies(scenes["infer-color"], "The large one or the small one?"):
        assert ("large" in reply or "small" in reply) and "top" not in reply and "bottom" not in reply
    assert "on the left" in scripted.reply(scenes["list-vague"], "Is it on the left or on the right?", 0)


def test_reply_never_gives_the_answer(scenes):
    """The model copies the answer from the user's reply."""
    for text in ("Which star do you mean?", "What color is it?", "Red or blue?", "Can you say more?", "Where is it?"):
        for reply, reading in zip(
            replies(scenes["ask-color"], text), scenes["ask-color"].ambiguity.readings, strict=True
        ):
            assert reading.answer not in reply
    for reply, reading in zip(
        replies(scenes["ask-position"], "Which red object do you mean?"),
        scenes["ask-position"].ambiguity.readings,
        strict=True,
    ):
        assert reading.answer not in reply and reading.expression.split()[-1] in reply
    assert set(replies(scenes["ask-color"], "What color is it?")) == {"That is what I am asking."}


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
    for text in ("Which star do you mean?", "Which one, and where is it?"):
        for i, said in enumerate(replies(scenes["ask-color"], text)):
            terse = scripted.reply(scenes["ask-color"], text, i, "terse")
            assert len(terse.split()) < len(said.split()) and terse.strip(".").lower() in said
    assert scripted.reply(scenes["ask-color"], "What color is it?", 0, "terse") == "That is what I am asking."


@pytest.mark.parametrize("text", ["Which star do you mean?", "Where is it?", "The large one or the small one?"])
def test_wrong_users_describe_none_of_the_readings(scenes, text):
    """A "wrong" reply that is right for one of the readings after all, or the same one twice."""
    example = scenes["ask-color"]
    told = " ".join(replies(example, text))
    for reading in range(4):
        first, second = (scripted.reply(example, text, reading, "wrong", turn) for turn in (1, 2))
        assert first != second
        for said in (first, second):
            value = said.strip(".").split("one ")[-1].removeprefix("at the ").removeprefix("in the ")
            assert value not in told


def test_users_who_change_their_mind_end_with_what_they_mean(scenes):
    """A reply that ends with another reading than the one in mind, or names only that one."""
    example = scenes["ask-color"]
    told = replies(example, "Which star do you mean?")
    for reading, said in enumerate(told):
        first, no, last = scripted.reply(example, "Which star do you mean?", reading, "changes_mind").partition(" No, ")
        assert no and first in told and first != said and last.lower() == said.lower()
        assert scripted.reply(example, "Which star do you mean?", reading, "changes_mind", 2) == said
    useless = scripted.reply(example, "What color is it?", 0, "changes_mind")
    assert useless == "That is what I am asking."


@pytest.mark.parametrize("kind", ["unsure", "off_topic"])
def test_users_who_do_not_help_tell_nothing(scenes, kind):
    """A word of the reading in a reply that should not tell it; the same words again to a second question."""
    example = scenes["ask-color"]
    places = {o.place for o in example.facts.objects}
    for reading in range(4):
        said = [scripted.reply(example, "Which star do you mean?", reading, kind, turn) for turn in (1, 2)]
        assert said[0] != said[1] and not any(place in reply for place in places for reply in said)
    assert scripted.reply(example, "It is red.", 0, kind) is None
