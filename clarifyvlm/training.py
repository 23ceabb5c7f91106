"""What SFT and GRPO share around TRL's trainers: options that suit the machine, lazy pictures, logs, checkpoints.

Heavy to import (torch, trl): stage scripts import it after parsing.
"""

import dataclasses
import importlib.util
import logging
import re
import signal
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets
import torch
import transformers
from tqdm import tqdm
from transformers.trainer_callback import ProgressCallback
from trl import GRPOConfig, ModelConfig, SFTConfig, get_quantization_config

from clarifyvlm import chat, images, judges, processes, tracking, training_rules, users
from clarifyvlm.config import REDO, option
from clarifyvlm.errors import UserError
from clarifyvlm.judges import Judge
from clarifyvlm.models import checkpoints, loading
from clarifyvlm.models.generation import Generator
from clarifyvlm.records import Example, Prediction
from clarifyvlm.strategies import STRATEGIES
from clarifyvlm.training_callbacks import GradientsForAll, LogFile, QuietProgress, SealCheckpoints, StopOnSignal

# Options that change speed, memory or what is shown, not the result: a rerun may change them.
SPEED_ONLY = (
    "dataloader_num_workers",
    "dataloader_persistent_workers",
    "dataloader_pin_memory",
    "dataloader_prefetch_factor",
    "ddp_timeout",
    "disable_tqdm",
    "generation_batch",
    "logging_steps",
    "logging_first_step",
    "save_total_limit",
    *judges.SPEED_ONLY,
    *tracking.SPEED_ONLY,
    *users.SPEED_ONLY,
)


@dataclass
class MachineDefaults:
    """TRL's defaults (bf16, gradient checkpointing, pinned memory) suit a GPU; unset, they follow the machine."""

    bf16: bool | None = option("bf16 autocast; unset: where the GPU has it, or the CPU has avx512_bf16.", None)
    gradient_checkpointing: bool | None = option("Less memory, ~20%% slower; unset: on a GPU.", None)
    dataloader_pin_memory: bool | None = option("Unset: on a GPU.", None)
    remove_unused_columns: bool = option("Must stay off: rows are made lazily.", False)
    ddp_timeout: int = option("Seconds that processes wait for each other.", int(processes.WAIT.total_seconds()))
    save_total_limit: int | None = option("Checkpoints kept, newest first.", 2)
    report_to: list[str] = option("Trackers: tensorboard, trackio, wandb (the extra tracking).", factory=list)
    project: str = option("Name of the project in trackio and wandb.", "clarifyvlm")
    overwrite: bool = option("Delete what an earlier run left in output_dir.", False)
    redo: bool = option(REDO, False)

    def __post_init__(self):
        self.use_cpu = self.use_cpu or loading.default_device() == "cpu"  # transformers asks for it with bf16
        gpu = torch.cuda.is_available() and not self.use_cpu
        training_rules.check_numbers(self)
        if self.bf16 is None:
            self.bf16 = not self.fp16 and (_gpu_has_bf16() if gpu else _cpu_is_fast_with_bf16())
        if self.gradient_checkpointing is None:
            self.gradient_checkpointing = gpu
        if self.dataloader_pin_memory is None:
            self.dataloader_pin_memory = gpu
        if self.dataloader_num_workers and not processes.has_workers():
            self.dataloader_num_workers, self.dataloader_persistent_workers = 0, False
            self.dataloader_prefetch_factor = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of `gradient_checkpointing`, which TRL still reads
            super().__post_init__()
        self.report_to = [name for name in self.report_to if name in tracking.TRACKERS]  # transformers adds of its own
        self._n_gpu = min(self.n_gpu, 1)  # without a launcher one GPU is used; DataParallel over all is refused by TRL


def _gpu_has_bf16() -> bool:
    return torch.cuda.is_bf16_supported(including_emulation=False)  # a T4 or V100 emulates it, slowly


def _cpu_is_fast_with_bf16() -> bool:
    return torch.cpu._is_avx512_bf16_supported()  # elsewhere bf16 is emulated, and slower than float32


@dataclass
class SFTArguments(MachineDefaults, SFTConfig):
    max_length: int | None = option("Must stay unset: truncation would cut image tokens.", None)


@dataclass
class GRPOArguments(MachineDefaults, GRPOConfig):
    shuffle_dataset: bool | None = option("Off: prompts come in rounds that hold every strategy once.", False)

    def __post_init__(self):
        training_rules.check_groups(self)
        super().__post_init__()


def record_of(*options) -> dict:
    """The options that differ from what they are when nothing is given, by name: what run.json records."""
    values = {}
    for group in options:
        fields = [f for f in dataclasses.fields(group) if f.init and not f.name.startswith("_")]
        required = [f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING]
        default = type(group)(**{name: getattr(group, name) for name in required})
        for f in fields:
            value = getattr(group, f.name)
            if f.name in required or value != getattr(default, f.name):
                values[f.name] = value
    return values


