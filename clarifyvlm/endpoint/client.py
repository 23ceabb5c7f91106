"""One endpoint that speaks OpenAI's chat completions, asked for JSON: many calls at once, retried, cached, paid once.

What is worth retrying (408, 409, 429, 5xx, lost connections) is retried here and nowhere else. A 429 halves the calls
in flight, and its Retry-After holds all of them. A reply that is not the JSON asked for is asked for once more, with
the fault named. What still fails has a name:

    timeout       no reply within the deadline        rate_limited  429 after the retries
    unparsable    no JSON in the reply                schema        JSON, but not what was asked for
    refused       the model or its filter refused     cut_off       the reply ended at the token limit
    http_NNN      another status, as http_5xx or its own number     connection    no server, or it hung up
    budget        not asked: the calls or the money allowed are spent

What a judge does not accept in a reply of the right form may have a name of its own (SchemaError).
"""

import asyncio
import contextlib
import json
import os
import random
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from clarifyvlm.endpoint.cache import ReplyCache
from clarifyvlm.endpoint.limits import AdaptiveLimit
from clarifyvlm.endpoint.usage import Usage
from clarifyvlm.errors import UserError

FATAL = (401, 403, 404)  # no other call would fare better: stop at once
RETRIED = (408, 409, 429)  # and every 5xx
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0  # between retries, doubled each time, where the endpoint names no time
LONGEST_RETRY_AFTER_S = 120.0  # an endpoint that asks for more patience is given up for now
POOL = 8  # connections that one client holds
NO_KEY = "none"  # local servers want no key, but the client insists on one
TEMPERATURE = 0
# What an endpoint may not know (a 400 that names it), and what is done then, for all calls to come.
OPTIONAL = {
    "response_format": "it takes no JSON schema (response_format): it is asked in words instead, and more of its "
    "replies may be unusable",
    "max_tokens": "it takes no max_tokens: max_completion_tokens is sent instead",
    "temperature": "it takes no temperature 0: its own is used, and it may say another thing the next time",
    "logprobs": "it gives no logprobs: there is no confidence",
}


class SchemaError(ValueError):
    """JSON that is not what the schema asks for. `failure`: what it is called where a second try is no better."""

    failure = "schema"


@dataclass
class Question:
    """What is asked, and how the reply is read."""

    key: str  # of the cache: everything that the reply depends on
    messages: Callable[[bool], list[dict]]  # the chat; True: with the schema spelt out
    schema: dict
    parse: Callable[[str], dict]  # SchemaError, or ValueError where there is no JSON
    name: str = "verdict"  # of the schema
    sampling: dict | None = None  # asked for free text with these options, in place of JSON: `found` is the whole reply


@dataclass
class Reply:
    """`found`, or a named `failure`; `raw` is what the endpoint said, where it said something."""

    found: dict | None = None
    failure: str | None = None
    raw: str | None = None
    mend: str | None = None  # what is wrong with the model's JSON
    retry: bool = False  # worth another attempt ...
    wait_s: float | None = None  # ... after so many seconds, where the endpoint names them


