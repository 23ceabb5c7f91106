"""One endpoint that speaks OpenAI's chat completions, asked for JSON: many calls at once, retried, cached, paid once.

What is worth retrying (408, 409, 429, 5xx, lost connections) is retried here and nowhere else. A 429 halves the calls
in flight, and its Retry-After holds all of them. A reply that is not the JSON asked for is asked for once more, with
the fault named. What still fails has a name:

    timeout       no reply within the deadline        rate_limited  429 after the retries
    unparsable    no JSON in the reply                schema        JSON, but not what was asked for
    refused       the model or a filter refused       cut_off       the reply ended at the token limit
    http_NNN      another status, as http_5xx or its own number     connection    no server, or it hung up
    budget        not asked: the calls or the money allowed are spent

The first failure of each name is shown, with what the endpoint said.

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

from clarifyvlm.endpoint import connection, habits, shapes
from clarifyvlm.endpoint.cache import ReplyCache
from clarifyvlm.endpoint.limits import AdaptiveLimit
from clarifyvlm.endpoint.usage import Usage
from clarifyvlm.errors import UserError
from clarifyvlm.models.plain_text import plain_to_a_server

FATAL = (301, 302, 303, 307, 308, 401, 402, 404, 405)  # no other call would fare better: stop at once
RETRIED = (408, 409, 429)  # and every 5xx
TOLD = (400, 422, 500, 501)  # with these, endpoints say that they do not take something
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0  # between retries, doubled each time, where the endpoint names no time
LONGEST_RETRY_AFTER_S = 120.0  # an endpoint that asks for more patience is given up for now
POOL = 8  # connections that one client holds
TEMPERATURE = 0
PROBE_TOKENS = 16


class SchemaError(ValueError):
    """JSON that is not what the schema asks for. `failure`: what it is called where a second try is no better."""

    failure = "schema"


@dataclass
class ChatRequest:
    """What is asked, and how the reply is read."""

    key: str  # of the cache: everything that the reply depends on
    messages: Callable[[bool], list[dict]]  # the chat; True: with the schema spelt out
    schema: dict
    parse: Callable[[str], dict]  # SchemaError, or ValueError where there is no JSON
    name: str = "verdict"  # of the schema
    sampling: dict | None = None  # asked for free text with these options, in place of JSON: `parse` reads all of it


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
        self.base_url = connection.address(base_url, f"--{role}_base_url")
        self.model, self.api_key_env = model, api_key_env
        self.timeout_s, self.max_retries, self.max_tokens = timeout_s, max_retries, max_tokens
        self.concurrency = max(1, concurrency // int(os.environ.get("WORLD_SIZE", "1")))
        self.cache, self.usage = cache, usage or Usage()
        self._habits = habits.Habits()
        self._shown: set[str] = set()  # failures that were told
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clients: deque = deque()  # of AsyncOpenAI
        self._limit: AdaptiveLimit | None = None
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

    async def ask(self, question: ChatRequest) -> Reply:
        """The reply to one question, from the cache or from the endpoint, within the deadline."""
        if self.cache and (raw := self.cache.get(question.key)) is not None:
            with contextlib.suppress(ValueError):  # kept by an older parser: asked again
                found = _parsed(question, raw)
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
        self._show(reply)
        return reply

    async def _try(self, question: ChatRequest, left: list[float], messages) -> Reply:
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

    async def _call(self, question: ChatRequest, messages, lowered: int, room: int | None = None) -> Reply:
        """One call. `room`: the most tokens of its reply, where the endpoint has said so."""
        import openai

        if self._refused:
            raise UserError(self._refused)
        if self.usage.spent():
            return Reply(failure="budget")
        lacked, body = set(self._habits.lacks), self._body(question, messages)
        if room is not None:
            body["max_tokens"] = room
        self.usage.calls += 1
        try:
            # `post` sends what it is given and parses nothing: half the CPU time of `chat.completions.create`.
            data = await self._openai().post("/chat/completions", cast_to=bytes, body=self._habits.put(body))
        except openai.APITimeoutError:
            return Reply(failure="timeout")
        except openai.APIStatusError as error:
            status, said = error.status_code, connection.words(error)
            if status in FATAL or getattr(error, "code", None) == "insufficient_quota":
                self._refused = self._unreachable(error)
                raise UserError(self._refused) from None
            if status == 403:  # a key that is not allowed this, or a filter of this one input
                try:
                    await self.reach()
                except UserError as refused:
                    self._refused = str(refused)
                    raise
                return Reply(failure="refused", raw=said)
            if status in TOLD:
                if habits.too_small(said):
                    return Reply(failure="cut_off", raw=said)
                asked = body.get("max_tokens") or self.max_tokens
                if room is None and (left := habits.room(said, asked)):
                    return await self._call(question, messages, lowered, left)
                if name := self._habits.learn(said, body, lacked):
                    self._do_without(name)
                    return await self._call(question, messages, lowered, room)
                if status < 500 and habits.flagged(said):
                    return Reply(failure="refused", raw=said)
            after = _retry_after(error)
            if status == 429:
                self._limit.too_many(lowered, min(after or 0.0, LONGEST_RETRY_AFTER_S))
            name = "rate_limited" if status == 429 else "http_5xx" if status >= 500 else f"http_{status}"
            return Reply(failure=name, raw=said, retry=status in RETRIED or status >= 500, wait_s=after)
        except openai.APIConnectionError as error:
            return Reply(failure="connection", raw=connection.reason(error, self.base_url), retry=True)
        return self._read(question, data)

    def _body(self, question: ChatRequest, messages) -> dict:
        if question.sampling is not None:
            return {"model": self.model, "messages": plain_to_a_server(messages(False))} | question.sampling
        by_schema = "response_format" not in self._habits.lacks
        body: dict = {"model": self.model, "messages": plain_to_a_server(messages(not by_schema))}
        body |= {"max_tokens": self.max_tokens, "temperature": TEMPERATURE}
        if by_schema:
            schema = {"name": question.name, "strict": True, "schema": question.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def _read(self, question: ChatRequest, data: bytes) -> Reply:
        """A 200: the model's reply, or what a proxy says in its place."""
        try:
            body = shapes.completion(data)
            choice, used = body["choices"][0], body.get("usage") or {}
            message, finish = choice["message"], choice.get("finish_reason")
            if body.get("error") or finish == "error":  # a router whose server failed in the middle of a reply
                raise ValueError
            said, refusal = shapes.said_in(message, finish), message.get("refusal")
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            return _proxy(shapes.mended(data.decode("utf-8", "replace")))
        self._limit.good()
        self.usage.add(*(_count(used, name) for name in ("prompt_tokens", "completion_tokens")))
        if question.sampling is not None:
            said = json.dumps({"choice": choice | {"message": message | {"content": said}}, "usage": used})
        elif refusal or finish == "content_filter":
            return Reply(failure="refused", raw=refusal or said)
        elif finish == "length":
            return Reply(failure="cut_off", raw=said)
        elif said is None:
            return Reply(failure="unparsable")
        try:
            return Reply(_parsed(question, said), raw=said)
        except ValueError as error:
            name = error.failure if isinstance(error, SchemaError) else "unparsable"
            return Reply(failure=name, raw=said, mend=str(error) if question.sampling is None else None)

    def _openai(self):
        """One of the clients, in turn: a pool of connections takes longer for each call the more it holds."""
        if not self._clients:
            count = -(-self.concurrency // POOL)
            self._clients = deque(connection.clients(count, self.base_url, self.api_key_env, self.timeout_s))
        self._clients.rotate()
        return self._clients[0]

    async def reach(self, picture_url: str | None = None, tokens: int = PROBE_TOKENS) -> None:
        """What `check` runs."""
        import openai

        content: str | list[dict] = "Say ok."
        if picture_url:
            content = [{"type": "text", "text": content}, {"type": "image_url", "image_url": {"url": picture_url}}]
        body = {"model": self.model, "messages": [{"role": "user", "content": content}], "max_tokens": tokens}
        lacked = set(self._habits.lacks)
        try:
            post = self._openai().post("/chat/completions", cast_to=bytes, body=self._habits.put(body))
            shapes.completion(await asyncio.wait_for(post, self.timeout_s))
        except openai.APIStatusError as error:
            said, few = connection.words(error), tokens == PROBE_TOKENS < self.max_tokens
            if isinstance(error, openai.RateLimitError) and getattr(error, "code", None) != "insufficient_quota":
                return
            if error.status_code in TOLD:
                if name := self._habits.learn(said, body, lacked):
                    self._do_without(name)
                    return await self.reach(picture_url, tokens)
                if few and "token" in said.lower():  # a model that thinks first, or a server that wants more of them
                    return await self.reach(picture_url, self.max_tokens)
                if habits.too_small(said):
                    return
            raise UserError(self._unreachable(error)) from None
        except (openai.OpenAIError, TimeoutError) as error:
            raise UserError(self._unreachable(error)) from None
        except (ValueError, RecursionError):
            raise UserError(
                f"what answers at {self.base_url} does not speak OpenAI's chat completions (no JSON): "
                f"mend --{self.role}_base_url."
            ) from None

    def _unreachable(self, error: Exception) -> str:
        what = f"no reply within {self.timeout_s:g} s." if isinstance(error, TimeoutError) else None
        return (
            f"the {self.role} at {self.base_url} (model {self.model}) does not answer: "
            f"{what or connection.reason(error, self.base_url)} "
            f"Start the server, or mend --{self.role}_base_url, {self.model_flag} or {self.api_key_env}."
        )

    def _do_without(self, name: str) -> None:
        if name not in self._habits.lacks:
            self._habits.lacks.add(name)
            print(f"the {self.role} at {self.base_url}: {habits.TURNED_DOWN[name][1]}", file=sys.stderr)

    def _show(self, reply: Reply) -> None:
        if reply.failure is None or reply.failure == "budget" or reply.failure in self._shown:
            return
        self._shown.add(reply.failure)
        said = " ".join((reply.raw or "nothing was said").split())[: connection.LONGEST]
        more = f" (longer replies: --{self.role}_max_tokens)" if reply.failure == "cut_off" else ""
        print(f"the {self.role} at {self.base_url}: {reply.failure}{more}: {said}", file=sys.stderr)


def _parsed(question: ChatRequest, text: str) -> dict:
    """ValueError, whatever is wrong with the text: a reply that cannot be used is asked for again, not kept."""
    try:
        return question.parse(text)
    except (TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _count(used, name: str) -> int:
    """Tokens, where the endpoint counts them."""
    count = used.get(name) if isinstance(used, dict) else None
    return count if isinstance(count, int) else 0


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
