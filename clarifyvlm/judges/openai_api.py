"""The LLM judge: a model at any endpoint that speaks OpenAI's chat completions (hosted, `vllm serve`, `llama-server`).

What follows a reasoning block is judged. The model is not asked where a rule decides (gate.py) or where the same was
asked before (clarifyvlm/endpoint/cache.py). What a failed call comes to is in asking.py.
"""

import asyncio
from pathlib import Path

from clarifyvlm.endpoint.cache import key_of
from clarifyvlm.endpoint.client import TEMPERATURE, ChatRequest, Endpoint, Reply
from clarifyvlm.endpoint.pictures import encoded, picture_url
from clarifyvlm.errors import UserError
from clarifyvlm.judges import rubric
from clarifyvlm.judges.asking import EndpointJudge
from clarifyvlm.judges.gate import gate
from clarifyvlm.language.layout import after_reasoning
from clarifyvlm.records import INFORMED, Example, Prediction, Verdict


class OpenAIJudge(EndpointJudge):
    """Judges by `rubric` at `endpoint`.

    `image_root` is the folder that Example.image is relative to; without it no picture is sent. `sees_image` True,
    False or None: `check` finds out whether the endpoint takes pictures. `per_criterion` asks each group of criteria in
    a call of its own; `reverse_criteria` turns their order around (for audits).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        image_root: Path | None = None,
        sees_image: bool | None = None,
        per_criterion: bool = False,
        reverse_criteria: bool = False,
    ):
        super().__init__(endpoint)
        self.image_root = image_root
        self.sees_image, self._find_out = bool(sees_image), sees_image is None and image_root is not None
        if sees_image and image_root is None:
            raise UserError("--judge_sees_image yes: there is no folder of pictures here.")
        self._calls = rubric.calls(per_criterion, reverse_criteria)
        self._style = (":per_criterion" if per_criterion else "") + (":reversed" if reverse_criteria else "")

    @property
    def name(self) -> str:
        picture = ":with_picture" if self.sees_image else ""
        return f"openai:{self.endpoint.model}:rubric-{rubric.VERSION}{picture}{self._style}"

    def _reach(self) -> None:
        probe = _probe() if self.sees_image or self._find_out else None
        if self._find_out:
            try:
                self.endpoint.check(probe)
                self.sees_image = True
            except UserError:  # it takes no pictures, or does not answer at all
                self.endpoint.check()
            self._find_out = False
        else:
            self.endpoint.check(probe)

    async def _verdict(self, asked: dict, example: Example, prediction: Prediction) -> Verdict:
        text = after_reasoning(prediction.text)
        if rule := gate(example, text):
            nothing = rubric.NOTHING | {"strategy_evidence": f"gate: {rule}"}
            return self._scored(example, prediction, Reply(nothing))
        reply = await self._findings(asked, example, text)
        then: dict = {}
        if reply.found is not None and (after := _after_reply(example, prediction)):
            then, second = await self._after_reply(asked, *after)
            reply = Reply(reply.found, second.failure, f"{reply.raw}\n{second.raw or ''}")
        if reply.failure is not None:
            return self._failed(prediction, reply)
        return self._scored(example, prediction, reply, then)

    def _scored(self, example, prediction, reply: Reply, then: dict | None = None) -> Verdict:
        criteria, evidence = rubric.criteria(example, reply.found, self.sees_image)
        return Verdict(
            example_id=prediction.example_id,
            model=prediction.model,
            judge=self.name,
            used_strategy=reply.found["used_strategy"],
            criteria=criteria,
            listed=rubric.listed(example, reply.found),
            **(then or {}),
            evidence=evidence,
            raw=reply.raw,
        )

    async def _after_reply(self, asked: dict, example: Example, text: str) -> tuple[dict, Reply]:
        """What the Verdict says of the response after the user's reply."""
        if rule := gate(example, text):
            said = Reply(raw=f"gate: {rule}")
            return {"answer_right_after_reply": 0.0, "used_after_reply": "none", "grounded_after_reply": 0.0}, said
        reply = await self._findings(asked, example, text)
        if reply.failure:
            return {}, reply
        criteria, _ = rubric.criteria(example, reply.found, self.sees_image)
        return {
            "answer_right_after_reply": criteria["answer_right"],
            "used_after_reply": reply.found["used_strategy"],
            "grounded_after_reply": criteria["grounded"],
        }, reply

    async def _findings(self, asked: dict, example: Example, text: str) -> Reply:
        """The findings of all calls about one response; where one failed, its failure."""
        replies = await asyncio.gather(*(self._ask(asked, example, text, fields) for fields in self._calls))
        raw = "\n".join(reply.raw for reply in replies if reply.raw) or None
        if failed := next((reply for reply in replies if reply.failure), None):
            return Reply(failure=failed.failure, raw=raw)
        return Reply({name: value for reply in replies for name, value in reply.found.items()}, raw=raw)

    async def _ask(self, asked: dict, example: Example, text: str, fields: tuple[str, ...]) -> Reply:
        picture = digest = None
        if self.sees_image:
            picture, digest = picture_url(self.image_root / example.image)
        readings = len(example.ambiguity.readings)
        question = ChatRequest(
            key=key_of(
                endpoint=self.endpoint.base_url,
                model=self.endpoint.model,
                rubric=rubric.VERSION,
                messages=rubric.messages(example, text, fields, nonce="nonce", picture=digest),
                temperature=TEMPERATURE,
                max_tokens=self.endpoint.max_tokens,
            ),
            messages=lambda spelt_out: rubric.messages(example, text, fields, with_schema=spelt_out, picture=picture),
            schema=rubric.schema(readings, fields),
            parse=lambda said: rubric.parse(said, readings, fields),
        )
        return await self._once(asked, question)


def _probe() -> str:
    """The data URL of a small red picture."""
    from PIL import Image

    return encoded(Image.new("RGB", (64, 64), "red"))[0]


def _after_reply(example: Example, prediction: Prediction) -> tuple[Example, str] | None:
    """The example after the user's reply, which leaves one reading if they said which; and the last response."""
    turns, readings = prediction.turns, example.ambiguity.readings
    if (
        len(turns) < 3
        or turns[-1].role != "assistant"
        or prediction.reading is None
        or not 0 <= prediction.reading < len(readings)
    ):
        return None
    text = after_reasoning(turns[-1].text)
    if (prediction.user_kind or "helpful") not in INFORMED:
        return example, text
    reading = readings[prediction.reading]
    if reading.answer is None:
        return None
    left = example.ambiguity.model_copy(update={"readings": [reading], "level": 0})
    question = f"{example.question} ({reading.expression})"
    return example.model_copy(
        update={"ambiguity": left, "strategy": "answer", "question": question, "dialogue": None}
    ), text
