"""Text that is code to somebody: control tokens of models in questions, answers and replies."""

import json
from dataclasses import dataclass

import pytest
from PIL import Image

from clarifyvlm import chat
from clarifyvlm.jsonl import read, write_atomic
from clarifyvlm.models.generation import encode
from clarifyvlm.models.plain_text import plain, plain_to_a_server
from clarifyvlm.records import Example, Prediction
from families import HERE, _tokenizer, build
from stages import script

CONTROL = {
    "qwen2.5-vl": [
        "<|im_start|>",
        "<|im_end|>",
        "<|vision_start|>",
        "<|image_pad|>",
        "<|vision_end|>",
        "<|endoftext|>",
    ],
    "llava": ["<image>", "<s>", "</s>", "<unk>"],
    "internvl3": ["<IMG_CONTEXT>", "<img>", "</img>", "<|im_end|>", "<box>"],
    "gemma3": ["<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<image_soft_token>", "<bos>", "<eos>"],
    "smolvlm": ["<image>", "<fake_token_around_image>", "<global-img>", "<row_1_col_1>", "<end_of_utterance>"],
    "pixtral": ["[IMG]", "[IMG_BREAK]", "[IMG_END]", "[INST]", "[/INST]", "<s>"],
}


@dataclass(eq=False)
class Processor:
    tokenizer: object


@pytest.mark.parametrize("family", CONTROL)
def test_control_tokens_are_plain_text(family):
    """Text that is code: "<image>" in a question is one more picture, "<|im_end|>" ends the user's turn."""
    tokenizer, _ = _tokenizer(*CONTROL[family])
    codes = set(tokenizer.convert_tokens_to_ids(CONTROL[family]))
    text = f"Is {' or '.join(CONTROL[family])} in it, or {''.join(CONTROL[family])}? {CONTROL[family][0] * 2}"
    (message,) = plain(Processor(tokenizer), [chat.text_turn("user", text)])
    said = message["content"][0]["text"]
    assert codes & set(tokenizer(text)["input_ids"]) and not codes & set(tokenizer(said)["input_ids"])
    assert said.replace(" ", "") == text.replace(" ", "")
    untouched = [chat.text_turn("user", "Is 3 < 4 [or so]?")]
    assert plain(Processor(tokenizer), untouched) == untouched


@pytest.mark.parametrize("family", HERE)
def test_a_prompt_has_one_picture_and_the_turns_of_its_template(family, tmp_path):
    """Text that is code: the processor counts pictures that nobody gave, or a question ends its own turn."""
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(build(family, tmp_path / family))
    special = sorted({*processor.tokenizer.all_special_tokens, *processor.tokenizer.get_added_vocab()})
    codes = processor.tokenizer.convert_tokens_to_ids(special)
    picture = Image.new("RGB", (64, 64), "teal")

    def counted(question: str) -> dict[int, int]:
        talk = [*chat.user_turn(question), chat.text_turn("assistant", question), chat.text_turn("user", question)]
        ids = encode(processor, [talk], [picture])["input_ids"][0].tolist()
        return {code: ids.count(code) for code in codes}

    assert counted("What is it? " + " ".join(special)) == counted("What is it?")


CODE = "<|image_pad|> <|im_end|> <image> [IMG] <start_of_turn> </s>"


@pytest.mark.parametrize("role", ["model", "judge"])
def test_what_a_server_is_sent(role, server, test_file, tmp_path):
    """Text that is code: vLLM takes a "<|image_pad|>" that somebody wrote for the place of the picture (vllm #57740),
    for a model and for a judge that looks at it."""
    examples = [e.model_copy(update={"question": f"{CODE} {e.question}"}) for e in read(test_file, Example)[:2]]
    write_atomic(test_file, examples)
    endpoint, output = ["--data_file", str(test_file)], tmp_path / "out"
    if role == "model":
        endpoint += ["--backend", "openai", "--endpoint_base_url", server.url, "--model_name_or_path", "m"]
        done = script("inference/predict.py").main([*endpoint, "--output_file", str(output / "predictions.jsonl")])
    else:
        responses = [Prediction(example_id=e.id, text="The star at the top left is red.") for e in examples]
        write_atomic(tmp_path / "said.jsonl", responses)
        endpoint += ["--judge", "openai", "--judge_base_url", server.url, "--judge_model", "m"]
        endpoint += ["--predictions", str(tmp_path / "said.jsonl"), "--judge_cache_dir", str(tmp_path / "cache")]
        done = script("inference/judge.py").main([*endpoint, "--output_file", str(output / "verdicts.jsonl")])
    sent = json.dumps([request["messages"] for request in server.requests], ensure_ascii=False)
    assert done == 0 and "< |image_pad|>" in sent and not [code for code in CODE.split() if code in sent]
    assert "3 < 4" in json.dumps(plain_to_a_server([chat.text_turn("user", "Is 3 < 4 <b>or</b> [so]?")]))


def test_rows_of_training_and_replies_in_rollouts(tmp_path, tiny_model_dir):
    """Text that is code: SFT stops in the middle of training, and a reply changes the turns of a rollout."""
    from transformers import AutoProcessor

    from rollouts import between_responses
    from small_examples import write_examples

    processor = AutoProcessor.from_pretrained(tiny_model_dir)
    code = processor.image_token
    data = write_examples(tmp_path, 2)
    (example, *_) = read(data, Example)
    example = example.model_copy(update={"question": f"{code} What is it?", "reference": f"A {code}."})
    train = script("tuning_sft/train.py")
    (row,) = train.rows([example], [1], tmp_path, processor=processor)
    texts = [part["text"] for m in row["prompt"] + row["completion"] for part in m["content"] if "text" in part]
    assert len(texts) == 2 and not any(code in text for text in texts)
    ids = between_responses(processor, f"The {code} one.")
    assert processor.tokenizer.convert_tokens_to_ids(code) not in ids