def quiet() -> None:
    """Progress bars and our own lines only: warnings of the libraries that name no fault of the user's are silenced."""
    transformers.logging.set_verbosity_error()
    datasets.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.getLogger("trl").setLevel(logging.ERROR)


def lazy_dataset(
    examples: Sequence[Example], rows: Sequence[tuple[int, int]], make_row: Callable[[Example, int], dict]
) -> datasets.Dataset:
    """A Dataset of rows (index of an example, turn). A row is made by `make_row` when a batch asks for it, so that
    pictures are decoded late, in the loader's workers, and columns may hold any Python object.

    Rows that stand several times in one batch (GRPO repeats a prompt for its group) are made once.
    """
    table = {"index": [index for index, _ in rows], "turn": [turn for _, turn in rows]}
    return datasets.Dataset.from_dict(table).with_transform(_Rows(examples, make_row))


class _Rows:
    def __init__(self, examples, make_row):
        self.examples, self.make_row = examples, make_row

    def __call__(self, batch: dict[str, list]) -> dict[str, list]:
        keys = list(zip(batch["index"], batch["turn"], strict=True))
        made = {(index, turn): self.make_row(self.examples[index], turn) for index, turn in dict.fromkeys(keys)}
        rows = [made[key] for key in keys]
        return {name: [row[name] for row in rows] for name in rows[0]}


def refuse_unsupported(model_args) -> None:
    """UserError for flags of TRL's ModelConfig that `models.load` has no use for: none is passed over in silence."""
    default = type(model_args)()
    if model_args.model_revision != default.model_revision:
        raise UserError("--model_revision is not supported here: download that revision, and give its path.")
    if (model_args.load_in_4bit or model_args.load_in_8bit) and not (
        model_args.use_peft or loading.is_adapter(model_args.model_name_or_path)
    ):
        raise UserError("--load_in_4bit, --load_in_8bit: quantized weights cannot be trained; add --use_peft.")


def quantization(model_args: ModelConfig):
    """What --load_in_4bit and --load_in_8bit ask bitsandbytes for, or None. UserError without the library."""
    if (model_args.load_in_4bit or model_args.load_in_8bit) and not importlib.util.find_spec("bitsandbytes"):
        raise UserError("--load_in_4bit, --load_in_8bit need bitsandbytes: pip install 'clarifyvlm[gpu]'.")
    return get_quantization_config(model_args)


def freeze_vision_tower(model) -> None:
    """No gradients for what turns pixels into features; the projector and the language model go on training.

    Raises UserError where no parameter has a name of a vision tower.
    """
    tower = re.compile(r"vision_|visual\.(?!merger)")  # Qwen-VL has its projector inside: visual.merger
    frozen = [p for name, p in model.named_parameters() if tower.search(name)]
    if not frozen:
        raise UserError("--freeze_vision_tower: no parameter of this model is named vision_* or visual.*")
    for parameter in frozen:
        parameter.requires_grad_(False)


def count_trainable(model) -> str:
    """ "3.9 of 3.9 million parameters" """
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return f"{trainable / 1e6:.2f} of {sum(p.numel() for p in model.parameters()) / 1e6:.2f} million parameters"


def record_base(model, path: str) -> None:
    """Have an adapter name its base by an absolute path where that is local, so that it loads from any folder."""
    if hasattr(model, "peft_config"):
        base = loading.base_of(path) if loading.is_adapter(path) else path
        for peft_config in model.peft_config.values():
            peft_config.base_model_name_or_path = str(Path(base).resolve()) if Path(base).is_dir() else base


def prepare_trainer(
    trainer, name: str, shown: Sequence[str], resumable: Callable[[int], bool] = lambda step: True
) -> None:
    """Our callbacks in place of the Trainer's chatty ones; `name` is the bar's, `resumable` as in StopOnSignal."""
    if trainer.args.use_cpu and trainer.args.bf16:
        # The fused attention's backward is five times slower in bf16 than the plain one (torch 2.13, CPU).
        torch.backends.cuda.enable_flash_sdp(False)
    if trainer.is_fsdp_enabled:
        _wrap_layers_that_are_there(trainer)
        trainer.add_callback(GradientsForAll())
    trainer.create_model_card = lambda **_: None  # run.json says more, and its quick start would load no picture
    trainer.pop_callback(ProgressCallback)
    trainer.pop_callback(transformers.PrinterCallback)
    if not trainer.args.disable_tqdm:
        trainer.add_callback(QuietProgress(name, shown))
    trainer.add_callback(LogFile())
    trainer.add_callback(SealCheckpoints())
    trainer.add_callback(StopOnSignal(resumable))


def _wrap_layers_that_are_there(trainer) -> None:
    """FSDP's units: the layers that the model's class names, less those that this model lacks (a SigLIP vision tower
    names its text half and its pooling head too, and accelerate stops at a name it cannot find)."""
    plugin = trainer.accelerator.state.fsdp_plugin
    if plugin.transformer_cls_names_to_wrap is None:
        there = {type(module).__name__ for module in trainer.model.modules()}
        plugin.transformer_cls_names_to_wrap = sorted(there.intersection(trainer.model._no_split_modules or ()))


