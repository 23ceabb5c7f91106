"""The GPU path on one card: SFT, GRPO and predictions at a real size, each against bare TRL or transformers.

    python benchmarks/gpu.py                                              # one NVIDIA GPU of 80 GB or more
    python benchmarks/gpu.py --shape small --device cpu --quick           # toy size anywhere: shows that it runs

The model has random weights in the shape of Qwen2.5-VL-3B and a tokenizer of bytes: nothing is downloaded, and what it
says means nothing. Ours is the stage script itself up to the end of training; the baseline is TRL's trainer on the same
rows and options. All weights are trained, in bf16; pictures are 512 x 512. A time is the median of the steps after the
first ones. The share of the card is 2 x parameters x tokens (and patches), three times for training and four for GRPO,
which says them first, over the time, against a matrix product measured in the same run. Predictions all have the full
length, so what is saved on rows that finish early does not show; nor do GRPO's responses without advantage, which ours
would leave out. TRL has no continuous batching for models that see.
A part that fails leaves a row with its reason. Results are kept only of a GPU, after each part: GRPO comes first and
took six minutes on an H200 with --steps 3.
"""

import contextlib
import gc
import importlib.util
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

import gpu_models
from clarifyvlm import chat, config, images, jsonl
from clarifyvlm.config import option
from clarifyvlm.errors import UserError, run_main
from clarifyvlm.records import Example
from measure import Row, report, row, run, script


@dataclass
class Arguments:
    shape: Literal["qwen2.5-vl-3b", "small"] = option("of the model", "qwen2.5-vl-3b")
    device: Literal["cuda", "cpu"] = option("cpu: only with --quick, for a try", "cuda")
    parts: list[Literal["sft", "grpo", "predict"]] = option(
        "what to measure", factory=lambda: ["grpo", "predict", "sft"]
    )
    steps: int = option("timed, after the warm-up", 5)
    quick: bool = option("toy size of the same shape", False)
    output_dir: str = option("folder for gpu.json", "benchmarks/results")


@dataclass
class Sizes:
    pixels: int = 512
    sft_batch: int = 8
    prompts: int = 8
    completions: int = 8  # of each prompt
    new_tokens: int = 128
    predictions: int = 32  # at once
    warm_up: int = 2
    matrix: int = 8192


TEXT_TOKENS = 38  # of a question in bytes, beside its picture; mean
TOY = Sizes(96, sft_batch=2, prompts=2, completions=2, new_tokens=8, predictions=4, warm_up=1, matrix=256)


@dataclass
class Measured:
    seconds: float  # median of a step
    tokens: float = 0.0  # median of a step
    peak_gib: float | None = None


