"""What the report measures: each metric is a number per example, and its definition stands beside it.

A metric gives None for an example that it says nothing about; such examples, and those on which the judge failed or
does not know what the metric needs, are left out of its mean, and `n` counts the rest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from clarifyvlm import rewards
from clarifyvlm.records import AFTER_REPLY, INFORMED, Example, Prediction, Verdict
from clarifyvlm.strategies import AMBIGUITY_TYPES, STRATEGIES
from clarifyvlm.users import USER_KINDS
from measures.judged import Judged, taken_as_wrong, title


@dataclass(frozen=True)
class Metric:
    label: str
    of: str  # the examples that it is a mean over
    definition: str
    better: Literal["higher", "lower", "neither"]
    value: Callable[[Example, Verdict, Prediction], float | None]
    is_share: bool = True  # 0..1, shown as per cent
    examples: dict[str, str] = field(default_factory=dict)  # filters of the page's gallery that show what counts here


def _one_reading(example: Example) -> bool:
    return example.strategy == "answer"


def _criterion(name: str, applies: Callable[[Example], bool] = lambda example: True):
    return lambda example, verdict, prediction: verdict.criteria[name] if applies(example) else None


def _answer_right(example: Example, verdict: Verdict, prediction: Prediction) -> float | None:
    """A response that gives no answer (it asked, it abstained) is not right: otherwise silence would pay."""
    if not _one_reading(example) or not example.has_answer or "answer_right" in verdict.unknown:
        return None
    return verdict.criteria["answer_right"] or 0.0


def _asked(example: Example, verdict: Verdict, prediction: Prediction) -> float:
    return float(verdict.used_strategy == "clarify")


def right_after_reply(example: Example, verdict: Verdict, prediction: Prediction) -> float | None:
    """Whether the answer after the user's reply is right; None where nobody replied, or the reply did not tell which
    reading is meant, so that nobody could know the answer."""
    told = (prediction.user_kind or "helpful") in INFORMED or example.strategy == "answer"
    return verdict.answer_right_after_reply if told else None


def _after_reply(example: Example, verdict: Verdict, prediction: Prediction) -> float | None:
    return right_after_reply(example, verdict, prediction) if example.strategy == "clarify" else None


def _question_value(example: Example, verdict: Verdict, prediction: Prediction) -> float | None:
    return verdict.criteria["question_value"] if example.strategy == "clarify" else None


def _complete(example: Example, verdict: Verdict, prediction: Prediction) -> float | None:
    listed = example.strategy == "enumerate" and verdict.used_strategy == "enumerate"
    return verdict.criteria["complete"] if listed else None


SERVED = frozenset(("strategy_right", "complete", "answer_right"))  # what `served_at_once` hangs on


def served_at_once(example: Example, verdict: Verdict, prediction: Prediction | None = None) -> float | None:
    """1 if the first response alone leaves the user with what is right; None where nobody knows the answer, or the
    judge does not know what it comes to."""
    criteria = verdict.criteria
    if SERVED.intersection(verdict.unknown):
        return None
    if example.strategy in ("correct", "abstain"):
        return float(criteria["strategy_right"] or 0.0)
    if not example.has_answer:
        return None
    whole = criteria["complete"] == 1 if example.strategy == "enumerate" else True
    return float(whole and criteria["answer_right"] == 1)


def ends_open(example: Example, verdict: Verdict, prediction: Prediction) -> bool:
    """Whether the model asked, a reply could have led to the right answer, and nobody replied (or nobody knows which
    reading the reply meant): what the user is left with cannot be known."""
    after = right_after_reply(example, verdict, prediction)
    return verdict.used_strategy == "clarify" and example.has_answer and after is None


def _served(example: Example, verdict: Verdict, prediction: Prediction) -> float | None:
    at_once = served_at_once(example, verdict)
    if at_once is None or ends_open(example, verdict, prediction) or AFTER_REPLY in verdict.unknown:
        return None
    return max(at_once, right_after_reply(example, verdict, prediction) or 0.0)


def right_in_the_end(example: Example, verdict: Verdict, prediction: Prediction) -> float | None:
    """1 if what the user is left with is right for what they meant; None where that is not known."""
    at_once = served_at_once(example, verdict)
    if at_once is None or AFTER_REPLY in verdict.unknown:
        return None
    if verdict.used_after_reply is None:  # no dialogue
        guess = example.strategy == "clarify" and rewards.guessed_right(example, verdict, prediction)
        return None if ends_open(example, verdict, prediction) else max(at_once, float(guess))
    if (prediction.user_kind or "helpful") in INFORMED or example.strategy == "answer":
        after = verdict.answer_right_after_reply
        return None if after is None else max(at_once, after)
    return 1.0 + rewards.resolution(example, verdict, prediction)


# The key of the one metric that is not a mean over examples: the mean over STRATEGIES of `strategy_accuracy`.
MACRO = "strategy_accuracy_macro"
# The key of the share of responses that the judge understood.
COVERAGE = "coverage"
NAMED = {MACRO: "Strategy accuracy (macro)", COVERAGE: "Understood by the judge"}

METRICS = {
    "right_in_the_end": Metric(
        "Right in the end",
        "all examples except those where the model asked and nobody replied",
        "At the end of the dialogue the user has the right result for what they meant: the right answer (a lucky guess "
        "counts), the complete and correct list, or a correction or abstention where that is right. If the user gave "
        "no information, or described an object that is not there: a correct list, abstention or correction that "
        "asserts no reading. Also given by kind of user, where asking is right.",
        "higher",
        right_in_the_end,
        examples={"strategy": "clarify"},
    ),
    "strategy_accuracy": Metric(
        "Strategy accuracy",
        "all examples",
        "The response uses the right strategy. Also given per strategy and per ambiguity type; "
        "`strategy_accuracy_macro` is the mean over the strategies, each with the same weight.",
        "higher",
        _criterion("strategy_right"),
    ),
    "overconfident": Metric(
        "Overconfident",
        "ambiguous examples: the right strategy is any except `answer`",
        "The response asserts one reading as if there were no other. Where the premise is false or the picture cannot "
        "tell, any answer counts as overconfident.",
        "lower",
        _criterion("overconfident", lambda example: not _one_reading(example)),
        examples={"failure": "confident_guess false_premise invents_hidden"},
    ),
    "over_asked": Metric(
        "Over-asked",
        "one-reading examples: the right strategy is `answer`, including harmless ambiguity",
        "The response asks back though every reading has the same answer.",
        "lower",
        _criterion("over_asked", _one_reading),
        examples={"failure": "over_ask"},
    ),
    "grounded": Metric(
        "Grounded",
        "all examples",
        "No claim of the response contradicts the facts of the picture.",
        "higher",
        _criterion("grounded"),
    ),
    "answer_accuracy": Metric(
        "Answer accuracy",
        "one-reading examples",
        "The answer is right. A response without an answer counts as wrong.",
        "higher",
        _answer_right,
        examples={"strategy": "answer"},
    ),
    "answer_accuracy_after_reply": Metric(
        "Answer accuracy after the reply",
        "`clarify` examples where the model asked and the user said which reading they mean",
        "The answer that the model gives after the user's reply is right for the reading that the user meant.",
        "higher",
        _after_reply,
        examples={"strategy": "clarify", "used": "clarify"},
    ),
    "served": Metric(
        "Served after at most one reply",
        "all examples except those where the model asked and nobody said which reading they mean",
        "The user gets the right result: the right answer, the complete and correct list, or a correction or "
        "abstention where that is right; or the model asks, gets a reply, and then answers correctly for the reading "
        "that was meant.",
        "higher",
        _served,
    ),
    "served_at_once": Metric(
        "Served at once",
        "all examples",
        "The same, with the first response alone.",
        "higher",
        served_at_once,
    ),
    "question_value": Metric(
        "Value of the question",
        "`clarify` examples where the model asked",
        "Share of the readings that the question tells apart.",
        "higher",
        _question_value,
    ),
    "complete": Metric(
        "Completeness of lists",
        "`enumerate` examples where the model listed readings",
        "Share of the readings that the list names.",
        "higher",
        _complete,
    ),
    "asked": Metric(
        "Asked back",
        "all examples",
        "The response asks a clarifying question, rightly or not.",
        "neither",
        _asked,
    ),
    "reward": Metric(
        "Reward",
        "all examples",
        "The total that GRPO maximizes, computed by the same function with its default weights; at most 1.",
        "higher",
        rewards.total,
        is_share=False,
    ),
}

# Columns of the overview tables, in order.
OVERVIEW = (
    "right_in_the_end",
    MACRO,
    "overconfident",
    "over_asked",
    "grounded",
    "answer_accuracy",
    "answer_accuracy_after_reply",
    "served",
    "reward",
)


def label(key: str) -> str:
    """The name to show for a key of METRICS, MACRO, COVERAGE, or "strategy_accuracy.clarify"."""
    if key in NAMED:
        return NAMED[key]
    metric, _, stratum = key.partition(".")
    return METRICS[metric].label + (f": {stratum}" if stratum else "")


def is_share(key: str) -> bool:
    """Whether a key's values are shares, shown as per cent; all but the reward's are."""
    return key not in METRICS or METRICS[key].is_share


def better(key: str) -> str:
    return "higher" if key in NAMED else METRICS[key.partition(".")[0]].better


def columns(examples: Sequence[Example], model: Judged, *, as_wrong: bool = False) -> dict[str, np.ndarray]:
    """Every metric and stratum of a model as a column (E,) of numbers; NaN where it says nothing. `as_wrong` counts
    what the judge did not understand against the model.

    Keys: those of METRICS, "right_in_the_end.<kind of user>" (where asking is right), "strategy_accuracy.<strategy>"
    and "strategy_accuracy_by_type.<type>". Examples without a verdict and failed verdicts are NaN throughout.
    """
    names = list(METRICS)
    table = np.full((len(names), len(examples)), np.nan)
    for i, example in enumerate(examples):
        verdict = model.verdicts.get(example.id)
        if verdict is not None and as_wrong:
            verdict = taken_as_wrong(example, verdict)
        if verdict is None or verdict.failure is not None:
            continue
        for row, name in enumerate(names):
            value = METRICS[name].value(example, verdict, model.predictions[example.id])
            if value is not None:
                table[row, i] = value
    result = dict(zip(names, table, strict=True))
    right = result["strategy_accuracy"]
    strategies = np.array([example.strategy for example in examples])
    types = np.array([example.ambiguity.type for example in examples])
    for strategy in STRATEGIES:
        result[f"strategy_accuracy.{strategy}"] = np.where(strategies == strategy, right, np.nan)
    predictions = [model.predictions.get(example.id) for example in examples]
    for kind in USER_KINDS:
        who = np.array([p is not None and p.user_kind == kind for p in predictions])
        ended = np.where(who & (strategies == "clarify"), result["right_in_the_end"], np.nan)
        result[f"right_in_the_end.{kind}"] = ended
    for name in AMBIGUITY_TYPES:
        result[f"strategy_accuracy_by_type.{name}"] = np.where(types == name, right, np.nan)
    return result


def left_open(examples: Sequence[Example], model: Judged) -> str | None:
    """A sentence on the questions for which `served` is not known, None where there are none."""
    judged = [(e, v, model.predictions[e.id]) for e in examples if (v := model.verdict_on(e.id))]
    asked = [e for e, v, p in judged if v.used_after_reply is None and ends_open(e, v, p)]
    if not asked:
        return None
    questions, these = ("question", "this one") if len(asked) == 1 else ("questions", "these")
    return (
        f"{title(model.name)} asked back on {len(asked):,} {questions} and nobody replied: how {these} would end is "
        f"not known, and {METRICS['served'].label!r} leaves them out. `predict.py --turns 2` plays the reply; another "
        'tool gives it as "turns", with "reading".'
    )


def confusion(examples: Sequence[Example], model: Judged) -> dict[str, dict[str, int]]:
    """Counts: right strategy -> strategy that the response used ("none" for empty, garbled or off-topic)."""
    counts = {right: dict.fromkeys([*STRATEGIES, "none"], 0) for right in STRATEGIES}
    for example in examples:
        if verdict := model.verdict_on(example.id):
            counts[example.strategy][verdict.used_strategy or "none"] += 1
    return counts
