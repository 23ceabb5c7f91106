"""Groups of GRPO: which prompts they are of, how they are decoded, and what is said when one strategy is given up."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from clarifyvlm import jsonl, rewards
from clarifyvlm.config import parse_args
from clarifyvlm.errors import UserError
from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.models import decoding
from clarifyvlm.records import Example
from stages import ROOT, STRATEGIES, script, write_data


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("groups") / "data")


def test_rollouts_are_what_the_library_would_say(data_dir, tmp_path):
    """Catches prompts of a group that are read once and then get the picture or the words of another group, and rows
    that leave the batch and take another's tokens along."""
    module = script("tuning_grpo/train.py")
    types = [module.Options, rewards.RewardWeights, "clarifyvlm.training.GRPOArguments"]
    flags = ["--model_name_or_path", ROOT / "models" / "tiny", "--data_dir", data_dir, "--output_dir", tmp_path / "o"]
    flags += ["--num_prompts", 12, "--num_generations", 4, "--per_device_train_batch_size", 16]
    options, weights, training = parse_args(types, list(map(str, [*flags, "--max_completion_length", 12])))
    prompts = jsonl.read(data_dir / "train.jsonl", Example)[:12]
    trainer, _ = module.build_trainer(options, weights, training, prompts, SceneJudge())
    count = trainer.num_generations
    rows = [trainer.train_dataset[i // count] for i in range(4 * count)]
    asked = [[row["prompt"][0] | {"content": row["prompt"][0]["content"]}] for row in rows]
    for message, row in zip(asked, rows, strict=True):
        message[0]["content"] = [
            part | {"image": row["image"]} if part["type"] == "image" else part for part in message[0]["content"]
        ]
    prompt_ids, images, fields = trainer._tokenize_prompts(asked)
    trainer.generation_config.do_sample, trainer.generation_config.temperature = False, None
    read = []
    trainer.model.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    ours, _ = trainer._generate_single_turn(prompt_ids, images, fields, count)
    assert read[0] == 4, "each prompt is read once"
    del trainer.model.generate  # the library's own again
    theirs, _ = trainer._generate_single_turn(prompt_ids, images, fields, count)
    assert ours == theirs and len({tuple(ids) for ids in ours}) > 1
    mixed = [0, *range(count, 2 * count), *range(1, count)]  # no groups: nothing is shared
    decoding.speak_as_we_do(trainer.model, count)
    fields = {
        name: value[mixed] if hasattr(value, "shape") else [value[i] for i in mixed] for name, value in fields.items()
    }
    again, _ = trainer._generate_single_turn([prompt_ids[i] for i in mixed], images, fields, count)
    assert again == [theirs[i] for i in mixed]


def test_pictures_of_several_sizes_in_one_batch():
    """Catches patches of one group's picture that are read as another's (Qwen2.5-VL has all of them in one tensor), and
    positions that are off by the padding."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(0)
    image, start, stop, copies = 5, 7, 8, 3
    rope = {"type": "mrope", "mrope_section": [1, 1, 2], "rope_type": "default"}
    small = {"hidden_size": 32, "intermediate_size": 64}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    sight = {"depth": 2, "num_heads": 2, "out_hidden_size": 32, "window_size": 56, "fullatt_block_indexes": [1]}
    config = Qwen2_5_VLConfig(
        text_config=small | heads | ends | {"vocab_size": 64, "rope_scaling": rope},
        vision_config=small | sight | {"patch_size": 14},
        image_token_id=image, video_token_id=6, vision_start_token_id=start, vision_end_token_id=stop,
    )  # fmt: skip
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    rows, patches, grids = [], [], []
    for height, width in ((4, 4), (4, 8)):
        words = [1, start, *[image] * (height * width // 4), stop, *torch.randint(10, 60, (6,)).tolist()]
        rows += [words] * copies
        patches += [torch.randn(height * width, 3 * 2 * 14 * 14)] * copies
        grids += [(1, height, width)] * copies
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    there = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    inputs = {"input_ids": ids, "attention_mask": there, "mm_token_type_ids": (ids == image).int()}
    inputs |= {"pixel_values": torch.cat(patches), "image_grid_thw": torch.tensor(grids)}
    theirs = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    read = []
    model.register_forward_pre_hook(lambda *call: read.append(len(call[2]["input_ids"])), with_kwargs=True)
    decoding.speak_as_we_do(model, copies)
    ours = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    assert read[0] == 2 and ours.tolist() == theirs.tolist() and ours[0].tolist() != ours[-1].tolist()
    patches[1] = patches[1] + 1  # another picture in the first group: nothing is shared
    other = inputs | {"pixel_values": torch.cat(patches)}
    read.clear()
    assert len(model.generate(**other, max_new_tokens=2, do_sample=False)) == 6 and read[0] == 6


def test_prompts_are_balanced(data_dir):
    """Catches a selection that trains on what is frequent: every strategy as often, in rounds, by the seed alone."""
    balanced = script("tuning_grpo/train.py").balanced
    found = [(e.ambiguity.type, e.strategy) for e in jsonl.read(data_dir / "train.jsonl", Example)]
    cells = found[:8] * 3 + found
    strategies = [strategy for _, strategy in cells]
    drawn = balanced(cells, 30, seed=0)
    assert len(set(drawn)) == 30
    for start in range(0, 30, 6):
        assert {strategies[i] for i in drawn[start : start + 6]} == set(STRATEGIES)
    assert drawn == balanced(cells, 30, seed=0) != balanced(cells, 30, 1)
    drawn = balanced(cells, 20, 0, {"clarify": 4})
    assert len(set(drawn)) == 18
    for start in (0, 9):
        assert sorted(strategies[i] for i in drawn[start : start + 9]) == sorted([*STRATEGIES, *["clarify"] * 3])


def test_a_type_may_come_more_often():
    """Catches a type that is asked for and not drawn, one prompt drawn twice, and a token that means nothing."""
    module = script("tuning_grpo/train.py")
    cells = [("referential", s) for s in STRATEGIES] * 20 + [("lexical", "infer")] * 10
    drawn = module.balanced(cells, 80, 0, module.parse_round(["lexical:infer=1", "enumerate=2"]))
    assert len(drawn) == len(set(drawn)) == 80
    for start in range(0, 80, 8):
        one = Counter(cells[i] for i in drawn[start : start + 8])
        assert one["lexical", "infer"] >= 1 and one["referential", "enumerate"] == 2
    with pytest.raises(UserError, match="has only 10 lexical:infer. Lower it to 80"):
        module.balanced(cells, 88, 0, {"lexical:infer": 1, "enumerate": 2})
    for token in ("lexcal:infer=1", "lexical:guess=1", "infer", "infer=0"):
        with pytest.raises(UserError, match="nor type:strategy=number"):
            module.parse_round([token])


def test_a_strategy_that_is_given_up_is_named():
    """Catches a list that the policy unlearns without a word, and a warning for what only swings."""
    from clarifyvlm.training_callbacks import WINDOW, collapsed

    falls = [{"strategy_right/enumerate": 0.9 - 0.03 * i, "strategy_right/clarify": 0.8} for i in range(2 * WINDOW)]
    rows = [row for pair in zip(falls, [{"loss": 0.1}] * len(falls), strict=True) for row in pair]
    assert set(collapsed(rows)) == {"enumerate"} and not collapsed(rows[:WINDOW])
    first, last = collapsed(rows)["enumerate"]
    assert first == pytest.approx(0.765) and last == pytest.approx(0.465)


@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "bnpo"])
def test_rows_from_which_nothing_is_learnt_change_no_gradient(data_dir, tmp_path, loss_type):
    """Catches a step that becomes larger or smaller because rows were left out, or a picture of another row."""
    module = script("tuning_grpo/train.py")
    types = [module.Options, rewards.RewardWeights, "clarifyvlm.training.GRPOArguments"]
    flags = ["--model_name_or_path", ROOT / "models" / "tiny", "--data_dir", data_dir, "--output_dir", tmp_path / "o"]
    flags += ["--num_prompts", 12, "--num_generations", 4, "--per_device_train_batch_size", 16, "--bf16", "false"]
    options, weights, training = parse_args(types, list(map(str, [*flags, "--loss_type", loss_type])))
    prompts = jsonl.read(data_dir / "train.jsonl", Example)[:12]
    trainer, _ = module.build_trainer(options, weights, training, prompts, SceneJudge())
    torch.manual_seed(0)
    pictures = trainer.processing_class.image_processor(
        [trainer.train_dataset[i]["image"] for i in range(4)], return_tensors="pt"
    )
    image = trainer.model.config.image_token_id
    prompt = torch.cat([torch.full((4, 36), image), torch.randint(20, 200, (4, 6))], dim=1)
    inputs = {
        "prompt_ids": prompt,
        "prompt_mask": torch.ones_like(prompt),
        "completion_ids": torch.randint(20, 200, (4, 9)),
        "completion_mask": (torch.arange(9) < torch.tensor([[9], [4], [6], [3]])).long(),
        "advantages": torch.tensor([0.0, 1.5, 0.0, -0.5]),
        "num_items_in_batch": torch.tensor(22),
        "pixel_values": pictures["pixel_values"],
        "num_images": [1] * 4,
    }
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    seen = []
    hook = trainer.model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(len(kwargs["input_ids"])), with_kwargs=True
    )

    def gradients(compute) -> torch.Tensor:
        trainer.model.zero_grad()
        compute(trainer.model, dict(inputs)).backward()
        return torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])

    ours, theirs = gradients(trainer._compute_loss), gradients(type(trainer)._compute_loss.__get__(trainer))
    hook.remove()
    assert seen == [4 if loss_type == "bnpo" else 2, 4], "a loss over all tokens of the batch needs every row"
    assert torch.allclose(ours, theirs, atol=1e-6) and theirs.abs().max() > 1e-4
