"""For gpu.py: models of random weights with tokenizers of bytes, so that nothing is downloaded; the speed of a card."""

import time
from collections.abc import Callable
from statistics import median

SPECIAL = ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|image_pad|>", "<|video_pad|>")
SPECIAL += ("<|vision_start|>", "<|vision_end|>")
UNSAID = list(range(len(SPECIAL)))  # a model of random weights would say them: no end, no picture in a response
BYTES = list(range(len(SPECIAL), len(SPECIAL) + 256))
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' }}{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}{{ IMAGE if part.type == 'image' else part.text }}{% endfor %}{% endif %}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tokenizer(vocabulary: int):
    """Bytes and special tokens, filled up to `vocabulary` with tokens that no text has."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokens += [f"word{i}" for i in range(vocabulary - len(tokens))]
    backend = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(SPECIAL))
    named = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    side = {"padding_side": "left"}  # GRPOTrainer mixes up Qwen's picture positions otherwise (trl #5785)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<|pad|>", eos_token="<|end|>", extra_special_tokens=named, **side
    )


def qwen(toy: bool, device: str):
    """(model, processor, patches of an image token) in the shape of Qwen2.5-VL-3B."""
    import torch
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    text = {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16}
    text |= {"num_key_value_heads": 2, "vocab_size": 151936, "rms_norm_eps": 1e-6, "max_position_embeddings": 32768}
    vision = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 2048}
    section = [16, 24, 24]
    if toy:
        text |= {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
        text |= {"vocab_size": 600}
        vision = {"depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "out_hidden_size": 64}
        vision |= {"fullatt_block_indexes": [1]}
        section = [2, 3, 3]
    text |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": section}}
    text |= {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    ids = {f"{kind}_token_id": SPECIAL.index(f"<|{kind}|>") for kind in ("vision_start", "vision_end")}
    ids |= {f"{kind}_token_id": SPECIAL.index(f"<|{kind}_pad|>") for kind in ("image", "video")}
    shape = Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)
    picture = "'<|vision_start|><|image_pad|><|vision_end|>'"
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(),
        tokenizer=tokenizer(text["vocab_size"]),
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=TEMPLATE.replace("IMAGE", picture),
    )
    return built(Qwen2_5_VLForConditionalGeneration, shape, torch.bfloat16, device), processor, 4


def small():
    """The same of a toy LLaVA, whose processor needs no torchvision."""
    import torch
    from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor, SiglipVisionConfig
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    sizes = {"intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64}
    vision = SiglipVisionConfig(**sizes, image_size=96, patch_size=16)
    special = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    text = LlamaConfig(**sizes, vocab_size=600, num_key_value_heads=2, tie_word_embeddings=True, **special)
    shape = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=SPECIAL.index("<|image_pad|>"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )
    processor = LlavaProcessor(
        image_processor=SiglipImageProcessorPil(size={"height": 96, "width": 96}),
        tokenizer=tokenizer(600),
        patch_size=16,
        vision_feature_select_strategy="full",
        chat_template=TEMPLATE.replace("IMAGE", "'<|image_pad|>'"),
    )
    return built(LlavaForConditionalGeneration, shape, torch.float32, "cpu"), processor, 1


def built(model_class, shape, dtype, device: str):
    import torch

    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return model_class(shape)
    finally:
        torch.set_default_dtype(torch.float32)


def matmul_rate(n: int, device: str) -> float:
    """FLOP/s of a product of two n x n matrices in bf16."""
    import torch

    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    times = [seconds_of(lambda: a @ b, device) for _ in range(30)]
    return 2 * n**3 / median(times[10:])


def seconds_of(function: Callable, device: str) -> float:
    import torch

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    began = time.perf_counter()
    function()
    wait()
    return time.perf_counter() - began
