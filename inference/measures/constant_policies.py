"""Constant policies: what a model would earn that says the same whatever it sees.

Their responses are built from the question's kind alone. They go through the same judge, reward and metrics as a
model's, and are the floor that a trained model has to leave far below.
"""

from collections.abc import Callable

from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.records import Example, Prediction
from measures.judged import Judged, by_hash

MOST_EXAMPLES = 2000  # that the policies are measured on; of more, these many drawn by a hash of their ids

# kind of question -> two answers that such a question could have
ANSWERS = {
    "color": ("red", "blue"),
    "shape": ("a circle", "a square"),
    "size": ("large", "small"),
    "count": ("two", "three"),
    "position": ("at the top left", "at the bottom right"),
    "relation": ("on the left", "on the right"),
    "existence": ("yes", "no"),
    "comparison": ("yes", "no"),
}
OTHER = ("red", "blue")  # a kind of a user's own


def _answers(example: Example) -> tuple[str, str]:
    return ANSWERS.get(example.kind, OTHER)


def _answer(example: Example) -> str:
    first = _answers(example)[0]
    if first == "yes":
        return "Yes."
    return "There are two." if example.kind == "count" else f"It is {first}."


def _infer(example: Example) -> str:
    return f"I take you to mean the large one: {_answer(example).lower()}"


def _list(example: Example) -> str:
    first, second = _answers(example)
    return f"There are two: the one on the left is {first} and the one on the right is {second}."


POLICIES: dict[str, Callable[[Example], str]] = {
    "always_answer": _answer,
    "always_infer": _infer,
    "always_list": _list,
    "always_ask": lambda example: "Which one do you mean, and where is it?",
    "always_correct": lambda example: "There is none in the picture.",
    "always_abstain": lambda example: "I cannot tell from the picture.",
    "always_empty": lambda example: "",
}


def play(examples: list[Example]) -> tuple[list[Example], list[Judged]]:
    """(the examples that all policies are measured on, what each says of them), by the scene judge, which reads the
    ground truth, costs nothing, and needs no endpoint; none where no example has the facts that it reads."""
    annotated = [example for example in examples if example.facts.annotated]
    some = sorted(annotated, key=by_hash)[:MOST_EXAMPLES]
    played = []
    for name, say in POLICIES.items() if some else ():
        said = [Prediction(example_id=e.id, text=say(e), model=name) for e in some]
        verdicts = SceneJudge().judge(some, said)
        by_id = ({row.example_id: row for row in rows} for rows in (said, verdicts))
        played.append(Judged(name, *by_id))
    return some, played
