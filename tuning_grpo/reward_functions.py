"""TRL reward functions over a judge's verdicts, one per term of clarifyvlm/rewards.py: terms and weights are there.

TRL calls each function with the same batch and adds up `weight * value`; here the judge is asked once per batch and
the functions read off their terms. What the judge failed on or did not understand is None in every term: TRL leaves
that completion out (its advantage is 0, and it is no part of its group's mean), it is counted, and it is never a score.
"""

import time
from collections import Counter, defaultdict

from clarifyvlm import processes, rewards
from clarifyvlm.judges import Judge
from clarifyvlm.records import CRITERIA, NOT_UNDERSTOOD, Example, Prediction, Verdict


class JudgeRewards:
    """`functions` are what GRPOTrainer takes; `weights` its reward_weights, in the same order.

    `failed_batches` counts the batches since the last one in which anything could be scored. `deadline_s` bounds the
    judging of a batch. `reference` is a second judge, an audited one: it judges every `reference_every`th batch for the
    log only, so that a policy that learns to please `judge` and nobody else is seen.
    """

    def __init__(
        self,
        judge: Judge,
        weights: rewards.RewardWeights,
        *,
        deadline_s: float | None = None,
        reference: Judge | None = None,
        reference_every: int = 1,
    ):
        self.judge, self.reference, self.deadline_s = judge, reference, deadline_s
        self._reference_every, self._batches, self._last = reference_every, 0, None
        self.names = list(rewards.TERMS)
        self.weights = [weights.of(name) for name in self.names]
        self._weights = weights
        self.functions = [self._function(name) for name in self.names]
        self.failed_batches = 0
        self.last_failure: str | None = None
        self._completions = None  # the batch that `_terms` are of; held, so that its identity stays its own
        self._terms: list[dict[str, float] | None] = []

    def _function(self, name: str):
        def reward(completions, example, prediction=None, log_metric=None, log_extra=None, **_) -> list[float | None]:
            if completions is not self._completions:
                if prediction is None:  # Rollouts gives whole dialogues
                    texts = [completion[0]["content"] for completion in completions]
                    prediction = [Prediction(example_id=e.id, text=t) for e, t in zip(example, texts, strict=True)]
                self._score(example, prediction, log_metric, log_extra)
                self._completions = completions
            return [None if terms is None else terms[name] for terms in self._terms]

        reward.__name__ = name  # TRL logs rewards/<name>/mean and /std
        return reward

    def _score(self, examples: list[Example], predictions: list[Prediction], log_metric, log_extra) -> None:
        began, calls = time.perf_counter(), self._calls()
        verdicts = self.judge.judge(examples, predictions, deadline_s=self.deadline_s)
        ended = time.perf_counter()
        scored = list(zip(examples, verdicts, predictions, strict=True))
        self._terms = [rewards.terms(*item, self._weights) for item in scored]

        # A group may lie across processes, and all of them must agree on when to stop: count over the whole batch.
        totals = [rewards.total(*item, self._weights) for item in scored]
        whole = processes.gather(list(zip(examples, verdicts, predictions, self._terms, totals, strict=True)))
        failures = [left_out(verdict) for _, verdict, _, terms, _ in whole if terms is None]
        self.last_failure = failures[-1] if failures else self.last_failure
        self.failed_batches = self.failed_batches + 1 if len(failures) == len(whole) else 0
        if log_metric is not None:
            for metric, value in batch_metrics(*map(list, zip(*whole, strict=True))).items():
                log_metric(metric, value)
            log_metric("empty_completions", sum(not p.text.strip() for p in predictions) / len(predictions))
            log_metric("judge_seconds", ended - began)
            log_metric("judge_calls", self._calls() - calls)
            if self._last is not None:
                log_metric("judge_share", (ended - began) / (ended - self._last))
            if self.reference is not None and self._batches % self._reference_every == 0:
                found = self.reference.judge(examples, predictions, deadline_s=self.deadline_s)
                for metric, value in distance(scored, found, self._weights).items():
                    log_metric(metric, value)
        self._last = ended
        self._batches += 1
        if log_extra is not None:
            log_extra("example_id", [example.id for example in examples])
            log_extra("right_strategy", [example.strategy for example in examples])
            log_extra("used_strategy", [verdict.used_strategy for verdict in verdicts])

    def _calls(self) -> int:
        return self.judge.usage.calls if self.judge.usage else 0


