"""For tests of the measures: examples, verdicts on them, and a model's numbers."""

from clarifyvlm.records import CRITERIA, Example, Prediction, Verdict
from measures import results
from measures.judged import Judged
from small_examples import star_example


def example(index: int, *, strategy: str, picture: str | None = None) -> Example:
    """An example of a right strategy; its facts and readings do not matter to the metrics."""
    row = star_example(index, "x.png", picture or f"picture{index}", stars=4 if strategy == "clarify" else 1)
    return Example.model_validate(row | {"strategy": strategy})


def verdict(of: Example, used: str, after: float | None = None, **criteria) -> Verdict:
    values = dict.fromkeys(CRITERIA) | {"strategy_right": float(used == of.strategy), "grounded": 1.0} | criteria
    return Verdict(example_id=of.id, judge="scene", used_strategy=used, criteria=values, answer_right_after_reply=after)


def failed(of: Example) -> Verdict:
    return Verdict(example_id=of.id, judge="scene", failure="timeout")


def judged(name: str, rows: list[tuple[Example, Verdict]]) -> Judged:
    said = {e.id: Prediction(example_id=e.id, text="It is red.") for e, _ in rows}
    return Judged(name, said, {e.id: v for e, v in rows})


def measure(*models: Judged, examples: list[Example], seed: int = 0) -> dict:
    return results.measure(examples, list(models), seed=seed, resamples=400)
