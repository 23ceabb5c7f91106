"""benchmarks/memory_plan.py against the bytes that torch allocates, for small models of the presets' families."""

import dataclasses

import pytest

from stages import ROOT

with pytest.MonkeyPatch.context() as patch:  # for the import only: benchmarks/ has names that stages have, too
    patch.syspath_prepend(ROOT / "benchmarks")
    import memory_plan
    from memory_shapes import SHAPES, batch, rope

TEXT = {"hidden_size": 256, "intermediate_size": 640, "num_hidden_layers": 5, "vocab_size": 3000}
TEXT |= {"num_attention_heads": 4, "num_key_value_heads": 2}
VISION = {"hidden_size": 96, "intermediate_size": 256}
MORE = {  # of (text, vision, both)
    "qwen2.5-vl-3b": (
        rope(8, 12, 12),
        {"depth": 4, "num_heads": 2, "out_hidden_size": 256, "fullatt_block_indexes": [1]},
        {},
    ),
    "qwen3-vl-2b": (
        {"head_dim": 64, **rope(12, 10, 10)},
        {"depth": 4, "num_heads": 2, "out_hidden_size": 256, "deepstack_visual_indexes": [1]},
        {},
    ),
    "internvl3-2b": ({}, {"num_hidden_layers": 4, "num_attention_heads": 2}, {}),
    "smolvlm2-500m": ({}, {"num_hidden_layers": 4, "num_attention_heads": 2}, {}),
    "gemma3-4b": ({"head_dim": 64}, {"num_hidden_layers": 4, "num_attention_heads": 2}, {}),
}
SIDE, ROWS, LENGTHS = 448, 2, (64, 48)


def small(preset: str):
    """The shape with small numbers and the same pictures."""
    text, vision, more = MORE[preset]
    shape = SHAPES[preset]
    return dataclasses.replace(
        shape, text=shape.text | TEXT | text, vision=shape.vision | VISION | vision, more=shape.more | more
    )


class Allocated:
    """Bytes that torch's allocator gave out, by its profiler: `peak` above and `left` over from what was there."""

    def __enter__(self):
        from torch.profiler import ProfilerActivity, profile

        self.profile = profile(activities=[ProfilerActivity.CPU], profile_memory=True).__enter__()
        return self

    def __exit__(self, *error):
        self.profile.__exit__(*error)
        events = [e for e in self.profile.profiler.kineto_results.events() if e.name() == "[memory]"]
        self.left = self.peak = 0
        for event in sorted(events, key=lambda e: e.start_ns()):
            self.left += event.nbytes()
            self.peak = max(self.peak, self.left)


@pytest.mark.slow
@pytest.mark.parametrize("preset", SHAPES)
@pytest.mark.parametrize("lora", [None], ids=["full"])
def test_a_small_model_needs_what_was_worked_out(preset, lora):
    """A part that is forgotten (copies of autocast, a second set of gradients), or layers counted wrongly."""
    import torch

    shape = small(preset)
    dtype = torch.bfloat16 if lora else torch.float32
    step = memory_plan.extrapolated(shape, dtype, lora, ROWS, ROWS, SIDE, LENGTHS)
    weights, trained = memory_plan.counted(shape, dtype, lora)
    near = lambda expected: pytest.approx(expected, rel=0.15)  # noqa: E731

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with Allocated() as built:
            model = memory_plan.prepare(shape.build(), lora)
    finally:
        torch.set_default_dtype(before)
    assert weights == near(built.left)
    inputs = batch(shape, ROWS, SIDE, *LENGTHS)
    with Allocated() as first:
        memory_plan.micro_step(model, inputs)
    assert trained * 4 == near(first.left)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    with Allocated() as stepped:
        optimizer.step()
    assert 2 * trained * 4 == near(stepped.left)
    with Allocated() as second:
        memory_plan.micro_step(model, inputs)
    assert step.training == near(second.peak)
    with Allocated() as reading:
        cache = memory_plan.read(model, batch(shape, ROWS, SIDE, LENGTHS[0], 0))
    tokens = ROWS * (shape.picture(SIDE, 1)[0] + LENGTHS[0])
    assert step.cache * tokens == near(memory_plan.cache_bytes(cache))
    if preset != "gemma3-4b":  # whose reading of a prompt allocates twice of what is worked out
        assert step.reading + step.cache * tokens == pytest.approx(reading.peak, rel=0.25)


@pytest.mark.parametrize("preset", SHAPES)
def test_shapes_are_those_of_the_published_models(preset):
    """A number mistyped: the checkpoint's size is known to the parameter."""
    import torch

    with torch.device("meta"):
        model = SHAPES[preset].build()
    assert sum(p.numel() for p in model.parameters()) == SHAPES[preset].parameters


@pytest.mark.slow
def test_the_step_that_a_card_measured():
    """A plan that is right for toy shapes on a CPU and wrong for the shape and the card that people have."""
    worked_out, allocated = memory_plan.against_card(ROOT / "benchmarks/results/gpu.json")
    assert worked_out == pytest.approx(allocated, rel=0.15)
