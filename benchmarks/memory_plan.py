"""The memory that the presets need, worked out without a card: what fits which.

    python benchmarks/memory_plan.py --output_dir benchmarks/results      # all presets, minutes
    python benchmarks/memory_plan.py --presets qwen3-vl-2b                # one, printed only
    python benchmarks/memory_plan.py --against benchmarks/results/gpu.json    # with what a card allocated

Weights, gradients and AdamW's moments are counted on the preset's real shape. For the rest, one training step of the
same code as TRL's (its loss, bf16 autocast, gradient checkpointing) and the reading of the prompts run on fake tensors,
which have sizes and no contents, at two depths of each tower; what a layer adds is taken times the layers that there
are. The reading of prompts is the weakest part: for a small Gemma 3, torch allocates twice of it.
Pictures are squares of --image_max_side; the length of texts is an option. Worked out, not measured on a card:
the fused kernels of a card may save some, and RESERVE stands for the CUDA context and for memory in pieces.
"""

import contextlib
import json
import sys
import weakref
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest import mock

import yaml

import gpu
from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import UserError, run_main
from measure import ROOT
from memory_shapes import SHAPES, Shape, batch

CARDS = (24, 40, 48, 80, 141)  # GB, as they are sold
RESERVE = 1.08  # of what is allocated; and
CONTEXT = 1e9  # bytes


@dataclass
class Arguments:
    presets: list[str] = option("which", factory=lambda: sorted(SHAPES))
    gpus: int = option("processes of DDP, FSDP2 and ZeRO-3", 2, min=2)
    text_tokens: int = option("of a prompt, beside its picture", 128, min=1)
    response_tokens: int = option("of a reference response, in SFT", 96, min=1)
    output_dir: str | None = option("folder for memory_plan.json; unset: printed only", None)
    against: str | None = option("gpu.json of gpu.py: compare with what its card allocated, and stop", None)


# --- bytes of a step, on tensors without contents ------------------------------------------------------------------


class Bytes:
    """With it, tensors of floats are fake and all that are alive are counted: `now`, and `peak` since `forget()`.

    Integers, masks and pictures are real: models look into them (where is the picture?), and they are small.
    """

    def __new__(cls):
        import torch
        from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
        from torch.utils._python_dispatch import TorchDispatchMode
        from torch.utils._pytree import tree_leaves, tree_map

        def real(value) -> bool:
            return isinstance(value, torch.Tensor) and not isinstance(value, FakeTensor)

        def positions(arg):  # x[mask]; a mask made from pixels (is this picture padding?) keeps all
            if not isinstance(arg, (list, tuple)):
                return arg
            masks = [isinstance(i, torch.Tensor) and i.dtype == torch.bool for i in arg]
            known = [
                i if not m or real(i) else torch.ones(i.shape, dtype=torch.bool)
                for i, m in zip(arg, masks, strict=True)
            ]
            places = [i.nonzero(as_tuple=True) if m else (i,) for i, m in zip(known, masks, strict=True)]
            return [i for place in places for i in place] if any(masks) else arg

        class Mode(TorchDispatchMode):
            def __init__(self):
                super().__init__()
                self.fake, self.known, self.now, self.peak = FakeTensorMode(), {}, 0, 0

            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                kwargs = kwargs or {}
                given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
                dtype = kwargs.get("dtype") or (None if given else torch.get_default_dtype())
                whole = func.__name__.startswith(("arange", "scalar_tensor", "full")) and kwargs.get("dtype") is None
                if any(not real(t) for t in given) or (dtype and dtype.is_floating_point and not whole):
                    args = tuple(positions(arg) for arg in args)
                    args, kwargs = tree_map(lambda v: self.fake.from_tensor(v) if real(v) else v, (args, kwargs))
                    with self.fake:
                        out = func(*args, **kwargs)
                else:
                    out = func(*args, **kwargs)
                for leaf in tree_leaves(out):
                    if isinstance(leaf, torch.Tensor):
                        self.note(leaf.untyped_storage())
                return out

            def note(self, storage) -> None:
                key, size = storage._cdata, storage.nbytes()
                if key not in self.known:
                    self.known[key] = weakref.ref(storage, lambda _: self.drop(key, size))
                    self.now += size
                    self.peak = max(self.peak, self.now)

            def drop(self, key: int, size: int) -> None:
                del self.known[key]
                self.now -= size

            def forget(self) -> None:
                self.peak = self.now

        return Mode()


@dataclass
class Step:
    """Bytes beyond weights, gradients and the optimizer's moments."""

    training: float  # at the peak of a micro-step that finds the gradients of an earlier one
    reading: float  # of the prompts, at its peak, without the cache
    cache: float  # of a token of one conversation