class Endpoint:
    """`run` coroutines of `ask` on a thread of its own: connections and limits outlive a batch."""

    def __init__(
        self,
        base_url: str | None,
        model: str,
        *,
        api_key_env: str = "OPENAI_API_KEY",
        timeout_s: float = 60.0,
        max_retries: int = 3,
        concurrency: int = 16,
        max_tokens: int = 1024,
        cache: ReplyCache | None = None,
        usage: Usage | None = None,
        role: str = "judge",
        model_flag: str | None = None,
    ):
        """`role`: what messages call the model, and how its flags begin; `model_flag`: the one of its name."""
        if concurrency < 1 or timeout_s <= 0 or max_retries < 0:
            raise UserError(
                f"--{role}_concurrency and --{role}_timeout_s must be above 0, --{role}_max_retries 0 or more."
            )
        self.role, self.model_flag = role, model_flag or f"--{role}_model"
        self.base_url = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        self.model, self.api_key_env = model, api_key_env
        self.timeout_s, self.max_retries, self.max_tokens = timeout_s, max_retries, max_tokens
        self.concurrency = max(1, concurrency // int(os.environ.get("WORLD_SIZE", "1")))
        self.cache, self.usage = cache, usage or Usage()
        self._lacks: set[str] = set()  # of OPTIONAL, what this endpoint has turned down
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clients, self._limit = deque(), None
        self._refused: str | None = None  # what a FATAL reply said: calls that wait for a place are not made

    def run(self, coroutine):
        """The result of a coroutine that calls `ask`. Callable from any thread, inside an event loop or not."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, name=self.role, daemon=True).start()
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C while waiting: the calls end too
            future.cancel()
            raise

    def check(self, picture_url: str | None = None) -> None:
        """One small call, with a picture if given, without retries. UserError names the URL and the model."""
        self.run(self.reach(picture_url))

    async def ask(self, question: Question) -> Reply:
        """The reply to one question, from the cache or from the endpoint, within the deadline."""
        if self.cache and (raw := self.cache.get(question.key)) is not None:
            with contextlib.suppress(ValueError):  # kept by an older parser: asked again
                found = question.parse(raw)
                self.usage.from_cache += 1
                return Reply(found, raw=raw)
        left = [self.timeout_s]  # seconds, counted down while a call is on its way or waits by its own choice
        reply = await self._try(question, left, question.messages)
        if reply.mend:  # once
            repair = _repair(reply)
            again = await self._try(question, left, lambda spelt_out: question.messages(spelt_out) + repair)
            if again.found is not None:
                reply = again
        if reply.found is not None and self.cache:
            self.cache.put(question.key, reply.raw)
        return reply

    async def _try(self, question: Question, left: list[float], messages) -> Reply:
        """Calls until one is answered, none is allowed, or the deadline is there."""
        clock, reply = asyncio.get_running_loop().time, Reply(failure="timeout")
        self._limit = self._limit or AdaptiveLimit(self.concurrency)
        for attempt in range(self.max_retries + 1):
            async with self._limit.slot() as lowered:  # not held between attempts: a lowered limit then holds at once
                began = clock()
                try:
                    async with asyncio.timeout(left[0]):
                        reply = await self._call(question, messages, lowered)
                except TimeoutError:
                    return Reply(failure=reply.failure or "timeout", raw=reply.raw)
                finally:
                    left[0] -= clock() - began
            if not reply.retry or attempt == self.max_retries:
                break
            wait = reply.wait_s
            if wait is None:
                wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt * random.uniform(1.0, 1.5))
                left[0] -= wait
            if left[0] <= 0 or wait > LONGEST_RETRY_AFTER_S:
                break
            await asyncio.sleep(wait)
        return reply

    async def _call(self, question: Question, messages, lowered: int) -> Reply:
        import openai

        if self._refused:
            raise UserError(self._refused)
        if self.usage.spent():
            return Reply(failure="budget")
        lacked = set(self._lacks)
        self.usage.calls += 1
        try:
            # `post` sends what it is given and parses nothing: half the CPU time of `chat.completions.create`.
            body = await self._openai().post("/chat/completions", cast_to=object, body=self._body(question, messages))
        except openai.APITimeoutError:
            return Reply(failure="timeout")
        except openai.APIStatusError as error:
            status = error.status_code
            if status in FATAL or getattr(error, "code", None) == "insufficient_quota":
                self._refused = self._unreachable(error)
                raise UserError(self._refused) from None
            if status in (400, 422) and (name := next((n for n in OPTIONAL if n in str(error)), None)):
                if name not in lacked:
                    self._do_without(name)
                    return await self._call(question, messages, lowered)
            after = _retry_after(error)
            if status == 429:
                self._limit.too_many(lowered, min(after or 0.0, LONGEST_RETRY_AFTER_S))
            name = "rate_limited" if status == 429 else "http_5xx" if status >= 500 else f"http_{status}"
            return Reply(failure=name, raw=str(error), retry=status in RETRIED or status >= 500, wait_s=after)
        except openai.APIConnectionError as error:
            return Reply(failure="connection", raw=str(error), retry=True)
        except ValueError as error:  # JSON by its header only
            return _proxy(str(error))
        return self._read(question, body)

    def _body(self, question: Question, messages) -> dict:
        if question.sampling is not None:
            options = {self._max_tokens() if k == "max_tokens" else k: v for k, v in question.sampling.items()}
            kept = {k: v for k, v in options.items() if k not in self._lacks}
            return {"model": self.model, "messages": messages(False)} | kept
        by_schema = "response_format" not in self._lacks
        body = {"model": self.model, "messages": messages(not by_schema)}
        body[self._max_tokens()] = self.max_tokens
        if "temperature" not in self._lacks:
            body["temperature"] = TEMPERATURE
        if by_schema:
            schema = {"name": question.name, "strict": True, "schema": question.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def _max_tokens(self) -> str:
        return "max_completion_tokens" if "max_tokens" in self._lacks else "max_tokens"

    def _read(self, question: Question, body) -> Reply:
        """A 200: the model's reply, or what a proxy says in its place."""
        try:
            choice, used = body["choices"][0], body.get("usage") or {}
            message, finish = choice["message"], choice.get("finish_reason")
            said, refusal = message.get("content"), message.get("refusal")
        except (TypeError, KeyError, IndexError, AttributeError):
            return _proxy(body if isinstance(body, str) else json.dumps(body))
        self._limit.good()
        self.usage.add(used.get("prompt_tokens") or 0, used.get("completion_tokens") or 0)
        if question.sampling is not None:
            return Reply({"choice": choice, "usage": used}, raw=json.dumps({"choice": choice, "usage": used}))
        if refusal or finish == "content_filter":
            return Reply(failure="refused", raw=refusal or said)
        if finish == "length":
            return Reply(failure="cut_off", raw=said)
        if not isinstance(said, str) or not said.strip():
            return Reply(failure="unparsable")
        try:
            return Reply(question.parse(said), raw=said)
        except ValueError as error:
            name = error.failure if isinstance(error, SchemaError) else "unparsable"
            return Reply(failure=name, raw=said, mend=str(error))

    def _openai(self):
        """One of the clients, in turn: a pool of connections takes longer for each call the more it holds."""
        if not self._clients:
            from openai import AsyncOpenAI

            key = os.environ.get(self.api_key_env) or NO_KEY
            options = {"base_url": self.base_url, "api_key": key, "timeout": self.timeout_s, "max_retries": 0}
            self._clients = deque(AsyncOpenAI(**options) for _ in range(-(-self.concurrency // POOL)))
        self._clients.rotate()
        return self._clients[0]

    async def reach(self, picture_url: str | None = None) -> None:
        """What `check` runs."""
        import openai

        content = "Say ok."
        if picture_url:
            content = [{"type": "text", "text": content}, {"type": "image_url", "image_url": {"url": picture_url}}]
        body = {"model": self.model, "messages": [{"role": "user", "content": content}], self._max_tokens(): 16}
        try:
            post = self._openai().post("/chat/completions", cast_to=object, body=body)
            await asyncio.wait_for(post, min(self.timeout_s, 30.0))
        except openai.RateLimitError as error:
            if getattr(error, "code", None) == "insufficient_quota":
                raise UserError(self._unreachable(error)) from None
        except (openai.OpenAIError, TimeoutError, ValueError) as error:
            if "max_tokens" in body and "max_tokens" in str(error):
                self._do_without("max_tokens")
                return await self.reach(picture_url)
            raise UserError(self._unreachable(error)) from None

    def _unreachable(self, error: Exception) -> str:
        what = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        return (
            f"the {self.role} at {self.base_url} (model {self.model}) does not answer: {what} "
            f"Start the server, or mend --{self.role}_base_url, {self.model_flag} or {self.api_key_env}."
        )

    def _do_without(self, name: str) -> None:
        if name not in self._lacks:
            self._lacks.add(name)
            print(f"the {self.role} at {self.base_url}: {OPTIONAL[name]}", file=sys.stderr)


def _proxy(said: str) -> Reply:
    """A 200 that no model wrote (a proxy's "busy"): it may be gone in a second."""
    return Reply(failure="unparsable", raw=said[:2000], retry=True)


def _repair(reply: Reply) -> list[dict]:
    mend = f"That is not the JSON asked for: {reply.mend}. Return the whole JSON again, corrected, and nothing else."
    return [{"role": "assistant", "content": reply.raw}, {"role": "user", "content": mend}]


def _retry_after(error) -> float | None:
    """Seconds that the endpoint asks to wait; None where it names none (a date counts as none)."""
    try:
        return max(0.0, float(error.response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
