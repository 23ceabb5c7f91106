"""Training: what this repository adds to a step of TRL's own trainers. The embedded model, CPU.

    python benchmarks/training.py            # a quarter of an hour
    python benchmarks/training.py --quick    # a minute; too short to say much

Ours is tuning_sft/train.py and tuning_grpo/train.py as run.sh calls them; the baseline is a bare SFTTrainer, and a bare
GRPOTrainer with a constant reward, on the same rows with the same TrainingArguments. What is compared is the Trainer's
own train_runtime, the median over --rounds runs in turn, each in a process of its own. GRPO is of one turn here, with a
learning rate of 0 in both, so that both generate the same responses. The vision tower is frozen in both.
"""

import json
import multiprocessing
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import run_main
from measure import ROOT, report, row, run, script


@dataclass
class Arguments:
    rounds: int = option("of both, in turn", 5)
    sft_steps: int = option("optimizer steps of SFT, 32 responses each", 40)
    grpo_steps: int = option("of GRPO, 32 prompts x 4 completions each", 10)
    quick: bool = option("one round, few steps", False)
    output_dir: str = option("folder for training.json", "benchmarks/results")


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)
    rounds, sft_steps, grpo_steps = (1, 6, 2) if args.quick else (args.rounds, args.sft_steps, args.grpo_steps)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        config = ROOT / "dataset_generation" / "configs" / "tiny.yaml"
        sizes = ["--num_train", 1200 if args.quick else 6000, "--num_validation", 16, "--num_test", 0]
        sizes += ["--num_test_ood", 0, "--num_unambiguous", 0, "--num_replay", 0, "--min_per_cell", 0, "--audit", "off"]
        generate = [sys.executable, ROOT / "dataset_generation" / "generate.py", "--config", config, *sizes]
        run([*generate, "--output_dir", folder / "data"])
        sft = [both(f"sft-{i}", ours_sft, bare_sft, folder, sft_steps, ROOT / "models" / "tiny") for i in range(rounds)]
        tuned = folder / "sft-0"
        grpo = [both(f"grpo-{i}", ours_grpo, bare_grpo, folder, grpo_steps, tuned) for i in range(rounds)]
    rows = []
    for name, found, steps, most in (("SFT", sft, sft_steps, 1.03), ("GRPO", grpo, grpo_steps, 0.85)):
        ours, bare = [pair[0] for pair in found], [pair[1] for pair in found]
        rows += [
            row(f"{name} step", median(ours) / steps, "s", baseline=median(bare) / steps, ratio_at_most=most),
            row(f"{name}: slowest over fastest of ours", max(ours) / steps, "s", baseline=min(ours) / steps),
            row(f"{name}: slowest over fastest of the bare", max(bare) / steps, "s", baseline=min(bare) / steps),
        ]
    report("training", rows, args.output_dir)
    return 0


def both(name: str, ours, bare, folder: Path, steps: int, model: Path) -> tuple[float, float]:
    """Seconds of training of ours and of the bare trainer; which comes first alternates with the round."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        taken = {}
        for function, suffix in [(ours, ""), (bare, "-bare")][:: 1 if name.endswith(("0", "2", "4")) else -1]:
            output = folder / f"{name}{suffix}"
            taken[function] = pool.submit(function, folder / "data", output, steps, model).result()
        return taken[ours], taken[bare]


def flags(stage: str, data: Path, output: Path, steps: int, model: Path) -> list[str]:
    options = {
        "config": ROOT / stage / "configs" / "tiny.yaml",
        "data_dir": data,
        "output_dir": output,
        "model_name_or_path": model,
        "max_steps": steps,
        "num_validation_examples": 16,
    }
    if stage == "tuning_grpo":
        options |= {"num_prompts": 32 * steps, "learning_rate": 0.0, "save_steps": 10, "turns": 1}
    return [token for name, value in options.items() for token in (f"--{name}", str(value))]


def ours_sft(data: Path, output: Path, steps: int, model: Path) -> float:
    return ours("tuning_sft", data, output, steps, model)


def ours_grpo(data: Path, output: Path, steps: int, model: Path) -> float:
    return ours("tuning_grpo", data, output, steps, model)


def ours(stage: str, data: Path, output: Path, steps: int, model: Path) -> float:
    script(f"{stage}/train.py").main(flags(stage, data, output, steps, model))
    log = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return next(line["train_runtime"] for line in log if "train_runtime" in line)


def bare_sft(data: Path, output: Path, steps: int, model: Path) -> float:
    from trl import SFTTrainer

    train = script("tuning_sft/train.py")
    types = [train.Options, "clarifyvlm.training.SFTArguments", "trl.ModelConfig"]
    _, training, _ = parse_args(types, flags("tuning_sft", data, output, steps, model))
    from clarifyvlm.chat import reference_messages
    from clarifyvlm.training import freeze_vision_tower

    rows = []
    for example in examples(data):
        for prompt, completion in reference_messages(example):
            rows.append({"prompt": prompt, "completion": completion, "image": str(data / example.image)})
    trainer = SFTTrainer(
        model=plain_model(model), args=training, train_dataset=dataset(rows), processing_class=processor(model)
    )
    freeze_vision_tower(trainer.model)
    return trainer.train().metrics["train_runtime"]


def bare_grpo(data: Path, output: Path, steps: int, model: Path) -> float:
    from trl import GRPOTrainer

    from clarifyvlm import chat
    from clarifyvlm.judges import JudgeArguments
    from clarifyvlm.rewards import RewardWeights
    from clarifyvlm.training import freeze_vision_tower

    train = script("tuning_grpo/train.py")
    types = [train.Options, RewardWeights, JudgeArguments, "clarifyvlm.training.GRPOArguments"]
    options, *_, training = parse_args(types, flags("tuning_grpo", data, output, steps, model))
    found = examples(data)
    cells, in_round = [(e.ambiguity.type, e.strategy) for e in found], train.parse_round(options.round)
    prompts = [found[i] for i in train.balanced(cells, options.num_prompts, training.seed, in_round)]
    rows = [{"prompt": chat.messages(example), "image": str(data / example.image)} for example in prompts]

    def constant(completions, **_) -> list[float]:
        return [1.0] * len(completions)

    trainer = GRPOTrainer(
        model=plain_model(model),
        args=training,
        reward_funcs=constant,
        train_dataset=dataset(rows),
        processing_class=processor(model),
    )
    freeze_vision_tower(trainer.model)
    return trainer.train().metrics["train_runtime"]


def examples(data: Path) -> list:
    from clarifyvlm import jsonl
    from clarifyvlm.records import Example

    return jsonl.read(data / "train.jsonl", Example)


def dataset(rows: list[dict]):
    """As most scripts have it: pictures by path, decoded by `datasets` when a batch asks for them."""
    import datasets

    return datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())


def plain_model(path: Path):
    import torch
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32)


def processor(path: Path):
    from transformers import AutoProcessor

    found = AutoProcessor.from_pretrained(path)
    found.tokenizer.padding_side = "left"
    return found


if __name__ == "__main__":
    run_main(main)
