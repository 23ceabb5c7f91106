"""How the recipe of GRPO was chosen: variants of the default, on validation questions of a seed that nothing else uses.

    python benchmarks/recipes.py            # about an hour and a half on two cores; stopped, it goes on where it was
    python benchmarks/recipes.py --quick    # minutes, which say nothing but that it runs

SFT once, then GRPO in every variant, with the scripts and configs of the default run. Writes <output_dir>/recipes.md:
values on 1,200 validation questions and 1,800 with one reading, users of all kinds, 95 % intervals over pictures.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import run_main
from clarifyvlm.jsonl import write_text_atomic
from demonstrations import BASE, evaluate, step
from demonstrations_tables import percent, read, rule
from measures import metrics, results, tuning_cost

SEED = 101  # of data and training: no other figure is of it
SIZES = ["--num_train", 6000, "--num_validation", 1200, "--num_test", 12, "--num_unambiguous", 1800]
EIGHTS = ["--per_device_train_batch_size", 64, "--num_generations", 8, "--num_prompts", 1600, "--max_steps", 200]
EVEN = ["--round", "answer=1", "infer=1", "enumerate=1", "clarify=1", "correct=1", "abstain=1"]
RECIPES = {  # flags of tuning_grpo/train.py beside the config
    "SFT + GRPO, the default": [],
    "... as many of each strategy in a round": [*EVEN, "--num_prompts", 2880, "--max_steps", 90],
    "... 8 prompts x 8 instead of 32 x 4": EIGHTS,
    "... the vision tower is trained, too": ["--freeze_vision_tower", "false"],
    "... temperature 0.8": ["--temperature", 0.8],
    "... learning rate 5e-5": ["--learning_rate", 5.0e-5],
    "... learning rate 2e-4": ["--learning_rate", 2.0e-4],
    "... loss by tokens (dapo)": ["--loss_type", "dapo"],
    "... rewards scaled in the batch": ["--scale_rewards", "batch"],
    "... one turn": ["--turns", 1],
}
SHOWN = ("right_in_the_end", metrics.MACRO, "grounded", "overconfident", "over_asked")


@dataclass
class Arguments:
    run_dir: str = option("where data, checkpoints and predictions go", "runs/recipes")
    quick: bool = option("few steps", False)
    output_dir: str = option("folder for recipes.md", "benchmarks/results")


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)
    folder, quick = Path(args.run_dir).absolute() / ("quick" if args.quick else "full"), args.quick
    os.environ["GOMP_SPINCOUNT"] = "30000"
    data = ["--seed", SEED, "--data_dir", folder / "data"]
    step("dataset_generation/generate.py", quick, "--seed", SEED, "--output_dir", folder / "data", *SIZES)
    sft = folder / "sft"
    step("tuning_sft/train.py", quick, *data, "--output_dir", sft, "--model_name_or_path", BASE)
    evaluate(SEED, folder, "sft", sft, quick, ("validation", "unambiguous"))
    names = {"sft": "SFT"}
    for number, (name, flags) in enumerate(RECIPES.items()):
        grpo = folder / f"grpo-{number}"
        step("tuning_grpo/train.py", quick, *data, "--output_dir", grpo, "--model_name_or_path", sft, *flags)
        evaluate(SEED, folder, grpo.name, grpo, quick, ("validation", "unambiguous"))
        names[grpo.name] = name
        write_text_atomic(Path(args.output_dir) / "recipes.md", table(folder, names))
    print(Path(args.output_dir) / "recipes.md")
    return 0


def table(folder: Path, names: dict[str, str]) -> str:
    """One row per model: the metrics of the report, and accuracy on questions with one reading."""
    found = results.measure(*read([folder], list(names), "validation"), seed=0, resamples=2000)["models"]
    cost = tuning_cost.measure(*read([folder], list(names), "unambiguous"), seed=0, resamples=2000)["models"]
    lines = [
        f"| | {' | '.join(map(metrics.label, SHOWN))} | Right on questions with one reading |",
        rule(len(SHOWN) + 1),
    ]
    for model, name in names.items():
        cells = [*(found[model][metric] for metric in SHOWN), cost[model]["accuracy"]]
        lines.append(f"| {name} | {' | '.join(map(percent, cells))} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_main(main, continues=True)
