"""GRPO by a judge of known flaws: how much judge error the reward bears.

    python benchmarks/flawed_judge.py --wrong 0.1 --config tuning_grpo/configs/tiny.yaml --model_name_or_path ...
    python benchmarks/flawed_judge.py --favor_long 0.1 ...

The flags behind the two are those of tuning_grpo/train.py. The judge is the scene judge, but for a share of responses,
drawn by their words, so that the same words are always judged alike: with `--wrong` it says the opposite of what is so
(a good response is bad, a bad one good), with `--favor_long` it finds every response good that is longer than its
reference. An LLM judge has both faults.
"""

import random
import sys
from dataclasses import dataclass

from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import run_main
from clarifyvlm.judges.scene import SceneJudge
from clarifyvlm.records import Example, Prediction, Verdict
from measure import script
from measures.judged import taken_as_wrong

GOOD = {"strategy_right": 1.0, "grounded": 1.0, "overconfident": 0.0, "over_asked": 0.0}


@dataclass
class Flaws:
    wrong: float = option("share of responses of which the judge says the opposite", 0.0, min=0, max=1)
    favor_long: float = option("share of responses longer than their reference that it finds good", 0.0, min=0, max=1)


class FlawedJudge(SceneJudge):
    """The scene judge with `flaws`."""

    def __init__(self, flaws: Flaws):
        super().__init__()
        self.flaws = flaws

    def _verdict(self, example: Example, prediction: Prediction) -> Verdict:
        verdict = super()._verdict(example, prediction)
        if verdict.failure is not None:
            return verdict
        draw = random.Random(f"{example.id}:{[turn.text for turn in prediction.turns]}").random()
        is_long = len(prediction.text.split()) > len(example.reference.split())
        if is_long and draw < self.flaws.favor_long:
            return as_good(example, verdict)
        if draw < self.flaws.wrong:
            return as_bad(example, verdict) if verdict.criteria["strategy_right"] else as_good(example, verdict)
        return verdict


def as_good(example: Example, verdict: Verdict) -> Verdict:
    """A verdict that finds no fault."""
    criteria = {name: GOOD.get(name, 1.0) if value is not None else None for name, value in verdict.criteria.items()}
    ended = {"used_after_reply": None, "grounded_after_reply": None, "answer_right_after_reply": None}
    return verdict.model_copy(update={"used_strategy": example.strategy, "criteria": criteria, "unknown": []} | ended)


def as_bad(example: Example, verdict: Verdict) -> Verdict:
    """A verdict that finds every fault."""
    understood_nothing = verdict.model_copy(update={"failure": "not_understood", "criteria": {}, "used_strategy": None})
    return taken_as_wrong(example, understood_nothing)


def main(argv: list[str] | None = None) -> int:
    given = list(sys.argv[1:] if argv is None else argv)
    mine = []
    for name in ("--wrong", "--favor_long"):
        if name in given:
            at = given.index(name)
            mine += given[at : at + 2]
            del given[at : at + 2]
    (flaws,) = parse_args([Flaws], mine, description=__doc__)
    train = script("tuning_grpo/train.py")
    train.make_judge = lambda args, data_dir=None: FlawedJudge(flaws)
    return train.main(given)


if __name__ == "__main__":
    run_main(main, continues=True)
