"""The decoding loop behind `generate`: like the library's own, but finished rows leave the batch, and every token's
log-probability is noted.

The library goes on with all rows until the longest response ends. Responses of one batch differ much in length (a name,
a list of four readings), so that most of that work is on padding. Imports torch: see generation.py.
"""

from collections.abc import Callable

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer
from transformers.integrations import is_deepspeed_zero3_enabled, is_fsdp_managed_module

from clarifyvlm import processes

LEAVE = 1 / 8  # rows leave once so large a part of the batch has finished: taking them out copies the cache


class Decoder:
    """For one call of `model.generate(..., custom_generate=Decoder())`, greedy or sampling, decoder-only models.

    Returns token ids (B, prompt + T) as `generate` does, a finished row padded. `logprobs` then holds T tensors (B,):
    the log-probability of each token under the model's own distribution (temperature 1), 0 in the padding. One step's
    distribution is held at a time: `output_scores` would hold all of them, gigabytes for a large vocabulary.
    `on_tokens` gets each step's tokens (B,) as soon as they are chosen; what it raises ends the generation.
    `copies`: every prompt is read once and answered so many times, side by side; the result has (B * copies) rows.

    Source of the loop: transformers' GenerationMixin._sample, whose steps it takes in the same order.
    """

    def __init__(self, on_tokens: Callable[[torch.Tensor], None] | None = None, copies: int = 1):
        self.logprobs: list[torch.Tensor] = []
        self.on_tokens, self.copies = on_tokens, copies

    def __call__(
        self, model, input_ids, logits_processor=None, stopping_criteria=None, generation_config=None, **model_kwargs
    ) -> torch.Tensor:
        pad = generation_config._pad_token_tensor.to(input_ids.device)
        outputs = model._prefill(input_ids, generation_config, model_kwargs)
        if self.copies > 1:
            input_ids = _copied(input_ids, outputs, model_kwargs, self.copies)
        prompts, count = input_ids, len(input_ids)
        rows = torch.arange(count, device=input_ids.device)  # of the whole batch, that are still in it
        alive = torch.ones(count, dtype=torch.bool, device=input_ids.device)  # of `rows`
        # A model in pieces speaks in all processes or in none: rows stay, and steps go on until all have finished.
        synced = processes.count() > 1 and (is_deepspeed_zero3_enabled() or is_fsdp_managed_module(model))
        columns, left = [], count
        with model._optimize_model_for_decode():
            while True:
                model_kwargs = model._update_model_kwargs_for_generation(outputs, model_kwargs)
                if left:
                    logits = outputs.logits[:, -1].to(copy=True, dtype=torch.float32, device=input_ids.device)
                    tokens = _choose(logits_processor(input_ids, logits), generation_config.do_sample)
                    tokens = torch.where(alive, tokens, pad)
                    taken = logits.log_softmax(dim=-1).gather(1, tokens[:, None])[:, 0] * alive
                    columns.append(pad.repeat(count).index_copy(0, rows, tokens))
                    if self.on_tokens:
                        self.on_tokens(columns[-1])
                    self.logprobs.append(taken.new_zeros(count).index_copy(0, rows, taken))
                    input_ids = torch.cat([input_ids, tokens[:, None]], dim=-1)
                    alive = alive & ~stopping_criteria(input_ids, None)
                    left = int(alive.sum())  # the one look of a step at what the device has found
                if not model._has_unfinished_sequences(left == 0, synced, device=input_ids.device):
                    break
                del outputs  # the first one's logits are those of every token of the prompts
                if not synced and left <= len(alive) * (1 - LEAVE) and _rows_can_leave(model_kwargs):
                    kept = alive.nonzero()[:, 0]
                    _keep(model_kwargs, kept, len(alive))
                    rows, input_ids, alive = rows[kept], input_ids[kept], alive[kept]
                step = 1 if model_kwargs["use_cache"] else None
                inputs = model.prepare_inputs_for_generation(input_ids, next_sequence_length=step, **model_kwargs)
                outputs = model(**inputs, return_dict=True)
        return torch.cat([prompts, torch.stack(columns, dim=1)], dim=-1)


