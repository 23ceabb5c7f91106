"""Messages: one builder for training and inference."""

from clarifyvlm import chat
from clarifyvlm.records import Example, Turn
from small_examples import star_example

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


def test_a_cost_is_told_to_every_turn_and_in_no_other_words():
    """A cost that training tells and inference does not, or only before the first response."""
    turns = [Turn(role="assistant", text=CLARIFY.dialogue.question), Turn(role="user", text=CLARIFY.dialogue.reply)]
    first, second = (prompt for prompt, _ in chat.reference_messages(CLARIFY, ask_cost=0.4))
    assert first == chat.messages(CLARIFY, ask_cost=0.4) == chat.user_turn(CLARIFY.question, 0.4)
    assert second == chat.messages(CLARIFY, turns, ask_cost=0.4) and first[0] == second[0]
    assert first[0]["role"] == "system" and "0.4" in first[0]["content"][0]["text"]
    assert first[1:] == chat.messages(CLARIFY) and chat.messages(CLARIFY, ask_cost=0.0)[0]["role"] == "system"
    costs = [chat.draw_cost(CLARIFY.model_copy(update={"id": str(i)}), [0.0, 0.5, None]) for i in range(300)]
    assert all(70 < costs.count(cost) < 130 for cost in (0.0, 0.5, None)) and chat.draw_cost(CLARIFY, []) is None


def test_the_dearer_a_question_the_more_examples_list():
    """A model that has never listed where a question is dear: or where it costs nothing."""
    listed = "I see four stars: the one at the top left is red, ..."
    dialogue = CLARIFY.dialogue.model_copy(update={"listed": listed})
    found = [CLARIFY.model_copy(update={"id": str(i), "dialogue": dialogue}) for i in range(300)]

    def share(cost: float | None) -> float:
        said = [chat.reference_messages(example, cost)[0][1][0]["content"][0]["text"] for example in found]
        assert set(said) <= {listed, dialogue.question}
        return said.count(listed) / len(said)

    assert share(None) == share(0.0) == 0 and share(1.0) == 1
    assert 0 < share(0.2) < 0.1 and 0.2 < share(0.4) < 0.4 and 0.6 < share(0.6) < 0.8 and 0.9 < share(0.8) < 1
    assert all(chat.reference_messages(e, 0.8)[1] == chat.reference_messages(found[0], 0.8)[1] for e in found)


def test_one_picture_per_conversation():
    """The picture marked twice or not at all in a longer dialogue."""
    for prompt, _ in chat.reference_messages(CLARIFY):
        assert sum(part["type"] == "image" for message in prompt for part in message["content"]) == 1


def test_trl_trains_on_the_tokens_that_inference_sends(tiny_model_dir):
    """A second BOS, a space or a turn marker that only one of training and inference has; loss on the prompt."""
    from PIL import Image
    from transformers import AutoProcessor
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    from clarifyvlm.models.generation import encode

    processor = AutoProcessor.from_pretrained(tiny_model_dir)
    collate = DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)
    picture = Image.new("RGB", (96, 96), "red")
    told = chat.reference_messages(CLARIFY, ask_cost=0.4)
    for prompt, completion in [*chat.reference_messages(CLARIFY), *told]:
        trained = collate([{"prompt": prompt, "completion": completion, "image": picture}])
        sent = encode(processor, [prompt], [picture])["input_ids"][0].tolist()
        tokens, labels = trained["input_ids"][0].tolist(), trained["labels"][0].tolist()
        assert tokens[: len(sent)] == sent
        assert set(labels[: len(sent)]) == {-100} and labels[len(sent) :] == tokens[len(sent) :]
