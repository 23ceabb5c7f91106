"""TRL reward functions over a judge's verdicts, one per term of clarifyvlm/rewards.py: terms and weights are there.

TRL calls each function with the same batch and adds up `weight * value`; here the judge is asked once per batch and
the functions read off their terms. A judge failure is None in every term: TRL leaves that completion out, it is
counted, and it is never a score.
"""

import time
from collections import defaultdict

from clarifyvlm import rewards
from clarifyvlm.judges import Judge
from clarifyvlm.records import Example, Prediction


class JudgeRewards:
    """`functions` are what GRPOTrainer takes; `weights` its reward_weights, in the same order.

    `failed_batches` counts the batches since the last one in which anything could be scored.
    """

    def __init__(self, judge: Judge, weights: rewards.RewardWeights):
        self.judge = judge
        self.names = list(rewards.TERMS)
        self.weights = [weights.of(name) for name in self.names]
        self._weights = weights
        self.functions = [self._function(name) for name in self.names]
        self.failed_batches = 0
        self.last_failure: str | None = None
        self._completions = None  # the batch that `_terms` are of; held, so that its identity stays its own
        self._terms: list[dict[str, float] | None] = []

    def _function(self, name: str):
        def reward(completions, example, completion_ids, log_metric=None, log_extra=None, **_) -> list[float | None]:
            if completions is not self._completions:
                self._score(completions, example, completion_ids, log_metric, log_extra)
            return [None if terms is None else terms[name] for terms in self._terms]

        reward.__name__ = name  # TRL logs rewards/<name>/mean and /std
        return reward

    def _score(self, completions, examples: list[Example], completion_ids, log_metric, log_extra) -> None:
        texts = [completion[0]["content"] for completion in completions]
        predictions = [Prediction(example_id=e.id, text=text) for e, text in zip(examples, texts, strict=True)]
        began = time.perf_counter()
        verdicts = self.judge.judge(examples, predictions)
        waited = time.perf_counter() - began
        scored = list(zip(examples, verdicts, texts, strict=True))
        self._terms = [rewards.terms(*item) for item in scored]
        self._completions = completions

        failures = [v.failure for v in verdicts if v.failure is not None]
        self.last_failure = failures[-1] if failures else self.last_failure
        self.failed_batches = self.failed_batches + 1 if len(failures) == len(verdicts) else 0
        if log_metric is not None:
            totals = [rewards.total(*item, self._weights) for item in scored]
            lengths = [len(ids) for ids in completion_ids]
            for metric, value in batch_metrics(examples, verdicts, self._terms, totals, lengths).items():
                log_metric(metric, value)
            log_metric("judge_seconds", waited)
        if log_extra is not None:
            log_extra("example_id", [example.id for example in examples])
            log_extra("right_strategy", [example.strategy for example in examples])
            log_extra("used_strategy", [verdict.used_strategy for verdict in verdicts])


def batch_metrics(examples, verdicts, terms, totals, lengths) -> dict[str, float]:
    """What TRL does not log, over one batch (lists with one entry per completion).

    rewards/<term>/no_signal and rewards/total/no_signal: share of groups in which every completion got the same;
    reward_length_correlation (Pearson, over scored completions; absent where it is undefined);
    strategy_right/<right strategy>, ask_rate/<right strategy>: share of its completions; judge_failures: share.
    """
    groups = defaultdict(list)
    for index, example in enumerate(examples):
        groups[example.id].append(index)
    columns = {name: [None if t is None else t[name] for t in terms] for name in rewards.TERMS} | {"total": totals}
    metrics = {}
    for name, values in columns.items():
        spread = [{round(values[i], 6) for i in group if values[i] is not None} for group in groups.values()]
        metrics[f"rewards/{name}/no_signal"] = sum(len(values) < 2 for values in spread) / len(spread)
    correlation = pearson([(t, n) for t, n in zip(totals, lengths, strict=True) if t is not None])
    if correlation is not None:
        metrics["reward_length_correlation"] = correlation
    by_strategy = defaultdict(list)
    for example, verdict in zip(examples, verdicts, strict=True):
        if verdict.failure is None:
            by_strategy[example.strategy].append(verdict)
    for strategy, found in by_strategy.items():
        metrics[f"strategy_right/{strategy}"] = sum(v.criteria["strategy_right"] or 0 for v in found) / len(found)
        metrics[f"ask_rate/{strategy}"] = sum(v.used_strategy == "clarify" for v in found) / len(found)
    metrics["judge_failures"] = sum(v.failure is not None for v in verdicts) / len(verdicts)
    return metrics


def pearson(pairs: list[tuple[float, float]]) -> float | None:
    """Pearson's correlation of (x, y) pairs; None where one of them does not vary."""
    n = len(pairs)
    if n < 2:
        return None
    mean_x, mean_y = sum(x for x, _ in pairs) / n, sum(y for _, y in pairs) / n
    var_x, var_y = sum((x - mean_x) ** 2 for x, _ in pairs), sum((y - mean_y) ** 2 for _, y in pairs)
    if var_x < 1e-12 or var_y < 1e-12:
        return None
    return sum((x - mean_x) * (y - mean_y) for x, y in pairs) / (var_x * var_y) ** 0.5


def advantages(totals: list[float | None]) -> list[float]:
    """A group's advantages as GRPO has them with scale_rewards="group": (reward - mean) / (std + 1e-4), std with
    n - 1; 0 for a completion without a reward (DeepSeekMath, arXiv 2402.03300, eq. 3)."""
    scored = [t for t in totals if t is not None]
    if len(scored) < 2:
        return [0.0] * len(totals)
    mean = sum(scored) / len(scored)
    std = (sum((t - mean) ** 2 for t in scored) / (len(scored) - 1)) ** 0.5
    return [0.0 if t is None else (t - mean) / (std + 1e-4) for t in totals]
