"""Words that point to what the user has just described: "there is none there"."""

import pytest

from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.language import reference
from clarifyvlm.language.descriptions import Description
from clarifyvlm.records import Example, Prediction, Turn
from stages import example

ASK = "Which star do you mean? Please say where it is."


def verdict(reply: str, last: str):
    """On a dialogue about four stars, one in each corner."""
    of = Example.model_validate(example(3))
    turns = [Turn(role=r, text=t) for r, t in (("assistant", ASK), ("user", reply), ("assistant", last))]
    prediction = Prediction(example_id=of.id, turns=turns, reading=1, user_kind="wrong")
    return SceneJudge().judge([of], [prediction])[0]


@pytest.mark.parametrize(
    "last",
    [
        "There is none there. Which one do you mean?",
        "I see no star there.",
        "There's no star over there, which one do you mean?",
        "There is nothing like that. Where is the one that you mean?",
        "I see no object like that, so I cannot tell.",
        "I do not see any in that spot. Which star?",
        "There is no such star. Which one do you mean?",
    ],
)
@pytest.mark.parametrize("reply", ["In the center.", "I meant the one in the center.", "center please"])
def test_a_denial_of_what_was_described_is_true(last, reply):
    """Catches a model that is called ungrounded, and not paid, because it says "there" for the place."""
    found = verdict(reply, last)
    assert (found.used_after_reply, found.grounded_after_reply) == ("correct", 1), found


@pytest.mark.parametrize(
    ("reply", "last"),
    [
        ("The one at the top left.", "There is none there. Which one do you mean?"),
        ("The one at the top left.", "I see no such star."),
        ("In the center.", "There is no star. Which one do you mean?"),
        ("I don't know.", "There is no such star."),
    ],
)
def test_a_denial_of_what_is_there_is_false(reply, last):
    """Catches a way out of every reply: denying whatever was described."""
    assert verdict(reply, last).grounded_after_reply == 0


def test_what_is_put_in_place():
    star, red = Description(name="star"), Description(color="red")
    there = Description(cells=frozenset({"top left"}), one=True)
    assert reference.resolved("I see none there.", there, star) == "I see no star at the top left."
    assert reference.resolved("There is nothing like that!", red, star) == "There is no red star!"
    assert reference.resolved("No such circle.", red, star) == "no red circle."
    assert reference.resolved("I see none there.", Description(one=True), star) == "I see none there."
    for text in ("There is no star at the top left.", "No there is a star at the top left.", "No, there it is."):
        assert not reference.points_back(text)
