"""What options of a training can be, of themselves and together. TRL finds some of it only while it trains, and some
never; here it is told before torch and TRL are imported, and by run.sh before its first stage."""

import math
import os

from clarifyvlm import processes

LEAST = {
    "learning_rate": 0,
    "weight_decay": 0,
    "warmup_steps": 0,
    "max_grad_norm": 0,
    "num_train_epochs": 0,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "save_total_limit": 1,
    "num_generations": 2,
    "max_completion_length": 1,
    "num_iterations": 1,
    "steps_per_generation": 1,
    "beta": 0,
    "epsilon": 0,
}
ABOVE_0 = ("temperature", "logging_steps", "save_steps", "eval_steps")


def check_numbers(training) -> None:
    """ValueError for an option of TRL or transformers that cannot be. Either has no limits of its own."""
    for name in (*LEAST, *ABOVE_0):
        value, least = getattr(training, name, None), LEAST.get(name, 0)
        if value is None:
            continue
        if not math.isfinite(value) or value < least or (name in ABOVE_0 and value == 0):
            raise ValueError(f"--{name} {value}: must be {'above' if name in ABOVE_0 else 'at least'} {least}.")
    if training.max_steps < 1 and training.max_steps != -1:
        raise ValueError(f"--max_steps {training.max_steps}: must be at least 1, or -1 for --num_train_epochs.")
    if training.push_to_hub:
        raise ValueError("--push_to_hub: `python main.py publish` uploads a checkpoint, with a model card.")
    if training.model_init_kwargs or training.trust_remote_code:
        raise ValueError("--model_init_kwargs, --trust_remote_code: not supported; there are --dtype and others.")


def check_groups(training) -> None:
    """ValueError where the responses of a generation batch are no whole groups of --num_generations."""
    size, at_once = training.num_generations, training.per_device_train_batch_size
    together = _processes()
    whole = training.generation_batch_size or at_once * together * steps_per_generation(training)
    if whole % size:
        several = f" in each of {together} processes" if together > 1 else ""
        raise ValueError(
            f"--num_generations {size}: {whole} responses are made at once (--per_device_train_batch_size {at_once}"
            f"{several} x --steps_per_generation, else --gradient_accumulation_steps), and they must be whole groups. "
            f"Make --per_device_train_batch_size a multiple of --num_generations, such as {_multiple(at_once, size)}."
        )


def steps_per_generation(training) -> int:
    """Forward steps to which a generation batch is shared out: as TRL has it, where it is not given."""
    if training.steps_per_generation is None and training.generation_batch_size is not None:
        return max(1, training.generation_batch_size // (training.per_device_train_batch_size * _processes()))
    return training.steps_per_generation or training.gradient_accumulation_steps


def _multiple(number: int, of: int) -> int:
    """The multiple that is nearest, and no 0."""
    return max(1, round(number / of)) * of


def _processes() -> int:
    """How many will train: those of this job, or as many as scripts/plan.py says that run.sh will start."""
    return int(os.environ.get("CLARIFYVLM_PROCESSES", processes.count()))
