"""What tests share: a random tiny VLM, one that asks, an adapter, a data folder, and an endpoint for judges."""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "30000")  # before torch: see clarifyvlm.errors.run_main
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from pathlib import Path

import pytest

from small_examples import write_examples

CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' }}"
    "{% for c in m.content %}{{ '<image>' if c.type == 'image' else c.text }}{% endfor %}{{ '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


LONG = (
    "test_pipeline.py",
    "test_redo.py",
    "test_sharded.py",
    "test_real_server.py",
    "test_processes.py",
    "test_sweep.py",
)


def pytest_configure(config):
    config.addinivalue_line("markers", "endurance: tests of hours, of which a few run often; -m endurance runs all")


def pytest_collection_modifyitems(config, items):
    """The files of whole pipelines first, so that none is left when all others are done; of the tests marked
    `endurance` those that run often, unless all are asked for."""
    items.sort(key=lambda item: item.path.name not in LONG)
    if "endurance" in config.option.markexpr:
        return
    marks = {item: item.get_closest_marker("endurance") for item in items}
    seldom = [item for item, mark in marks.items() if mark and not mark.kwargs["often"]]
    if seldom:
        config.hook.pytest_deselected(items=seldom)
        items[:] = [item for item in items if item not in set(seldom)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test reads or fills the judge's cache of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def build_tiny_model(folder: Path, *, seed: int = 0, pixels: int = 96, patch: int = 16) -> Path:
    """A random LLaVA-shaped model (~0.2 M parameters) with its processor: a byte-level tokenizer without merges."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
        SiglipVisionConfig,
    )
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    special = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<image>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(special + alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        extra_special_tokens={"image_token": "<image>"},
    )
    pictures = SiglipImageProcessorPil(size={"height": pixels, "width": pixels})
    processor = LlavaProcessor(
        image_processor=pictures,
        tokenizer=fast,
        patch_size=patch,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
    )
    vision = SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=pixels,
        patch_size=patch,
    )
    text = LlamaConfig(
        vocab_size=len(special) + len(alphabet),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=4,
        image_seq_length=(pixels // patch) ** 2,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(config)
    model.generation_config.pad_token_id, model.generation_config.eos_token_id = 0, 1
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory) -> Path:
    """A random tiny VLM on disk, made once per test session. Do not write into it."""
    return build_tiny_model(tmp_path_factory.mktemp("tiny_model"))


def teach(folder: Path, conversations: list[tuple[list[dict], str]], *, steps: int = 400) -> float:
    """Train the model in `folder` until it says each response by heart (whatever the picture); returns the loss."""
    import torch
    from PIL import Image

    from clarifyvlm import chat
    from clarifyvlm.models import loading

    model, processor = loading.load(folder, device="cpu", trainable=True)
    texts = [
        processor.apply_chat_template([*messages, chat.text_turn("assistant", response)])
        for messages, response in conversations
    ]
    starts = [len(processor.apply_chat_template(messages, add_generation_prompt=True)) for messages, _ in conversations]
    pictures = [Image.new("RGB", (96, 96), (200, 220, 240))] * len(texts)
    batch = processor(text=texts, images=pictures, padding=True, padding_side="right", return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    image_id = model.config.image_token_id
    for row, (text, start) in enumerate(zip(texts, starts, strict=True)):
        prompt = processor.tokenizer(text[:start], add_special_tokens=False)["input_ids"]
        pictured = (batch["input_ids"][row] == image_id).sum().item()
        labels[row, : len(prompt) - 1 + pictured] = -100
    for weight in model.model.multi_modal_projector.parameters():
        weight.requires_grad_(False).zero_()  # blind: the picture cannot disturb what it learns by heart
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=5e-3, weight_decay=0.0)
    for _ in range(steps):
        loss = model(**batch, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if loss.item() < 0.01:
            break
    model.save_pretrained(folder)
    return loss.item()


@pytest.fixture(scope="session")
def asking_model_dir(tmp_path_factory) -> Path:
    """A tiny VLM that asks "Which star do you mean?" at "What color is the star?", and again where the user does not
    know; to all else it answers "It is red."."""
    from clarifyvlm import chat
    from clarifyvlm.records import Turn
    from clarifyvlm.users import scripted

    folder = build_tiny_model(tmp_path_factory.mktemp("asking_model"))
    ask, question = "Which star do you mean?", "What color is the star?"
    taught = [(chat.user_turn(question), ask)]
    taught += [(chat.user_turn(question + " Tell me." * n), "It is red.") for n in (1, 2)]
    places = ("top left", "top right", "bottom left", "bottom right")
    replies = {f"The one at the {place}.": "It is red." for place in places}
    replies |= {f"I mean the star at the {place}.": "It is red." for place in places}
    replies |= dict.fromkeys(scripted.UNSURE, ask)
    for reply, then in replies.items():
        turns = [Turn(role="assistant", text=ask), Turn(role="user", text=reply)]
        taught.append(([*chat.user_turn(question), *(chat.text_turn(t.role, t.text) for t in turns)], then))
    loss = teach(folder, taught)
    assert loss < 0.05, f"the fixture's model did not learn its lines (loss {loss:.3f})"
    return folder


@pytest.fixture(scope="session")
def tiny_adapter_dir(tmp_path_factory, tiny_model_dir) -> Path:
    """A LoRA adapter on `tiny_model_dir`, with weights that change what the model says. Do not write into it."""
    import torch
    from peft import LoraConfig, get_peft_model

    from clarifyvlm.models.loading import load

    model, processor = load(tiny_model_dir, device="cpu")
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    peft_model = get_peft_model(model, lora)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in peft_model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.5)
    folder = tmp_path_factory.mktemp("tiny_adapter")
    peft_model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished `./run.sh smoke`: see run_sh.Finished."""
    from run_sh import Finished

    base = tmp_path_factory.getbasetemp()
    return Finished((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "smoke")


@pytest.fixture
def test_file(tmp_path) -> Path:
    """A small data folder of this test's own: its test.jsonl, ten examples with pictures."""
    return write_examples(tmp_path / "data")


@pytest.fixture
def server():
    """An endpoint for LLM judges on loopback, whose replies and faults the test sets."""
    from judge_server import Server

    with Server() as server:
        yield server
