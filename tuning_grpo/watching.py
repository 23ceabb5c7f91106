"""What is watched while GRPO trains: a judge that fails, and a strategy that the policy gives up."""

import sys

from tqdm import tqdm
from transformers import TrainerCallback

WINDOW = 10  # logged rows of a strategy that are taken together
COLLAPSED = 2 / 3  # of the share at the start


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
