"""The extract judge: a language model says what a response claims, code checks it against the facts.

The model, at any endpoint that speaks OpenAI's chat completions, sees the question and the response and nothing else:
no picture, no facts, no readings, no right strategy. So it cannot favor what is true, and the same response to the
same question costs one call whatever the picture. Criteria are those of the scene judge, from the same code. A reply
that quotes what the response does not say, or leaves out what it says, is refused and asked for once more; then it is
the failure `invented_span` or `left_out`. Words that nobody knows and that the verdict hangs on make `not_understood`.
"""

from clarifyvlm.endpoint.cache import key_of
from clarifyvlm.endpoint.client import TEMPERATURE, ChatRequest, Endpoint, Reply
from clarifyvlm.judges import extract_schema as schema
from clarifyvlm.judges.asking import EndpointJudge
from clarifyvlm.judges.checked import Cases, text_after_reply, verdict_of
from clarifyvlm.judges.claims import response_of
from clarifyvlm.judges.finding import Finding
from clarifyvlm.judges.gate import gate
from clarifyvlm.language.descriptions import Response
from clarifyvlm.language.facts import Case
from clarifyvlm.language.layout import after_reasoning
from clarifyvlm.records import AFTER_REPLY, Example, Prediction, Verdict

NOT_UNDERSTOOD = "not_understood"


class ExtractJudge(EndpointJudge):
    """Reads with the model at `endpoint`, checks by the facts of the example."""

    def __init__(self, endpoint: Endpoint):
        super().__init__(endpoint)
        self._cases = Cases()

    @property
    def name(self) -> str:
        return f"extract:{self.endpoint.model}:claims-{schema.VERSION}"

    async def _verdict(self, asked: dict, example: Example, prediction: Prediction) -> Verdict:
        case, final = self._cases.of(example), text_after_reply(prediction)
        first, reply, evidence = await self._finding(asked, case, prediction.text)
        last, second = None, Reply()
        if final is not None and first is not None:
            last, second, _ = await self._finding(asked, case, final)
        raw = "\n".join(said for said in (reply.raw, second.raw) if said) or None
        failure = reply.failure or second.failure
        unknown = [AFTER_REPLY] if reply.failure is None and failure == NOT_UNDERSTOOD else []
        if failure is None or unknown:
            verdict = verdict_of(self.name, example, prediction, first, last, raw)
        else:
            verdict = self._failed(prediction, Reply(failure=failure, raw=raw))
        verdict.evidence |= evidence
        verdict.unknown = unknown
        return verdict

    async def _finding(self, asked: dict, case: Case, text: str) -> tuple[Finding | None, Reply, dict[str, str]]:
        """(what a response says; the model's reply, or the failure; evidence)"""
        text = after_reasoning(text)
        if rule := gate(case.example, text):
            evidence = {"strategy_right": f"gate: {rule}"}
            return Finding(case, "", Response()), Reply(raw=f"gate: {rule}"), evidence
        reply = await self._ask(asked, case.example.question, text)
        if reply.failure is not None:
            return None, reply, {}
        response, missing = response_of(reply.found, case)
        if missing:
            return None, Reply(failure=NOT_UNDERSTOOD, raw=reply.raw), {NOT_UNDERSTOOD: ", ".join(missing)}
        return Finding(case, "", response), reply, {}

    async def _ask(self, asked: dict, question: str, text: str) -> Reply:
        key = key_of(
            endpoint=self.endpoint.base_url,
            model=self.endpoint.model,
            claims=schema.VERSION,
            messages=schema.messages(question, text, nonce="nonce"),
            temperature=TEMPERATURE,
            max_tokens=self.endpoint.max_tokens,
        )
        return await self._once(
            asked,
            ChatRequest(
                key=key,
                messages=lambda spelt_out: schema.messages(question, text, with_schema=spelt_out),
                schema=schema.SCHEMA,
                parse=lambda said: schema.parse(said, text),
                name="claims",
            ),
        )
