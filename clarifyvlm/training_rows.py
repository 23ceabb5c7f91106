"""GRPO spends no time on responses from which nothing is learnt."""

import torch

from clarifyvlm import processes

SUMS = ("grpo", "dapo", "cispo")  # losses to which a row without advantage adds nothing, but for the number of rows


def skip_rows_without_advantage(trainer) -> None:
    """Leave rows whose advantage is 0 out of a GRPOTrainer's forward and backward pass: of a group whose members all
    earned the same nothing is learnt. The gradient stays the same; what TRL logs of the policy (`entropy`,
    `clip_ratio`) is then over the other rows. Left as it is where a row without advantage counts: with a KL term, in
    losses that divide by all tokens of a batch, where pictures are not one row each, and with several processes, which
    gather what they log row by row."""
    args, compute = trainer.args, trainer._compute_loss
    if args.beta or args.loss_type not in SUMS or processes.count() > 1:
        return

    def compute_loss(model, inputs):
        count = len(inputs["advantages"])
        kept = (inputs["advantages"] != 0).nonzero()[:, 0]
        if len(kept) == 0:
            kept = kept.new_zeros(1)  # a step of nothing is a step
        rows = {k: v for k, v in inputs.items() if isinstance(v, list) or (isinstance(v, torch.Tensor) and v.ndim)}
        if len(kept) == count or not model.training or any(len(v) != count for v in rows.values()):
            return compute(model, inputs)
        loss = compute(model, inputs | {name: _taken(value, kept) for name, value in rows.items()})
        return loss * (len(kept) / count) if args.loss_type == "grpo" else loss

    trainer._compute_loss = compute_loss


def _taken(rows: torch.Tensor | list, kept: torch.Tensor) -> torch.Tensor | list:
    return [rows[i] for i in kept.tolist()] if isinstance(rows, list) else rows[kept]
