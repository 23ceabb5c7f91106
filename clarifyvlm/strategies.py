"""The six strategies and the ambiguity types: names, definitions, and which one is right for a set of readings."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clarifyvlm.records import Reading

# Strategy -> when it is right. The order is the order of every table and plot.
STRATEGIES = {
    "answer": "one reading, or several readings that all have the same answer",
    "infer": "several readings, one clearly salient: say which one you took, then answer it",
    "enumerate": "two or three equally plausible readings with different answers: give the answer for each",
    "clarify": "more readings than one would list: ask one question that separates them",
    "correct": "the question presupposes something that is not in the picture: say so",
    "abstain": "the picture cannot tell (hidden, cropped, not visual): say so",
}

# Ambiguity type -> where several readings (or none) come from.
AMBIGUITY_TYPES = {
    "none": "one reading",
    "referential": "several objects fit the expression",
    "attribute": "which property is asked for is open",
    "vague": "a gradable word (the big one) fits several objects",
    "spatial": "a place word (on the left) fits several objects",
    "lexical": "a misspelt or unknown word could be several words",
    "premise": "the question presupposes something that is not there",
    "unanswerable": "the picture cannot tell",
    "unknown": "the source of the question does not say (published benchmarks)",
}

# AQuA's level of a strategy; `correct` and `abstain` have none.
LEVELS = {"answer": 0, "infer": 1, "enumerate": 2, "clarify": 3, "correct": None, "abstain": None}

MAX_LISTED_READINGS = 3  # more than this and a listing is tiresome: ask instead
EQUAL_SALIENCE = 1.3  # largest / smallest salience up to which readings count as equally plausible
CLEAR_SALIENCE = 2.0  # largest / second salience from which one reading clearly stands out


def strategy_for(readings: "list[Reading]", saliences: list[float], *, guessed_word: bool = False) -> str | None:
    """The right strategy for a question with `readings`; None where people would disagree.

    `saliences` (> 0, any unit) stand beside `readings`. `guessed_word` is true when the words themselves
    had to be guessed (a misspelling): then even a single reading has to be named before it is answered.
    Whether the picture hides the answer (`abstain`) is for the caller to see: no reading has an answer then.
    """
    if not readings:
        return "correct"
    if len(readings) == 1:
        return "infer" if guessed_word else "answer"
    if len({r.answer for r in readings}) == 1:
        return "answer"
    ranked = sorted(saliences, reverse=True)
    if ranked[0] >= CLEAR_SALIENCE * ranked[1]:
        return "infer"
    if ranked[0] > EQUAL_SALIENCE * ranked[-1]:
        return None
    return "enumerate" if len(readings) <= MAX_LISTED_READINGS else "clarify"
