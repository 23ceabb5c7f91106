"""The embedded base's parts: processor, LLaVA-shaped model, and the heads of pretraining only. See pretrain.py."""

import torch
import torch.nn.functional as F

from pretraining_data import GRID, PATCH, PATCH_LABELS, READ_OUTS, sample_scene
from pretraining_questions import questions
from pretraining_words import MORE_WORDS, WORDS, sentence

PREFIX = 2 + GRID * GRID  # <s><|user|> and the picture
SPECIAL = ("<pad>", "<s>", "<image>", "<|user|>", "<|assistant|>", "<|end|>")
CHAT_TEMPLATE = (
    "{{ '<s>' }}{% for m in messages %}{{ '<|assistant|>' if m['role'] == 'assistant' else '<|user|>' }}"
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
            corpus += [*next(ask)[1][:2]]
        corpus.append(sentence(rng))
    common = WORDS + MORE_WORDS
    corpus += [" ".join(common), " ".join(word.capitalize() for word in common)] * 30
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1536,
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
    """Vision 4 x 192 on 36 patches, text 6 x 192, tied embeddings; random weights."""
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
        num_hidden_layers=6,
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


def slot_attention(module, query, key, value, attention_mask, scaling, dropout=0.0, *, slots, **kwargs):
    """Attention for a row of picture + `slots`: (B, heads, PREFIX + slots * width, d) each.

    A slot (one question with its answer) sees the picture and itself, so the cost grows with the number of
    questions, not with its square. The signature is transformers' attention interface.
    """
    batch = len(query)
    width = (query.shape[2] - PREFIX) // slots
    first = F.scaled_dot_product_attention(
        query[:, :, :PREFIX],
        key[:, :, :PREFIX],
        value[:, :, :PREFIX],
        is_causal=True,
        scale=scaling,
    )

    def cut(x):  # (B, heads, slots * width, d) -> (B * slots, heads, width, d)
        return x[:, :, PREFIX:].unflatten(2, (slots, width)).transpose(1, 2).flatten(0, 1)

    def with_prefix(x):  # -> (B * slots, heads, PREFIX + width, d)
        prefix = x[:, None, :, :PREFIX].expand(-1, slots, -1, -1, -1).flatten(0, 1)
        return torch.cat([prefix, cut(x)], dim=2)

    # Written out: on small blocks two matrix products are several times faster than the fused kernel's backward.
    hidden = torch.ones(width, PREFIX + width, dtype=torch.bool).triu(PREFIX + 1)
    scores = (cut(query) * scaling) @ with_prefix(key).transpose(-1, -2)
    rest = scores.masked_fill(hidden, float("-inf")).softmax(-1).to(value.dtype) @ with_prefix(value)
    rest = rest.unflatten(0, (batch, -1)).transpose(1, 2).flatten(2, 3)
    return torch.cat([first, rest], dim=2).transpose(1, 2).contiguous(), None


def language_loss(model, pointer, readouts, prefix_ids, tokens, batch):
    """Mean over questions of the mean loss over the answer's tokens; pointer loss; read-outs' loss and accuracy;
    per-question rightness and kind.

    tokens (B, patches, width); `batch` is a part of `Batches`.
    """
    embed = model.get_input_embeddings()
    ids, labels = batch["ids"], batch["labels"]
    rows, slots, width = ids.shape
    prefix = embed(prefix_ids).expand(rows, -1, -1)
    inputs = torch.cat([prefix, tokens.to(prefix.dtype), embed(ids).flatten(1, 2)], dim=1)
    offset = torch.cat([torch.arange(PREFIX), torch.arange(PREFIX, PREFIX + width).repeat(slots)])[None]
    output = model.model.language_model(
        inputs_embeds=inputs,
        attention_mask=torch.zeros(1, 1, 1, 1),  # not read: slot_attention knows who sees whom
        position_ids=offset,
        use_cache=False,
        output_hidden_states=True,
    )
    hidden = output.last_hidden_state
    predicts = F.pad(labels[:, :, 1:] != -100, (0, 1)).flatten(1)  # the states that a token of an answer comes from
    target = labels[labels != -100]
    where = predicts.flatten().nonzero()[:, 0]  # padded: every new shape would be a new kernel
    where = F.pad(where, (0, -len(where) % 512))
    logits = model.lm_head(hidden[:, PREFIX:].flatten(0, 1)[where]).float()[: len(target)]
    slot = torch.arange(rows * slots).view(rows, slots, 1).expand_as(ids)[labels != -100]
    length = (labels != -100).sum(-1).flatten()

    def over_slots(values):  # a value per token of an answer -> its sum per question
        return torch.zeros(rows * slots).index_add(0, slot, values.float())

    per_question = over_slots(F.cross_entropy(logits, target, reduction="none")) / length
    right = over_slots(logits.argmax(-1) != target) == 0
    at_pointer = output.hidden_states[Pointer.LAYER]
    weight = predicts.view(rows, slots, width) / length.view(rows, slots, 1)
    pointing = pointer(
        at_pointer[:, 2:PREFIX],
        at_pointer[:, PREFIX:],
        batch["fitting"].repeat_interleave(width, dim=1),
        (weight * batch["refers"][:, :, None]).flatten(1),
    )
    begins = (labels != -100).int().argmax(-1) - 1  # the last token before the answer
    states = output.hidden_states[ReadOuts.LAYER][:, PREFIX:].unflatten(1, (slots, width))
    states = states.gather(2, begins[:, :, None, None].expand(-1, -1, 1, states.shape[-1])).flatten(0, 2)
    reading, read_right = readouts(states, batch["common"].flatten(0, 1), batch["refers"].flatten())
    return per_question.mean(), pointing, reading, read_right, right, batch["kinds"].flatten()
