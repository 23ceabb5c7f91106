"""Tiny random models of several families, each with its own processor: what a real checkpoint of the family looks like.

The processors of those in NEED_TORCHVISION want it for videos; beside a CPU build of torch it does not import as it is.
Tests go over HERE, the families that this environment can build; tests/torchvision.sh makes one for the others.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path

PICTURE, PATCH = 64, 16  # pixels
TEMPLATE = (
    "{% for message in messages %}{{ '<|assistant|>' if message['role'] == 'assistant' else '<|user|>' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ 'IMAGE' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def build(family: str, folder: Path) -> Path:
    """A checkpoint folder of ~0.1 M random parameters."""
    import torch

    torch.manual_seed(0)
    model, processor = FAMILIES[family]()
    generation = model.generation_config
    generation.pad_token_id, generation.eos_token_id, generation.bos_token_id = 0, 1, None
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _tokenizer(*special: str, **named: str):
    """(byte-level tokenizer without merges, size of its vocabulary)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", *special]
    tokens += sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(tokens)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(tokens[: 4 + len(special)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|pad|>", eos_token="<|end|>", extra_special_tokens=named
    )
    return fast, len(tokens)


def _text(vocabulary: int, **more) -> dict:
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    special = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1, "tie_word_embeddings": True}
    return {
        "vocab_size": vocabulary, "num_key_value_heads": 2, "max_position_embeddings": 2048, **sizes, **special, **more
    }  # fmt: skip


def _vision() -> dict:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    return sizes | {"image_size": PICTURE, "patch_size": PATCH}


def _idefics3():
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    special = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    tokenizer, vocabulary = _tokenizer(*special, image_token="<image>")
    sides = {"longest_edge": PICTURE}
    pictures = Idefics3ImageProcessorPil(do_image_splitting=False, size=sides, max_image_size=sides)
    processor = Idefics3Processor(
        image_processor=pictures,
        tokenizer=tokenizer,
        image_seq_len=4,
        chat_template=TEMPLATE.replace("IMAGE", "<image>"),
    )
    config = Idefics3Config(
        vision_config=_vision(),
        text_config=_text(vocabulary, model_type="llama"),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        tie_word_embeddings=True,
        pad_token_id=0,
    )
    return Idefics3ForConditionalGeneration(config), processor


def _gemma3():
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3Processor,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    begin, end, soft = "<start_of_image>", "<end_of_image>", "<image_soft_token>"
    tokenizer, vocabulary = _tokenizer(begin, end, soft, image_token=soft, boi_token=begin, eoi_token=end)
    processor = Gemma3Processor(
        image_processor=Gemma3ImageProcessorPil(size={"height": PICTURE, "width": PICTURE}),
        tokenizer=tokenizer,
        image_seq_length=4,
        chat_template=TEMPLATE.replace("IMAGE", begin),
    )
    number = tokenizer.convert_tokens_to_ids
    config = Gemma3Config(
        vision_config=SiglipVisionConfig(**_vision()),
        text_config=Gemma3TextConfig(**_text(vocabulary, head_dim=16, sliding_window=64)),
        mm_tokens_per_image=4,
        boi_token_index=number(begin),
        eoi_token_index=number(end),
        image_token_index=number(soft),
        tie_word_embeddings=True,
    )
    model = Gemma3ForConditionalGeneration(config)
    model.model.multi_modal_projector.mm_input_projection_weight.data.normal_()  # zeros: a random model is blind
    return model, processor


