"""The LLM judge: any endpoint that speaks OpenAI's chat completions (hosted, `vllm serve`, `llama-server`).

One call per response, many at once; none where a rule decides (gate.py) or where the same was asked before (cache.py).
What is worth retrying (408, 409, 429, 5xx, lost connections) is retried here and nowhere else: Retry-After is honoured,
and a 429 halves the calls in flight. What still fails becomes a Verdict with a named failure:

    timeout       no reply within the deadline        rate_limited  429 after the retries
    unparsable    no JSON in the reply                schema        JSON, but not the verdict's
    refused       the model or its filter refused     cut_off       the reply ended at the token limit
    http_NNN      another status, as http_5xx or its own number     connection    no server, or it hung up
    budget        not asked: the calls or the money allowed are spent
"""

import asyncio
import contextlib
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from clarifyvlm.errors import UserError
from clarifyvlm.judges import rubric
from clarifyvlm.judges.cache import ReplyCache, key_of
from clarifyvlm.judges.gate import gate
from clarifyvlm.judges.limits import AdaptiveLimit, Usage
from clarifyvlm.records import Example, Prediction, Verdict

FATAL = (401, 403, 404)  # no other prediction would fare better: stop at once
RETRIED = (408, 409, 429)  # and every 5xx
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0  # between retries, doubled each time, where the endpoint names no time
NO_KEY = "none"  # local servers want no key, but the client insists on one
TEMPERATURE = 0


@dataclass
class _Session:
    """What the calls of one `judge_async` share: a client and a limit belong to one event loop."""

    client: object
    limit: AdaptiveLimit
    asked: dict[str, asyncio.Task] = field(default_factory=dict)  # calls by key: a group often says the same thing


