"""Demonstrations against rewards: SFT on few and on many examples, each with and without GRPO. The embedded model.

    python benchmarks/demonstrations.py            # three seeds, hours on two cores; stopped, it goes on where it was
    python benchmarks/demonstrations.py --sizes 2000   # the default run alone: SFT, SFT for longer, SFT + GRPO
    python benchmarks/demonstrations.py --tables   # trains nothing: of what all seeds have so far
    python benchmarks/demonstrations.py --quick    # minutes: one seed and few steps, which say nothing but that it runs

Every model of a seed starts from models/tiny and answers the same test questions of that seed, with users of all
kinds. GRPO is that of the default run, whatever SFT saw; its prompts come from the same train.jsonl, which is the
default run's up to 5,000 demonstrations. "SFT for longer" is
trained further on its own demonstrations for as long as GRPO took. Values are over all seeds' questions, by the
measures of inference/report.py. Writes <output_dir>/demonstrations.json, .md and .svg.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import run_main
from demonstrations_tables import DEFAULT, write
from measure import ROOT

PRESET = "tiny"
BASE = "models/tiny"
EPOCHS = {500: 8, 1000: 6, 2000: 4, 5000: 3, 10_000: 2, 20_000: 1}  # the default's for 2,000; the others by its example
MANY = 24_000  # examples to draw from where the default run's are too few
QUICK = {  # beside the configs of PRESET
    "dataset_generation/generate.py": "--num_train 900 --num_validation 12 --num_test 36 --num_unambiguous 12 "
    "--num_replay 12 --min_per_cell 0 --num_test_ood 0",
    "tuning_sft/train.py": "--max_steps 2 --num_validation_examples 12",
    "tuning_grpo/train.py": "--max_steps 2 --num_prompts 24 --per_device_train_batch_size 16 --save_steps 1 "
    "--num_validation_examples 12 --max_completion_length 24",
    "inference/predict.py": "--max_new_tokens 24",
}


@dataclass
class Arguments:
    seeds: list[int] = option("of data, training and test", factory=lambda: [0, 1, 2])
    sizes: list[int] = option("demonstrations", factory=lambda: list(EPOCHS))
    run_dir: str = option("where data, checkpoints and predictions go", "runs/demonstrations")
    workers: int = option("models that train at once, sharing the cores", 2)
    tables: bool = option("train nothing, only write what is there", False)
    quick: bool = option("one seed, two sizes, few steps", False)
    output_dir: str = option("folder for demonstrations.json, .md and .svg", "benchmarks/results")


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)
    seeds, sizes = (args.seeds[:1], [500, DEFAULT]) if args.quick else (args.seeds, args.sizes)
    folders = {seed: Path(args.run_dir).absolute() / f"{'quick' if args.quick else 'seed'}-{seed}" for seed in seeds}
    if not args.tables:
        os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // args.workers))
        os.environ["GOMP_SPINCOUNT"] = "30000"
        train_all(folders, sorted(sizes, key=lambda n: n != DEFAULT), args)
    write(folders, sizes, Path(args.output_dir))
    return 0


def train_all(folders: dict[int, Path], sizes: list[int], args: Arguments) -> None:
    """Every size for all seeds before the next, the default run's first."""
    with ThreadPoolExecutor(args.workers) as pool:
        jobs = [pool.submit(run_base, seed, folder, args.quick) for seed, folder in folders.items()]
        try:
            for job in jobs:
                job.result()  # the data, of which all others are
            jobs = [pool.submit(run_size, seed, folders[seed], n, args.quick) for n in sizes for seed in folders]
            for job in jobs:
                job.result()
        except BaseException:  # Ctrl-C, a stage that failed: the others are not begun
            pool.shutdown(cancel_futures=True)
            raise


def run_base(seed: int, folder: Path, quick: bool) -> None:
    """The data of a seed, and what the base says. What is complete is skipped by the scripts themselves, here and
    below."""
    step("dataset_generation/generate.py", quick, "--seed", seed, "--output_dir", folder / "data", "--audit", "warn")
    evaluate(seed, folder, "base", ROOT / BASE, quick)


def run_size(seed: int, folder: Path, number: int, quick: bool) -> None:
    """SFT on the first `number` examples and GRPO after it; of the default's number also SFT that goes on."""
    place = folder / "data"
    if number > 5000:
        place = folder / "more"
        size = ["--num_train", MANY, "--num_test", 0, "--num_test_ood", 0, "--num_unambiguous", 0, "--audit", "off"]
        step("dataset_generation/generate.py", quick, "--seed", 1000 + seed, "--output_dir", place, *size)
    data = ["--data_dir", place, "--seed", seed]
    sft, grpo, longer = (folder / f"{name}-{number}" for name in ("sft", "grpo", "longer"))
    few = ["--num_train_examples", number]
    how = ["--model_name_or_path", BASE, *few, "--num_train_epochs", EPOCHS[number]]
    step("tuning_sft/train.py", quick, *data, "--output_dir", sft, *how)
    evaluate(seed, folder, sft.name, sft, quick)
    step("tuning_grpo/train.py", quick, *data, "--output_dir", grpo, "--model_name_or_path", sft)
    evaluate(seed, folder, grpo.name, grpo, quick)
    if number == DEFAULT:
        steps = round(last_step(sft) * seconds(grpo) / seconds(sft))
        how = ["--model_name_or_path", sft, *few, "--max_steps", steps]
        step("tuning_sft/train.py", quick, *data, "--output_dir", longer, *how)
        evaluate(seed, folder, longer.name, longer, quick)


def evaluate(seed: int, folder: Path, name: str, model: Path, quick: bool, splits=("test", "unambiguous")) -> None:
    """What a model says, and the judge of it, in <folder>/<split>/<name>."""
    for split in splits:
        asked = ["--data_file", folder / "data" / f"{split}.jsonl"]
        said, judged = (folder / split / name / f"{what}.jsonl" for what in ("predictions", "verdicts"))
        how = ["--model_name_or_path", model, "--output_file", said, "--seed", seed]
        step("inference/predict.py", quick, *asked, *how)
        step("inference/judge.py", quick, *asked, "--predictions", said, "--output_file", judged)


def last_step(training: Path) -> int:
    return json.loads((training / "run.json").read_text())["counts"]["steps"]


def seconds(training: Path) -> float:
    return json.loads((training / "run.json").read_text())["seconds"]


def step(script: str, quick: bool, *flags) -> None:
    """Run a stage script as a user does."""
    config = f"{Path(script).parent}/configs/{PRESET}.yaml"
    command = [sys.executable, script, "--config", config, *flags, *(QUICK.get(script, "").split() if quick else [])]
    print("$", *command, flush=True)
    subprocess.run(list(map(str, command)), check=True, cwd=ROOT)


if __name__ == "__main__":
    run_main(main, continues=True)
