"""What one model said and what the judge said of it: the input of every measure."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clarifyvlm.language.layout import after_reasoning
from clarifyvlm.records import AFTER_REPLY, CRITERIA, NOT_UNDERSTOOD, Example, Prediction, Verdict


def title(name: str) -> str:
    """A model's name as people write it: "grpo-seed1" -> "GRPO-seed1"; a folder of another name as it is."""
    return re.sub(r"^(base|sft|grpo)(?![A-Za-z0-9])", lambda m: "Base" if m[1] == "base" else m[1].upper(), name)


@dataclass
class Judged:
    """One model's responses with their verdicts, by example id."""

    name: str
    predictions: dict[str, Prediction]
    verdicts: dict[str, Verdict]

    def verdict_on(self, example_id: str) -> Verdict | None:
        """None where there is no verdict, or the judge failed."""
        verdict = self.verdicts.get(example_id)
        return None if verdict is None or verdict.failure is not None else verdict

    def judged(self, examples: Sequence[Example]) -> np.ndarray:
        """(E,) whether the example has a verdict that did not fail."""
        return np.array([self.verdict_on(e.id) is not None for e in examples], bool)

    @property
    def failures(self) -> dict[str, int]:
        """Judge failures by name."""
        names = [v.failure for v in self.verdicts.values() if v.failure is not None]
        return {name: names.count(name) for name in sorted(set(names))}

    @property
    def unknown(self) -> dict[str, int]:
        """Criterion -> verdicts, of those that did not fail, in which the judge knows nothing of it."""
        names = [name for v in self.verdicts.values() for name in v.unknown]
        return {name: names.count(name) for name in sorted(set(names))}

    def understood(self, examples: Sequence[Example]) -> np.ndarray:
        """(E,) 1 where the judge understood the response, 0 where it did not; NaN where it failed for another reason,
        or has no verdict."""
        verdicts = [self.verdicts.get(e.id) for e in examples]
        known = {None: 1.0} | dict.fromkeys(NOT_UNDERSTOOD, 0.0)
        return np.array([np.nan if v is None else known.get(v.failure, np.nan) for v in verdicts], float)

    @property
    def with_reasoning(self) -> int:
        """Responses with a reasoning block, after which they are judged."""
        return sum(after_reasoning(p.text) != p.text.strip() for p in self.predictions.values())

    @property
    def judges(self) -> list[str]:
        """The names of the judges that gave the verdicts."""
        return sorted({v.judge for v in self.verdicts.values()})


def by_hash(example: Example) -> bytes:
    """Sort key of an order that is fixed, and blind to how interesting an example is."""
    return hashlib.sha256(example.id.encode()).digest()


def taken_as_wrong(example: Example, verdict: Verdict) -> Verdict:
    """The verdict, with what the judge did not understand counted against the response: the worst of every criterion.
    Of a judge that failed for another reason, that failure."""
    worst = dict.fromkeys(CRITERIA, 0.0)
    worst["overconfident"] = None if example.strategy == "answer" else 1.0
    worst["over_asked"] = None if example.strategy in ("infer", "enumerate", "clarify") else 1.0
    about = verdict.model_dump(include={"example_id", "model", "judge"})
    if verdict.failure in NOT_UNDERSTOOD:
        return Verdict(**about, used_strategy="none", criteria=worst)
    if not verdict.unknown:
        return verdict
    criteria = verdict.criteria | {name: worst[name] for name in verdict.unknown if name in CRITERIA}
    wrong = {"criteria": criteria, "unknown": []}
    if AFTER_REPLY in verdict.unknown:
        wrong |= {AFTER_REPLY: 0.0, "used_after_reply": "none", "grounded_after_reply": 0.0}
    return verdict.model_copy(update=wrong)
