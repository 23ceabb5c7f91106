"""Make the embedded base: a LLaVA-shaped VLM of 4 M parameters that sees the tiny world and always answers.

    python models/tiny/pretrain.py --output_dir runs/base

Vision tower (SigLIP) and projector first learn, patch by patch, what stands there (shape, colour, size, place);
then the language model (Llama) learns to read that off, with the patch loss kept on. Every kind of question
weighs the same. Reads nothing but the scene generator; writes a Hugging Face model directory, resumable
from `<output_dir>/checkpoint.pt`, and `curves.jsonl`, the accuracy of every kind over time.
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "30000")

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from pretraining_data import GRID, PATCH, PATCH_LABELS, READ_OUTS, SLOT, Rows, sample_scene  # noqa: E402
from pretraining_questions import KINDS, questions, sentence  # noqa: E402

PREFIX = 2 + GRID * GRID  # <s><|user|> and the picture
SPECIAL = ("<pad>", "<s>", "<image>", "<|user|>", "<|assistant|>", "<|end|>")
CHAT_TEMPLATE = (
    "{{ '<s>' }}{% for m in messages %}{{ '<|user|>' if m['role'] == 'user' else '<|assistant|>' }}"
    "{% if m['content'] is string %}{% set parts = [{'type': 'text', 'text': m['content']}] %}"
    "{% else %}{% set parts = m['content'] %}{% endif %}"
    "{% for p in parts %}{% if p['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
    "{% for p in parts %}{% if p['type'] == 'text' %}{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ p['text'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ p['text'] + '<|end|>' }}{% endif %}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def build_processor():
    """Byte-level BPE in which every word of the templates is one token, and a 96 x 96 px image processor."""
    import random

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        LlavaProcessor,
        PreTrainedTokenizerFast,
        SiglipImageProcessorPil,
    )

    rng = random.Random(0)
    corpus = []
    for _ in range(4000):
        facts = sample_scene(rng)
        ask = questions(facts, rng)
        for _ in range(8):
            corpus += next(ask)[1:3]
        corpus.append(sentence(rng))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        min_frequency=20,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="<|end|>",
        pad_token="<pad>",
        additional_special_tokens=["<image>", "<|user|>", "<|assistant|>"],
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
    size = GRID * PATCH
    image_processor = SiglipImageProcessorPil(size={"height": size, "width": size})
    return LlavaProcessor(
        image_processor=image_processor,
        tokenizer=fast,
        patch_size=PATCH,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        image_token="<image>",
        chat_template=CHAT_TEMPLATE,
    )


def build_model(processor):
    """Vision 4 x 192 on 36 patches, text 5 x 192, tied embeddings; random weights."""
    from transformers import (
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        SiglipVisionConfig,
    )

    tokenizer = processor.tokenizer
    vision = SiglipVisionConfig(
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=GRID * PATCH,
        patch_size=PATCH,
        vision_use_head=False,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=GRID * GRID,
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.bos_token_id = tokenizer.bos_token_id
    return model


class PatchHeads(torch.nn.Module):
    """Linear read-outs of the projected picture tokens; used in pretraining only."""

    def __init__(self, width: int):
        super().__init__()
        self.heads = torch.nn.ModuleList(torch.nn.Linear(width, len(v) + 1) for v in PATCH_LABELS.values())

    def forward(self, tokens, labels):
        """tokens (B, patches, width), labels (B, patches, heads) -> mean loss, accuracy per head."""
        losses, right = [], []
        covered = labels[..., 0] > 0
        for i, head in enumerate(self.heads):
            logits, target = head(tokens), labels[..., i]
            losses.append(F.cross_entropy(logits.flatten(0, 1).float(), target.flatten()))
            right.append((logits.argmax(-1) == target)[covered].float().mean())
        return torch.stack(losses).mean(), torch.stack(right)


class Pointer(torch.nn.Module):
    """Which patches hold an object that fits the question, read off the states that its answer is predicted from.

    Search is what a small model learns last from answers alone; this says at once where to look. Taken at the
    layer whose next attention can follow it; used in pretraining only.
    """

    LAYER = 3

    def __init__(self, width: int, size: int = 96):
        super().__init__()
        self.query, self.key = (
            torch.nn.Linear(width, size),
            torch.nn.Linear(width, size),
        )
        self.bias = torch.nn.Parameter(torch.tensor(-3.0))

    def forward(self, pictures, states, fitting, weight):
        """pictures (B, patches, width), states (B, T, width), fitting (B, T, patches), weight (B, T) -> loss."""
        scores = self.query(states) @ self.key(pictures).transpose(1, 2) / 96**0.5 + self.bias
        loss = F.binary_cross_entropy_with_logits(scores.float(), fitting, reduction="none").sum(-1)
        return (loss * weight).sum() / weight.sum()


class ReadOuts(torch.nn.Module):
    """Linear read-outs, where the answer begins, of what the objects that fit the question have in common.

    How many fit, whether one is larger, whether they are alike: what a direct answer never says and every
    strategy turns on. Taken one layer after the pointer's; used in pretraining only.
    """

    LAYER = 4

    def __init__(self, width: int):
        super().__init__()
        self.heads = torch.nn.ModuleList(torch.nn.Linear(width, classes) for classes in READ_OUTS.values())

    def forward(self, states, common, weight):
        """states (N, width), common (N, heads) classes, weight (N,) -> mean loss, accuracy per head."""
        losses, right = [], []
        for i, head in enumerate(self.heads):
            logits, target = head(states), common[:, i]
            losses.append((F.cross_entropy(logits.float(), target, reduction="none") * weight).sum() / weight.sum())
            right.append(((logits.argmax(-1) == target) * weight).sum() / weight.sum())
        return torch.stack(losses).mean(), torch.stack(right)


def picture_tokens(model, pixels):
    """(B, 3, H, W) -> (B, patches, width): what the language model sees."""
    features = model.model.get_image_features(
        pixel_values=pixels,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    return torch.stack(tuple(features.pooler_output))


def slot_attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    """Attention for a row of picture + slots: (B, heads, PREFIX + slots * SLOT, d) each.

    A slot (one question with its answer) sees the picture and itself, so the cost grows with the number of
    questions, not with its square. The signature is transformers' attention interface.
    """
    batch, heads, _, d = query.shape
    first = F.scaled_dot_product_attention(
        query[:, :, :PREFIX],
        key[:, :, :PREFIX],
        value[:, :, :PREFIX],
        is_causal=True,
        scale=scaling,
    )

    def slots(x):  # (B, heads, slots * SLOT, d) -> (B * slots, heads, SLOT, d)
        return x[:, :, PREFIX:].unflatten(2, (-1, SLOT)).transpose(1, 2).flatten(0, 1)

    def with_prefix(x):  # -> (B * slots, heads, PREFIX + SLOT, d)
        own = slots(x)
        prefix = x[:, None, :, :PREFIX].expand(-1, len(own) // batch, -1, -1, -1).flatten(0, 1)
        return torch.cat([prefix, own], dim=2)

    # Written out: on small blocks two matrix products are several times faster than the fused kernel's backward.
    hidden = torch.ones(SLOT, PREFIX + SLOT, dtype=torch.bool).triu(PREFIX + 1)
    scores = (slots(query) * scaling) @ with_prefix(key).transpose(-1, -2)
    rest = scores.masked_fill(hidden, float("-inf")).softmax(-1).to(value.dtype) @ with_prefix(value)
    rest = rest.unflatten(0, (batch, -1)).transpose(1, 2).flatten(2, 3)
    return torch.cat([first, rest], dim=2).transpose(1, 2).contiguous(), None


def language_loss(model, pointer, readouts, prefix_ids, tokens, batch):
    """Mean over questions of the mean loss over the answer's tokens; pointer loss; read-outs' loss and accuracy;
    per-question rightness and kind.

    tokens (B, patches, width); batch ids, labels (B, slots, SLOT), kinds (B, slots).
    """
    embed = model.get_input_embeddings()
    ids, labels = batch["ids"], batch["labels"]
    rows, slots, _ = ids.shape
    prefix = embed(prefix_ids).expand(rows, -1, -1)
    inputs = torch.cat([prefix, tokens.to(prefix.dtype), embed(ids).flatten(1, 2)], dim=1)
    offset = torch.cat([torch.arange(PREFIX), torch.arange(PREFIX, PREFIX + SLOT).repeat(slots)])[None]
    output = model.model.language_model(
        inputs_embeds=inputs,
        attention_mask=torch.zeros(1, 1, 1, 1),  # not read: slot_attention knows who sees whom
        position_ids=offset,
        use_cache=False,
        output_hidden_states=True,
    )
    hidden = output.last_hidden_state
    # All positions go through the head, answer or not: one shape for every batch, so that kernels are made once.
    logits = model.lm_head(hidden[:, PREFIX:]).float()[:, :-1].flatten(0, 1)
    target = labels.flatten(1)[:, 1:].flatten()
    loss = F.cross_entropy(logits, target, reduction="none", ignore_index=-100)
    loss, wrong = (
        F.pad(loss.view(rows, -1), (1, 0)),
        (logits.argmax(-1) != target) & (target != -100),
    )
    wrong = F.pad(wrong.view(rows, -1), (1, 0)).view(rows, slots, SLOT).any(-1)
    per_question = loss.view(rows, slots, SLOT).sum(-1) / (labels != -100).sum(-1)
    at_pointer = output.hidden_states[Pointer.LAYER]
    predicts = F.pad(labels[:, :, 1:] != -100, (0, 1)).float() / (labels != -100).sum(-1, keepdim=True)
    pointing = pointer(
        at_pointer[:, 2:PREFIX],
        at_pointer[:, PREFIX:],
        batch["fitting"].repeat_interleave(SLOT, dim=1),
        (predicts * batch["refers"][:, :, None]).flatten(1),
    )
    begins = (labels != -100).int().argmax(-1) - 1  # the last token before the answer
    states = output.hidden_states[ReadOuts.LAYER][:, PREFIX:].unflatten(1, (slots, SLOT))
    states = states.gather(2, begins[:, :, None, None].expand(-1, -1, 1, states.shape[-1])).flatten(0, 2)
    reading, read_right = readouts(states, batch["common"].flatten(0, 1), batch["refers"].flatten())
    return per_question.mean(), pointing, reading, read_right, ~wrong.flatten(), batch["kinds"].flatten()


def learning_rate(progress: float, warm: float, peak: float) -> float:
    """Linear warm-up, then a half cosine to 2 % of the peak; `progress` in 0..1."""
    if progress < warm:
        return peak * progress / warm
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm))))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=5000, help="optimiser steps with language")
    parser.add_argument("--patch_steps", type=int, default=1000, help="steps before, of vision alone")
    parser.add_argument("--batch_size", type=int, default=32, help="pictures a step")
    parser.add_argument("--questions", type=int, default=10, help="questions a picture")
    parser.add_argument("--learning_rate", type=float, default=2.0e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log_every", type=int, default=50)
    parser.add_argument("--save_every", type=int, default=200)
    args = parser.parse_args(argv)

    from transformers import AutoProcessor
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    torch.manual_seed(args.seed)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    checkpoint = args.output_dir / "checkpoint.pt"
    if checkpoint.exists():  # the words of an interrupted run stay its words
        processor = AutoProcessor.from_pretrained(args.output_dir)
    else:
        processor = build_processor()
        processor.save_pretrained(args.output_dir)
    model = build_model(processor)
    ALL_ATTENTION_FUNCTIONS.register("slots", slot_attention)
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
    rows = Rows(processor.tokenizer, seed=args.seed * 1000 + start, slots=args.questions)
    loader = iter(torch.utils.data.DataLoader(rows, batch_size=args.batch_size, num_workers=1, prefetch_factor=4))
    prefix_ids = torch.tensor([processor.tokenizer.convert_tokens_to_ids(["<s>", "<|user|>"])])

    began, sums = time.time(), {}
    for step in range(start, total):
        if step < args.patch_steps:
            rate = learning_rate(step / args.patch_steps * 0.5, 0.05, args.learning_rate)
        else:
            rate = learning_rate((step - args.patch_steps) / args.steps, 0.03, args.learning_rate)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = next(loader)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            tokens = picture_tokens(model, batch["pixels"])
            loss, patch_right = heads(tokens, batch["patches"])
            if step >= args.patch_steps:
                answer_loss, pointing, reading, read_right, right, kind = language_loss(
                    model, pointer, readouts, prefix_ids, tokens, batch
                )
                loss = 0.5 * loss + answer_loss + 0.3 * pointing + 0.5 * reading
                sums["pointing"] = sums.get("pointing", 0) + pointing.item()
                sums["loss"] = sums.get("loss", 0) + answer_loss.item()
                for k, name in enumerate(KINDS):
                    of_kind = right[kind == k]
                    n, r = sums.get(name, (0, 0))
                    sums[name] = (n + len(of_kind), r + of_kind.sum().item())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
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

    exported = copy.deepcopy(model).to(torch.float16)
    exported.config.made_for = "scenes"
    exported.save_pretrained(output_dir)


if __name__ == "__main__":
    main()
