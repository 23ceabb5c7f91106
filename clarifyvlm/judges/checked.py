"""What the judges share that check claims against the facts: prepared examples, and a verdict from what was found."""

from clarifyvlm.judges.finding import Finding
from clarifyvlm.language import reference
from clarifyvlm.language.facts import Case
from clarifyvlm.records import AFTER_REPLY, Example, Prediction, Verdict

MAX_CASES = 4096  # examples kept prepared: a training step judges many responses to the same few


class Cases:
    """Prepared examples."""

    def __init__(self):
        self._cases: dict[str, Case] = {}

    def of(self, example: Example) -> Case:
        case = self._cases.get(example.id)
        if case is None or (case.example is not example and case.example != example):
            if len(self._cases) >= MAX_CASES:
                self._cases.clear()
            case = self._cases[example.id] = Case(example)
        return case


def text_after_reply(prediction: Prediction) -> str | None:
    """The response after the user's reply, where it is known which reading they had in mind."""
    last = prediction.turns[-1]
    replied = len(prediction.turns) >= 3 and last.role == "assistant" and prediction.reading is not None
    return last.text if replied else None


def in_its_place(case: Case, text: str, reply: str) -> str:
    """A response to the user's reply, with what they described in place of words that point to it: "there is none
    there"."""
    if not reference.points_back(text):
        return text
    said = Finding(case, reference.plain(reply)).response.claims
    described = [claim.subject for claim in said if claim.kind == "fragment" and claim.subject is not None]
    return reference.resolved(text, described[-1], case.question) if described else text


def _denies(last: Finding) -> bool:
    """Whether it says rightly that something is not there, which the user may just have described: "there is no star at
    the top left; which one do you mean?" corrects, though it asks."""
    said = [claim for claim in last.response.claims if claim.kind == "deny" and claim.subject is not None]
    return any(claim.subject.given() and last.case.true(claim) for claim in said)


def verdict_of(
    judge: str, example: Example, prediction: Prediction, first: Finding, last: Finding | None, raw: str | None = None
) -> Verdict:
    """The verdict on a prediction from what its `first` response says, and the `last` one after the user's reply.
    A failure where the first could not be read; where the last could not, nothing is known of how it ends."""
    if first.failure:
        evidence = {first.failure: first.unread} if first.unread else {}
        return Verdict(
            example_id=prediction.example_id,
            model=prediction.model,
            judge=judge,
            failure=first.failure,
            evidence=evidence,
            raw=raw,
        )
    criteria, evidence = first.criteria()
    answered, used, holds, unknown = None, None, None, first.unknown
    if last is not None:
        holds = None if last.failure else last.criteria()[0]["grounded"]
        if last.failure or last.unknown:
            holds, unknown = None, [*unknown, AFTER_REPLY]
        else:
            answered = last.answers_reading(prediction.reading)
            used = "correct" if last.used in ("clarify", "none", "abstain") and _denies(last) else last.used
            if used == "correct" and last.used == "abstain":  # "I see no star there, so I cannot tell"
                holds = float(all(last.case.true(claim) is not False for claim in last.response.claims))
    return Verdict(
        example_id=prediction.example_id,
        model=prediction.model,
        judge=judge,
        used_strategy=first.used,
        criteria=criteria,
        listed=first.listed() if first.used == "enumerate" and example.strategy == "clarify" else None,
        answer_right_after_reply=answered,
        used_after_reply=used,
        grounded_after_reply=holds,
        evidence=evidence,
        unknown=unknown,
        raw=raw,
    )
