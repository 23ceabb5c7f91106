"""vLLM in place of transformers' `generate`: many times faster on GPUs. An extra: pip install 'clarifyvlm[vllm]'."""

import importlib.metadata
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.version import Version

from clarifyvlm import processes
from clarifyvlm.errors import UserError
from clarifyvlm.models import loading
from clarifyvlm.models.generation import Generated
from clarifyvlm.models.plain_text import plain

if TYPE_CHECKING:
    from PIL import Image

OLDEST, NEWEST = "0.22.0", "0.31.0"  # what trl 1.16 works with; pyproject.toml pins one of them


def check_version() -> None:
    """UserError unless a vLLM is installed with which TRL's rollouts are known to work."""
    names = importlib.metadata.packages_distributions().get("vllm")
    if not names:
        raise UserError("vLLM is not installed: pip install 'clarifyvlm[vllm]' (Linux, an NVIDIA GPU).")
    version = importlib.metadata.version(names[0])
    if not Version(OLDEST) <= Version(Version(version).base_version) <= Version(NEWEST):
        raise UserError(
            f"vLLM {version} is installed; {OLDEST} to {NEWEST} are supported: pip install 'clarifyvlm[vllm]'."
        )


def check_adapter(path: str | Path) -> None:
    """UserError for an adapter whose pictures are not prepared as its base's are: TRL has vLLM load the base."""
    if not loading.is_adapter(path):
        return
    base = loading.base_of(path)
    own, base = (loading.load_processor(where, base, {}).image_processor.to_dict() for where in (path, base))
    if changed := sorted(key for key in own.keys() | base.keys() if own.get(key) != base.get(key)):
        raise UserError(
            f"--use_vllm: {path} prepares pictures otherwise than its base ({', '.join(changed)}), which is what vLLM "
            f"loads. Merge it: python main.py publish --model_name_or_path {path} --merge --output_dir DIR"
        )


class VllmGenerator:
    """Called like clarifyvlm.models.generation.Generator: conversations and their pictures -> responses, in order.

    The prompts are those of training, token for token; vLLM batches by itself. `engine_args`: a JSON mapping of vLLM's
    own engine arguments, such as tensor_parallel_size. UserError for an adapter, which must be merged first.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        max_new_tokens: int,
        temperature: float,
        top_p: float,
        dtype: str = "auto",
        image_processor: str | None = None,
        engine_args: str | None = None,
    ):
        check_version()
        if loading.is_adapter(path):
            raise UserError(
                f"--backend vllm: {path} is an adapter. Merge it into its base first: "
                f"python main.py publish --model_name_or_path {path} --merge --output_dir DIR"
            )
        if processes.count() > 1:
            raise UserError(
                "--backend vllm is one process, which uses several GPUs by itself: start it with python and "
                "--vllm_args '{\"tensor_parallel_size\": 4}', or put vllm serve behind --backend openai."
            )
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        from transformers import AutoProcessor
        from vllm import LLM

        self.processor = AutoProcessor.from_pretrained(str(path))
        settings = {"limit_mm_per_prompt": {"image": 1}, "dtype": dtype, "disable_log_stats": True, "seed": 0}
        if image_processor:
            settings["mm_processor_kwargs"] = json.loads(image_processor)
        try:
            settings |= json.loads(engine_args or "{}")
        except (ValueError, TypeError) as error:
            raise UserError(f"--vllm_args {engine_args}: must be a JSON mapping ({error}).") from None
        try:
            self.engine = LLM(model=str(path), **settings)
        except (ValueError, RuntimeError, TypeError) as error:
            raise UserError(f"vLLM cannot run {path}: {error}. Without it: --backend transformers.") from error
        self.sampling = {"max_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p, "logprobs": 0}

    def __call__(
        self, conversations: Sequence[list[dict]], images: "Sequence[Image.Image]", *, seed: int = 0
    ) -> list[Generated]:
        from vllm import SamplingParams

        template = self.processor.apply_chat_template
        texts = [template(plain(self.processor, c), add_generation_prompt=True, tokenize=False) for c in conversations]
        ids = self.processor.tokenizer(texts, add_special_tokens=False)["input_ids"]
        prompts = [
            {"prompt_token_ids": tokens, "multi_modal_data": {"image": image}}
            for tokens, image in zip(ids, images, strict=True)
        ]
        sampling = [SamplingParams(**self.sampling, seed=(seed + i) % 2**63) for i in range(len(prompts))]
        outputs = self.engine.generate(prompts, sampling, use_tqdm=False)
        return [self._response(output.outputs[0]) for output in outputs]

    def _response(self, said) -> Generated:
        logprobs = [step[token].logprob for step, token in zip(said.logprobs, said.token_ids, strict=True)]
        text = self.processor.tokenizer.decode(said.token_ids, skip_special_tokens=True).strip()
        total = math.fsum(logprobs)
        reason = "length" if said.finish_reason == "length" else "stop"
        return Generated(text, len(logprobs), reason, total, math.exp(total / max(1, len(logprobs))))
