"""SFT on a real tiny model with the real SFTTrainer: where the loss is, what is saved, and what a kill costs."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers

from clarifyvlm import jsonl, training
from clarifyvlm.errors import UserError
from clarifyvlm.models import checkpoints, loading
from clarifyvlm.records import Example
from stages import ROOT, kill_when, run, script, write_data

FLAGS = ("--per_device_train_batch_size", 8, "--learning_rate", 1e-3, "--disable_tqdm", "true", "--max_new_tokens", 16)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("sft") / "data")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data_dir, tiny_model_dir) -> Path:
    """An undisturbed run of six steps, saved every two."""
    output = tmp_path_factory.mktemp("sft_run") / "sft"
    assert sft(tiny_model_dir, data_dir, output) == 0
    return output


def arguments(model: Path, data: Path, output: Path, *more) -> list[str]:
    options = ("--model_name_or_path", model, "--data_dir", data, "--output_dir", output)
    return [str(a) for a in (*options, "--max_steps", 6, "--save_steps", 2, *FLAGS, *more)]


def sft(*args) -> int:
    return script("tuning_sft/train.py").main(arguments(*args))


def weights(folder: Path) -> bytes:
    return next(folder.glob("*model.safetensors")).read_bytes()


@pytest.fixture(scope="module")
def batches(data_dir, tiny_model_dir, tmp_path_factory):
    """(examples, turns, batch as the real SFTTrainer collates it, processor), in dataset order."""
    from trl import SFTTrainer

    from clarifyvlm import training as shared

    examples = jsonl.read(data_dir / "train.jsonl", Example)[:12]
    model, processor = loading.load(tiny_model_dir, device="cpu", trainable=True)
    module = script("tuning_sft/train.py")
    trainer = SFTTrainer(
        model=model,
        args=shared.SFTArguments(output_dir=str(tmp_path_factory.mktemp("batches"))),
        train_dataset=module.rows(examples, [module.rows_of(e) for e in examples], data_dir),
        processing_class=processor,
    )
    turns = [(e, t) for e in examples for t in range(2 if e.dialogue else 1)]
    return turns, trainer.data_collator([trainer.train_dataset[i] for i in range(len(turns))]), processor


def test_loss_on_the_response_only(batches):
    """Catches loss on prompt or image tokens (DESIGN, never happen, 6), and a response whose end is not learnt."""
    turns, batch, processor = batches
    for (example, turn), labels in zip(turns, batch["labels"], strict=True):
        learnt = processor.tokenizer.decode(labels[labels != -100], skip_special_tokens=False)
        said = example.reference if turn == 0 else example.dialogue.answer
        assert learnt == said + processor.tokenizer.eos_token


def test_only_the_cost_differs_between_asking_and_listing(data_dir):
    """Costs that give away where asking is right, a model that never lists where asking is dear, or that lists where no
    cost was told."""
    module, costs = script("tuning_sft/train.py"), [0.0, 0.5, 1.0]
    examples = jsonl.read(data_dir / "train.jsonl", Example)
    for example in examples:
        if example.dialogue:
            example.dialogue.listed = "I see four stars: ..."
    table = module.rows(examples, [module.rows_of(e, costs) for e in examples], data_dir, ask_costs=costs)
    rows, at = [table[i] for i in range(len(table))], 0
    told_elsewhere, listed = [], 0
    for example in examples:
        mine = rows[at : at + module.rows_of(example, costs)]
        at += len(mine)
        told = [row["prompt"][0]["role"] == "system" for row in mine]
        said = [row["completion"][0]["content"][0]["text"] for row in mine]
        if not (dialogue := example.dialogue):
            told_elsewhere += told
            assert said == [example.reference]
            continue
        assert told[0] is False and told[2:] == [True] * 3 and said[:2] == [dialogue.question, dialogue.answer]
        assert said[2] == dialogue.question and said[4] == dialogue.listed
        assert said[3] in (dialogue.question, dialogue.listed)
        listed += said[3] == dialogue.listed
        prompts = [row["prompt"] for row in mine[2:]]
        assert all(prompt[1:] == mine[0]["prompt"] for prompt in prompts) and len({str(p[0]) for p in prompts}) == 3
    assert at == len(rows) and 0.5 < sum(told_elsewhere) / len(told_elsewhere) < 0.85 and listed > 0
    examples[[e.strategy for e in examples].index("clarify")].dialogue.listed = None  # other tools' data
    plain = module.rows(examples, [module.rows_of(e) for e in examples], data_dir)
    assert all(plain[i]["prompt"][0]["role"] == "user" for i in range(len(plain)))


def test_dialogues_are_two_rows(batches):
    """Catches dialogues of which only the first turn is taught, or whose answer does not see the user's reply."""
    turns, batch, processor = batches
    second = [i for i, (_, turn) in enumerate(turns) if turn == 1]
    assert len(second) == sum(example.dialogue is not None for example, _ in turns) // 2 == 2
    for i in second:
        read = processor.tokenizer.decode(batch["input_ids"][i])
        dialogue = turns[i][0].dialogue
        assert read.index(dialogue.question) < read.index(dialogue.reply) < read.index(dialogue.answer)