def prepare(model, lora: dict | None = None, checkpointing: bool = True):
    """As the trainers have it: an adapter, gradient checkpointing, TRL's loss that makes no logits."""
    import torch
    from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    if lora:
        from peft import LoraConfig, get_peft_model

        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)  # which PEFT would turn an adapter in bfloat16 into
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **lora))
        torch.set_default_dtype(before)
    if checkpointing:
        model.enable_input_require_grads() if lora else None
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def micro_step(model, inputs: dict) -> None:
    import torch

    with torch.autocast("cpu", torch.bfloat16):
        found = model(**inputs, use_cache=False, fused_lm_head=True)
        loss = -found.log_probs.mean()
    loss.backward()


def read(model, inputs: dict):
    """The prompts' cache, as generation begins with it."""
    import torch

    inputs = {name: value for name, value in inputs.items() if name != "labels"}
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        return model(**inputs, use_cache=True, logits_to_keep=1).past_key_values


def cache_bytes(cache) -> int:
    return sum(t.untyped_storage().nbytes() for layer in cache.layers for t in (layer.keys, layer.values))


def step_of(shape: Shape, depths: tuple[int, int], dtype, lora, rows: int, prompts: int, side: int, lengths) -> Step:
    """At so many layers of (text, vision)."""
    import torch
    from transformers.initialization import no_init_weights

    text, response = lengths
    stay = mock.patch.object(torch.nn.Module, "to", lambda self, *_, **__: self)  # fake tensors cannot be moved
    inputs, prompt = (batch(shape, n, side, text, said) for n, said in ((rows, response), (prompts, 0)))
    bytes_ = Bytes()
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with bytes_, stay, no_init_weights(), torch.random.fork_rng(devices=[]):
            model = prepare(shape.build(*depths), lora)
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.grad = torch.empty_like(parameter)
            held = bytes_.now
            bytes_.forget()
            micro_step(model, inputs)
            training = bytes_.peak - held
            model.zero_grad()
            reading = cache = 0
            if prompts:
                held = bytes_.now
                bytes_.forget()
                kept = cache_bytes(read(model, prompt))
                reading, cache = bytes_.peak - held - kept, kept / prompt["input_ids"].numel()
    finally:
        torch.set_default_dtype(before)
    return Step(training, reading, cache)


def extrapolated(shape: Shape, *how) -> Step:
    """Of the whole depth, from (2, 2), (3, 2) and (2, 3) layers of (text, vision)."""
    base, deeper_text, deeper_vision = (asdict(step_of(shape, d, *how)) for d in ((2, 2), (3, 2), (2, 3)))
    text, vision = shape.text["num_hidden_layers"] - 2, shape.vision[shape.depth] - 2
    return Step(
        **{
            name: base[name] + text * (deeper_text[name] - base[name]) + vision * (deeper_vision[name] - base[name])
            for name in base
        }
    )


# --- presets ---------------------------------------------------------------------------------------------------------


def counted(shape: Shape, dtype, lora) -> tuple[int, int]:
    """(bytes of the weights, trained parameters)."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device("meta"):
            model = prepare(shape.build(), lora, checkpointing=False)
    finally:
        torch.set_default_dtype(before)
    sizes = [(p.numel(), p.numel() * p.element_size(), p.requires_grad) for p in model.parameters()]
    trained = sum(n for n, _, trains in sizes if trains)
    return sum(size for _, size, _ in sizes), trained


def parts(shape: Shape, dtype, lora, rows: int, together: int, prompts: int, side: int, lengths) -> dict[str, float]:
    """Bytes of weights, gradients, moments, activations (beyond those), cache and generation (beyond the weights and
    moments), and the number of trained parameters; `together` responses are said at once to so many prompts."""
    import torch

    step = extrapolated(shape, dtype, lora, rows, prompts, side, lengths)
    weights, trained = counted(shape, dtype, lora)
    tokens = shape.picture(side, 1)[0] + sum(lengths)
    width = 4 if dtype == torch.float32 or lora else 2  # an adapter is trained in float32
    cache = step.cache * tokens * together
    generation = max(step.reading + step.cache * tokens * prompts, cache + 3 * 4 * together * shape.text["vocab_size"])
    gradients = trained * width
    found = {"trained": trained, "weights": weights, "gradients": gradients, "moments": 2 * gradients}
    return found | {"activations": step.training, "cache": cache, "generation": generation}


def against_card(path: str) -> tuple[float, float]:
    """GiB of gpu.py's GRPO step: worked out, and as the card of its results allocated."""
    import torch

    rows = json.loads(Path(path).read_text(encoding="utf-8"))["rows"]
    measured = [r["value"] for r in rows if r["measure"].startswith("GRPO step") and r["measure"].endswith("memory")]
    if not measured:
        raise UserError(
            f"{path}: no row of the peak memory of GRPO. `python benchmarks/gpu.py --parts grpo` measures it."
        )
    s = gpu.Sizes()
    lengths = (gpu.TEXT_TOKENS, s.new_tokens)
    together = s.prompts * s.completions
    shape = SHAPES["qwen2.5-vl-3b"]
    p = parts(shape, torch.bfloat16, None, s.completions, together, s.prompts, s.pixels, lengths)
    return (p["weights"] + p["moments"] + max(p["gradients"] + p["activations"], p["generation"])) / 2**30, measured[0]


