"""How models fail: every way to fail, defined once, with how often each model does and which examples show it.

Modes of a group exclude each other, and the first that fits counts:

    unusable   the response follows no strategy at all
    strategy   it follows one, and not the one that is right
    content    it follows the right one, and something in it is wrong

A mode of no group can come on top of any other.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from clarifyvlm.judges.gate import gate
from clarifyvlm.language.layout import after_reasoning
from clarifyvlm.records import Example, Prediction, Verdict
from measures import intervals
from measures.judged import Judged, by_hash
from measures.metrics import right_after_reply

SHOWN = 3  # examples per model and mode
SEVERAL = ("infer", "enumerate", "clarify")  # right strategies of questions with several readings that differ
CLAIMS = ("answer", "infer", "enumerate")  # strategies that answer
# The usual hedges by their forms (Hyland, Hedging in Scientific Research Articles, 1998): adverbs, modal verbs, verbs
# of judgment and of appearance. "It looks red" and "a star appears there" are plain statements about a picture.
HEDGES = re.compile(
    r"\b(maybe|perhaps|possibly|probably|presumably|apparently|seemingly|likely|might|may be|could be|kind of|"
    r"sort of|i (think|guess|believe|suppose|assume)|i(['\u2019]d| would) (say|think|guess)|my (best )?guess|"
    r"as far as i|seems?|(appears?|looks?) (to|like|as)|(not|un)[ -]?(sure|certain|clear))\b",
    re.IGNORECASE,
)

Say = Callable[[Example, Verdict, Prediction], bool]


@dataclass(frozen=True)
class Mode:
    label: str
    of: str  # the responses that its share is of
    definition: str
    group: str | None
    applies: Say
    failed: Say  # asked only where it applies


def _every(example: Example, verdict: Verdict, prediction: Prediction) -> bool:
    return True


def _right(*strategies: str) -> Say:
    return lambda example, verdict, prediction: example.strategy in strategies


def _used(*strategies: str) -> Say:
    return lambda example, verdict, prediction: verdict.used_strategy in strategies


def _followed(*strategies: str) -> Say:
    """The right strategy is one of `strategies` and the response follows it."""
    return lambda example, verdict, prediction: verdict.used_strategy == example.strategy in strategies


def _is(criterion: str, value: float) -> Say:
    return lambda example, verdict, prediction: verdict.criteria[criterion] == value


def _nothing(example: Example, verdict: Verdict, prediction: Prediction) -> bool:
    return verdict.used_strategy in ("none", None)


def _empty(example: Example, verdict: Verdict, prediction: Prediction) -> bool:
    """What the gate calls empty; the gate itself, which takes a while, is asked once, by `_repeated`."""
    return _nothing(example, verdict, prediction) and not any(map(str.isalnum, after_reasoning(prediction.text)))


def _repeated(example: Example, verdict: Verdict, prediction: Prediction) -> bool:
    return _nothing(example, verdict, prediction) and gate(example, prediction.text) == "repeated"


def _wrong_content(example: Example, verdict: Verdict, prediction: Prediction) -> bool:
    return verdict.criteria["grounded"] == 0 or verdict.criteria["answer_right"] == 0


def _hedged(example: Example, verdict: Verdict, prediction: Prediction) -> bool:
    return bool(HEDGES.search(after_reasoning(prediction.text)))


def _answered_rightly(example: Example, verdict: Verdict, prediction: Prediction) -> bool:
    return example.strategy == verdict.used_strategy == "answer" and verdict.criteria["answer_right"] == 1


def _cut_off(example: Example, verdict: Verdict, prediction: Prediction) -> bool:
    return prediction.finish_reasons[:1] == ["length"]


def _partly(example: Example, verdict: Verdict, prediction: Prediction) -> bool:
    return 0 < (verdict.criteria["question_value"] or 0) < 1


def _incomplete(example: Example, verdict: Verdict, prediction: Prediction) -> bool:
    complete = verdict.criteria["complete"]
    return complete is not None and complete < 1


MODES = {
    "empty": Mode("Empty", "all", "No word at all.", "unusable", _every, _empty),
    "repeated": Mode(
        "Repeats itself", "all", "Mostly one phrase, again and again.", "unusable", _every, _repeated
    ),
    "malformed": Mode(
        "Malformed", "all", "Words that follow no strategy: garbled, off topic, only an opener.", "unusable", _every,
        _nothing,
    ),
    "confident_guess": Mode(
        "Confident guess", "right is infer, enumerate or clarify",
        "Asserts the answer of one reading as if there were no other.", "strategy", _right(*SEVERAL), _used("answer"),
    ),
    "false_premise": Mode(
        "False premise accepted", "right is correct",
        "Answers, lists or asks as if what the question presupposes were there.", "strategy", _right("correct"),
        _used(*CLAIMS, "clarify"),
    ),
    "invents_hidden": Mode(
        "Invents what is hidden", "right is abstain", "Answers what the picture does not show.", "strategy",
        _right("abstain"), _used(*CLAIMS),
    ),
    "over_ask": Mode(
        "Over-asks", "right is answer", "Asks back though every reading has the same answer.", "strategy",
        _right("answer"), _used("clarify"),
    ),
    "needless_question": Mode(
        "Asks where a list would do", "right is infer, enumerate or abstain",
        "Asks back though one reading stands out, a short list would do, or no reply could help.", "strategy",
        _right("infer", "enumerate", "abstain"), _used("clarify"),
    ),
    "under_ask": Mode(
        "Under-asks", "right is clarify", "Lists, or picks a reading and says so, where there are too many.",
        "strategy", _right("clarify"), _used("infer", "enumerate"),
    ),
    "under_list": Mode(
        "Picks one of several", "right is enumerate",
        "Picks a reading and says so, though another is as plausible.", "strategy", _right("enumerate"), _used("infer"),
    ),
    "over_list": Mode(
        "Lists where one answer would do", "right is answer or infer",
        "Lists, or takes a reading among several, though there is one answer; lists though one reading stands out.",
        "strategy", _right("answer", "infer"), lambda e, v, p: v.used_strategy in ("infer", "enumerate")
        and v.used_strategy != e.strategy,
    ),
    "abstains": Mode(
        "Abstains though visible", "right is not abstain", "Says that the picture cannot tell, though it can.",
        "strategy", lambda e, v, p: e.strategy != "abstain", _used("abstain"),
    ),
    "denies": Mode(
        "Denies what is there", "right is not correct", "Corrects a premise that holds.", "strategy",
        lambda e, v, p: e.strategy != "correct", _used("correct"),
    ),
    "hallucinated_reading": Mode(
        "Hallucinated reading", "rightly lists or picks",
        "Something in the list, or the reading picked, is not in the picture like that.", "content",
        _followed("infer", "enumerate"), _is("grounded", 0),
    ),
    "partial_list": Mode(
        "Partial list", "rightly lists", "All of the list is true, and a reading is missing.", "content",
        _followed("enumerate"), _incomplete,
    ),
    "wrong_thing": Mode(
        "Asks about the wrong thing", "rightly asks", "The question names something that is not in the picture.",
        "content", _followed("clarify"), _is("grounded", 0),
    ),
    "useless_question": Mode(
        "Useless question", "rightly asks", "No reply to the question would tell any two readings apart.", "content",
        _followed("clarify"), _is("question_value", 0),
    ),
    "weak_question": Mode(
        "Weak question", "rightly asks", "The question tells only some of the readings apart.", "content",
        _followed("clarify"), _partly,
    ),
    "wrong_fact": Mode(
        "Right strategy, wrong fact", "rightly answers, picks, lists, corrects or abstains",
        "The answer is wrong, or a claim contradicts the picture.", "content",
        _followed("answer", "infer", "enumerate", "correct", "abstain"), _wrong_content,
    ),
    "hedged": Mode(
        "Right but hedged", "answers rightly", "The answer is right, and wrapped in maybe, perhaps, I think.",
        None, _answered_rightly, _hedged,
    ),
    "ignores_reply": Mode(
        "Ignores the reply", "the user told which reading they mean",
        "The answer after the reply is not that of the reading meant.", None,
        lambda e, v, p: right_after_reply(e, v, p) is not None, lambda e, v, p: right_after_reply(e, v, p) == 0,
    ),
    "cut_off": Mode(
        "Cut off", "the prediction says how it ended", "The response hit the limit on new tokens.", None,
        lambda e, v, p: bool(p.finish_reasons), _cut_off,
    ),
}  # fmt: skip


def find(example: Example, verdict: Verdict, prediction: Prediction) -> dict[str, bool]:
    """mode -> whether the response fails so, for the modes that apply to it; {} where the judge failed."""
    if verdict.failure is not None:
        return {}
    found, taken = {}, set()
    for name, mode in MODES.items():
        if not mode.applies(example, verdict, prediction):
            continue
        found[name] = mode.group not in taken and mode.failed(example, verdict, prediction)
        if found[name] and mode.group:
            taken.add(mode.group)
    return found


def of(example: Example, verdict: Verdict, prediction: Prediction) -> list[str]:
    """The modes in which the response fails, in the order of MODES."""
    return [name for name, failed in find(example, verdict, prediction).items() if failed]


def measure(examples: Sequence[Example], models: Sequence[Judged], *, seed: int, resamples: int) -> dict:
    """{model: {"any" and each of MODES: {"value", "low", "high", "n", "count", "examples"}}}, JSON-ready.

    "value" is the share of the n responses that the mode applies to, "count" their number, "examples" the ids of up to
    SHOWN that fail so, drawn by a hash. "any" is the share of responses that fail in any way.
    """
    names = ["any", *MODES]
    columns = {(model.name, name): np.full(len(examples), np.nan) for model in models for name in names}
    for model in models:
        for i, example in enumerate(examples):
            if (verdict := model.verdict_on(example.id)) is None:
                continue
            found = find(example, verdict, model.predictions[example.id])
            for name, failed in {"any": any(found.values()), **found}.items():
                columns[model.name, name][i] = failed
    clusters = intervals.Clusters([e.image_sha256 for e in examples])
    sample = intervals.Resampled(columns, clusters, seed=seed, resamples=resamples)
    order = sorted(range(len(examples)), key=lambda i: by_hash(examples[i]))
    return {
        model.name: {
            name: sample.estimate(key := (model.name, name))
            | {"count": int(np.nansum(columns[key]))}
            | {"examples": [examples[i].id for i in order if columns[key][i] == 1][:SHOWN]}
            for name in names
        }
        for model in models
    }


def readme_table() -> str:
    """The definitions as rows of the Markdown table in docs/metrics.md."""
    return "\n".join(
        f"| `{name}` | {mode.label} | {mode.group or ''} | {mode.of} | {mode.definition} |"
        for name, mode in MODES.items()
    )