@dataclass
class Bench:
    args: Arguments
    sizes: Sizes
    folder: Path
    rows: list[Row] = field(default_factory=list)
    card: float = 0.0  # measured FLOP/s
    language: int = 0  # parameters
    vision: int = 0
    patches: int = 0  # of a picture
    prompt: float = 0.0  # tokens, mean

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def gpu(self) -> bool:
        return self.args.device == "cuda"

    def attempt(self, what: str, measure: Callable[[], Measured]) -> Measured | None:
        """What `measure` returns; None, and a row with the reason, where it fails. Frees the card's memory."""
        import torch

        print(f"... {what}", file=sys.stderr, flush=True)
        found, began = None, time.perf_counter()
        self.free()
        try:
            if self.gpu:
                torch.cuda.reset_peak_memory_stats()
            with contextlib.redirect_stdout(sys.stderr):
                found = measure()
            if self.gpu:
                found.peak_gib = torch.cuda.max_memory_allocated() / 2**30
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            self.rows.append(Row(f"{what}: {reason[:110]}", None, "not measured"))
        self.free()
        print(f"    {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        return found

    def free(self) -> None:
        import torch

        gc.collect()
        if self.gpu:
            torch.cuda.empty_cache()

    def add(self, name: str, unit: str, ours: Measured | None, bare: Measured | None, rate, flops) -> None:
        """Rows of the rate, the memory and the share of the card; `rate` and `flops` are functions of a Measured."""
        if ours is None:
            return
        self.rows.append(row(name, rate(ours), unit, baseline=bare and rate(bare)))
        if ours.peak_gib is not None:
            self.rows.append(row(f"{name}: peak memory", ours.peak_gib, "GiB", baseline=bare and bare.peak_gib))
        share = [None if m is None else 100 * flops(m) / m.seconds / self.card for m in (ours, bare)]
        self.rows.append(row(f"{name}: share of the card", share[0], "%", baseline=share[1]))

    def forward(self, tokens: float, pictures: int) -> float:
        """FLOP of reading them once."""
        return 2 * (self.language * tokens + self.vision * self.patches * pictures)


def main(argv: list[str] | None = None) -> int:
    (args,) = config.parse_args([Arguments], argv, description=__doc__)
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # bare TRL refuses several in one process
    import torch

    if args.device == "cpu" and not args.quick:
        raise UserError("--device cpu is for a try of this script: give --quick too.")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError("torch sees no GPU. `--shape small --device cpu --quick` shows that the script runs.")
    if args.shape != "small" and importlib.util.find_spec("torchvision") is None:
        raise UserError("the processor of Qwen2.5-VL needs torchvision (the gpu packages). Or give --shape small.")
    sizes = TOY if args.quick else Sizes()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, sizes, Path(folder))
        prepare(bench)
        for part in args.parts:
            {"sft": sft, "grpo": grpo, "predict": predict}[part](bench)
            report("gpu", bench.rows, args.output_dir if bench.gpu else folder)  # a card may be lent for minutes only
    return 0


# --- model and data ----------------------------------------------------------------------------------------------


def prepare(bench: Bench) -> None:
    """The card's speed, a checkpoint on disk, examples with pictures."""
    import torch

    from clarifyvlm.models.generation import encode

    bench.card = gpu_models.matmul_rate(bench.sizes.matrix, bench.args.device)
    card = torch.cuda.get_device_name() if bench.gpu else "CPU"
    bench.rows.append(row(f"bf16 product of {bench.sizes.matrix}^3, {card}", bench.card / 1e12, "TFLOP/s"))
    made = gpu_models.small() if bench.args.shape == "small" else gpu_models.qwen(bench.args.quick, bench.args.device)
    model, processor, merge = made
    generation = model.generation_config
    generation.pad_token_id, generation.eos_token_id, generation.suppress_tokens = 0, 1, gpu_models.UNSAID
    weights = [(name, p.numel()) for name, p in model.named_parameters()]
    bench.vision = sum(size for name, size in weights if "visual" in name or "vision_tower" in name)
    bench.language = sum(size for _, size in weights) - bench.vision
    model.save_pretrained(bench.model)
    processor.save_pretrained(bench.model)

    generate = [sys.executable, "dataset_generation/generate.py", "--output_dir", bench.folder / "data"]
    generate += ["--config", "dataset_generation/configs/tiny.yaml", "--image_size", bench.sizes.pixels]
    counts = {"num_train": 120, "num_validation": 6, "num_test": 48, "num_test_ood": 0}
    counts |= {"num_unambiguous": 0, "num_replay": 0, "min_per_cell": 0}
    run([*generate, "--audit", "off", *(token for name, n in counts.items() for token in (f"--{name}", n))])
    inputs = [encode(processor, [chat.messages(e)], [picture])["input_ids"][0] for e, picture in examples(bench, 24)]
    bench.prompt = sum(map(len, inputs)) / len(inputs)
    image_token = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    bench.patches = merge * int((inputs[0] == image_token).sum())
    size = f"{(bench.language + bench.vision) / 1e6:.1f} M parameters, {bench.prompt:.0f} tokens a prompt"
    print(f"{bench.args.shape}: {size}, {bench.patches} patches a picture", file=sys.stderr)


def examples(bench: Bench, count: int | None = None, file: str = "train.jsonl") -> list[tuple]:
    """(Example, picture) pairs."""
    data = bench.folder / "data"
    return [(e, images.open_image(data / e.image)) for e in jsonl.read(data / file, Example)[:count]]