def plan(preset: str, stage: str, args: Arguments) -> dict:
    """Bytes of each part, and of a card in all, for one GPU and for `args.gpus` of them."""
    import torch

    shape = SHAPES[preset]
    config = yaml.safe_load((ROOT / stage / "configs" / f"{preset}.yaml").read_text(encoding="utf-8"))
    sft = yaml.safe_load((ROOT / "tuning_sft" / "configs" / f"{preset}.yaml").read_text(encoding="utf-8"))
    names = {"lora_r": "r", "lora_alpha": "lora_alpha", "lora_target_modules": "target_modules"}
    lora = {ours: sft[name] for name, ours in names.items()} if sft.get("use_peft") else None
    dtype = getattr(torch, config["dtype"])
    grpo = stage == "tuning_grpo"
    rows = config["per_device_train_batch_size"]
    together = rows * config["gradient_accumulation_steps"] if grpo else 0  # responses said at once
    prompts = together // config["num_generations"] if grpo else 0  # each is read once
    response = config["max_completion_length"] if grpo else args.response_tokens
    lengths = (args.text_tokens, response)
    found = parts(shape, dtype, lora, rows, together, prompts, config["image_max_side"], lengths)
    weights, trained, gradients, moments, activations, generation = (
        found[name] for name in ("weights", "trained", "gradients", "moments", "activations", "generation")
    )
    reference = weights if grpo and config.get("beta") and not lora else 0
    working = max(gradients + activations, generation)  # no gradients are there while it generates
    layer = weights / (shape.text["num_hidden_layers"] + shape.vision[shape.depth])
    n, shared = args.gpus, weights + reference
    zero_weights = weights * (2 / dtype.itemsize) + trained * 4 * (not lora)  # bf16, and a float32 copy of what trains
    cards = {
        "one": shared + moments + working,
        "ddp": shared + moments + max(2 * gradients + activations, generation),  # a copy in buckets, to be summed
        "fsdp2": (shared + moments) / n + 2 * layer + max(gradients / n + activations, generation),
        "zero3": (zero_weights + reference + moments) / n + 2 * layer + max(gradients / n + activations, generation),
    }
    del found["trained"]
    listed = {"weights": weights, "reference": reference} | found
    needs = {name: size * RESERVE + CONTEXT for name, size in cards.items()}
    fits = {name: next((card for card in CARDS if size <= card * 1e9), None) for name, size in needs.items()}
    gigabytes = {name: round(size / 1e9, 1) for name, size in (listed | needs).items()}
    return {"preset": preset, "stage": stage.removeprefix("tuning_"), "gpus": n, "gb": gigabytes, "smallest_card": fits}


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)
    if args.against:
        with contextlib.redirect_stdout(sys.stderr):
            worked_out, measured = against_card(args.against)
        print(f"GRPO of Qwen2.5-VL-3B in bf16, as gpu.py has it: worked out {worked_out:.1f} GiB, ", end="")
        print(f"allocated {measured:.1f} GiB ({100 * (worked_out / measured - 1):+.0f} %)")
        return 0
    rows = []
    for preset in args.presets:
        for stage in ("tuning_sft", "tuning_grpo"):
            print(f"... {preset}, {stage}", file=sys.stderr, flush=True)
            with contextlib.redirect_stdout(sys.stderr):
                rows.append(plan(preset, stage, args))
    names = list(rows[0]["gb"])
    print("GB  " + "  ".join(["preset".ljust(14), "stage", *names]))
    for row in rows:
        print("    " + "  ".join([row["preset"].ljust(14), row["stage"].ljust(5)] + _cells(row, names)))
    if args.output_dir:
        from clarifyvlm.jsonl import write_text_atomic
        from clarifyvlm.run_record import commit, versions

        content = {"rows": rows, "settings": asdict(args), "versions": versions(), "commit": commit()}
        del content["settings"]["output_dir"]
        path = Path(args.output_dir) / "memory_plan.json"
        write_text_atomic(path, json.dumps(content, indent=2) + "\n")
        print(f"\n{path}")
    return 0


def _cells(row: dict, names: list[str]) -> list[str]:
    cards = row["smallest_card"]
    cells = [f"{row['gb'][name]:g}" + (f" ({cards[name] or '-'})" if name in cards else "") for name in names]
    return [cell.ljust(len(name)) for cell, name in zip(cells, names, strict=True)]


if __name__ == "__main__":
    run_main(main)
