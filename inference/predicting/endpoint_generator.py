"""Responses of a model behind an endpoint that speaks OpenAI's chat completions: what predict.py --backend openai calls
where it would call a model of its own."""

import asyncio
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from clarifyvlm.endpoint.arguments import make_endpoint
from clarifyvlm.endpoint.cache import key_of
from clarifyvlm.endpoint.client import ChatRequest, Reply
from clarifyvlm.endpoint.pictures import encoded
from clarifyvlm.endpoint.shapes import mended, said_in
from clarifyvlm.errors import UserError
from predicting.endpoint_arguments import EndpointArguments

STOPPED = {"length": "length"}  # finish reasons that are not "stop"


@dataclass
class EndpointResponse:
    """One response. `logprob` (sum over its tokens) and `confidence` are None where the endpoint gives none."""

    text: str
    tokens: int
    finish_reason: str  # "stop" | "length"
    logprob: float | None
    confidence: float | None


class EndpointGenerator:
    """Called like clarifyvlm.models.generation.Generator: conversations and their pictures -> responses, in order."""

    def __init__(
        self,
        model: str,
        args: EndpointArguments,
        *,
        concurrency: int,
        max_new_tokens: int,
        temperature: float,
        top_p: float,
    ):
        kept = temperature == 0  # other replies are drawn anew each time
        more = {"model": model, "model_flag": "--model_name_or_path", "concurrency": concurrency}
        self.endpoint = make_endpoint(args, "endpoint", cache=kept, **more)
        self.sampling = {"max_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p, "logprobs": True}
        self.endpoint.check()
        self._told = False

    def __call__(
        self, conversations: Sequence[list[dict]], images: Sequence[Image.Image], seed: int
    ) -> list[EndpointResponse]:
        """UserError where a call fails for good; the replies that came are kept and not paid for again."""
        return self.endpoint.run(self._all(conversations, images, seed))

    async def _all(self, conversations, images, seed: int) -> list[EndpointResponse]:
        asked = (self._one(*pair, seed + i) for i, pair in enumerate(zip(conversations, images, strict=True)))
        results = await asyncio.gather(*asked, return_exceptions=True)
        if error := next((r for r in results if isinstance(r, BaseException)), None):
            raise error
        return results

    async def _one(self, conversation: list[dict], image: Image.Image, seed: int) -> EndpointResponse:
        url, digest = encoded(image)
        sampling = self.sampling | ({"seed": seed} if self.sampling["temperature"] else {})
        question = ChatRequest(
            key=key_of(
                endpoint=self.endpoint.base_url,
                model=self.endpoint.model,
                messages=as_sent(conversation, digest),
                sampling=sampling,
            ),
            messages=lambda spelt_out: as_sent(conversation, url),
            schema={},
            parse=lambda raw: {"said": said(json.loads(raw))},
            sampling=sampling,
        )
        reply = await self.endpoint.ask(question)
        if reply.failure == "refused":  # this one input: the model says nothing about it
            return EndpointResponse("", 0, "stop", None, None)
        if reply.failure is not None:
            raise self._failed(reply)
        response = reply.found["said"]
        if response.finish_reason == "length" and not response.text and not self._told:
            self._told = True
            print(
                f"{self.endpoint.model}: all of its {self.sampling['max_tokens']} tokens went into reasoning, and the "
                "response is empty: raise --max_new_tokens",
                file=sys.stderr,
            )
        return response

    def _failed(self, reply: Reply) -> UserError:
        if reply.failure == "budget":
            return UserError("--endpoint_max_calls is spent; everything is kept. Allow more: the same command goes on.")
        longer = " (--max_new_tokens)" if reply.failure == "cut_off" else ""
        return UserError(
            f"the endpoint {self.endpoint.base_url} (model {self.endpoint.model}) failed: {reply.failure} "
            f"({(reply.raw or 'no reply')[:200]}). What came is kept; mend it{longer} and run the same command: it "
            "goes on."
        )


def as_sent(conversation: list[dict], picture: str) -> list[dict]:
    """The chat of clarifyvlm.chat in the form of the API; `picture` is the URL of its one picture."""
    parts = {"image": lambda part: {"type": "image_url", "image_url": {"url": picture}}}
    return [
        {
            "role": message["role"],
            "content": [parts.get(part["type"], dict)(part) for part in message["content"]]
            if message["role"] == "user"
            else "".join(part["text"] for part in message["content"]),
        }
        for message in conversation
    ]


def said(found: dict) -> EndpointResponse:
    """The response in a reply's first choice. A refusal or a filtered reply is what the model said: "" or its words.
    ValueError, TypeError, ... where it is none."""
    choice, usage = found["choice"], found["usage"]
    message, finish = choice["message"], choice.get("finish_reason")
    text = (said_in(message, finish) or mended(message.get("refusal") or "")).strip()
    tokens = [t.get("logprob") for t in ((choice.get("logprobs") or {}).get("content") or [])]
    count = usage.get("completion_tokens")
    known = bool(tokens) and all(isinstance(t, int | float) and math.isfinite(t) for t in tokens)
    total = math.fsum(tokens) if known else None
    return EndpointResponse(
        text=text,
        tokens=count if isinstance(count, int) and count else len(tokens),
        finish_reason=STOPPED.get(finish, "stop"),
        logprob=total,
        confidence=math.exp(total / len(tokens)) if known else None,
    )
