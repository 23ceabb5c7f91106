"""The models of the presets as plain numbers, and batches for them: nothing is downloaded.

The numbers are those of each model's published config.json; `parameters` is the size that its checkpoint's index
states. That the two agree to the parameter (tests/house/test_memory_plan.py) is what says that the shape is right.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Shape:
    name: str  # of the transformers classes
    text: dict
    vision: dict
    more: dict  # of the config around both
    picture: Callable  # (side in pixels, rows) -> (tokens of a picture, what the model gets of the pictures)
    parameters: int
    depth: str = "num_hidden_layers"  # name of the vision tower's

    def build(self, text_layers: int | None = None, vision_layers: int | None = None):
        """The model with random weights, where torch's default device and mode say; unset layers: all."""
        import transformers

        vision = self.vision | {self.depth: vision_layers or self.vision[self.depth]}
        if "fullatt_block_indexes" in vision:
            vision["fullatt_block_indexes"] = [n for n in vision["fullatt_block_indexes"] if n < vision["depth"]]
        if "deepstack_visual_indexes" in vision:
            found = [n for n in vision["deepstack_visual_indexes"] if n < vision["depth"]]
            vision["deepstack_visual_indexes"] = found
        text = self.text | {"num_hidden_layers": text_layers or self.text["num_hidden_layers"]}
        special = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1}
        config = getattr(transformers, f"{self.name}Config")(
            text_config=text | special, vision_config=vision, **self.more
        )
        return getattr(transformers, f"{self.name}ForConditionalGeneration")(config)


IMAGE, START, END = 2, 4, 5  # token ids that no vocabulary lacks


def batch(shape: Shape, rows: int, side: int, text_tokens: int, response: int) -> dict:
    """Inputs of `rows` conversations: a picture, `text_tokens` of prompt, and a response that carries the loss."""
    import torch

    tokens, pictures = shape.picture(side, rows)
    ids = torch.full((rows, tokens + text_tokens + response), 10)
    ids[:, 0], ids[:, 1 : 1 + tokens], ids[:, 1 + tokens] = START, IMAGE, END
    labels = torch.full_like(ids, -100)
    if response:
        labels[:, -response:] = 10
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    kinds = (ids == IMAGE).int()
    if shape.name.startswith("Qwen"):
        inputs["mm_token_type_ids"] = kinds
    if shape.name == "Gemma3":
        inputs["token_type_ids"] = kinds
    return inputs | pictures


def _patches(patch: int, side: int, rows: int):
    import torch

    across = round(side / (2 * patch)) * 2  # patches are merged two by two
    pixels = torch.ones(rows * across**2, 3 * 2 * patch**2, dtype=torch.float32)
    return across**2 // 4, {"pixel_values": pixels, "image_grid_thw": torch.tensor([[1, across, across]] * rows)}


def _square(tokens: int, size: int, *rank: int):
    def picture(_, rows: int):
        import torch

        return tokens, {"pixel_values": torch.ones(rows, *rank, 3, size, size, dtype=torch.float32)}

    return picture


def _text(hidden, inner, layers, heads, kv_heads, vocabulary, **more) -> dict:
    sizes = {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers, "vocab_size": vocabulary}
    return sizes | {"num_attention_heads": heads, "num_key_value_heads": kv_heads} | more


QWEN_IDS = {"image_token_id": IMAGE, "video_token_id": 3, "vision_start_token_id": START, "vision_end_token_id": END}


def rope(*section: int) -> dict:
    return {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": list(section)}}


SHAPES = {
    "qwen2.5-vl-3b": Shape(
        "Qwen2_5_VL",
        _text(2048, 11008, 36, 16, 2, 151936, **rope(16, 24, 24)),
        {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 2048}
        | {"fullatt_block_indexes": [7, 15, 23, 31]},
        {"tie_word_embeddings": True, **QWEN_IDS},
        lambda side, rows: _patches(14, side, rows),
        3_754_622_976,
        "depth",
    ),
    "qwen3-vl-2b": Shape(
        "Qwen3VL",
        _text(2048, 6144, 28, 16, 8, 151936, head_dim=128, **rope(24, 20, 20)),
        {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "out_hidden_size": 2048}
        | {"patch_size": 16, "num_position_embeddings": 2304, "deepstack_visual_indexes": [5, 11, 17]},
        {"tie_word_embeddings": True, **QWEN_IDS},
        lambda side, rows: _patches(16, side, rows),
        2_127_532_032,
        "depth",
    ),
    "internvl3-2b": Shape(
        "InternVL",
        _text(1536, 8960, 28, 12, 2, 151674, model_type="qwen2"),
        {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
        | {"image_size": [448, 448], "patch_size": [14, 14], "attention_bias": True},
        {"tie_word_embeddings": False, "image_token_id": IMAGE, "image_seq_length": 256},
        _square(256, 448),
        2_088_957_440,
    ),
    "smolvlm2-500m": Shape(
        "SmolVLM",
        _text(960, 2560, 32, 15, 5, 49280, model_type="llama"),
        {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
        | {"image_size": 512, "patch_size": 16},
        {"tie_word_embeddings": False, "image_token_id": IMAGE, "scale_factor": 4},
        _square(64, 512, 1),
        507_482_304,
    ),
    "gemma3-4b": Shape(
        "Gemma3",
        _text(2560, 10240, 34, 8, 4, 262208, head_dim=256, sliding_window=1024),
        {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
        | {"image_size": 896, "patch_size": 14, "vision_use_head": False},
        {"tie_word_embeddings": True, "mm_tokens_per_image": 256, "image_token_index": IMAGE}
        | {"boi_token_index": START, "eoi_token_index": END},
        _square(256, 896),
        4_300_079_472,
    ),
}
