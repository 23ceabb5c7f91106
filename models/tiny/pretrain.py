"""Make the embedded base: a LLaVA-shaped VLM of 4.6 M parameters that sees the tiny world and always answers.

    python models/tiny/pretrain.py --output_dir runs/base

Vision tower (SigLIP) and projector first learn, patch by patch, what stands there (shape, color, size, place);
then the language model (Llama) learns to read that off, with the patch loss kept on. Every kind of question
weighs the same. Reads nothing but the scene generator; writes a Hugging Face model directory, resumable
from `<output_dir>/checkpoint.pt`, and `curves.jsonl`, the accuracy of every kind over time.
"""

import argparse
import functools
import json
import math
import os
import time
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "30000")


def learning_rate(progress: float, warm: float, peak: float) -> float:
    """Linear warm-up, then a half cosine to 2 % of the peak; `progress` in 0..1."""
    if progress < warm:
        return peak * progress / warm
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm))))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3800, help="optimizer steps with language")
    parser.add_argument("--patch_steps", type=int, default=1000, help="steps before, of vision alone")
    parser.add_argument("--batch_size", type=int, default=32, help="pictures a step")
    parser.add_argument("--questions", type=int, default=10, help="questions a picture")
    parser.add_argument("--learning_rate", type=float, default=2.0e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log_every", type=int, default=50)
    parser.add_argument("--save_every", type=int, default=100)
    args = parser.parse_args(argv)

    import torch
    from transformers import AutoProcessor
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    from pretraining_data import PATCH_LABELS, READ_OUTS, Batches
    from pretraining_model import (
        PatchHeads,
        Pointer,
        ReadOuts,
        build_model,
        build_processor,
        language_loss,
        picture_tokens,
        slot_attention,
    )  # fmt: skip
    from pretraining_questions import KINDS

    torch.manual_seed(args.seed)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    checkpoint = args.output_dir / "checkpoint.pt"
    if checkpoint.exists():  # the words of an interrupted run stay its words
        processor = AutoProcessor.from_pretrained(args.output_dir)
    else:
        processor = build_processor()
        processor.save_pretrained(args.output_dir)
    model = build_model(processor)
    ALL_ATTENTION_FUNCTIONS.register("slots", functools.partial(slot_attention, slots=args.questions))
    model.model.language_model.config._attn_implementation = "slots"
    heads = PatchHeads(model.config.text_config.hidden_size)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {len(processor.tokenizer)} tokens")

    pointer = Pointer(model.config.text_config.hidden_size)
    readouts = ReadOuts(model.config.text_config.hidden_size)
    trained = torch.nn.ModuleList([model, heads, pointer, readouts])
    decayed = [p for p in trained.parameters() if p.ndim >= 2]
    others = [p for p in trained.parameters() if p.ndim < 2]
    groups = [
        {"params": decayed, "weight_decay": 0.05},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=args.learning_rate, betas=(0.9, 0.98))
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        trained.load_state_dict(state["trained"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
        print(f"going on at step {start}")
    total = args.patch_steps + args.steps
    batches = Batches(processor.tokenizer, args.seed * 1000 + start, args.batch_size, args.questions)
    loader = iter(torch.utils.data.DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=4))
    prefix_ids = torch.tensor([processor.tokenizer.convert_tokens_to_ids(["<s>", "<|user|>"])])

    began, sums = time.time(), {}
    for step in range(start, total):
        if step < args.patch_steps:
            rate = learning_rate(step / args.patch_steps * 0.5, 0.05, args.learning_rate)
        else:
            rate = learning_rate((step - args.patch_steps) / args.steps, 0.03, args.learning_rate)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        for part in next(loader):
            share = len(part["pixels"]) / args.batch_size
            with torch.autocast("cpu", dtype=torch.bfloat16):
                tokens = picture_tokens(model, part["pixels"])
                loss, patch_right = heads(tokens, part["patches"])
                if step >= args.patch_steps:
                    answer_loss, pointing, reading, read_right, right, kind = language_loss(
                        model, pointer, readouts, prefix_ids, tokens, part
                    )
                    loss = 0.5 * loss + answer_loss + 0.3 * pointing + 0.5 * reading
                    sums["pointing"] = sums.get("pointing", 0) + share * pointing.item()
                    sums["loss"] = sums.get("loss", 0) + share * answer_loss.item()
                    for k, name in enumerate(KINDS):
                        of_kind = right[kind == k]
                        n, r = sums.get(name, (0, 0))
                        sums[name] = (n + len(of_kind), r + of_kind.sum().item())
            (share * loss).backward()
        torch.nn.utils.clip_grad_norm_(decayed + others, 1.0)
        optimizer.step()
        if (step + 1) % args.log_every == 0:
            line = {"step": step + 1, "seconds": round(time.time() - began), "lr": rate}
            line["patch"] = dict(
                zip(
                    PATCH_LABELS,
                    [round(v, 3) for v in patch_right.tolist()],
                    strict=True,
                )
            )
            if "loss" in sums:
                line["common"] = {k: round(v, 3) for k, v in zip(READ_OUTS, read_right.tolist(), strict=True)}
                line["loss"] = round(sums.pop("loss") / args.log_every, 4)
                line["pointing"] = round(sums.pop("pointing") / args.log_every, 4)
                line["right"] = {k: round(r / max(1, n), 3) for k, (n, r) in sums.items()}
            sums = {}
            with open(args.output_dir / "curves.jsonl", "a") as f:
                f.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
        if (step + 1) % args.save_every == 0 or step + 1 == total:
            state = {
                "trained": trained.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step + 1,
            }
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").rename(checkpoint)
    save(model, args.output_dir)


def save(model, output_dir: Path) -> None:
    """Weights in float16 (half the size; loaded as float32 they are exact)."""
    import copy

    import torch

    exported = copy.deepcopy(model).to(torch.float16)
    exported.config.made_for = "scenes"
    exported.save_pretrained(output_dir)


if __name__ == "__main__":
    main()
