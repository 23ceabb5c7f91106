"""What metrics.json holds, key by key.

    python inference/schema.py        # writes metrics.schema.json (JSON Schema) from the classes below

Every estimate has its 95 % interval and n, the number of examples that it is over; None (null) where nothing could be
measured. SCHEMA_VERSION rises when a key is renamed, removed or given another meaning; new keys leave it.
"""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from clarifyvlm import jsonl
from clarifyvlm.errors import run_main

SCHEMA_VERSION = 1
FILE = Path(__file__).parent / "metrics.schema.json"


class Closed(BaseModel):
    """No keys but these: a key that nobody has written down here is a fault."""

    model_config = ConfigDict(extra="forbid")


class Estimate(Closed):
    """A mean or share with its 95 % interval over n examples."""

    value: FiniteFloat | None
    low: FiniteFloat | None
    high: FiniteFloat | None
    n: int


class Curve(Closed):
    """An estimate at each of `coverages` or `prices`."""

    value: list[FiniteFloat | None]
    low: list[FiniteFloat | None]
    high: list[FiniteFloat | None]
    n: int


class Corrected(Estimate):
    """A metric corrected for the judge's errors by prediction-powered inference; n counts people's labels."""

    judge_value: FiniteFloat | None = Field(description="as the judge says, not corrected")
    lam: FiniteFloat | None = Field(description="weight of the judge, 0..1")
    differ: int = Field(description="labels that the judge contradicts")


class Model(Closed):
    """One model on the examples that it answered. Definitions: METRICS in metrics.py, and the page's last section."""

    strategy_accuracy_macro: Estimate = Field(description="mean over the strategies that occur")
    strategy_accuracy_micro: Estimate = Field(description="mean over the examples")
    strategy_accuracy: dict[str, Estimate] = Field(description="by right strategy")
    strategy_accuracy_by_type: dict[str, Estimate] = Field(description="by ambiguity type")
    overconfident: Estimate
    over_asked: Estimate
    grounded: Estimate
    answer_accuracy: Estimate
    answer_accuracy_after_reply: Estimate
    served: Estimate
    served_at_once: Estimate
    question_value: Estimate
    complete: Estimate
    asked: Estimate
    reward: Estimate = Field(description="at most 1; may be negative")
    judge: str
    judge_failures: int
    judge_failures_by_name: dict[str, int]
    examples: int = Field(description="predictions of the model")
    confusion: dict[str, dict[str, int]] = Field(description="right strategy -> used strategy or none -> examples")
    corrected: dict[str, Corrected] | None = Field(default=None, description="with --labels, where there are enough")


class Difference(Closed):
    """Model a minus model b on the n examples that both were judged on; both see the same draws of pictures."""

    a: str
    b: str
    metric: str
    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    p: FiniteFloat = Field(description="two-sided, from the draws")
    n: int


class Bin(Closed):
    """Responses of similar confidence: how many of them are right."""

    confidence: FiniteFloat
    right: Estimate


class Calibration(Closed):
    """Of one model; definitions in calibration.py."""

    mean_confidence: Estimate
    right: Estimate
    brier: Estimate
    ece: Estimate
    auroc: Estimate
    aurc: Estimate
    excess_aurc: Estimate
    accuracy_at_coverage: dict[str, Estimate]
    risk: Curve
    reliability: list[Bin]
    asked: Estimate
    resolved: Estimate
    never_ask: Estimate
    break_even: Estimate
    utility: Curve


class Calibrations(Closed):
    """Is a model sure where it is right, and does its asking pay?"""

    models: dict[str, Calibration]
    policies: dict[str, Curve] = Field(description="utility of always_ask and of the oracle")
    prices: list[FiniteFloat]
    coverages: list[FiniteFloat]
    bins: int
    ranked_draws: int


class Failure(Estimate):
    """A way to fail, defined in MODES of failures.py: the share of the n responses that it is about."""

    count: int
    examples: list[str] = Field(description="ids of a few, drawn by a hash")


class Metrics(Closed):
    """metrics.json."""

    schema_version: int
    data: str = Field(description="the examples, as given")
    data_sha256: str
    examples: int
    pictures: int
    judge: str
    judges: dict[str, list[str]] = Field(description="model -> its judges")
    seed: int
    resamples: int
    models: dict[str, Model]
    constant_policies: dict[str, Model] = Field(description="what says the same whatever it sees")
    differences: list[Difference]
    failures: dict[str, dict[str, Failure]] = Field(description="model -> any, or a mode -> how often")
    calibration: Calibrations
    judge_audit: dict | None = Field(default=None, description="with --judge_audit: parts of judge_audit.json")
    labels: dict | None = Field(default=None, description="with --labels: which were used, and how annotators agree")


def main() -> int:
    jsonl.write_text_atomic(FILE, json.dumps(Metrics.model_json_schema(), indent=2) + "\n")
    print(f"{FILE}: written")
    return 0


if __name__ == "__main__":
    run_main(main)
