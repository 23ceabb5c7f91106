"""Memory: training on a data set of 100,000 examples against one of 1,000. The embedded model, CPU.

    python benchmarks/memory.py            # ten minutes
    python benchmarks/memory.py --quick    # 10,000 examples

The large set is the small one, written many times under new names. Peak memory is that of all processes of the command
(resident set); SFT takes 10 steps, GRPO 2.
"""

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import run_main
from measure import ROOT, report, row, run

SMALL = 1000


@dataclass
class Arguments:
    num_examples: int = option("of the large set, a multiple of 1,000", 100_000)
    quick: bool = option("10,000 examples", False)
    output_dir: str = option("folder for memory.json", "benchmarks/results")


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)
    count = 10_000 if args.quick else args.num_examples
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small", Path(folder) / "large"
        config = ROOT / "dataset_generation" / "configs" / "tiny.yaml"
        sizes = ["--num_train", SMALL, "--num_validation", 16, "--num_test", 0, "--num_test_ood", 0, "--audit", "off"]
        sizes += ["--num_unambiguous", 0, "--num_replay", 0, "--min_per_cell", 0]
        generate = [sys.executable, ROOT / "dataset_generation" / "generate.py", "--config", config, *sizes]
        run([*generate, "--output_dir", small])
        multiply(small, large, count // SMALL)
        rows = []
        for stage, steps, more in (
            ("tuning_sft", 10, []),
            ("tuning_grpo", 2, ["--allow_base_model", "--num_prompts", 480, "--save_strategy", "no"]),
        ):
            command = [sys.executable, ROOT / stage / "train.py", "--config", ROOT / stage / "configs" / "tiny.yaml"]
            command += ["--model_name_or_path", ROOT / "models" / "tiny", "--max_steps", steps, *more]
            (seconds, few), (seconds_many, many) = (
                run([*command, "--data_dir", data, "--output_dir", f"{data}-{stage}"]) for data in (small, large)
            )
            rows += [
                row(f"{stage}: peak memory, {count} examples", many, "MiB", baseline=few, ratio_at_most=1.2),
                row(f"{stage}: time of the whole command", seconds_many, "s", baseline=seconds),
            ]
    report("memory", rows, args.output_dir)
    return 0


def multiply(small: Path, large: Path, times: int) -> None:
    """`large` is `small` with its training examples `times` times, each under an id and a picture's path of its own."""
    large.mkdir()
    (large / "images").symlink_to(small / "images")
    (large / "validation.jsonl").write_bytes((small / "validation.jsonl").read_bytes())
    rows = [json.loads(line) for line in (small / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    with (large / "train.jsonl").open("w", encoding="utf-8") as file:
        for number in range(times):
            (large / f"images-{number}").symlink_to(small / "images")
            for row in rows:
                copy = row | {
                    "id": f"{row['id']}-{number}",
                    "image": row["image"].replace("images", f"images-{number}", 1),
                }
                file.write(json.dumps(copy, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    run_main(main)
