"""What the user is left with after the whole dialogue."""

from clarifyvlm.records import Prediction
from judged_models import example, measure, verdict
from measures import metrics
from measures.judged import Judged


def test_right_in_the_end():
    """A model that believes whoever describes what is not there, a guess after "I don't know" that is counted as
    served, a good list after it that is not, and kinds of users that are mixed up."""
    ask = example(0, strategy="clarify")

    def end(kind: str, used_after: str, after: float | None = None, grounded: float = 1.0) -> float | None:
        said = Prediction(example_id=ask.id, text="Which star?", reading=0, user_kind=kind)
        asked = verdict(ask, "clarify", after=after).model_copy(
            update={"used_after_reply": used_after, "grounded_after_reply": grounded}
        )
        return metrics.right_in_the_end(ask, asked, said)

    assert [end(kind, "answer", 1.0) for kind in ("helpful", "terse", "changes_mind")] == [1.0, 1.0, 1.0]
    assert end("helpful", "answer", 0.0) == 0.0 and end("helpful", "enumerate", 0.0) == 0.0
    assert end("unsure", "answer", 1.0) == 0.0, "nobody can know: a lucky guess is none"
    assert [end("unsure", used) for used in ("enumerate", "abstain", "correct", "clarify")] == [1.0, 1.0, 1.0, 0.0]
    assert end("wrong", "infer") == 0.0 and end("wrong", "correct") == 1.0
    assert end("off_topic", "enumerate", grounded=0.0) == 0.0

    meant = Prediction(example_id=ask.id, text="It is red.", reading=0, user_kind="helpful")
    assert metrics.right_in_the_end(ask, verdict(ask, "answer"), meant) == 1.0
    assert metrics.right_in_the_end(ask, verdict(ask, "answer"), meant.model_copy(update={"reading": 1})) == 0.0
    assert metrics.right_in_the_end(ask, verdict(ask, "clarify"), meant) is None, "asked, and nobody replied"
    premise = example(1, strategy="correct")
    assert metrics.right_in_the_end(premise, verdict(premise, "correct"), meant) == 1.0


def test_right_in_the_end_by_kind_of_user():
    """A kind with the numbers of another, and dialogues of one that count as nobody's."""
    asks = [example(i, strategy="clarify") for i in range(4)]
    verdicts = {e.id: verdict(e, "clarify", after=float(i < 3)) for i, e in enumerate(asks)}
    verdicts = {i: v.model_copy(update={"used_after_reply": "answer"}) for i, v in verdicts.items()}
    kinds = ("helpful", "helpful", "terse", "unsure")
    said = {
        e.id: Prediction(example_id=e.id, text="Which?", reading=0, user_kind=kind)
        for e, kind in zip(asks, kinds, strict=True)
    }
    row = measure(Judged("m", said, verdicts), examples=asks)["models"]["m"]
    by_user = {kind: (found["value"], found["n"]) for kind, found in row["right_in_the_end_by_user"].items()}
    assert by_user == {"helpful": (1.0, 2), "terse": (1.0, 1), "unsure": (0.0, 1)}
    assert row["right_in_the_end"]["value"] == 0.75
