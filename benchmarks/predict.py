"""Predictions: inference/predict.py against what a script of one's own would do, same model, examples and words.

    python benchmarks/predict.py                                             # the embedded base, CPU: minutes
    python benchmarks/predict.py --models runs/tiny/grpo models/tiny         # a tuned one too: its responses are longer
    python benchmarks/predict.py --quick                                     # 96 examples

The first baseline asks one example at a time, the second in batches in the order of the data; both call the model's own
`generate` and keep nothing but the words. All three run --rounds times in turn, in one process; each time holds the
loading of the model and of the pictures. predict.py also writes records with log-probabilities, and can be resumed.
"""

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import run_main
from measure import ROOT, report, row, run, script


@dataclass
class Arguments:
    models: list[str] = option("checkpoints", factory=lambda: ["models/tiny"])
    num_examples: int = option("examples", 600)
    batch_size: int = option("of predict.py and of the second baseline", 64)
    max_new_tokens: int = option("longest response", 64)
    rounds: int = option("of all three, in turn", 3)
    quick: bool = option("96 examples, one round", False)
    output_dir: str = option("folder for predict.json", "benchmarks/results")


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)

    count, rounds = (96, 1) if args.quick else (args.num_examples, args.rounds)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        config = ROOT / "dataset_generation" / "configs" / "tiny.yaml"
        sizes = ["--num_train", 0, "--num_validation", 0, "--num_test", count, "--num_test_ood", 0, "--audit", "off"]
        sizes += ["--num_unambiguous", 0, "--num_replay", 0, "--min_per_cell", 0]
        generate = [sys.executable, ROOT / "dataset_generation" / "generate.py", "--config", config, *sizes]
        run([*generate, "--output_dir", folder])
        data = folder / "test.jsonl"
        plain(args, args.models[0], data, size=32, count=32)  # so that none pays for the imports
        for model in args.models:
            ours, single, batched = [], [], []
            for number in range(rounds):
                words, seconds = timed(predicted, args, model, data, folder / f"{number}.jsonl")
                ours.append(seconds)
                words_batched, seconds = timed(plain, args, model, data, size=args.batch_size)
                batched.append(seconds)
                words_single, seconds = timed(plain, args, model, data, size=1)
                single.append(seconds)
            speed = count / median(ours)
            rows += [
                row(f"{model}: against single ones", speed, "ex/s", baseline=count / median(single), ratio_at_least=8),
                row(f"{model}: against batches", speed, "ex/s", baseline=count / median(batched), ratio_at_least=1.3),
                row(f"{model}: slowest and fastest round", max(ours), "s", baseline=min(ours)),
                row(f"{model}: the words of batches", same(words, words_batched), "examples", at_least=count),
                row(f"{model}: the words of one at a time", same(words, words_single), "examples", at_least=count),
            ]  # fmt: skip
    report("predict", rows, args.output_dir)
    return 0


def timed(function, *args, **kwargs):
    """(result, seconds)"""
    began = time.perf_counter()
    result = function(*args, **kwargs)
    return result, time.perf_counter() - began


def same(a: list[str], b: list[str]) -> int:
    return sum(x == y for x, y in zip(a, b, strict=True))


def predicted(args: Arguments, model: str, data: Path, output: Path) -> list[str]:
    """The words of predict.py."""
    from clarifyvlm import jsonl
    from clarifyvlm.records import Prediction

    predict = script("inference/predict.py")

    options = {
        "model_name_or_path": model,
        "data_file": data,
        "output_file": output,
        "batch_size": args.batch_size,
        "max_new_tokens": args.max_new_tokens,
        "device": "cpu",
    }
    predict.main(["--overwrite", *(token for name, value in options.items() for token in (f"--{name}", str(value)))])
    return [prediction.text for prediction in jsonl.read(output, Prediction)]


def plain(args: Arguments, path: str, data: Path, *, size: int, count: int | None = None) -> list[str]:
    """The words of a plain loop over batches of `size` in the order of the data."""
    import json

    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from clarifyvlm.chat import user_turn

    model = AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(path)
    processor.tokenizer.padding_side = "left"
    examples = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()][:count]
    words = []
    for start in range(0, len(examples), size):
        batch = examples[start : start + size]
        prompts = [processor.apply_chat_template(user_turn(e["question"]), add_generation_prompt=True) for e in batch]
        pictures = [Image.open(data.parent / e["image"]).convert("RGB") for e in batch]
        inputs = processor(
            text=prompts, images=pictures, padding=True, return_tensors="pt", add_special_tokens=False
        )  # the template holds them
        with torch.inference_mode():
            said = model.generate(**inputs, max_new_tokens=args.max_new_tokens, do_sample=False)
        new = said[:, inputs["input_ids"].shape[1] :]
        words += [text.strip() for text in processor.batch_decode(new, skip_special_tokens=True)]
    return words


if __name__ == "__main__":
    run_main(main)