class OpenAIJudge:
    """Judges by `rubric` at an OpenAI-compatible endpoint.

    `timeout_s` is the deadline of one verdict, its retries included; `concurrency` the calls in flight at once, shared
    evenly by the processes of a distributed run. `cache` may be None.
    """

    def __init__(
        self,
        base_url: str | None,
        model: str | None,
        *,
        timeout_s: float = 60.0,
        max_retries: int = 3,
        concurrency: int = 16,
        max_tokens: int = 1024,
        cache: ReplyCache | None = None,
        usage: Usage | None = None,
    ):
        self.base_url = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        if not model:
            raise UserError("--judge openai needs --judge_model, the name of a model at the endpoint.")
        if concurrency < 1 or timeout_s <= 0 or max_retries < 0:
            raise UserError("--judge_concurrency and --judge_timeout_s must be above 0, --judge_max_retries 0 or more.")
        self.model = model
        self.name = f"openai:{model}:rubric-{rubric.VERSION}"
        self.timeout_s, self.max_retries, self.max_tokens = timeout_s, max_retries, max_tokens
        self.concurrency = max(1, concurrency // int(os.environ.get("WORLD_SIZE", "1")))
        self.cache, self.usage = cache, usage or Usage()
        self._has_schema = True  # until the endpoint turns `response_format` down

    def check(self) -> None:
        """One small call, without retries. UserError that names the URL and the model when it fails."""
        _run(self._check())

    def judge(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[Verdict]:
        """One verdict per prediction, in order. Inside a running event loop use `judge_async`, or this from a thread;
        called on the loop's own thread it runs on a second loop in a thread of its own."""
        return _run(self.judge_async(examples, predictions))

    async def judge_async(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[Verdict]:
        async with self._client() as client:
            session = _Session(client, AdaptiveLimit(self.concurrency))
            pairs = zip(examples, predictions, strict=True)
            tasks = [asyncio.create_task(self._verdict(session, e, p)) for e, p in pairs]
            try:
                return await asyncio.gather(*tasks)
            except BaseException:  # a wrong key: the other calls would only say so again
                left = [*tasks, *session.asked.values()]
                for task in left:
                    task.cancel()
                await asyncio.gather(*left, return_exceptions=True)
                raise

    def _client(self, **options):
        from openai import AsyncOpenAI

        options = {"timeout": self.timeout_s, "max_retries": 0} | options
        return AsyncOpenAI(base_url=self.base_url, api_key=os.environ.get("OPENAI_API_KEY") or NO_KEY, **options)

    async def _check(self) -> None:
        import openai

        async with self._client(timeout=min(self.timeout_s, 30.0)) as client:
            try:
                await client.chat.completions.create(
                    model=self.model, messages=[{"role": "user", "content": "Say ok."}], max_tokens=4
                )
            except openai.RateLimitError as error:
                if getattr(error, "code", None) == "insufficient_quota":
                    raise UserError(self._unreachable(error)) from None
            except openai.OpenAIError as error:
                raise UserError(self._unreachable(error)) from None

    def _unreachable(self, error: Exception) -> str:
        what = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        return (
            f"the judge at {self.base_url} (model {self.model}) does not answer: {what} "
            "Start the server, or mend --judge_base_url, --judge_model or OPENAI_API_KEY."
        )

    async def _verdict(self, session: _Session, example: Example, prediction: Prediction) -> Verdict:
        if rule := gate(example, prediction.text):
            return self._scored(example, prediction, _NOTHING_SAID | {"strategy_evidence": f"gate: {rule}"}, raw=None)
        found, failure, raw = await self._found(session, example, prediction.text)
        replied = None
        if failure is None and (after := _after_reply(example, prediction)):
            replied, failure, said = await self._after_reply(session, *after)
            raw = f"{raw}\n{said or ''}"
        if failure is not None:
            return Verdict(
                example_id=prediction.example_id, model=prediction.model, judge=self.name, failure=failure, raw=raw
            )
        return self._scored(example, prediction, found, raw, replied)

    def _scored(self, example, prediction, found: dict, raw: str | None, replied: float | None = None) -> Verdict:
        criteria, evidence = rubric.criteria(example, found)
        return Verdict(
            example_id=prediction.example_id,
            model=prediction.model,
            judge=self.name,
            used_strategy=found["used_strategy"],
            criteria=criteria,
            answer_right_after_reply=replied,
            evidence=evidence,
            raw=raw,
        )

    async def _after_reply(self, session: _Session, example: Example, text: str):
        """(whether the answer after the user's reply is right, failure, raw text): the reading is known by then."""
        if rule := gate(example, text):
            return 0.0, None, f"gate: {rule}"
        found, failure, raw = await self._found(session, example, text)
        return None if failure else rubric.criteria(example, found)[0]["answer_right"], failure, raw

    async def _found(
        self, session: _Session, example: Example, text: str
    ) -> tuple[dict | None, str | None, str | None]:
        """(findings, failure, raw reply), from the cache, from a call in flight that asks the same, or from a call."""
        key = key_of(
            endpoint=self.base_url,
            model=self.model,
            rubric=rubric.VERSION,
            messages=rubric.messages(example, text, nonce="nonce"),
            temperature=TEMPERATURE,
            max_tokens=self.max_tokens,
        )
        if key in session.asked:
            self.usage.from_cache += 1
        else:
            session.asked[key] = asyncio.create_task(self._ask_or_look_up(session, key, example, text))
        return await session.asked[key]

    async def _ask_or_look_up(self, session: _Session, key: str, example: Example, text: str):
        readings = len(example.ambiguity.readings)
        if self.cache and (raw := self.cache.get(key)) is not None:
            with contextlib.suppress(ValueError):  # kept by an older parser: asked again
                found = rubric.parse(raw, readings)
                self.usage.from_cache += 1
                return found, None, raw
        raw, failure = await self._ask(session, example, text)
        if failure is not None:
            return None, failure, raw
        try:
            found = rubric.parse(raw, readings)
        except rubric.SchemaError:
            return None, "schema", raw
        except ValueError:
            return None, "unparsable", raw
        if self.cache:
            self.cache.put(key, raw)
        return found, None, raw

    async def _ask(self, session: _Session, example: Example, text: str) -> tuple[str | None, str | None]:
        """(reply, failure): one of them, or both where there is text that cannot be used."""
        said, failure, deadline = None, None, None
        clock = asyncio.get_running_loop().time
        for attempt in range(self.max_retries + 1):
            try:
                async with session.limit.slot():  # not held between attempts: a lowered limit then holds at once
                    deadline = deadline or clock() + self.timeout_s
                    async with asyncio.timeout_at(deadline):
                        said, failure, wait = await self._call(session, example, text)
            except TimeoutError:
                return said, failure or "timeout"
            if wait is None or attempt == self.max_retries:
                break
            wait = wait or min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt * random.uniform(1.0, 1.5))
            if clock() + wait > deadline:
                break
            await asyncio.sleep(wait)
        return said, failure

    async def _call(
        self, session: _Session, example: Example, text: str
    ) -> tuple[str | None, str | None, float | None]:
        """(reply, failure, wait): `wait` is None where a retry would not help, else seconds, 0 where none are named."""
        import openai

        if self.usage.spent():
            return None, "budget", None
        has_schema = self._has_schema
        schema = {"name": "verdict", "strict": True, "schema": rubric.SCHEMA}
        options = {"response_format": {"type": "json_schema", "json_schema": schema}} if has_schema else {}
        self.usage.calls += 1
        try:
            reply = await session.client.chat.completions.create(
                model=self.model,
                messages=rubric.messages(example, text, with_schema=not has_schema),
                temperature=TEMPERATURE,
                max_tokens=self.max_tokens,
                **options,
            )
        except openai.APITimeoutError:
            return None, "timeout", None
        except openai.APIStatusError as error:
            status = error.status_code
            if status in FATAL or getattr(error, "code", None) == "insufficient_quota":
                raise UserError(self._unreachable(error)) from None
            if status in (400, 422) and has_schema and "response_format" in str(error):
                self._without_schema()
                return await self._call(session, example, text)
            if status == 429:
                session.limit.too_many()
            name = "rate_limited" if status == 429 else "http_5xx" if status >= 500 else f"http_{status}"
            return str(error), name, _retry_after(error) if status in RETRIED or status >= 500 else None
        except openai.APIConnectionError as error:
            return str(error), "connection", 0.0
        except (openai.APIResponseValidationError, ValueError) as error:  # a 200 that is no JSON (a proxy's page)
            return str(error), "unparsable", None
        session.limit.good()
        self.usage.add(getattr(reply, "usage", None))
        choice = reply.choices[0] if getattr(reply, "choices", None) else None
        if choice is None:
            return str(reply)[:2000], "unparsable", None
        said = choice.message.content
        if choice.message.refusal or choice.finish_reason == "content_filter":
            return choice.message.refusal or said, "refused", None
        if choice.finish_reason == "length":
            return said, "cut_off", None
        return said, None if said else "unparsable", None

    def _without_schema(self) -> None:
        if self._has_schema:
            self._has_schema = False
            print(
                f"the judge at {self.base_url} takes no JSON schema (response_format): it is asked in words instead, "
                "and more of its replies may be unusable",
                file=sys.stderr,
            )


def _retry_after(error) -> float:
    """Seconds that the endpoint asks to wait; 0 where it names none."""
    try:
        return max(0.0, float(error.response.headers.get("retry-after", 0)))
    except ValueError:  # a date: the doubling wait serves as well
        return 0.0


_NOTHING_SAID = {
    "false_claims": [],
    "strategy_evidence": "",
    "used_strategy": "none",
    "answer_evidence": "",
    "states_answer": False,
    "answered_readings": [],
    "ignores_other_readings": False,
    "asks_which": False,
    "question_evidence": "",
    "separated_readings": [],
}


def _after_reply(example: Example, prediction: Prediction) -> tuple[Example, str] | None:
    """The example as it stands after the user's reply (one reading is left), and the second response."""
    turns, readings = prediction.turns, example.ambiguity.readings
    if len(turns) < 3 or prediction.reading is None or not 0 <= prediction.reading < len(readings):
        return None
    reading = readings[prediction.reading]
    if reading.answer is None:
        return None
    left = example.ambiguity.model_copy(update={"readings": [reading], "level": 0})
    question = f"{example.question} ({reading.expression})"
    return example.model_copy(
        update={"ambiguity": left, "strategy": "answer", "question": question, "dialogue": None}
    ), turns[2].text


def _run(coroutine):
    """The result of a coroutine, whether or not an event loop runs in this thread already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