# --- training ----------------------------------------------------------------------------------------------------


class Done(Exception):
    """Training is over: it is not saved."""


def clock(bench: Bench):
    """A callback that notes when each step ended; TRL logs how many tokens had been read."""
    import torch
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def __init__(self):
            self.ends, self.tokens = [], []

        def on_step_end(self, args, state, control, **kwargs):
            if bench.gpu:
                torch.cuda.synchronize()
            self.ends.append(time.perf_counter())

        def on_log(self, args, state, control, **kwargs):
            if "num_tokens" in state.log_history[-1]:
                self.tokens.append(state.log_history[-1]["num_tokens"])

        def measured(self) -> Measured:
            ends, tokens = (column[bench.sizes.warm_up - 1 :] for column in (self.ends, self.tokens))
            return Measured(_median_step(ends), _median_step(tokens))

    return Clock()


def _median_step(values: list[float]) -> float:
    return median(b - a for a, b in zip(values, values[1:], strict=False))


def settings(bench: Bench, name: str, **more) -> dict:
    """Options that ours and bare TRL are both given."""
    return {
        "output_dir": str(bench.folder / name.replace(" ", "_")),
        "max_steps": bench.sizes.warm_up + bench.args.steps,
        "learning_rate": 1e-6,
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": "none",
        "seed": 0,
        "bf16": bench.gpu,
        "gradient_checkpointing": bench.gpu,
        "use_cpu": not bench.gpu,
    } | more