def test_image_tokens_are_intact(batches):
    """Catches truncation that cuts image tokens, and rows that show another row's picture."""
    import torch

    turns, batch, processor = batches
    image_token = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
    per_row = (batch["input_ids"] == image_token).sum(dim=1)
    assert per_row.tolist() == [36] * len(turns)
    assert batch["pixel_values"].shape[0] == len(turns)
    first = [i for i, (_, turn) in enumerate(turns) if turn == 0]
    for i in first[1:]:
        assert not torch.equal(batch["pixel_values"][first[0]], batch["pixel_values"][i])


def test_output_loads_by_itself(trained, tmp_path, monkeypatch):
    """Catches a checkpoint that needs the base's folder, the processor of elsewhere, or a certain current folder."""
    monkeypatch.chdir(tmp_path)
    moved = shutil.copytree(trained, tmp_path / "moved")
    model, processor = loading.load(moved, device="cpu")
    assert processor.chat_template and not hasattr(model, "peft_config")
    record = json.loads((trained / "run.json").read_text())
    assert record["status"] == "complete" and record["stage"] == "tuning_sft"
    assert record["counts"]["steps"] == 6 and record["counts"]["train_rows"] == 56
    assert set(record["counts"]["strategy_accuracy"]) > {"macro", "answer", "clarify"}
    rows = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert any("eval_loss" in row for row in rows)


WHOLE = """
from transformers import AutoModelForImageTextToText, AutoProcessor
model = AutoModelForImageTextToText.from_pretrained(folder)
processor = AutoProcessor.from_pretrained(folder)
"""
ADAPTER = """
from peft import PeftConfig, PeftModel
from transformers import AutoModelForImageTextToText, AutoProcessor
base = AutoModelForImageTextToText.from_pretrained(PeftConfig.from_pretrained(folder).base_model_name_or_path)
model = PeftModel.from_pretrained(base, folder)
processor = AutoProcessor.from_pretrained(folder)
"""
SAYS = """
from PIL import Image
import torch
turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What color is the star?"}]}
text = processor.apply_chat_template([turn], add_generation_prompt=True)
inputs = processor(text=text, images=Image.new("RGB", (96, 96), "red"), return_tensors="pt")
with torch.no_grad():
    print(model.float()(**inputs).logits.sum().item())
"""


