"""What must hold in training, for each family of models (DESIGN: what must never happen, 1, 6, 7)."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from clarifyvlm import chat, images, jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.models import decoding, loading
from clarifyvlm.models.generation import encode
from clarifyvlm.records import Example
from families import HERE, build
from stages import ROOT, run, script, write_data

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=HERE)
def base(request, tmp_path_factory):
    return build(request.param, tmp_path_factory.mktemp(request.param) / "base")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("invariants") / "data", 12, 6)


def pictures(examples, data) -> list:
    return [images.open_image(data / e.image) for e in examples]


def train(base, data, output, *flags):
    config = ROOT / "tuning_sft" / "configs" / "smoke.yaml"
    files = ["--model_name_or_path", base, "--data_dir", data, "--output_dir", output, "--num_validation_examples", 2]
    how = ["--max_steps", 2, "--save_steps", 1, "--per_device_train_batch_size", 4, "--learning_rate", 0.01]
    done = run("tuning_sft/train.py", "--config", config, *files, *how, *flags)
    assert done.returncode == 0, done.stderr[-3000:]


def test_sft_learns_the_response_only_and_sees_the_prompt_of_inference(base, data, tmp_path):
    """Loss on prompt or image tokens; a picture that is cut or doubled; a prompt that inference builds otherwise."""
    from trl import SFTTrainer

    from clarifyvlm import training as shared

    examples = jsonl.read(data / "train.jsonl", Example)[:6]
    model, processor = loading.load(base, device="cpu", trainable=True)
    module = script("tuning_sft/train.py")
    rows = module.rows(examples, [module.rows_of(e) for e in examples], data)
    args = shared.SFTArguments(output_dir=str(tmp_path))
    trainer = SFTTrainer(model=model, args=args, train_dataset=rows, processing_class=processor)
    turns = [(e, turn) for e in examples for turn in range(2 if e.dialogue else 1)]
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(turns))])
    for i, (example, turn) in enumerate(turns):
        labels = batch["labels"][i]
        said = example.reference if turn == 0 else example.dialogue.answer
        learnt = processor.tokenizer.decode(labels[labels != -100], skip_special_tokens=False)
        assert learnt == said + processor.tokenizer.eos_token
        prompt = chat.reference_messages(example)[turn][0]
        asked = encode(processor, [prompt], pictures([example], data))["input_ids"][0]
        read = batch["input_ids"][i][(batch["attention_mask"][i] == 1) & (labels == -100)]
        assert read.tolist() == asked.tolist()


def test_rows_that_leave_the_batch_change_nothing(base, data, monkeypatch):
    """A finished row taken out of the cache but not out of positions or masks: the others go on with wrong ones."""
    import torch

    examples = (jsonl.read(data / "train.jsonl", Example) * 2)[:16]
    model, processor = loading.load(base, device="cpu")
    end = list(range(0, len(processor.tokenizer), 6))  # of random tokens every sixth ends its row
    sizes, keep = [], decoding._keep
    monkeypatch.setattr(decoding, "_keep", lambda k, kept, size: sizes.append(len(kept)) or keep(k, kept, size))
    torch.manual_seed(0)
    decoder = decoding.Decoder()
    how = {"do_sample": True, "temperature": 5.0, "top_k": 0, "max_new_tokens": 24, "eos_token_id": end}
    how["suppress_tokens"] = sorted({model.config.image_token_id, *processor.tokenizer.all_special_ids})
    prompts = [chat.user_turn(e.question + " Really?" * (i % 5)) for i, e in enumerate(examples)]
    inputs = encode(processor, prompts, pictures(examples, data))
    with torch.inference_mode():
        said = model.generate(**inputs, **how, pad_token_id=0, custom_generate=decoder)
    assert len(sizes) > 1
    for row, example in enumerate(examples):
        new = said[row, inputs["input_ids"].shape[1] :]
        length = next((i for i, token in enumerate(new.tolist()) if token in end), len(new) - 1) + 1
        alone = encode(processor, [prompts[row]], pictures([example], data))
        new = new[None, :length]
        more = {"input_ids": new, "attention_mask": torch.ones_like(new)}
        more |= {name: torch.zeros_like(new) for name in ("token_type_ids", "mm_token_type_ids") if name in alone}
        alone |= {name: torch.cat([alone[name], value], dim=1) for name, value in more.items()}
        with torch.inference_mode():
            logits = model(**alone).logits[0, -length - 1 : -1].float()
        expected = logits.log_softmax(-1).gather(1, new[0][:, None])[:, 0]
        noted = torch.stack([step[row] for step in decoder.logprobs])
        assert torch.allclose(noted[:length], expected, atol=1e-3) and not noted[length:].any()


def test_grpo_asks_as_inference_does(base, data, tmp_path):
    """A group that answers two prompts, and prompts or pictures that differ from those of inference."""
    module = script("tuning_grpo/train.py")
    flags = {"model_name_or_path": base, "data_dir": data, "output_dir": tmp_path, "allow_base_model": "true"}
    flags |= {"num_prompts": 6, "num_generations": 2, "per_device_train_batch_size": 4, "max_completion_length": 4}
    flags |= {"bf16": "false", "learning_rate": 0.0, "save_strategy": "no"}
    from clarifyvlm import config
    from clarifyvlm.judges import make_judge

    options, weights, judge, training = config.parse_args(
        [module.Options, module.RewardWeights, module.JudgeArguments, "clarifyvlm.training.GRPOArguments"],
        [f"--{name}={value}" for name, value in flags.items()],
    )
    examples = jsonl.read(data / "train.jsonl", Example)[:6]
    trainer, _ = module.build_trainer(options, weights, training, examples, make_judge(judge))
    seen, generate = [], trainer._generate_and_score_completions
    trainer._generate_and_score_completions = lambda rows: seen.append((rows, generate(rows))) or seen[-1][1]
    training.max_steps = 1
    trainer.train()
    rows, made = seen[0]
    assert [r["example"].id for r in rows[::2]] == [r["example"].id for r in rows[1::2]]
    asked = encode(trainer.processing_class, [r["prompt"] for r in rows], [r["image"] for r in rows])
    assert made["prompt_ids"].tolist() == asked["input_ids"].tolist()
    assert made["pixel_values"].shape == asked["pixel_values"].shape


def test_a_whole_model_resumes_exactly(base, data, tmp_path):
    """Weights that are saved under names from which they are not loaded again, so that a resumed run starts over."""
    whole = tmp_path / "whole"
    train(base, data, whole)
    stopped = shutil.copytree(whole, tmp_path / "stopped")
    shutil.rmtree(stopped / "checkpoint-2")
    (stopped / "model.safetensors").unlink()
    (stopped / "run.json").write_text((whole / "run.json").read_text().replace('"complete"', '"running"'))
    train(base, data, stopped)
    resumed, undisturbed = (load_file(folder / "model.safetensors") for folder in (stopped, whole))
    first = load_file(base / "model.safetensors")
    assert resumed.keys() == undisturbed.keys() >= first.keys()
    assert all(tensor.equal(undisturbed[name]) for name, tensor in resumed.items())
    assert sum(not tensor.equal(first[name]) for name, tensor in undisturbed.items() if name in first) > 10


def test_an_adapter_is_loaded_whole_and_merges(base, data, tmp_path):
    """An adapter that lacks a weight and is loaded all the same; a merge that changes what the model says."""
    import torch

    train(base, data, tmp_path / "sft", "--use_peft")
    model, processor = loading.load(tmp_path / "sft", device="cpu")
    example = jsonl.read(data / "validation.jsonl", Example)[0]
    inputs = encode(processor, [chat.messages(example)], pictures([example], data))
    with torch.no_grad():
        before = model(**inputs).logits
        plain = loading.load(base, device="cpu")[0](**inputs).logits
        after = loading.merged(model)(**inputs).logits
    assert torch.allclose(before, after, atol=1e-4) and not torch.allclose(before, plain, atol=1e-3)

    torn = shutil.copytree(tmp_path / "sft", tmp_path / "torn")
    tensors = load_file(torn / loading.ADAPTER_WEIGHTS)
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, torn / loading.ADAPTER_WEIGHTS)
    with pytest.raises(UserError, match="lacks 1 weights"):
        loading.load(torn, device="cpu")
    assert json.loads((tmp_path / "sft" / "run.json").read_text())["status"] == "complete"
