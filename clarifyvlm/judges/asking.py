"""What judges behind an endpoint share: many responses at once, the same question asked once, a deadline for all.

What a call may come to is in clarifyvlm/endpoint/client.py; here a failed call becomes a Verdict with that failure's
name. A judge adds its `name` and `_verdict`, which asks by `_once`.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence

from clarifyvlm.endpoint.client import ChatRequest, Endpoint, Reply
from clarifyvlm.records import Example, Prediction, Verdict


class EndpointJudge:
    """A judge that asks the model at `endpoint`."""

    sees_image = False

    def __init__(self, endpoint: Endpoint):
        self.endpoint, self.usage = endpoint, endpoint.usage

    @property
    def name(self) -> str:
        """Who judges by what; what changes verdicts is in it."""
        raise NotImplementedError

    def check(self) -> None:
        """One or two small calls, without retries. UserError that names the URL and the model when they fail."""
        self._reach()
        cache = f"; {self.endpoint.cache}" if self.endpoint.cache else ""
        print(f"judge: {self.name} at {self.endpoint.base_url}{cache}", file=sys.stderr)

    def _reach(self) -> None:
        self.endpoint.check()

    def judge(
        self,
        examples: Sequence[Example],
        predictions: Sequence[Prediction],
        on_verdict: Callable[[int, Verdict], None] | None = None,
        deadline_s: float | None = None,
    ) -> list[Verdict]:
        return self.endpoint.run(self._judge(examples, predictions, on_verdict, deadline_s))

    async def _judge(self, examples, predictions, on_verdict, deadline_s) -> list[Verdict]:
        asked: dict[str, asyncio.Task] = {}  # calls by key: a group of responses often says the same thing

        ahead = asyncio.Semaphore(2 * self.endpoint.concurrency)  # the first calls leave before all are written

        async def verdict(i: int) -> Verdict:
            async with ahead:
                found = await self._verdict(asked, examples[i], predictions[i])
            if on_verdict:
                on_verdict(i, found)
            return found

        tasks = [asyncio.create_task(verdict(i)) for i, _ in enumerate(zip(examples, predictions, strict=True))]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=deadline_s, return_when=asyncio.FIRST_EXCEPTION)
            late = [i for i, task in enumerate(tasks) if not task.done()]
            failed = next((task for task in tasks if task.done() and task.exception()), None)
            if failed:
                raise failed.exception()
        finally:  # past the deadline, Ctrl-C, a wrong key: the other calls would only say so again
            left = [task for task in (*tasks, *asked.values()) if not task.done()]
            for task in left:
                task.cancel()
            await asyncio.gather(*tasks, *left, return_exceptions=True)
        verdicts = {i: self._failed(predictions[i], Reply(failure="timeout")) for i in late}
        for i, found in verdicts.items() if on_verdict else ():
            on_verdict(i, found)
        return [verdicts[i] if i in verdicts else task.result() for i, task in enumerate(tasks)]

    async def _verdict(self, asked: dict, example: Example, prediction: Prediction) -> Verdict:
        raise NotImplementedError

    def _failed(self, prediction: Prediction, reply: Reply) -> Verdict:
        return Verdict(
            example_id=prediction.example_id,
            model=prediction.model,
            judge=self.name,
            failure=reply.failure,
            raw=reply.raw,
        )

    async def _once(self, asked: dict, question: ChatRequest) -> Reply:
        """The reply to a question, which is put once however many responses of a batch need it."""
        if question.key in asked:
            self.usage.from_cache += 1
        else:
            asked[question.key] = asyncio.create_task(self.endpoint.ask(question))
        return await asked[question.key]
