"""Constant policies: what a model would earn that says the same whatever it sees.

Their responses are built from the question's kind alone. They go through the same judge, reward and metrics as a
model's, and are the floor that a trained model has to leave far below.
"""

from collections.abc import Callable

from clarifyvlm.records import Example, Prediction, Verdict

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


POLICIES: dict[str, tuple[str, Callable[[Example], str]]] = {
    "always_answer": ("answers at once", _answer),
    "always_infer": ("names one reading and answers it", _infer),
    "always_list": ("lists two readings", _list),
    "always_ask": ("asks back", lambda example: "Which one do you mean, and where is it?"),
    "always_correct": ("denies the premise", lambda example: "There is none in the picture."),
    "always_abstain": ("says that the picture cannot tell", lambda example: "I cannot tell from the picture."),
    "always_empty": ("says nothing", lambda example: ""),
}


def play(name: str, examples: list[Example]) -> dict[str, Prediction]:
    """Example id -> the response of the policy `name`."""
    _, say = POLICIES[name]
    return {e.id: Prediction(example_id=e.id, text=say(e), model=name) for e in examples}


def verdicts(predictions: dict[str, Prediction], examples: list[Example]) -> dict[str, Verdict]:
    """The scene judge's verdicts: it reads the ground truth, costs nothing, and needs no endpoint."""
    from clarifyvlm.judges.scene import SceneJudge

    judged = SceneJudge().judge(examples, [predictions[e.id] for e in examples])
    return {verdict.example_id: verdict for verdict in judged}