@pytest.mark.parametrize("kind", ["whole", "adapter"])
def test_three_lines_of_transformers_or_peft_load_it(kind, request, data_dir, tiny_model_dir, tmp_path):
    """Catches a checkpoint that only our own code loads, or that loads elsewhere with other weights."""
    if kind == "whole":
        folder, lines = request.getfixturevalue("trained"), WHOLE
    else:
        folder, lines = tmp_path / "adapter", ADAPTER
        flags = ("--use_peft", "--max_steps", 2, "--learning_rate", 0.01, "--num_validation_examples", 0)
        assert sft(tiny_model_dir, data_dir, folder, *flags) == 0
    code = f"folder = {str(folder)!r}{lines}{SAYS}import sys\nassert 'clarifyvlm' not in sys.modules"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run([sys.executable, "-c", code], cwd=elsewhere, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said = []
    for checkpoint in (folder, tiny_model_dir):
        model, processor = loading.load(checkpoint, device="cpu")
        names = {"model": model, "processor": processor}
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(SAYS, names)  # noqa: S102
        said.append(float(out.getvalue()))
    there = float(done.stdout.split()[-1])
    assert there == pytest.approx(said[0], rel=1e-3) and there != pytest.approx(said[1], rel=1e-3)


def test_training_changes_what_it_should(trained, data_dir, tiny_model_dir, tmp_path):
    """Catches a run that trains nothing, and --freeze_vision_tower that freezes nothing or too much."""
    from safetensors.torch import load_file

    frozen = tmp_path / "frozen"
    assert (
        sft(tiny_model_dir, data_dir, frozen, "--max_steps", 2, "--freeze_vision_tower", "--num_validation_examples", 1)
        == 0
    )
    before = load_file(tiny_model_dir / "model.safetensors")
    for folder, vision_moves in ((trained, True), (frozen, False)):
        after = load_file(folder / "model.safetensors")
        moved = {name for name in before if not before[name].equal(after[name].to(before[name].dtype))}
        assert any("language_model" in name for name in moved)
        assert any("vision_tower" in name for name in moved) == vision_moves


def test_finished_run_is_left_alone(trained, data_dir, tiny_model_dir, capsys):
    """Catches a rerun that trains again, also for what only a tracker sees, and one that silently goes on with another
    learning rate."""
    before = weights(trained)
    assert sft(tiny_model_dir, data_dir, trained) == 0
    assert "nothing to do" in capsys.readouterr().out and weights(trained) == before
    assert (
        sft(tiny_model_dir, data_dir, trained, "--project", "other", "--run_name", "mine", "--report_to", "none") == 0
    )
    with pytest.raises(UserError, match="learning_rate: 0.001 -> 0.002"):
        sft(tiny_model_dir, data_dir, trained, "--learning_rate", 2e-3)


def test_flags_that_would_do_harm_are_refused(data_dir, tiny_model_dir, tmp_path):
    """Catches truncated image tokens, and flags of TRL's ModelConfig that would be passed over in silence."""
    with pytest.raises(UserError, match="max_length"):
        sft(tiny_model_dir, data_dir, tmp_path / "a", "--max_length", 64)
    with pytest.raises(UserError, match="load_in_4bit.*add --use_peft"):
        sft(tiny_model_dir, data_dir, tmp_path / "a", "--load_in_4bit")
    with pytest.raises(UserError, match="has no setting 'sizes'.*resample"):
        sft(tiny_model_dir, data_dir, tmp_path / "b", "--image_processor", '{"sizes": 1}')
    with pytest.raises(UserError, match="--model_init_kwargs"):
        sft(tiny_model_dir, data_dir, tmp_path / "b", "--model_init_kwargs", '{"revision": "old"}')
    with pytest.raises(UserError, match="no model directory"):
        sft(tmp_path / "none", data_dir, tmp_path / "a")


def test_examples_without_a_reference_teach_nothing(data_dir, tiny_model_dir, tmp_path, capsys):
    """Catches empty completions, which teach silence; and an accuracy by a judge of facts where there are none."""
    bare = tmp_path / "bare"
    shutil.copytree(data_dir, bare)
    for name, lacking in (("train", 40), ("validation", 2)):
        rows = [json.loads(line) for line in (data_dir / f"{name}.jsonl").read_text().splitlines()]
        for row in rows:
            row["facts"] |= {"objects": [], "complete": False}
        for row in rows[:lacking]:
            row |= {"reference": " ", "dialogue": None}
        (bare / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match="train.jsonl: 40 of 48 examples have no reference.*--skip_without_reference"):
        sft(tiny_model_dir, bare, tmp_path / "o")
    with pytest.raises(UserError, match="None is left"):
        sft(tiny_model_dir, bare, tmp_path / "o", "--skip_without_reference", "--num_train_examples", 40)
    assert not (tmp_path / "o").exists()
    assert sft(tiny_model_dir, bare, tmp_path / "o", "--skip_without_reference", "--max_steps", 1) == 0
    said = capsys.readouterr().out
    assert "40 of 48 examples left out" in said and "to 8 examples" in said and "accuracy not judged" in said
    counts = json.loads((tmp_path / "o" / "run.json").read_text())["counts"]
    assert counts["train_examples"] == 8 and counts["strategy_accuracy"] is None


def test_replayed_questions_are_learned_too(data_dir, tiny_model_dir, tmp_path, capsys):
    """Catches a replay file that is passed over in silence, and a run of other replays that is taken for the same."""
    both = tmp_path / "both"
    shutil.copytree(data_dir, both)
    rows = [json.loads(line) for line in (data_dir / "train.jsonl").read_text().splitlines()]
    plain = [r | {"id": f"replay{i}", "split": "replay"} for i, r in enumerate(rows) if r["strategy"] == "answer"]
    (both / "replay.jsonl").write_text("".join(json.dumps(row) + "\n" for row in plain))
    for more, count in (((), len(plain)), (("--num_replay_examples", 2), 2), (("--num_replay_examples", 0), 0)):
        output = tmp_path / f"o{count}"
        assert sft(tiny_model_dir, both, output, "--max_steps", 1, *more) == 0
        record = json.loads((output / "run.json").read_text())
        assert record["counts"]["train_examples"] == len(rows) + count
        assert any(i["path"].endswith("replay.jsonl") for i in record["inputs"]) == (count > 0)
    (both / "replay.jsonl").write_text("")
    with pytest.raises(UserError, match="replay.jsonl has no examples"):
        sft(tiny_model_dir, both, tmp_path / "o", "--max_steps", 1)


def test_the_projector_is_not_frozen_with_the_tower():
    """Catches a projector that lies inside the vision tower, as in Qwen-VL, and does not train."""
    names = ("model.visual.blocks", "model.visual.merger", "model.vision_tower.layers", "model.connector", "lm_head")
    weights = {name: torch.nn.Parameter(torch.zeros(1)) for name in names}
    training.freeze_vision_tower(SimpleNamespace(named_parameters=weights.items))
    assert [name for name in names if weights[name].requires_grad] == [names[1], names[3], names[4]]


def test_one_gpu_is_used_without_a_launcher(tmp_path, monkeypatch):
    """Catches TRL's refusal of a process that sees several GPUs."""
    set_up = transformers.TrainingArguments._setup_devices

    def several(self):
        device = set_up.func(self)
        self._n_gpu = 4
        return device

    monkeypatch.setattr(transformers.TrainingArguments, "_setup_devices", property(several))
    assert training.SFTArguments(output_dir=str(tmp_path)).n_gpu == 1


@pytest.mark.slow
def test_image_processor_settings_go_with_the_checkpoint(data_dir, tiny_model_dir, tmp_path):
    """Catches a model that is trained on pictures made in one way and asked about others."""
    assert sft(tiny_model_dir, data_dir, tmp_path / "a", "--max_steps", 1, "--image_processor", '{"resample": 0}') == 0
    assert json.loads((tmp_path / "a" / "processor_config.json").read_text())["image_processor"]["resample"] == 0


@pytest.mark.slow
def test_qlora_learns_and_goes_on_in_grpo(data_dir, tmp_path):
    """Catches a base that is loaded whole although 4 bits were asked for, and an adapter on it that does not learn."""
    pytest.importorskip("bitsandbytes", reason="it is part of the extra gpu")
    four = ["--load_in_4bit", "--dtype", "bfloat16"]
    base, how = (
        ROOT / "models" / "tiny",
        ["--use_peft", "--max_steps", 2, "--learning_rate", 0.01, "--logging_steps", 1],
    )
    sft(base, data_dir, tmp_path / "sft", *four, *how)
    losses = [json.loads(line) for line in (tmp_path / "sft" / "log.jsonl").read_text().splitlines()]
    assert losses[0]["loss"] > losses[1]["loss"]
    grpo = script("tuning_grpo/train.py")
    how = ["--num_prompts", 6, "--num_generations", 2, "--per_device_train_batch_size", 4, "--max_steps", 1, *four]
    how += ["--max_completion_length", 8, "--save_steps", 1, "--num_validation_examples", 6]
    files = ["--model_name_or_path", tmp_path / "sft", "--data_dir", data_dir, "--output_dir", tmp_path / "grpo"]
    assert grpo.main([str(part) for part in [*files, *how]]) == 0


@pytest.mark.parametrize("config", sorted((ROOT / "tuning_sft/configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_configs_parse(config):
    """Catches a shipped config with a key or a value that the script refuses."""
    from clarifyvlm.config import parse_args

    options = script("tuning_sft/train.py").Options
    flags = ["--config", str(config), "--model_name_or_path", "m", "--data_dir", "d", "--output_dir", "o"]
    _, training, _ = parse_args([options, "clarifyvlm.training.SFTArguments", "trl.ModelConfig"], flags)
    assert training.max_length is None and isinstance(training.learning_rate, float)


def test_torn_checkpoint_falls_back(tmp_path, capsys):
    """Catches a resume from the highest number although that checkpoint is torn, unfinished or altered."""
    for step in (2, 4, 6, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"x" * 100)
        (folder / "trainer_state.json").write_text("{}")
        checkpoints.seal(folder)
    (tmp_path / "checkpoint-10" / "checkpoint.json").unlink()  # killed while it was written
    (tmp_path / "checkpoint-6" / "model.safetensors").write_bytes(b"x" * 50)
    (tmp_path / "checkpoint-4" / "trainer_state.json").unlink()
    assert checkpoints.last_whole(tmp_path) == tmp_path / "checkpoint-2"
    said = capsys.readouterr().out
    assert "checkpoint-10 cannot be resumed from (it was not finished)" in said
    assert "model.safetensors is not what was saved" in said and "trainer_state.json is missing" in said
    assert not (tmp_path / "checkpoint-10").exists()


@pytest.mark.slow
def test_kill_and_resume_is_bit_exact(trained, data_dir, tiny_model_dir, tmp_path):
    """Catches a resume that repeats or skips batches, or loses weights, optimizer, schedule or random state, also when
    the last checkpoint is torn. (transformers 5.23 by itself resumes a whole VLM with the weights it began with.)"""
    output = tmp_path / "sft"
    args = arguments(tiny_model_dir, data_dir, output)
    kill_when("tuning_sft/train.py", output / "checkpoint-4" / checkpoints.SEAL, *args)
    assert not (output / "model.safetensors").exists()
    shutil.copytree(output, tmp_path / "torn")
    done = run("tuning_sft/train.py", *args)
    assert done.returncode == 0, done.stderr
    assert "continuing from" in done.stdout and weights(output) == weights(trained)

    torn = tmp_path / "torn"
    with (torn / "checkpoint-4" / "optimizer.pt").open("r+b") as file:
        file.truncate(1000)
    done = run("tuning_sft/train.py", *arguments(tiny_model_dir, data_dir, torn))
    assert done.returncode == 0, done.stderr
    assert "falling back" in done.stdout and weights(torn) == weights(trained)


@pytest.mark.slow
def test_lora_adapter_names_its_base(data_dir, tiny_model_dir, tmp_path, monkeypatch):
    """Catches an adapter that cannot find its base from another folder, or is saved without its processor."""
    output = tmp_path / "lora"
    lora = ("--use_peft", "--lora_r", 4, "--lora_dropout", 0.0)
    assert sft(tiny_model_dir, data_dir, output, *lora) == 0
    assert loading.is_adapter(output) and not (output / "model.safetensors").exists()
    monkeypatch.chdir(tmp_path)
    model, _ = loading.load(output, device="cpu")
    assert any("lora_B" in name and p.abs().sum() > 0 for name, p in model.named_parameters())
    resumed = tmp_path / "resumed"
    args = arguments(tiny_model_dir, data_dir, resumed, *lora)
    kill_when("tuning_sft/train.py", resumed / "checkpoint-4" / checkpoints.SEAL, *args)
    done = run("tuning_sft/train.py", *args)
    assert done.returncode == 0 and "continuing from" in done.stdout, done.stderr
    assert weights(resumed) == weights(output)
    assert sft(output, data_dir, tmp_path / "more", *lora, "--max_steps", 2) == 0  # and goes on from an adapter
    assert loading.base_of(tmp_path / "more") == str(tiny_model_dir.resolve())
