"""What each part of training adds: SFT, and GRPO in variants, on several seeds. The embedded model, on a CPU.

    python benchmarks/ablation.py            # three seeds, hours on two cores; stopped, it goes on where it was
    python benchmarks/ablation.py --quick    # minutes: one seed and few steps, which say nothing but that it runs
    python benchmarks/ablation.py --tables   # trains nothing: of what all seeds have so far

Two models train at once, on one thread each: on two cores that is faster than one after another on both. They come in
the order of MODELS, each for all seeds before the next, so that a stopped run is a whole table of fewer rows.

Every model of a seed starts from the same SFT checkpoint and answers the same test questions, with a user who helps;
the questions where asking is right also with every other kind of user, and models that were told costs at each cost.
Values are over all seeds' questions, intervals by a bootstrap over pictures, differences paired. Writes
<output_dir>/ablation.json and the same as tables, <output_dir>/ablation.md.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from clarifyvlm.config import parse_args
from clarifyvlm.errors import run_main

COSTS = (0.0, 0.2, 0.4, 0.6, 0.8)
# Of data, SFT and GRPO beside their configs. The same prompts and steps for all models.
USERS = ["--dialogue_users", "helpful=0.7", "unsure=0.1", "off_topic=0.1", "wrong=0.1"]
DIALOGUES = [
    *("--turns", 2, "--round", "clarify=4", "enumerate=3", "--learning_rate", 5e-5, "--num_prompts", 880),
    *("--user_kinds", "helpful=0.2", "terse=0.2", "changes_mind=0.2", "unsure=0.1", "off_topic=0.1", "wrong=0.2"),
]
# model -> flags of tuning_grpo/train.py beside DIALOGUES
MODELS: dict[str, list] = {
    "SFT": [],
    "GRPO, one turn": ["--turns", 1],
    "GRPO, dialogues": [],
    "... told what a question costs": ["--ask_costs", *COSTS],
    "... without overconfidence penalty": ["--overconfidence_weight", 0],
    "... without grounding penalty": ["--grounding_weight", 0],
    "... groups of 2": ["--num_generations", 2],
    "... groups of 4": ["--num_generations", 4],
    "... groups of 16": ["--num_generations", 16],
}
TOLD = "... told what a question costs"
FIXED = {f"... one cost, {cost:g}": ["--ask_costs", cost] for cost in COSTS}
OTHERS = ("terse", "changes_mind", "unsure", "wrong", "off_topic")
INFORMED, UNTOLD = ("helpful", "terse", "changes_mind"), ("unsure", "off_topic")
METRICS = {
    "strategy": "strategy accuracy",
    "answered": "right in the end where asking is right, users who say what they mean",
    "asked_needlessly": "asked though there is one reading",
    "guessed": "asserts one reading after *I don't know* or *Nice picture*",
    "asked_again": "asks again after them",
    "overconfident": "overconfident",
    "grounded": "grounded",
}


@dataclass
class Arguments:
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2], metadata={"help": "of data, training and test"})
    run_dir: str = field(default="runs/ablation", metadata={"help": "where data, checkpoints and predictions go"})
    resamples: int = field(default=2000, metadata={"help": "draws of the bootstrap"})
    workers: int = field(default=2, metadata={"help": "models that train at once, sharing the cores"})
    tables: bool = field(default=False, metadata={"help": "train nothing, only write what is there"})
    quick: bool = field(default=False, metadata={"help": "one seed, the sizes of preset smoke"})
    output_dir: str = field(default="benchmarks/results", metadata={"help": "folder for ablation.json and .md"})


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)
    preset, seeds = ("smoke", args.seeds[:1]) if args.quick else ("tiny", args.seeds)
    folders = [Path(args.run_dir).absolute() / f"{preset}-{seed}" for seed in seeds]
    if not args.tables:
        os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // args.workers))
        os.environ["GOMP_SPINCOUNT"] = "30000"
        with ThreadPoolExecutor(args.workers) as pool:
            started = [pool.submit(run_sft, preset, *pair) for pair in zip(seeds, folders, strict=True)]
            jobs = list(started)
            for name in [name for name in MODELS | FIXED if name != "SFT"]:
                for seed, folder, sft in zip(seeds, folders, started, strict=True):
                    jobs.append(pool.submit(run_grpo, preset, seed, folder, name, sft))
            for job in jobs:
                job.result()
    write(folders, seeds, args)
    return 0


def run_sft(preset: str, seed: int, folder: Path) -> None:
    """What all models of a seed start from. What is complete is skipped by the scripts themselves, here and below."""
    data = folder / "data"
    step("dataset_generation/generate.py", preset, seed, "--output_dir", data, "--audit", "warn", *USERS)
    model = folder / slug("SFT")
    files = ["--model_name_or_path", "models/tiny", "--data_dir", data, "--output_dir", model]
    step("tuning_sft/train.py", preset, seed, *files, "--ask_costs", *COSTS)
    evaluate(preset, seed, folder, "SFT")


def run_grpo(preset: str, seed: int, folder: Path, name: str, sft: Future) -> None:
    sft.result()
    model, flags = folder / slug(name), (MODELS | FIXED)[name]
    start = ["--model_name_or_path", folder / slug("SFT"), "--data_dir", folder / "data", "--output_dir", model]
    small = ["--num_prompts", 22, "--per_device_train_batch_size", 16] if preset == "smoke" else []
    step("tuning_grpo/train.py", preset, seed, *start, *DIALOGUES, *flags, *prompts(flags), *small)
    evaluate(preset, seed, folder, name)


def evaluate(preset: str, seed: int, folder: Path, name: str) -> None:
    model, data = folder / slug(name), folder / "data"
    if name not in FIXED:
        predict(preset, seed, model, data, folder / "plain" / slug(name))
        how = ["--output_dir", folder / "users", "--name", slug(name), "--num_examples", 100_000]
        variants = ["--variants", *(f"user_{kind}" for kind in OTHERS)]
        step("inference/variants.py", preset, None, *test(model, data), *how, *variants)
    for cost in costs_of(name):
        predict(preset, seed, model, data, folder / "costs" / f"{cost:g}" / slug(name), "--ask_cost", cost)


def prompts(flags: list) -> list:
    """As many prompts as the steps use, for another group size than the config's eight."""
    return ["--num_prompts", 880 * 8 // flags[1]] if "--num_generations" in flags else []


def costs_of(name: str) -> tuple[float, ...]:
    """The costs at which a model is tested."""
    return COSTS if name == TOLD else (FIXED[name][1],) if name in FIXED else ()


def test(model: Path, data: Path) -> list:
    return ["--model_name_or_path", model, "--data_file", data / "test.jsonl"]


def predict(preset: str, seed: int, model: Path, data: Path, folder: Path, *more) -> None:
    said, judged = folder / "predictions.jsonl", folder / "verdicts.jsonl"
    step("inference/predict.py", preset, seed, *test(model, data), "--output_file", said, *more)
    files = ["--data_file", data / "test.jsonl", "--predictions", said, "--output_file", judged]
    step("inference/judge.py", preset, None, *files)


def step(script: str, preset: str, seed: int | None, *flags) -> None:
    """Run a stage script as a user does."""
    config = f"{Path(script).parent}/configs/{preset}.yaml"
    seeded = [] if seed is None else ["--seed", seed]
    command = [sys.executable, script, "--config", config, *flags, *seeded]
    print("$", *command, flush=True)
    subprocess.run(list(map(str, command)), check=True, cwd=Path(__file__).resolve().parents[1])


def slug(name: str) -> str:
    return "-".join("".join(c if c.isalnum() or c == "." else " " for c in name.strip(".")).split()).lower()


def write(folders: list[Path], seeds: list[int], args: Arguments) -> None:
    """ablation.json and ablation.md."""
    from ablation_tables import Tables

    from clarifyvlm.jsonl import write_text_atomic

    tables = Tables(folders, seeds, args.resamples)
    for suffix, text in (("json", json.dumps(tables.content(), indent=2) + "\n"), ("md", tables.markdown())):
        path = Path(args.output_dir) / f"ablation.{suffix}"
        write_text_atomic(path, text)
        print(path)


if __name__ == "__main__":
    run_main(main)
