"""What one model said and what the judge said of it: the input of every measure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clarifyvlm.records import Example, Prediction, Verdict


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
    def judges(self) -> list[str]:
        """The names of the judges that gave the verdicts."""
        return sorted({v.judge for v in self.verdicts.values()})


def by_hash(example: Example) -> bytes:
    """Sort key of an order that is fixed, and blind to how interesting an example is."""
    return hashlib.sha256(example.id.encode()).digest()
