"""What no response can be at once: a strategy and criteria that exclude each other by their definitions.

The definitions are those of clarifyvlm/judges/scene.py. Nothing here depends on which strategy is right, so that who is
told of a contradiction learns nothing of it.
"""

from clarifyvlm.records import Example

ANSWERS_NOTHING = ("clarify", "correct", "abstain", "none")
NAMES_READINGS = ("infer", "enumerate")


def contradiction(example: Example, used: str, criteria: dict[str, float | None]) -> str | None:
    """How a label contradicts itself, in words; None where it does not. `criteria` may lack some, or have None."""
    answer_right, overconfident = criteria.get("answer_right"), criteria.get("overconfident")
    if used in ANSWERS_NOTHING and answer_right == 1:
        return f"{used} gives no answer, so it cannot be right"
    if used in ANSWERS_NOTHING and overconfident == 1:
        return f"{used} gives no answer, so it cannot be overconfident"
    if used in NAMES_READINGS and overconfident == 1 and example.has_answer:
        return f"{used} says that there are other readings, so it is not overconfident"
    if used in NAMES_READINGS and overconfident == 0 and not example.has_answer:
        return f"no reading has an answer, so {used} is overconfident"
    if used == "clarify" and criteria.get("over_asked") == 0:
        return "clarify asks what is meant"
    if overconfident == 1 and criteria.get("over_asked") == 1 and example.has_answer:
        return "who asks what is meant is not overconfident"
    if used in NAMES_READINGS and answer_right == 1 and criteria.get("complete") == 0:
        return "a right answer is that of one reading at least"
    return None
