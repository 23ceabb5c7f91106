"""Messages: one builder for training and inference."""

from conftest import star_example

from clarifyvlm import chat
from clarifyvlm.records import Example, Turn

ANSWER = Example.model_validate(star_example(0, "a.png", "0", stars=1))
CLARIFY = Example.model_validate(star_example(1, "a.png", "0", stars=4))


def test_training_and_inference_build_the_same_prompt():
    """A model trained on one prompt and asked with another."""
    (prompt, completion), *rest = chat.reference_messages(ANSWER)
    assert prompt == chat.messages(ANSWER) == chat.user_turn(ANSWER.question) and not rest
    assert completion == [{"role": "assistant", "content": [{"type": "text", "text": "It is red."}]}]


def test_dialogue_trains_both_turns_on_what_inference_sends():
    """The second turn taught after another history than the one inference plays."""
    first, second = chat.reference_messages(CLARIFY)
    dialogue = CLARIFY.dialogue
    turns = [Turn(role="assistant", text=dialogue.question), Turn(role="user", text=dialogue.reply)]
    assert first[0] == chat.messages(CLARIFY) and first[1][0]["content"][0]["text"] == dialogue.question
    assert second[0] == chat.messages(CLARIFY, turns) and second[1][0]["content"][0]["text"] == dialogue.answer


def test_one_picture_per_conversation():
    """The picture marked twice or not at all in a longer dialogue."""
    for prompt, _ in chat.reference_messages(CLARIFY):
        assert sum(part["type"] == "image" for message in prompt for part in message["content"]) == 1
