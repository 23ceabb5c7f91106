"""A panel: several judges on the same responses, and the majority per criterion.

    # panel.yaml                            python inference/judge.py --judge panel --judge_panel panel.yaml ...
    judges:
      - judge: scene
      - {judge: openai, judge_base_url: "http://localhost:8000/v1", judge_model: qwen3-32b}
      - {judge: openai, judge_base_url: "http://localhost:8001/v1", judge_model: gemma-3-27b}

Every key is a flag of JudgeArguments; what a judge does not set is as on the command line. Every member's verdict is
kept in `votes`. A tie goes to the member that the file names first; a verdict stands when more than half of the members
gave one, and is the failure `no_quorum` otherwise (`not_understood` where the others did not understand the response).
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median

from clarifyvlm.endpoint.usage import Usage, total
from clarifyvlm.records import AFTER_REPLY, CRITERIA, NOT_UNDERSTOOD, Example, Prediction, Verdict

SHARES = ("complete", "question_value")  # the other criteria are 0 or 1


class PanelJudge:
    """Asks all `members` at once."""

    def __init__(self, members: Sequence):
        self.members = list(members)

    @property
    def name(self) -> str:
        return f"panel({', '.join(member.name for member in self.members)})"

    @property
    def sees_image(self) -> bool:
        return any(member.sees_image for member in self.members)

    @property
    def usage(self) -> Usage | None:
        usages = [member.usage for member in self.members if member.usage]
        return total(usages) if usages else None

    def check(self) -> None:
        for member in self.members:
            member.check()

    def judge(
        self,
        examples: Sequence[Example],
        predictions: Sequence[Prediction],
        on_verdict: Callable[[int, Verdict], None] | None = None,
        deadline_s: float | None = None,
    ) -> list[Verdict]:
        cast: list[dict[int, Verdict]] = [{} for _ in predictions]  # member -> its vote
        verdicts: list[Verdict | None] = [None] * len(cast)
        lock = threading.Lock()

        def ask(number: int) -> None:
            def on_vote(i: int, vote: Verdict) -> None:
                with lock:
                    cast[i][number] = vote
                    if len(cast[i]) == len(self.members):
                        votes = [cast[i][n] for n in range(len(self.members))]
                        verdicts[i] = majority(self.name, examples[i], predictions[i], votes)
                        if on_verdict:
                            on_verdict(i, verdicts[i])

            self.members[number].judge(examples, predictions, on_vote, deadline_s)

        with ThreadPoolExecutor(len(self.members)) as pool:
            list(pool.map(ask, range(len(self.members))))
        return verdicts


def majority(name: str, example: Example, prediction: Prediction, votes: Sequence[Verdict]) -> Verdict:
    """What most of `votes` say about one response: the used strategy by most votes, each criterion that is 0 or 1 by
    majority, shares by their median."""
    about = partial(Verdict, example_id=prediction.example_id, model=prediction.model, judge=name, votes=list(votes))
    scored = [vote for vote in votes if vote.failure is None]
    if 2 * len(scored) <= len(votes):
        failed = {vote.failure for vote in votes} - {None}
        understood = "no_quorum" if failed - set(NOT_UNDERSTOOD) else "not_understood"
        return about(failure="budget" if "budget" in failed else understood)
    used = _most(vote.used_strategy for vote in scored)
    criteria = {}
    for criterion in CRITERIA:
        said = [v for vote in scored if (v := vote.criteria[criterion]) is not None]
        criteria[criterion] = None if not said else median(said) if criterion in SHARES else _most(said)
    criteria["strategy_right"] = float(used == example.strategy)
    if used != "clarify":
        criteria["question_value"] = None
    replied = [vote.answer_right_after_reply for vote in scored if vote.answer_right_after_reply is not None]
    did = [vote.used_after_reply for vote in scored if vote.used_after_reply is not None]
    listed = [vote.listed for vote in scored if vote.listed is not None]
    holds = [vote.grounded_after_reply for vote in scored if vote.grounded_after_reply is not None]
    after = _most(replied) if replied else None
    unknown = {name for vote in scored for name in vote.unknown}
    return about(
        used_strategy=used,
        criteria=criteria,
        unknown=[n for n, value in (criteria | {AFTER_REPLY: after}).items() if value is None and n in unknown],
        listed=median(listed) if listed and used == "enumerate" else None,
        answer_right_after_reply=after,
        used_after_reply=_most(did) if did else None,
        grounded_after_reply=_most(holds) if holds else None,
    )


def _most(values):
    """The value with most votes; of several, the one that came first."""
    return Counter(values).most_common(1)[0][0]
