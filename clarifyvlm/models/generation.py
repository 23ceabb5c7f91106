"""Batched generation with the log-probability of what was said. Imports torch: scripts import it after parsing."""

import math
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from clarifyvlm.errors import UserError
from clarifyvlm.models.decoding import Decoder
from clarifyvlm.models.plain_text import plain

if TYPE_CHECKING:
    from PIL import Image

TOO_LARGE = (
    "out of memory with one example at a time. Lower --max_new_tokens or --image_max_side, give --dtype bfloat16, or "
    "take a smaller model."
)


@dataclass
class Generated:
    """One response. Token counts and log-probabilities include the end token."""

    text: str
    tokens: int
    finish_reason: str  # "stop" | "length"
    logprob: float  # sum over the tokens, under the model's own distribution (temperature 1)
    confidence: float  # exp(mean log-probability), 0..1


class Generator:
    """A model with the settings it speaks with. Halves its batches when memory runs out, and stays at the half."""

    def __init__(self, model, processor, *, max_new_tokens: int, temperature: float = 0.0, top_p: float = 1.0):
        self.model, self.processor = model, processor
        self.max_batch: int | None = None  # found out when memory runs out
        self.options = {"max_new_tokens": max_new_tokens, "repetition_penalty": 1.0}
        if temperature > 0:
            self.options |= {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}
        else:
            self.options |= {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        end = model.generation_config.eos_token_id
        self.end_ids = set(end if isinstance(end, list) else [end])
        pad = processor.tokenizer.pad_token_id
        self.options["pad_token_id"] = min(self.end_ids) if pad is None else pad

    def __call__(
        self, conversations: Sequence[list[dict]], images: "Sequence[Image.Image]", *, seed: int = 0
    ) -> list[Generated]:
        """The model's next turn in each conversation, whose first message shows the image beside it.

        `seed` matters only when sampling. UserError when memory does not suffice for a single conversation.
        """
        size = min(len(conversations), self.max_batch or len(conversations))
        responses: list[Generated] = []
        while len(responses) < len(conversations):
            part = slice(len(responses), len(responses) + size)
            try:
                torch.manual_seed(seed + part.start)
                responses += self._generate(conversations[part], images[part])
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
                if size == 1:
                    raise UserError(TOO_LARGE) from error
                self.max_batch = size = size // 2
                print(f"out of memory: continuing with batches of {size}", file=sys.stderr)
            if torch.cuda.is_available() and self.max_batch == size:
                torch.cuda.empty_cache()
        return responses

    def stream(self, conversation: list[dict], image: "Image.Image") -> "Iterator[str | Generated]":
        """The model's next turn as it is spoken: its text so far with every token, then the whole response. Closing
        the iterator before its end stops the model. UserError when memory does not suffice."""
        said: queue.SimpleQueue = queue.SimpleQueue()
        closed, ids = threading.Event(), []

        def on_tokens(tokens: torch.Tensor) -> None:
            if closed.is_set():
                raise InterruptedError
            ids.extend(tokens.tolist())
            said.put(self.processor.tokenizer.decode(ids, skip_special_tokens=True).strip().rstrip("\ufffd"))

        def speak() -> None:
            try:
                said.put(self._generate([conversation], [image], on_tokens)[0])
            except Exception as error:  # raised where the text is read
                said.put(UserError(TOO_LARGE) if _out_of_memory(error) else error)

        threading.Thread(target=speak, daemon=True).start()
        try:
            while isinstance(found := said.get(), str):
                yield found
            if isinstance(found, Exception):
                raise found
            yield found
        finally:
            closed.set()

    @torch.inference_mode()
    def _generate(
        self,
        conversations: Sequence[list[dict]],
        images: "Sequence[Image.Image]",
        on_tokens: Callable[[torch.Tensor], None] | None = None,
    ) -> list[Generated]:
        inputs = encode(self.processor, conversations, images).to(self.model.device)
        if "pixel_values" in inputs:
            inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
        decoder = Decoder(on_tokens)
        sequences = self.model.generate(**inputs, **self.options, custom_generate=decoder)
        completions = sequences[:, inputs["input_ids"].shape[1] :].tolist()  # B x T
        logprobs = torch.stack(decoder.logprobs, dim=1).tolist()  # B x T
        return [self._response(*pair) for pair in zip(completions, logprobs, strict=True)]

    def _response(self, tokens: list[int], logprobs: list[float]) -> Generated:
        end = next((i for i, token in enumerate(tokens) if token in self.end_ids), None)
        length = len(tokens) if end is None else end + 1
        total = math.fsum(logprobs[:length])
        text = self.processor.tokenizer.decode(tokens[:length], skip_special_tokens=True).strip()
        reason = "length" if end is None else "stop"
        return Generated(text, length, reason, total, math.exp(total / length))


def _shown(part: dict, image: "Image.Image") -> dict:
    return {**part, "image": image} if part["type"] == "image" else part


def encode(processor, conversations: Sequence[list[dict]], images: "Sequence[Image.Image]"):
    """Model inputs for a batch: left-padded prompts that end where the model speaks; token for token TRL's prompts."""
    with_pictures = []
    for conversation, image in zip(conversations, images, strict=True):
        talk = plain(processor, conversation)
        with_pictures.append(
            [{**message, "content": [_shown(part, image) for part in message["content"]]} for message in talk]
        )
    return processor.apply_chat_template(
        with_pictures,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        # The template holds all special tokens: the tokenizer would add a second BOS.
        processor_kwargs={"padding": True, "padding_side": "left", "add_special_tokens": False},
    )


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error).lower() for words in ("out of memory", "can't allocate memory", "cannot allocate"))
