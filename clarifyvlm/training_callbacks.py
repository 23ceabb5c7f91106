"""The callbacks that SFT and GRPO add to TRL's trainers. Heavy to import (torch, transformers)."""

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import TrainerCallback
from transformers.trainer_callback import ProgressCallback

from clarifyvlm import jsonl, processes
from clarifyvlm.models import checkpoints

WINDOW = 10  # logged rows of a strategy that are taken together
COLLAPSED = 2 / 3  # of the share at the start


class SealCheckpoints(TrainerCallback):
    """Seals every checkpoint once the Trainer has written all of it, in every process."""

    def on_save(self, args, state, control, **kwargs):
        processes.wait()
        if state.is_world_process_zero:
            checkpoints.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")


class StopOnSignal(TrainerCallback):
    """SIGTERM, which a cluster sends before it takes a machine away: a checkpoint after the step under way, and an end.

    `resumable` says whether a step is one from which a run goes on exactly (GRPO: not inside a generation batch).
    """

    def __init__(self, resumable: Callable[[int], bool]):
        self.resumable, self.asked, self.stopped = resumable, False, False

    def on_train_begin(self, args, state, control, **kwargs):
        self._before = signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_):
        self.asked = True

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step < state.max_steps and self.resumable(state.global_step) and processes.any_of(self.asked):
            self.stopped = control.should_save = control.should_training_stop = True

    def on_train_end(self, args, state, control, **kwargs):
        signal.signal(signal.SIGTERM, self._before)


class GradientsForAll(TrainerCallback):
    """Zeros where FSDP has no gradient: the optimizer keeps no state for a parameter that is never used (the last norm
    of a vision tower whose earlier layer is read), and a checkpoint without it cannot be resumed."""

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        for parameter in model.parameters():
            if parameter.requires_grad and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)


class LogFile(TrainerCallback):
    """Keeps every logged row in <output_dir>/log.jsonl. A resumed run starts from the checkpoint's rows."""

    def on_log(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            rows = [{k: None if v != v else v for k, v in row.items()} for row in state.log_history]  # NaN is no JSON
            jsonl.write_atomic(Path(args.output_dir) / "log.jsonl", rows)


class QuietProgress(ProgressCallback):
    """The progress bar, with its `name` and the few `shown` numbers of the last log; all of them are in log.jsonl."""

    def __init__(self, name: str, shown: Sequence[str]):
        super().__init__()
        self.name, self.shown = name, shown

    def on_train_begin(self, args, state, control, **kwargs):
        super().on_train_begin(args, state, control, **kwargs)
        if self.training_bar is not None:
            self.training_bar.set_description(self.name)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero and self.training_bar is not None:
            numbers = {name.removeprefix("rewards/"): logs[name] for name in self.shown if logs.get(name) is not None}
            self.training_bar.set_postfix({name: f"{float(value):.3g}" for name, value in numbers.items()})


class StopWhenJudgeFails(TrainerCallback):
    """Saves and stops once the judge has failed on so many batches in a row: such batches teach nothing, and AdamW's
    momentum would go on moving the weights."""

    def __init__(self, scorer, max_failed_batches: int):
        self.scorer, self.max_failed_batches = scorer, max_failed_batches

    def on_step_end(self, args, state, control, **kwargs):
        if self.scorer.failed_batches >= self.max_failed_batches:
            control.should_save = control.should_training_stop = True


class WarnOfCollapse(TrainerCallback):
    """Says, once for each strategy, that it is followed a third less often than at the start where it is right.

    The longest responses, and those that are seldom wholly right, lose first: lists. What is looked at are the sampled
    responses (`strategy_right/<strategy>` in the log), the last WINDOW rows beside the first.
    """

    def __init__(self):
        self.told: set[str] = set()

    def on_log(self, args, state, control, **kwargs):
        if not state.is_world_process_zero:
            return
        for strategy, (first, last) in collapsed(state.log_history).items():
            if strategy not in self.told:
                self.told.add(strategy)
                tqdm.write(
                    f"warning: step {state.global_step}: `{strategy}` collapses: of the sampled responses where it is "
                    f"right, {last:.0%} follow it, {first:.0%} at the start. More prompts of it "
                    f"(--round {strategy}=2), a lower --temperature or --learning_rate, or fewer --max_steps keep it.",
                    file=sys.stderr,
                )


def collapsed(log_history: list[dict]) -> dict[str, tuple[float, float]]:
    """strategy -> (share at the start, share now) of those that are down to COLLAPSED of it."""
    name, found = "strategy_right/", {}
    for key in dict.fromkeys(key for row in log_history for key in row if key.startswith(name)):
        values = [row[key] for row in log_history if row.get(key) is not None]
        first, last = values[:WINDOW], values[-WINDOW:]
        if len(values) >= 2 * WINDOW and sum(last) <= COLLAPSED * sum(first):
            found[key.removeprefix(name)] = sum(first) / WINDOW, sum(last) / WINDOW
    return found
