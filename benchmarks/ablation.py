"""What each part of training adds: SFT, and GRPO in variants, on several seeds. The embedded model, on a CPU.

    python benchmarks/ablation.py            # three seeds, hours on two cores; stopped, it goes on where it was
    python benchmarks/ablation.py --quick    # minutes: one seed and few steps, which say nothing but that it runs
    python benchmarks/ablation.py --tables   # trains nothing: of what all seeds have so far

Two models train at once, on one thread each: on two cores that is faster than one after another on both. Each is
trained for all seeds before the next, so that a stopped run is a whole table of fewer rows.

Every model of a seed starts from the same SFT checkpoint (those that are told what a question costs, from one that was
told, too) and answers the same test questions, with a user who helps; the questions where asking is right also with
every other kind of user, and models that were told costs at each cost. Values are over all seeds' questions, intervals
by a bootstrap over pictures, differences paired. Writes <output_dir>/ablation.json and the same as tables,
<output_dir>/ablation.md.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

from ablation_models import COSTS, FIXED, FLAWED, MODELS, OTHERS, PRESET, SFT_TOLD, TOLD, costs_of, slug, start_of
from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import run_main
from measure import ROOT

QUICK = {  # beside the configs of PRESET
    "dataset_generation/generate.py": "--num_train 600 --num_validation 12 --num_test 36 --num_test_ood 0 "
    "--num_replay 12 --min_per_cell 0",
    "tuning_sft/train.py": "--num_train_examples 64 --num_validation_examples 12",
    "tuning_grpo/train.py": "--max_steps 2 --num_prompts 32 --per_device_train_batch_size 16 --save_steps 1 "
    "--num_validation_examples 12 --max_completion_length 24",
    "inference/predict.py": "--max_new_tokens 24",
}
ORDER = [TOLD, "GRPO, dialogues", "GRPO, one turn", *FIXED, *list(MODELS)[4:]]  # of training: what matters most first


@dataclass
class Arguments:
    seeds: list[int] = option("of data, training and test", factory=lambda: [0, 1, 2])
    run_dir: str = option("where data, checkpoints and predictions go", "runs/ablation")
    resamples: int = option("draws of the bootstrap", 2000)
    workers: int = option("models that train at once, sharing the cores", 2)
    tables: bool = option("train nothing, only write what is there", False)
    quick: bool = option("one seed, few steps", False)
    output_dir: str = option("folder for ablation.json and .md", "benchmarks/results")


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)
    seeds = args.seeds[:1] if args.quick else args.seeds
    folders = [Path(args.run_dir).absolute() / f"{'quick' if args.quick else 'tiny'}-{seed}" for seed in seeds]
    if not args.tables:
        os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // args.workers))
        os.environ["GOMP_SPINCOUNT"] = "30000"
        with ThreadPoolExecutor(args.workers) as pool:
            started = [pool.submit(run_sft, *pair, args.quick) for pair in zip(seeds, folders, strict=True)]
            jobs = list(started)
            for name in ORDER:
                for seed, folder, sft in zip(seeds, folders, started, strict=True):
                    jobs.append(pool.submit(run_grpo, seed, folder, name, sft, args.quick))
            try:
                for job in jobs:
                    job.result()
            except BaseException:  # Ctrl-C, a stage that failed: the others are not begun
                pool.shutdown(cancel_futures=True)
                raise
    write(folders, seeds, args)
    return 0


def run_sft(seed: int, folder: Path, quick: bool) -> None:
    """What all models of a seed start from. What is complete is skipped by the scripts themselves, here and below."""
    data = folder / "data"
    few = ["--audit", "warn", "--num_unambiguous", 0]
    step("dataset_generation/generate.py", quick, "--seed", seed, "--output_dir", data, *few)
    for name, flags in (("SFT", []), (SFT_TOLD, ["--ask_costs", *COSTS])):
        files = ["--model_name_or_path", "models/tiny", "--data_dir", data, "--output_dir", folder / slug(name)]
        step("tuning_sft/train.py", quick, "--seed", seed, *files, *flags)
    evaluate(seed, folder, "SFT", quick)


def run_grpo(seed: int, folder: Path, name: str, sft: Future, quick: bool) -> None:
    sft.result()
    flags = (MODELS | FIXED)[name]
    files = ["--model_name_or_path", folder / slug(start_of(name)), "--data_dir", folder / "data"]
    script = "benchmarks/flawed_judge.py" if name in FLAWED else "tuning_grpo/train.py"
    step(script, quick, "--seed", seed, *files, "--output_dir", folder / slug(name), *flags, *prompts(flags))
    evaluate(seed, folder, name, quick)


def evaluate(seed: int, folder: Path, name: str, quick: bool) -> None:
    model, test = folder / slug(name), ["--data_file", folder / "data" / "test.jsonl"]
    runs = {} if name in FIXED else {"plain": []}
    for part, flags in (runs | {f"costs/{cost:g}": ["--ask_cost", cost] for cost in costs_of(name)}).items():
        said, judged = (folder / part / slug(name) / f"{what}.jsonl" for what in ("predictions", "verdicts"))
        how = ["--model_name_or_path", model, "--output_file", said, "--seed", seed, "--user_kinds", "helpful"]
        step("inference/predict.py", quick, *test, *how, *flags)
        step("inference/judge.py", quick, *test, "--predictions", said, "--output_file", judged)
    if name not in FIXED:
        how = ["--model_name_or_path", model, "--output_dir", folder / "users", "--name", slug(name)]
        users = ["--num_examples", 100_000, "--variants", *(f"user_{kind}" for kind in OTHERS)]
        step("inference/variants.py", quick, *test, *how, *users)


def prompts(flags: list) -> list:
    """As many prompts as the steps use, for another group size than the config's."""
    if "--num_generations" not in flags:
        return []
    config = yaml.safe_load((ROOT / f"tuning_grpo/configs/{PRESET}.yaml").read_text())
    return ["--num_prompts", config["num_prompts"] * config["num_generations"] // flags[1]]


def step(script: str, quick: bool, *flags) -> None:
    """Run a stage script as a user does."""
    stage = "tuning_grpo" if script.startswith("benchmarks/") else str(Path(script).parent)
    config = f"{stage}/configs/{PRESET}.yaml"
    less = QUICK.get("tuning_grpo/train.py" if stage == "tuning_grpo" else script, "").split()
    command = [sys.executable, script, "--config", config, *flags, *(less if quick else [])]
    print("$", *command, flush=True)
    subprocess.run(list(map(str, command)), check=True, cwd=ROOT)


def write(folders: list[Path], seeds: list[int], args: Arguments) -> None:
    """ablation.json and ablation.md."""
    from ablation_tables import Tables
    from clarifyvlm.jsonl import write_text_atomic

    tables = Tables(folders, seeds, args.resamples)
    content = tables.content()
    for suffix, text in (("json", json.dumps(content, indent=2) + "\n"), ("md", tables.markdown(content))):
        path = Path(args.output_dir) / f"ablation.{suffix}"
        write_text_atomic(path, text)
        print(path)


if __name__ == "__main__":
    run_main(main, continues=True)
