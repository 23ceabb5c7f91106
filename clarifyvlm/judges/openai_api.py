"""The LLM judge: any endpoint that speaks OpenAI's chat completions (hosted, `vllm serve`, `llama-server`).

One call per response, many at once. The client retries what is worth retrying (408, 409, 429, 5xx, lost connections;
Retry-After is honoured); there is no second layer of retries. What still fails becomes a Verdict with a named failure:

    timeout       no reply within the deadline        rate_limited  429 after the retries
    unparsable    no JSON in the reply                schema        JSON, but not the verdict's
    refused       the model or its filter refused     cut_off       the reply ended at the token limit
    http_NNN      another status, as http_5xx or its own number     connection    no server, or it hung up
"""

import asyncio
import os
from collections.abc import Sequence

from clarifyvlm.errors import UserError
from clarifyvlm.judges import rubric
from clarifyvlm.judges.gate import gate
from clarifyvlm.records import Example, Prediction, Verdict

FATAL = (401, 403, 404)  # no other prediction would fare better: stop at once
NO_KEY = "none"  # local servers want no key, but the client insists on one


class OpenAIJudge:
    """Judges by `rubric` at an OpenAI-compatible endpoint.

    `timeout_s` is the deadline of one verdict, its retries included; `concurrency` the calls in flight at once.
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
    ):
        self.base_url = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        if not model:
            raise UserError("--judge openai needs --judge_model, the name of a model at the endpoint.")
        if concurrency < 1 or timeout_s <= 0 or max_retries < 0:
            raise UserError("--judge_concurrency and --judge_timeout_s must be above 0, --judge_max_retries 0 or more.")
        self.model = model
        self.name = f"openai:{model}:rubric-{rubric.VERSION}"
        self.timeout_s, self.max_retries = timeout_s, max_retries
        self.concurrency, self.max_tokens = concurrency, max_tokens

    def check(self) -> None:
        """One small call, without retries. UserError that names the URL and the model when it fails."""
        _run(self._check())

    def judge(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[Verdict]:
        """One verdict per prediction, in order. Inside a running event loop use `judge_async`, or this from a thread;
        called on the loop's own thread it runs on a second loop in a thread of its own."""
        return _run(self.judge_async(examples, predictions))

    async def judge_async(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[Verdict]:
        limit = asyncio.Semaphore(self.concurrency)
        async with self._client() as client:  # a client belongs to one event loop

            async def one(example: Example, prediction: Prediction) -> Verdict:
                async with limit:
                    return await self._verdict(client, example, prediction)

            return await asyncio.gather(*(one(e, p) for e, p in zip(examples, predictions, strict=True)))

    def _client(self, **options):
        from openai import AsyncOpenAI

        options = {"timeout": self.timeout_s, "max_retries": self.max_retries} | options
        return AsyncOpenAI(base_url=self.base_url, api_key=os.environ.get("OPENAI_API_KEY") or NO_KEY, **options)

    async def _check(self) -> None:
        import openai

        async with self._client(max_retries=0, timeout=min(self.timeout_s, 30.0)) as client:
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

    async def _verdict(self, client, example: Example, prediction: Prediction) -> Verdict:
        if rule := gate(example, prediction.text):
            return self._scored(example, prediction, _NOTHING_SAID | {"strategy_evidence": f"gate: {rule}"}, raw=None)
        raw, failure = await self._ask(client, rubric.messages(example, prediction.text))
        replied = None
        if failure is None:
            try:
                found = rubric.parse(raw, len(example.ambiguity.readings))
            except rubric.SchemaError:
                failure = "schema"
            except ValueError:
                failure = "unparsable"
        if failure is None and (after := _after_reply(example, prediction)):
            replied, failure, raw = await self._after_reply(client, *after, raw)
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

    async def _after_reply(self, client, example: Example, text: str, raw: str):
        """(whether the answer after the user's reply is right, failure, raw text): the reading is known by then."""
        if gate(example, text):
            return 0.0, None, raw
        said, failure = await self._ask(client, rubric.messages(example, text))
        if failure is not None:
            return None, failure, f"{raw}\n{said or ''}"
        try:
            found = rubric.parse(said, 1)
        except rubric.SchemaError:
            return None, "schema", f"{raw}\n{said}"
        except ValueError:
            return None, "unparsable", f"{raw}\n{said}"
        return rubric.criteria(example, found)[0]["answer_right"], None, f"{raw}\n{said}"

    async def _ask(self, client, messages: list[dict]) -> tuple[str | None, str | None]:
        """(reply, failure): one of them, or both where there is text that cannot be used."""
        import openai

        schema = {"name": "verdict", "strict": True, "schema": rubric.SCHEMA}
        try:
            async with asyncio.timeout(self.timeout_s):
                reply = await client.chat.completions.create(
                    model=self.model,
                    messages=messages,
                    temperature=0,
                    max_tokens=self.max_tokens,
                    response_format={"type": "json_schema", "json_schema": schema},
                )
        except (TimeoutError, openai.APITimeoutError):
            return None, "timeout"
        except openai.RateLimitError as error:
            return str(error), "rate_limited"
        except openai.APIStatusError as error:
            if error.status_code in FATAL:
                raise UserError(self._unreachable(error)) from None
            return str(error), "http_5xx" if error.status_code >= 500 else f"http_{error.status_code}"
        except openai.APIConnectionError as error:
            return str(error), "connection"
        except (openai.APIResponseValidationError, ValueError) as error:  # a 200 that is no JSON (a proxy's page)
            return str(error), "unparsable"
        choice = reply.choices[0] if getattr(reply, "choices", None) else None
        if choice is None:
            return str(reply)[:2000], "unparsable"
        text = choice.message.content
        if choice.message.refusal or choice.finish_reason == "content_filter":
            return choice.message.refusal or text, "refused"
        if choice.finish_reason == "length":
            return text, "cut_off"
        return (text, None) if text else (text, "unparsable")


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
