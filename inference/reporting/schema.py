"""What metrics.json holds, key by key.

    python inference/reporting/schema.py        # writes metrics.schema.json (JSON Schema) from the classes below, and
                                                # those of the records: example, prediction, verdict

Every estimate has its 95 % interval and n, the number of examples that it is over; None (null) where nothing could be
measured. SCHEMA_VERSION rises when a key is renamed, removed or given another meaning; new keys leave it.
"""

import argparse
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from clarifyvlm import jsonl
from clarifyvlm.errors import run_main
from clarifyvlm.records import Example, Prediction, Verdict

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
    """One model on the examples that it answered. Definitions: METRICS in measures/metrics.py and on the page."""

    coverage: Estimate = Field(description="share of the responses that the judge understood; its other failures aside")
    coverage_by_strategy: dict[str, Estimate] = Field(description="by right strategy")
    not_understood_as_wrong: dict[str, Estimate] = Field(
        description="metrics of the overview with what was not understood counted against the model"
    )
    strategy_accuracy_macro: Estimate = Field(description="mean over the strategies that occur")
    strategy_accuracy_micro: Estimate = Field(description="mean over the examples")
    strategy_accuracy: dict[str, Estimate] = Field(description="by right strategy")
    strategy_accuracy_by_type: dict[str, Estimate] = Field(description="by ambiguity type")
    right_in_the_end: Estimate
    right_in_the_end_by_user: dict[str, Estimate] = Field(description="by kind of user, where asking is right")
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
    judge_failures: int = Field(description="verdicts without a value, not_understood and other_language among them")
    judge_failures_by_name: dict[str, int]
    unknown: dict[str, int] = Field(description="criterion -> verdicts that do not know it and leave it out")
    with_reasoning: int = Field(description="responses with a reasoning block; what follows it is judged")
    examples: int = Field(description="predictions of the model")
    confusion: dict[str, dict[str, int]] = Field(description="right strategy -> used strategy or none -> examples")
    corrected: dict[str, Corrected] | None = Field(default=None, description="with --labels, where there are enough")


class Change(Closed):
    """A paired difference to the model before tuning."""

    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    p: FiniteFloat


class AfterTuning(Closed):
    """One model on questions with one reading; definitions in measures/tuning_cost.py."""

    accuracy: Estimate = Field(description="each kind weighs the same")
    by_kind: dict[str, Estimate]
    abstained: Estimate
    asked: Estimate
    corrected: Estimate
    listed: Estimate
    coverage: Estimate = Field(description="share that the judge understood")
    difference: Change | None = Field(description="of `accuracy`, minus that of the model before tuning")
    difference_by_kind: dict[str, Change | None]


class TuningCost(Closed):
    """What tuning cost on questions with one reading."""

    file: str
    before: str = Field(description="the model that the others are compared with")
    examples: int
    kinds: dict[str, int] = Field(description="kind -> questions")
    models: dict[str, AfterTuning]


class Difference(Closed):
    """Model a minus model b on the n examples that both were judged on; both see the same draws of pictures."""

    a: str
    b: str
    metric: str
    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    p: FiniteFloat = Field(description="two-sided, from the draws")
    p_holm: FiniteFloat = Field(description="corrected, for this metric, for the number of pairs (Holm)")
    n: int


class Bin(Closed):
    """Responses of similar confidence: how many of them are right."""

    confidence: FiniteFloat
    right: Estimate


class Calibration(Closed):
    """Of one model; definitions in measures/calibration.py."""

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
    """A way to fail, defined in MODES of measures/failures.py: the share of the n responses that it is about."""

    count: int
    examples: list[str] = Field(description="ids of a few, drawn by a hash")


class ExactTest(Closed):
    """McNemar's exact test of strategy accuracy; questions count as independent."""

    a: str
    b: str
    n: int = Field(description="questions that both were judged on")
    only_a: int = Field(description="questions that only a gets right")
    only_b: int
    p: FiniteFloat
    p_holm: FiniteFloat


class Pooled(Closed):
    """The mean over seeds of one model, and the standard deviation between them."""

    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    sd: FiniteFloat
    n: int = Field(description="seeds")


class Seeds(Closed):
    """Models whose names differ only in a seed at the end, as grpo-seed0 and grpo-seed1."""

    models: list[str]
    metrics: dict[str, Pooled | None]


class Strata(Closed):
    """Strategy accuracy cut finer, and other benchmarks' tables; definitions in measures/strata.py."""

    level: dict[str, Estimate] = Field(description="by ambiguity level, 0..3 or none")
    readings: dict[str, Estimate] = Field(description="by number of readings")
    split: dict[str, Estimate]
    kind: dict[str, Estimate] = Field(description="by what is asked")
    form: dict[str, Estimate] = Field(description="by the question's words: as in training, or held out")
    aqua: dict[str, Estimate] = Field(description="L0..L3, all, grounded: AQuA's table")
    asking: dict[str, Estimate] = Field(description="precision, recall, f1 of asking: ClearVQA's")
    dual: Estimate = Field(description="MM-UPD: answerable and unanswerable version both right")
    consistency: Estimate = Field(description="groups of like questions of which every one is right")