def _llava_next():
    from transformers import (
        LlamaConfig,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextProcessor,
        SiglipVisionConfig,
    )
    from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

    tokenizer, vocabulary = _tokenizer("<image>", image_token="<image>")
    square, grid = {"height": PICTURE, "width": PICTURE}, [[64, 128], [128, 64], [128, 128]]
    processor = LlavaNextProcessor(
        image_processor=LlavaNextImageProcessorPil(size=square, crop_size=square, image_grid_pinpoints=grid),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="full",
        chat_template=TEMPLATE.replace("IMAGE", "<image>"),
    )
    config = LlavaNextConfig(
        vision_config=SiglipVisionConfig(**_vision()),
        text_config=LlamaConfig(**_text(vocabulary)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grid,
        image_seq_length=(PICTURE // PATCH) ** 2,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )
    return LlavaNextForConditionalGeneration(config), processor


def _qwen_vl(version: str):
    """Qwen2_5_VL and Qwen3VL: pictures of any shape, positions in three dimensions."""
    import transformers as library
    from transformers import Qwen2VLImageProcessor

    special = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    tokenizer, vocabulary = _tokenizer(*special, image_token=special[0], video_token=special[1])
    newer = version == "Qwen3VL"
    sides = {"shortest_edge": 64 * 64, "longest_edge": 64 * 64}
    videos = getattr(library, "Qwen3VLVideoProcessor" if newer else "Qwen2VLVideoProcessor")
    patches = {"size": sides, "patch_size": 16} if newer else {"size": sides}
    processor = getattr(library, f"{version}Processor")(
        image_processor=Qwen2VLImageProcessor(**patches),
        tokenizer=tokenizer,
        video_processor=videos(),
        chat_template=TEMPLATE.replace("IMAGE", "".join([special[2], special[0], special[3]])),
    )
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
    text = _text(vocabulary, rope_parameters=rope) | ({"head_dim": 16} if newer else {})
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64}
    vision |= (
        {"deepstack_visual_indexes": [1], "num_position_embeddings": 16} if newer else {"fullatt_block_indexes": [1]}
    )
    number = tokenizer.convert_tokens_to_ids
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    config = getattr(library, f"{version}Config")(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=not newer,  # one family with a head of its own
        **{name: number(token) for name, token in zip(names, special, strict=True)},
    )
    return getattr(library, f"{version}ForConditionalGeneration")(config), processor


def _internvl():
    from transformers import GotOcr2ImageProcessor, InternVLConfig, InternVLForConditionalGeneration, InternVLProcessor
    from transformers.models.internvl.video_processing_internvl import InternVLVideoProcessor

    special = ["<IMG_CONTEXT>", "<img>", "</img>", "<video>"]
    named = {"context_image_token": special[0], "start_image_token": special[1], "end_image_token": special[2]}
    tokenizer, vocabulary = _tokenizer(*special, **named, video_token=special[3])
    square = {"height": PICTURE, "width": PICTURE}
    processor = InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=square, crop_to_patches=True, max_patches=2),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(size=square),
        image_seq_length=4,
        chat_template=TEMPLATE.replace("IMAGE", special[0]),
    )
    vision = _vision() | {"image_size": [PICTURE, PICTURE], "patch_size": [PATCH, PATCH]}
    config = InternVLConfig(
        vision_config=vision,
        text_config=_text(vocabulary, model_type="qwen2"),
        image_token_id=tokenizer.convert_tokens_to_ids(special[0]),
        image_seq_length=4,
        tie_word_embeddings=True,
    )
    return InternVLForConditionalGeneration(config), processor


def _smolvlm():
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration, SmolVLMImageProcessor, SmolVLMProcessor
    from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

    special = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<video>"]
    tokenizer, vocabulary = _tokenizer(*special, image_token="<image>")
    sides = {"longest_edge": PICTURE}
    processor = SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(do_image_splitting=False, size=sides, max_image_size=sides),
        tokenizer=tokenizer,
        video_processor=SmolVLMVideoProcessor(size=sides, max_image_size=sides),
        image_seq_len=4,
        chat_template=TEMPLATE.replace("IMAGE", "<image>"),
    )
    config = SmolVLMConfig(
        vision_config=_vision(),
        text_config=_text(vocabulary, model_type="llama"),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        tie_word_embeddings=True,
        pad_token_id=0,
    )
    return SmolVLMForConditionalGeneration(config), processor


FAMILIES: dict[str, Callable] = {
    "idefics3": _idefics3,
    "gemma3": _gemma3,
    "llava_next": _llava_next,
    "qwen2_5_vl": lambda: _qwen_vl("Qwen2_5_VL"),
    "qwen3_vl": lambda: _qwen_vl("Qwen3VL"),
    "internvl": _internvl,
    "smolvlm": _smolvlm,
}
NEED_TORCHVISION = ("qwen2_5_vl", "qwen3_vl", "internvl", "smolvlm")
HAS_TORCHVISION = importlib.util.find_spec("torchvision") is not None
HERE = [family for family in FAMILIES if HAS_TORCHVISION or family not in NEED_TORCHVISION]  # the rest: torchvision.sh