def _copied(input_ids: torch.Tensor, outputs, model_kwargs: dict, copies: int) -> torch.Tensor:
    """Prompts (B, L) -> (B * copies, L); what the model made of them, and the inputs of the next step, likewise."""
    for name, value in model_kwargs.items():
        if isinstance(value, torch.Tensor) and value.ndim:
            rows = value.ndim - 2 if name == "position_ids" else 0  # (B, L), or (axes, B, L)
            if value.shape[rows] == len(input_ids):
                model_kwargs[name] = value.repeat_interleave(copies, dim=rows)
    outputs.past_key_values.batch_repeat_interleave(copies)
    outputs.logits = outputs.logits[:, -1:].repeat_interleave(copies, dim=0)
    return input_ids.repeat_interleave(copies, dim=0)


def speak_as_we_do(model, repeats: int) -> None:
    """Let `model.generate` decode with a Decoder, whoever calls it: TRL's trainers do. Where `repeats` rows in a row
    are the same prompt with the same picture (a group of GRPO), it is read once for all of them."""
    generate = model.generate

    def speak(**inputs):
        if "custom_generate" in inputs:
            return generate(**inputs)
        cached = getattr(inputs.get("generation_config"), "use_cache", True) is not False
        once = _one_of_each(inputs, repeats) if cached else None
        copies = repeats if once else 1
        return generate(**(once or inputs), custom_generate=Decoder(copies=copies))

    model.generate = speak


def _one_of_each(inputs: dict, repeats: int) -> dict | None:
    """The inputs of `generate` with one row of each group; None where the rows are no groups."""
    count = len(inputs["input_ids"])
    rows = {name: value for name, value in inputs.items() if isinstance(value, torch.Tensor)}
    if repeats < 2 or count % repeats:
        return None
    if "image_grid_thw" in rows:  # patches of all pictures in one row after another
        sizes = rows["image_grid_thw"].prod(dim=-1).tolist()
        parts = rows.pop("pixel_values").split(sizes)
        if len(parts) != count or not all(torch.equal(p, parts[i - i % repeats]) for i, p in enumerate(parts)):
            return None
        inputs = inputs | {"pixel_values": torch.cat(parts[::repeats])}
    if any(len(value) != count for value in rows.values()):
        return None
    groups = [value.unflatten(0, (-1, repeats)) for value in rows.values()]
    if not all((group == group[:, :1]).all() for group in groups):
        return None
    return inputs | {name: value[::repeats] for name, value in rows.items()}


def _choose(scores: torch.Tensor, sample: bool) -> torch.Tensor:
    """Next tokens (B,) from scores (B, vocabulary)."""
    return torch.multinomial(scores.softmax(dim=-1), 1)[:, 0] if sample else scores.argmax(dim=-1)


def _rows_can_leave(model_kwargs: dict) -> bool:
    """Whether the cache is of the plain kind, one row of keys and values per row of the batch."""
    cache = model_kwargs.get("past_key_values")
    plain = (DynamicLayer, DynamicSlidingWindowLayer)
    return type(cache) is DynamicCache and all(type(layer) in plain for layer in cache.layers)


def _keep(model_kwargs: dict, kept: torch.Tensor, size: int) -> None:
    """Take only the rows `kept` of a batch of `size` along, in the cache and in the inputs of the next step."""
    for name, value in model_kwargs.items():
        if name == "past_key_values":
            value.batch_select_indices(kept)
        elif isinstance(value, torch.Tensor) and value.ndim:
            batch = value.ndim - 2 if name == "position_ids" else 0  # (B, L), or (axes, B, L)
            if value.shape[batch] == size:
                model_kwargs[name] = value.index_select(batch, kept)