def batch_metrics(examples, verdicts, predictions, terms, totals) -> dict[str, float]:
    """What TRL does not log, over one batch (lists with one entry per completion).

    rewards/<term>/no_signal and rewards/total/no_signal: share of groups in which every completion got the same;
    reward_length_correlation (Pearson, of the total and the words of the first response; absent where it is undefined);
    strategy_right/<right strategy>, ask_rate/<right strategy>: share of its completions; ask_rate/all;
    criteria/<criterion>: mean over the completions that it applies to; judge_failures: share without a reward, and
    judge_failures/<name>: by name, not_understood, other_language and unknown_criterion (see `left_out`) among them;
    resolved/<user kind>: share of the dialogues with such a user that end well.
    """
    groups = defaultdict(list)
    for index, example in enumerate(examples):
        groups[example.id].append(index)
    columns = {name: [None if t is None else t[name] for t in terms] for name in rewards.TERMS} | {"total": totals}
    metrics = {}
    for name, values in columns.items():
        spread = [{round(values[i], 6) for i in group if values[i] is not None} for group in groups.values()]
        metrics[f"rewards/{name}/no_signal"] = sum(len(values) < 2 for values in spread) / len(spread)
    words = [len(prediction.text.split()) for prediction in predictions]
    correlation = pearson([(t, n) for t, n in zip(totals, words, strict=True) if t is not None])
    if correlation is not None:
        metrics["reward_length_correlation"] = correlation
    scored = [v for v in verdicts if v.failure is None]
    if scored:
        metrics["ask_rate/all"] = sum(v.used_strategy == "clarify" for v in scored) / len(scored)
    for criterion in CRITERIA:
        values = [v.criteria[criterion] for v in scored if v.criteria[criterion] is not None]
        if values:
            metrics[f"criteria/{criterion}"] = sum(values) / len(values)
    by_strategy = defaultdict(list)
    for example, verdict in zip(examples, verdicts, strict=True):
        if verdict.failure is None:
            by_strategy[example.strategy].append(verdict)
    for strategy, found in by_strategy.items():
        if followed := [v.criteria["strategy_right"] or 0 for v in found if "strategy_right" not in v.unknown]:
            metrics[f"strategy_right/{strategy}"] = sum(followed) / len(followed)
        metrics[f"ask_rate/{strategy}"] = sum(v.used_strategy == "clarify" for v in found) / len(found)
    for kind, found in _by_user(predictions, terms).items():
        metrics[f"resolved/{kind}"] = sum(t["resolution"] == 0 for t in found) / len(found)
    failures = Counter(dict.fromkeys(NOT_UNDERSTOOD, 0))  # 0, not absent: a row of the log is a mean over batches
    failures.update(left_out(v) for v, t in zip(verdicts, terms, strict=True) if t is None)
    metrics["judge_failures"] = failures.total() / len(verdicts)
    return metrics | {f"judge_failures/{name}": count / len(verdicts) for name, count in failures.items()}


def left_out(verdict: Verdict) -> str:
    """Why a completion gets no reward: the judge's failure, or that a criterion is not known which a term needs."""
    return verdict.failure or "unknown_criterion"


def _by_user(predictions, terms) -> dict[str, list[dict[str, float]]]:
    found = defaultdict(list)
    for prediction, values in zip(predictions, terms, strict=True):
        if prediction.user_kind is not None and values is not None:
            found[prediction.user_kind].append(values)
    return found


def distance(scored, reference: list[Verdict], weights: rewards.RewardWeights) -> dict[str, float]:
    """How far a judge is from the reference on the same completions; `scored` has their (example, verdict, prediction).

    reference/reward_gap: mean of the judge's total minus the reference's: what the policy is paid and does not earn;
    reference/disagreement/used_strategy and /<criterion>: share of completions on which they differ.
    """
    paid = [
        (v, r, rewards.total(e, v, p, weights), rewards.total(e, r, p, weights))
        for (e, v, p), r in zip(scored, reference, strict=True)
    ]
    both = [(v, r) for v, r, *totals in paid if None not in totals]
    if not both:
        return {}
    gaps = [total - other for *_, total, other in paid if None not in (total, other)]
    differ = {"used_strategy": [v.used_strategy != r.used_strategy for v, r in both]}
    differ |= {name: [v.criteria[name] != r.criteria[name] for v, r in both] for name in CRITERIA}
    found = {f"reference/disagreement/{name}": sum(values) / len(both) for name, values in differ.items()}
    return {"reference/reward_gap": sum(gaps) / len(both)} | found


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
