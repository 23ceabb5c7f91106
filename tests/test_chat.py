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


def test_trl_trains_on_the_tokens_that_inference_sends(tiny_model_dir):
    """A second BOS, a space or a turn marker that only one of training and inference has; loss on the prompt."""
    from PIL import Image
    from transformers import AutoProcessor
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    from clarifyvlm.generation import encode

    processor = AutoProcessor.from_pretrained(tiny_model_dir)
    collate = DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)
    picture = Image.new("RGB", (96, 96), "red")
    for prompt, completion in chat.reference_messages(CLARIFY):
        trained = collate([{"prompt": prompt, "completion": completion, "image": picture}])
        sent = encode(processor, [prompt], [picture])["input_ids"][0].tolist()
        tokens, labels = trained["input_ids"][0].tolist(), trained["labels"][0].tolist()
        assert tokens[: len(sent)] == sent
        assert set(labels[: len(sent)]) == {-100} and labels[len(sent) :] == tokens[len(sent) :]
