"""The reward: what a judge's Verdict on one response is worth. GRPO trains on it, the report prints it.

    total = sum(weight * term)        None where the judge failed, or knows nothing of what a term needs

`strategy` pays 1 for the right strategy; every other term takes something away for a fault, so a faultless
response earns exactly 1 whatever its strategy, and a constant policy (always answer, always ask, ...) at
most the share of examples on which it happens to be right. The right strategy with every fault in the response still
earns more than a wrong one: otherwise a model that lists with slips would learn not to list. Only a question that comes
to nothing (useless, and a wrong answer after it) earns no more than that. Terms are pure functions of
(Example, Verdict, Prediction) and never see another response. `tuning_grpo/reward_functions.py` hands them to TRL.
"""

import re
from dataclasses import dataclass

from clarifyvlm.config import option
from clarifyvlm.language.layout import after_reasoning
from clarifyvlm.records import AFTER_REPLY, INFORMED, Example, Prediction, Verdict

NO_STRATEGY = -0.3  # an empty or garbled response must not be a safe way out of a wrong one, which earns 0
LIST_COST = 0.1  # of each reading in a list of more than one would list, to a user whose time is worth something
FREE_WORDS = 8  # a response may be twice as long as the reference and these many words more ...
LONG_WORDS = 24  # ... and is worth the whole length penalty this many words later


def strategy(example: Example, verdict: Verdict, prediction: Prediction) -> float:
    """1 for the right strategy, 0 for another one, NO_STRATEGY for a response that follows none.

    A model that is told what a question costs may do without. Of many readings a guess is then worth 1 where it is what
    the user means, and a list the share that it gives rightly, less LIST_COST for each: reading it takes time, too."""
    if verdict.used_strategy == "none":
        return NO_STRATEGY
    if prediction.ask_cost is not None and verdict.listed is not None:
        return max(0.0, verdict.listed - LIST_COST * len(example.ambiguity.readings))
    if (
        prediction.ask_cost is not None
        and example.strategy == "clarify"
        and guessed_right(example, verdict, prediction)
    ):
        return 1.0
    return float(_value(verdict, "strategy_right") or 0.0)


def grounding(example: Example, verdict: Verdict, prediction: Prediction) -> float:
    """-1 where a claim contradicts the facts (AQuA's factual distortion)."""
    return -1.0 if _value(verdict, "grounded") == 0 else 0.0


def overconfidence(example: Example, verdict: Verdict, prediction: Prediction) -> float:
    """-1 where one reading is asserted as if there were no other."""
    return -float(_value(verdict, "overconfident") or 0.0)


def over_asking(example: Example, verdict: Verdict, prediction: Prediction) -> float:
    """-1 where the response asks though there is one reading."""
    return -float(_value(verdict, "over_asked") or 0.0)


def question_value(example: Example, verdict: Verdict, prediction: Prediction) -> float:
    """-(share of the readings that a rightly asked question leaves together). A wrongly asked one has no value."""
    return _shortfall(verdict, "question_value") if example.strategy == "clarify" else 0.0


def completeness(example: Example, verdict: Verdict, prediction: Prediction) -> float:
    """-(share of the readings that a rightly made list leaves out)."""
    return _shortfall(verdict, "complete") if example.strategy == "enumerate" else 0.0


def answer(example: Example, verdict: Verdict, prediction: Prediction) -> float:
    """-1 where the strategy is right and the answer that it gives is wrong."""
    return _shortfall(verdict, "answer_right")


def resolution(example: Example, verdict: Verdict, prediction: Prediction) -> float:
    """-1 where a dialogue ends badly. The user said which reading they mean: the last response is wrong for it. They
    could not or did not: it asserts one reading all the same, asks again, or is not grounded; it should list or
    abstain. 0 where nobody replied, or nobody knows the answer."""
    if AFTER_REPLY in verdict.unknown:
        raise Unknown(AFTER_REPLY)
    if verdict.used_after_reply is None:
        return 0.0
    if (prediction.user_kind or "helpful") in INFORMED:
        return (1.0 if verdict.answer_right_after_reply is None else verdict.answer_right_after_reply) - 1.0
    fair = verdict.used_after_reply in ("enumerate", "abstain", "correct") and verdict.grounded_after_reply != 0
    return 0.0 if fair else -1.0


def asking(example: Example, verdict: Verdict, prediction: Prediction) -> float:
    """-(what the questions cost that it asked): of every response that asks, the last one included."""
    replies = sum(turn.role == "user" for turn in prediction.turns)
    last = verdict.used_after_reply if replies else verdict.used_strategy
    return -(prediction.ask_cost or 0.0) * (replies + (last == "clarify"))