class Noticed(Closed):
    precision: Estimate
    recall: Estimate
    f1: Estimate
    accuracy: Estimate


class Published(Closed):
    """A published benchmark's own metrics, of those that apply; definitions in measures/published.py."""

    vqa_accuracy: Estimate | None = None
    vqa_named: Estimate | None = None
    unanswerable: Noticed | None = Field(default=None, description="abstaining where people could not answer")
    ambiguous: Noticed | None = Field(default=None, description="noticing that a question is ambiguous")


class Preference(Closed):
    """Do guesses pick the object with an attribute more often than chance? Definitions in measures/guesses.py."""

    attribute: str
    n: int = Field(description="guesses on which the attribute tells the candidates apart")
    observed: FiniteFloat
    expected: FiniteFloat
    difference: Estimate
    p: FiniteFloat
    p_holm: FiniteFloat = Field(description="adjusted for all attributes of all models")


class Length(Closed):
    """Words of the first response: Spearman's correlation with the reward, and means."""

    rho: Estimate
    words_right: Estimate
    words_wrong: Estimate


class Guesses(Closed):
    """Of one model: which reading it guesses, and whether longer responses score higher."""

    guesses: int
    attributes: list[Preference]
    length: Length


class Bias(Closed):
    models: dict[str, Guesses]
    tests: int = Field(description="p-values that p_holm is adjusted for")
    min_guesses: int
    significant: FiniteFloat


class PairedDifference(Closed):
    """The variant's minus the other run's, on the examples that both were judged on."""

    value: FiniteFloat | None
    low: FiniteFloat | None
    high: FiniteFloat | None
    p: FiniteFloat | None
    n: int


class Accuracies(Closed):
    original: Estimate
    variant: Estimate
    difference: PairedDifference


class Constant(Closed):
    """The best constant policy: always the most frequent strategy."""

    strategy: str | None
    macro: FiniteFloat | None
    micro: FiniteFloat | None


class VariantRun(Closed):
    """One model on a variant; definitions in measures/robustness.py."""

    against: str = Field(description="original, or the variant that this one is compared with")
    n: int
    accuracy: dict[str, Accuracies] = Field(description="macro and micro strategy accuracy")
    flips: dict[str, Estimate] = Field(description="strategy_right and used_strategy: share that is another")
    answer: PairedDifference = Field(description="of answer accuracy")
    constant: Constant | None = Field(default=None, description="of blank_image and blank_question")


class Variant(Closed):
    what: str | None
    models: dict[str, VariantRun]


class Robustness(Closed):
    """What should not matter, and what is left without the picture or the question."""

    models: list[str]
    variants: dict[str, Variant]
    leakage: dict[str, Variant]


class DialogueRow(Closed):
    """Of one model: right answers by the number of replies, and their cost; definitions in measures/dialogues.py."""

    accuracy: dict[str, Estimate] = Field(description="direct, one_reply, two_replies: where asking is right")
    served: dict[str, Estimate] = Field(description="the same over all questions")
    questions: Estimate = Field(description="clarifying questions per dialogue")
    tokens_per_served: Estimate


class UserRow(Closed):
    """What the last responses do after one kind of user's replies."""

    dialogues: int
    then: dict[str, Estimate]
    right: Estimate | None = Field(default=None, description="of users who say which reading they mean")
    confident_guess: Estimate | None = Field(default=None, description="of users who do not")


class Dialogues(Closed):
    models: dict[str, DialogueRow]
    by_chance: float | None = Field(description="share of right answers that guessing a reading gives")
    users: dict[str, dict[str, UserRow]] = Field(description="kind of user -> model")


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
    notes: list[str] = Field(description="what to know before reading the numbers")
    models: dict[str, Model]
    constant_policies: dict[str, Model] = Field(description="what says the same whatever it sees")
    differences: list[Difference]
    mcnemar: list[ExactTest]
    seeds: dict[str, Seeds]
    strata: dict[str, Strata]
    published: dict[str, Published] = Field(description="model -> a published benchmark's own metrics")
    published_differences: list[Difference] = Field(
        default_factory=list, description="of these metrics, and of F1 of ClearVQA's asking (`asking.f1`)"
    )
    failures: dict[str, dict[str, Failure]] = Field(description="model -> any, or a mode -> how often")
    bias: Bias
    robustness: Robustness | dict[str, None] = Field(description="with --variants_dir, else empty")
    dialogue: Dialogues
    calibration: Calibrations
    tuning_cost: TuningCost | None = Field(default=None, description="with --unambiguous_file")
    judge_audit: dict | None = Field(default=None, description="with --judge_audit: parts of judge_audit.json")
    labels: dict | None = Field(default=None, description="with --labels: which were used, and how annotators agree")


SCHEMAS = {  # file -> what it describes
    FILE: Metrics,
    FILE.with_name("example.schema.json"): Example,
    FILE.with_name("prediction.schema.json"): Prediction,
    FILE.with_name("verdict.schema.json"): Verdict,
}


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for path, model in SCHEMAS.items():
        jsonl.write_text_atomic(path, json.dumps(model.model_json_schema(), indent=2) + "\n")
        print(f"{path}: written")
    return 0


if __name__ == "__main__":
    run_main(main)
