"""vLLM as the backend of predictions, where it is installed (its CPU build will do); else what is said about that."""

import importlib.util
import json
import shutil

import pytest
from PIL import Image

import predict
from clarifyvlm import chat
from clarifyvlm.errors import UserError
from clarifyvlm.models import loading, vllm_engine
from clarifyvlm.models.generation import Generator, encode
from families import build
from stages import write_data

installed = importlib.util.find_spec("vllm") is not None


def pretend(folder, version: str) -> None:
    """A package vllm of that version in `folder`, as pip would leave it."""
    (folder / "vllm").mkdir()
    (folder / "vllm" / "__init__.py").write_text("")
    info = folder / f"vllm-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
    (info / "RECORD").write_text("vllm/__init__.py,,\n")


@pytest.mark.skipif(installed, reason="vLLM is installed")
@pytest.mark.parametrize(
    ("version", "fits"), [("0.21.9", False), ("0.22.0", True), ("0.31.0+cu130", True), ("0.31.1", False)]
)
def test_versions_outside_the_range_are_refused(version, fits, tmp_path, monkeypatch):
    """A vLLM that TRL does not know, found out by rollouts that are wrong."""
    with pytest.raises(UserError, match="pip install 'clarifyvlm.vllm.'"):
        vllm_engine.check_version()
    pretend(tmp_path, version)
    monkeypatch.syspath_prepend(tmp_path)
    if fits:
        vllm_engine.check_version()
    else:
        with pytest.raises(UserError, match=r"0\.22\.0 to 0\.31\.0 are supported"):
            vllm_engine.check_version()


def test_an_adapter_with_other_pictures_is_refused(tiny_adapter_dir, tiny_model_dir, tmp_path):
    """Rollouts about pictures of another size than those that the loss is on: TRL has vLLM load the base alone."""
    for fine in (tiny_model_dir, tiny_adapter_dir):
        vllm_engine.check_adapter(fine)
    changed = shutil.copytree(tiny_adapter_dir, tmp_path / "changed")
    settings = json.loads((changed / "processor_config.json").read_text())
    settings["image_processor"]["resample"] = 0
    (changed / "processor_config.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match=r"otherwise than its base \(resample\).*publish .*--merge"):
        vllm_engine.check_adapter(changed)


def test_flags_that_do_not_fit(tiny_model_dir, tmp_path):
    """Engine arguments that are passed over in silence."""
    data = write_data(tmp_path / "data", 6, 6)
    files = ["--data_file", str(data / "train.jsonl"), "--output_file", str(tmp_path / "predictions.jsonl")]
    with pytest.raises(UserError, match="needs --backend vllm"):
        predict.main(["--model_name_or_path", str(tiny_model_dir), *files, "--vllm_args", "{}"])


ENGINE = {"max_model_len": 512, "enforce_eager": True}
NEW_TOKENS = 24


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    """A random Qwen2.5-VL (vLLM cannot load LLaVA beside this transformers) whose responses depend on question and
    picture, and end at every sixth of its tokens."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    folder = build("qwen2_5_vl", tmp_path_factory.mktemp("qwen"))
    config = AutoConfig.from_pretrained(folder)
    config.text_config.num_attention_heads = config.text_config.num_key_value_heads = 2  # vLLM's CPU kernels want 32
    config.text_config.rope_parameters["mrope_section"] = [4, 6, 6]
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = False  # tied, it repeats its prompt's end
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config)
    for name, weight in model.named_parameters():
        if "language_model.layers" in name or "lm_head" in name:
            weight.data *= 6 if weight.ndim == 2 else 1
    model.save_pretrained(folder)
    generation = json.loads((folder / "generation_config.json").read_text())
    generation["eos_token_id"] = [1, *range(8, 264, 6)]
    (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


@pytest.fixture(scope="module")
def make(model_dir):
    """A function: VllmGenerator on that model. One engine serves all tests: it takes most of a minute to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB; on a GPU it says nothing
        flags = {"dtype": "float32", "engine_args": json.dumps(ENGINE), "max_new_tokens": NEW_TOKENS}
        greedy = vllm_engine.VllmGenerator(model_dir, temperature=0.0, top_p=1.0, **flags)
        patch.setattr("vllm.LLM", lambda **_: greedy.engine)
        yield lambda **how: vllm_engine.VllmGenerator(model_dir, **flags, **how)


@pytest.fixture(scope="module")
def asked():
    """(conversations, pictures): of several lengths and shapes, one of them a dialogue; none is there twice."""
    questions = ["What color is the star?", "How many?", "Is it late?", "Where is the large red star?", "Why?"] * 4
    conversations = [chat.user_turn(question) for question in questions]
    conversations[0] += [chat.text_turn("assistant", "Which one?"), chat.text_turn("user", "The left one.")]
    colors = ("red", "blue", "white", "black")
    sizes = ((64, 64), (96, 64), (64, 128))
    return conversations, [Image.new("RGB", sizes[i % 3], colors[i % 4]) for i in range(len(questions))]


@pytest.mark.slow
@pytest.mark.skipif(not installed, reason="vLLM is not installed")
def test_vllm_says_what_transformers_says(make, model_dir, asked):
    """Another prompt or picture than in training, responses in another order, an end token that is not counted."""
    ours = make(temperature=0.0, top_p=1.0)(*asked)
    theirs = Generator(*loading.load(model_dir, device="cpu", dtype="float32"), max_new_tokens=NEW_TOKENS)(*asked)
    assert [(r.text, r.tokens, r.finish_reason) for r in ours] == [(r.text, r.tokens, r.finish_reason) for r in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert a.logprob == pytest.approx(b.logprob, abs=1e-3) and a.confidence == pytest.approx(b.confidence, rel=1e-4)
    assert {r.finish_reason for r in ours} == {"stop", "length"} and len({r.text for r in ours}) > 15


@pytest.mark.slow
@pytest.mark.skipif(not installed, reason="vLLM is not installed")
def test_samples_of_vllm(make, model_dir, asked, monkeypatch):
    """Log-probabilities of the distribution that was sampled from, not the model's own; a seed that is passed over."""
    import torch

    sampled = make(temperature=2.0, top_p=0.9)
    kept, response = [], sampled._response
    monkeypatch.setattr(sampled, "_response", lambda said: kept.append(list(said.token_ids)) or response(said))
    first = sampled(*asked, seed=1)
    assert sampled(*asked, seed=1) == first != sampled(*asked, seed=2)
    model, processor = loading.load(model_dir, device="cpu", dtype="float32")
    for conversation, picture, tokens, said in zip(*asked, kept, first, strict=False):
        inputs = encode(processor, [conversation], [picture])
        start = inputs["input_ids"].shape[1]
        for name, filler in (("input_ids", tokens), ("attention_mask", [1] * len(tokens))):
            inputs[name] = torch.cat([inputs[name], torch.tensor([filler])], dim=1)
        if "mm_token_type_ids" in inputs:
            more = torch.zeros(1, len(tokens), dtype=inputs["mm_token_type_ids"].dtype)
            inputs["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], more], dim=1)
        with torch.inference_mode():
            logprobs = model(**inputs).logits[0, start - 1 : -1].log_softmax(-1)  # T x V
        assert said.logprob == pytest.approx(logprobs.gather(1, torch.tensor(tokens)[:, None]).sum().item(), abs=1e-2)