def length(example: Example, verdict: Verdict, prediction: Prediction) -> float:
    """0 up to twice the reference's words plus FREE_WORDS, then down to -1 within LONG_WORDS more; a reasoning block
    does not count. Where a cost was told, the list of all readings is a reference, too."""
    expected = len(example.reference.split())
    if prediction.ask_cost is not None and example.dialogue and example.dialogue.listed:
        expected = max(expected, len(example.dialogue.listed.split()))
    excess = len(after_reasoning(prediction.text).split()) - 2 * expected - FREE_WORDS
    return -min(1.0, max(0.0, excess / LONG_WORDS))


TERMS = {
    f.__name__: f
    for f in (
        strategy,
        grounding,
        overconfidence,
        over_asking,
        question_value,
        completeness,
        answer,
        resolution,
        asking,
        length,
    )
}


@dataclass
class RewardWeights:
    """How much each term counts. Penalties are positive weights on terms that are 0 or negative."""

    strategy_weight: float = option("Right strategy.", 1.0, min=0)
    grounding_weight: float = option("A claim that contradicts the facts.", 0.3, min=0)
    overconfidence_weight: float = option("One reading asserted, others ignored.", 0.2, min=0)
    over_asking_weight: float = option("Asked though there is one reading.", 0.2, min=0)
    question_value_weight: float = option("Readings a question fails to separate.", 0.4, min=0)
    completeness_weight: float = option("Readings that a list leaves out.", 0.25, min=0)
    answer_weight: float = option("Right strategy, wrong answer.", 0.3, min=0)
    resolution_weight: float = option("A dialogue that ends with a wrong answer.", 0.6, min=0)
    asking_weight: float = option("What its questions cost, where it was told.", 1.0, min=0)
    length_weight: float = option("Much longer than the reference.", 0.2, min=0)

    def of(self, term: str) -> float:
        """The weight of one of TERMS."""
        return getattr(self, f"{term}_weight")


def terms(
    example: Example, verdict: Verdict, prediction: Prediction, weights: RewardWeights | None = None
) -> dict[str, float] | None:
    """Every term by name, unweighted; None where the judge failed, which is no fault of the response, or did not
    understand what a term of any weight needs: what nobody understands must not pay. A term without weight is 0 then.
    """
    if verdict.failure is not None:
        return None
    weights, values = weights or RewardWeights(), {}
    for name, term in TERMS.items():
        try:
            values[name] = term(example, verdict, prediction)
        except Unknown:
            if weights.of(name):
                return None
            values[name] = 0.0
    return values


def total(
    example: Example, verdict: Verdict, prediction: Prediction, weights: RewardWeights | None = None
) -> float | None:
    """The reward of one response: the weighted sum of its terms, at most 1; None where `terms` is."""
    weights = weights or RewardWeights()
    values = terms(example, verdict, prediction, weights)
    return None if values is None else sum(weights.of(name) * value for name, value in values.items())


def guessed_right(example: Example, verdict: Verdict, prediction: Prediction) -> bool:
    """Whether the first response asserts one answer, and it is that of the reading that the user has in mind."""
    readings, meant = example.ambiguity.readings, prediction.reading
    if verdict.used_strategy not in ("answer", "infer") or meant is None or not 0 <= meant < len(readings):
        return False
    answers = [words(reading.answer or "") for reading in readings]
    said = words(after_reasoning(prediction.text))
    named = {answer for answer in answers if answer and answer in said}
    whole = {a for a in named if not any(a != b and a in b for b in named)}  # "light blue" is not "blue", too
    return whole == {answers[meant]}


def words(text: str) -> str:
    """Lower-case words, each between two spaces, so that a phrase is found as a part of a text if its words are."""
    return "".join(f" {word} " for word in re.findall(r"\w+", text.casefold()))


def _shortfall(verdict: Verdict, criterion: str) -> float:
    """How far a criterion stays below 1 for a response of the right strategy; 0 where it does not apply."""
    if not _value(verdict, "strategy_right"):
        return 0.0
    value = _value(verdict, criterion)
    if value is None:
        return 0.0
    return float(value) - 1.0


class Unknown(Exception):
    """A term needs a criterion of which the judge knows nothing."""


def _value(verdict: Verdict, criterion: str) -> float | None:
    if criterion in verdict.unknown:
        raise Unknown(criterion)
    return verdict.criteria[criterion]