def ours(bench: Bench, stage: str, options: dict) -> Measured:
    """Of `<stage>/train.py`, run as a user runs it, until its training is over."""
    from clarifyvlm import training, training_rows

    module = script(f"{stage}/train.py")
    watch, train, skip = clock(bench), training.train, training_rows.skip_rows_without_advantage

    def train_only(trainer) -> None:
        trainer.add_callback(watch)
        train(trainer)
        raise Done

    argv = [f"--model_name_or_path={bench.model}", f"--data_dir={bench.folder / 'data'}", f"--dtype={_dtype(bench)}"]
    argv += [f"--{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in options.items()]
    training.train = train_only
    training_rows.skip_rows_without_advantage = lambda trainer: None
    try:
        with contextlib.suppress(Done):
            module.main(argv)
    finally:
        training.train, training_rows.skip_rows_without_advantage = train, skip
    return watch.measured()


def bare(bench: Bench, trainer_class, args, rows: list[dict], **more) -> Measured:
    """Of TRL's trainer on the checkpoint and rows as its documentation has them."""
    import datasets

    model, processor = plain(bench)
    data = datasets.Dataset.from_list(rows)
    trainer = trainer_class(model=model, args=args, train_dataset=data, processing_class=processor, **more)
    watch = clock(bench)
    trainer.add_callback(watch)
    trainer.train()
    return watch.measured()


def plain(bench: Bench):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(bench.model, dtype=_dtype(bench)).to(bench.args.device)
    return model, AutoProcessor.from_pretrained(bench.model)


def _dtype(bench: Bench) -> str:
    return "bfloat16" if bench.gpu else "float32"


def sft(bench: Bench) -> None:
    from trl import SFTConfig, SFTTrainer

    batch = bench.sizes.sft_batch
    same = {"per_device_train_batch_size": batch}

    def bare_trained() -> Measured:
        rows = [
            {"prompt": prompt, "completion": completion, "image": picture}
            for example, picture in examples(bench)
            for prompt, completion in chat.reference_messages(example)
        ]
        return bare(bench, SFTTrainer, SFTConfig(**settings(bench, "bare sft", **same), max_length=None), rows)

    tuned = bench.attempt("SFT, ours", lambda: ours(bench, "tuning_sft", settings(bench, "sft", **same)))
    bare_ = bench.attempt("SFT, bare TRL", bare_trained)
    columns = (lambda m: m.tokens / m.seconds, lambda m: 3 * bench.forward(m.tokens, batch))
    bench.add(f"SFT, batch of {batch}, against bare TRL", "tokens/s", tuned, bare_, *columns)


def grpo(bench: Bench) -> None:
    from trl import GRPOConfig, GRPOTrainer

    s = bench.sizes
    same = {"per_device_train_batch_size": s.completions, "gradient_accumulation_steps": s.prompts, "beta": 0.0}
    same |= {"num_generations": s.completions, "max_completion_length": s.new_tokens, "temperature": 1.0}
    saying = {"generation_kwargs": {"suppress_tokens": gpu_models.UNSAID}}
    own = {"allow_base_model": True, "num_prompts": 48, "max_failed_batches": 1000}  # what it says earns nothing

    def trained(name: str, **more) -> Measured | None:
        options = settings(bench, name, **same, **own, **(saying | more))
        return bench.attempt(name, lambda: ours(bench, "tuning_grpo", options))

    def constant(completions, **_) -> list[float]:
        return [0.0] * len(completions)

    def bare_trained() -> Measured:
        rows = [
            {"prompt": [{"role": "user", "content": e.question}], "image": picture}
            for e, picture in examples(bench, 48)
        ]
        args = GRPOConfig(**settings(bench, "bare grpo", **same, **saying))
        return bare(bench, GRPOTrainer, args, rows, reward_funcs=constant)

    generated = trained("GRPO, ours")
    bare_ = bench.attempt("GRPO, bare TRL", bare_trained)
    name = f"GRPO step, {s.prompts} x {s.completions} x {s.new_tokens} tokens"
    columns = (lambda m: m.seconds, lambda m: 4 * bench.forward(m.tokens, s.prompts * s.completions))
    bench.add(f"{name}, against bare TRL", "s", generated, bare_, *columns)
    if importlib.util.find_spec("vllm") is None:
        bench.rows.append(Row("GRPO, ours, vLLM: vllm is not installed", None, "not measured"))
        return
    own |= {"use_vllm": True, "vllm_mode": "colocate", "vllm_gpu_memory_utilization": 0.3}
    vllm = trained("GRPO, ours, vLLM", generation_kwargs={"allowed_token_ids": gpu_models.BYTES})
    bench.add(f"{name}, vLLM in the same process, against generate", "s", vllm, generated, *columns)


# --- predictions -------------------------------------------------------------------------------------------------


def predict(bench: Bench) -> None:
    import torch

    from clarifyvlm.models import loading
    from clarifyvlm.models.generation import Generator, encode

    s = bench.sizes
    pairs = examples(bench, s.predictions, "test.jsonl")
    conversations, pictures = [chat.messages(e) for e, _ in pairs], [picture for _, picture in pairs]

    def timed(say: Callable, count: int) -> Measured:
        times = [gpu_models.seconds_of(say, bench.args.device) for _ in range(1 + bench.args.steps)]
        return Measured(median(times[1:]) / count)

    def generator() -> Measured:
        model, processor = loading.load(bench.model, device=bench.args.device)
        speak = Generator(model, processor, max_new_tokens=s.new_tokens)
        return timed(lambda: speak(conversations, pictures), len(pairs))

    def generate(size: int) -> Measured:
        model, processor = plain(bench)

        @torch.inference_mode()
        def say() -> None:
            inputs = encode(processor, conversations[:size], pictures[:size]).to(model.device, model.dtype)
            model.generate(**inputs, max_new_tokens=s.new_tokens, do_sample=False)

        return timed(say, size)

    ours_ = bench.attempt("predict, ours", generator)
    batched = bench.attempt("predict, plain generate", lambda: generate(s.predictions))
    single = bench.attempt("predict, one at a time", lambda: generate(1))
    columns = (lambda m: 1 / m.seconds, lambda m: bench.forward(bench.prompt + s.new_tokens, 1))
    for what, baseline in (("plain generate", batched), ("one at a time", single)):
        name = f"predictions of {s.new_tokens} tokens, {s.predictions} at once, against {what}"
        bench.add(name, "examples/s", ours_, baseline, *columns)


if __name__ == "__main__":
    run_main(main)
