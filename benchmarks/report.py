"""The report: how long and how large, for three models on 600 examples and for one model on 100,000.

    python benchmarks/report.py            # about five minutes
    python benchmarks/report.py --quick    # the small one and 10,000 examples

The examples are generated; the large set repeats 1,000 of them under other ids, each copy with a picture of its own
name. A model says the reference to most of the questions and, drawn by the id, something else to the others. The
baseline of the time is reading and checking the same files and nothing else.
"""

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import run_main
from measure import report, row, run

OTHER = ("It is red.", "Which one do you mean, and where is it?", "I cannot see that in the picture.", "")
RIGHT = {"good": 0.9, "fair": 0.7, "poor": 0.4}  # model -> share of references among its responses


@dataclass
class Arguments:
    num_examples: int = option("examples of the large set", 100_000)
    quick: bool = option("10,000 examples in the large set", False)
    output_dir: str = option("folder for report.json", "benchmarks/results")


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)
    large = min(args.num_examples, 10_000) if args.quick else args.num_examples
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        sizes = ["--num_train", 0, "--num_validation", 0, "--num_test", 1000, "--num_test_ood", 0]
        run([sys.executable, "dataset_generation/generate.py", "--output_dir", data, *sizes])
        examples = [json.loads(line) for line in (data / "test.jsonl").read_text().splitlines()]
        rows = measured(data, examples[:600], RIGHT, seconds=25, mib=1536)
        rows += measured(data, repeated(examples, large), {"fair": RIGHT["fair"]}, seconds=120, mib=3072)
    report("report", rows, args.output_dir)
    return 0


def repeated(examples: list[dict], count: int) -> list[dict]:
    """`count` examples with ids of their own; what shares a picture within a copy still does."""
    copies = (
        example | {"id": f"{example['id']}-{k}", "image_sha256": f"{k}{example['image_sha256']}"[:64]}
        for k in range(-(-count // len(examples)))
        for example in examples
    )
    return [example for example, _ in zip(copies, range(count), strict=False)]


def measured(data: Path, examples: list[dict], models: dict[str, float], *, seconds: float, mib: float) -> list:
    """Rows for the report on `models` over `examples`, whose pictures lie in `data`."""
    name = f"{len(models)} model{'s' if len(models) > 1 else ''} x {len(examples):,} examples"
    file = data / f"{len(examples)}.jsonl"
    write(file, examples)
    inference = data / f"inference-{len(examples)}"
    for model, share in models.items():
        predictions = inference / model / "predictions.jsonl"
        write(predictions, ({"example_id": e["id"], "text": said(e, model, share)} for e in examples))
        judge = [
            "--data_file",
            file,
            "--predictions",
            predictions,
            "--output_file",
            predictions.parent / "verdicts.jsonl",
        ]
        run([sys.executable, "inference/judge.py", *judge])
    began = time.monotonic()
    read(file, inference)
    reading = time.monotonic() - began
    output = data / f"report-{len(examples)}"
    flags = ["--data_file", file, "--inference_dir", inference, "--output_dir", output]
    taken, peak = run([sys.executable, "inference/report.py", *flags])
    page = (output / "report.html").stat().st_size / 2**20
    return [
        row(f"{name}: report.py", taken, "s", baseline=reading, at_most=seconds),
        row(f"{name}: peak memory", peak, "MiB", at_most=mib),
        row(f"{name}: page", page, "MiB", at_most=25),
    ]


def said(example: dict, model: str, share: float) -> str:
    """The reference with probability `share`, else one of OTHER; drawn by model and id."""
    import random

    rng = random.Random(f"{model} {example['id']}")
    return example["reference"] if rng.random() < share else rng.choice(OTHER)


def read(file: Path, inference: Path) -> None:
    from clarifyvlm import jsonl
    from clarifyvlm.records import Example, Prediction, Verdict

    jsonl.read(file, Example)
    for folder in inference.iterdir():
        jsonl.read(folder / "predictions.jsonl", Prediction)
        jsonl.read(folder / "verdicts.jsonl", Verdict)


def write(path: Path, rows) -> None:
    from clarifyvlm import jsonl

    jsonl.write_atomic(path, rows)


if __name__ == "__main__":
    run_main(main)