def train(trainer) -> None:
    """Train from the newest whole checkpoint of the output folder, or from the start.

    Raises UserError that names the flags to lower when memory runs out; after SIGTERM exits with 143, with a checkpoint
    behind it.
    """
    leader = processes.is_leader()
    checkpoint = processes.from_leader(checkpoints.last_whole(trainer.args.output_dir) if leader else None)
    if checkpoint:
        print(f"continuing from {checkpoint}", flush=True)
        _mend_resume(trainer)
        _take_no_step_too_many(trainer)
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise UserError(
            "out of memory. Lower --per_device_train_batch_size (and raise --gradient_accumulation_steps by the same "
            "factor), give --gradient_checkpointing true, or train an adapter with --use_peft."
        ) from error
    if any(isinstance(c, StopOnSignal) and c.stopped for c in trainer.callback_handler.callbacks):
        print(
            f"stopped by SIGTERM at step {trainer.state.global_step}, with a checkpoint: the same command continues",
            file=sys.stderr,
        )
        raise SystemExit(128 + signal.SIGTERM)


def _mend_resume(trainer) -> None:
    """Have the Trainer restore a whole VLM's weights. Its own way reads the file's keys as they are, but a VLM is saved
    under older names (language_model.model.* for model.language_model.*) which only from_pretrained maps back:
    nothing fits, nothing is loaded, and no more than a warning is logged (transformers 5.23)."""
    if hasattr(trainer.model, "peft_config") or trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        return

    def load(checkpoint, model=None):
        model = trainer.model if model is None else model
        saved = type(model).from_pretrained(checkpoint, dtype=model.dtype)
        model.load_state_dict(saved.state_dict())

    trainer._load_from_checkpoint = load


def _take_no_step_too_many(trainer) -> None:
    """Have the Trainer end at once where the checkpoint is of the last step: it looks at max_steps only after a step,
    so a run that was killed between its last checkpoint and its end trained for one step more (transformers 5.23)."""
    run_epoch = trainer._run_epoch

    def run(*args, **kwargs):
        if trainer.state.global_step >= trainer.state.max_steps:
            trainer.control.should_training_stop = True
        else:
            run_epoch(*args, **kwargs)

    trainer._run_epoch = run


def save(trainer, processor) -> None:
    """The trained model or adapter, with its processor, in the output folder: it loads by itself."""
    trainer.save_model(trainer.args.output_dir)
    if processes.is_leader():
        processor.save_pretrained(trainer.args.output_dir)
    processes.wait()


def strategy_accuracy(
    model,
    processor,
    examples: list[Example],
    root: Path,
    judge: Judge,
    *,
    max_new_tokens: int,
    batch_size: int,
    image_max_side: int | None = None,
) -> dict[str, float | None]:
    """Share of greedy responses with the right strategy, per strategy, and their mean ("macro").

    The judge's failures are left out and counted ("judge_failures", a number of responses). Each process takes every
    so manyeth batch; the last ones may be taken twice, for a model in pieces (FSDP, ZeRO-3) speaks in all of them or in
    none.
    """
    model.eval()
    generator = Generator(model, processor, max_new_tokens=max_new_tokens)
    order = sorted(examples, key=lambda example: len(example.question))  # little padding
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    rounds = -(-len(batches) // processes.count())
    found = {}
    for number in tqdm(range(rounds), desc="validation responses", leave=False):
        batch = batches[(number * processes.count() + processes.rank()) % len(batches)]
        pictures = [images.open_image(root / e.image, max_side=image_max_side) for e in batch]
        responses = generator([chat.messages(e) for e in batch], pictures)
        predictions = [Prediction(example_id=e.id, text=r.text) for e, r in zip(batch, responses, strict=True)]
        for example, verdict in zip(batch, judge.judge(batch, predictions), strict=True):
            found[example.id] = (example.strategy, verdict.failure, verdict.criteria.get("strategy_right"))
    right, failures = defaultdict(list), 0
    for strategy, failure, value in dict(processes.gather(list(found.items()))).values():
        if failure is None and value is not None:
            right[strategy].append(value)
        else:
            failures += 1
    shares = {s: round(sum(right[s]) / len(right[s]), 4) for s in STRATEGIES if right[s]}
    macro = round(sum(shares.values()) / len(shares), 4) if shares else None
    return {"macro": macro, **shares, "judge_failures": failures}


def shown(accuracy: dict[str, float | None]) -> str:
    """ "87.2 % (answer 95 %, infer 80 %, ...)" """
    parts = [f"{name} {accuracy[name]:.0%}" for name in STRATEGIES if name in accuracy]
    return f"{accuracy['macro']:.1%} ({', '.join(parts)})" if parts else "nothing could be judged"
