"""Generation of data: examples a second with pictures written, two workers against one, and memory as data grows.

    python benchmarks/generation.py            # minutes
    python benchmarks/generation.py --quick    # under a minute

The time is that of the whole command: start, pictures, records, audit and card. The baseline of the first row is one
worker, that of the memory a quarter of the examples.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import run_main
from measure import report, row, run

CONFIG = "dataset_generation/configs/tiny.yaml"
PARTS = {"num_train": 0.8, "num_validation": 0.05, "num_test": 0.1, "num_test_ood": 0.05}
BAR = 300  # examples a second with two workers


@dataclass
class Arguments:
    num_examples: int = option("in all four splits together", 8000)
    num_workers: int = option("workers to compare with one", 2)
    quick: bool = option("1,000 examples", False)
    output_dir: str = option("folder for generation.json", "benchmarks/results")


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)
    count = min(args.num_examples, 1000) if args.quick else args.num_examples
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        seconds, memory = generate(folder / "many", count, args.num_workers)
        alone, _ = generate(folder / "one", count, 1)
        _, quarter = generate(folder / "quarter", count // 4, args.num_workers)
        differing = different_files(folder / "many", folder / "one")
    rows = [
        row(f"{count} examples, {args.num_workers} workers", count / seconds, "examples/s",
            baseline=count / alone, at_least=BAR),
        row("peak memory, all processes", memory, "MiB", baseline=quarter),
        row("files that differ from those of one worker", differing, "files", at_most=0),
    ]  # fmt: skip
    report("generation", rows, args.output_dir)
    return 0


def generate(output_dir: Path, num_examples: int, num_workers: int) -> tuple[float, float]:
    """(seconds, peak MiB) of one run of generate.py."""
    sizes = [token for name, part in PARTS.items() for token in (f"--{name}", round(num_examples * part))]
    script = [sys.executable, "dataset_generation/generate.py", "--config", CONFIG, "--output_dir", output_dir]
    return run([*script, *sizes, "--num_workers", num_workers])


def different_files(a: Path, b: Path) -> int:
    """Data files and pictures that are in one folder only, or not the same in both."""
    found = [
        {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.suffix in (".jsonl", ".png")}
        for folder in (a, b)
    ]
    return sum(found[0].get(name) != found[1].get(name) for name in found[0] | found[1])


if __name__ == "__main__":
    run_main(main)
