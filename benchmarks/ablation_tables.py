"""What ablation.py's models said -> values with intervals, paired differences, the curve of costs."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ablation_models import COSTS, FIXED, METRICS, MODELS, OTHERS, TOLD, UNTOLD, costs_of, slug
from clarifyvlm import jsonl, rewards
from clarifyvlm.records import INFORMED, Example, Prediction, Verdict
from clarifyvlm.run_record import commit, versions
from measure import machine
from measures import intervals, metrics

Judged = list[tuple[Example, Prediction, Verdict]]
BASELINE = "GRPO, dialogues"


class Tables:
    """`folders[i]` is of `seeds[i]`. A column is (E,) over the test questions of all seeds, NaN: says nothing. Models
    that some seed lacks yet are left out."""

    def __init__(self, folders: list[Path], seeds: list[int], resamples: int):
        self.folders, self.seeds, self.resamples = folders, seeds, resamples
        self.examples = [jsonl.read(folder / "data" / "test.jsonl", Example) for folder in folders]
        pictures = [f"{seed}:{e.image_sha256}" for seed, part in zip(seeds, self.examples, strict=True) for e in part]
        self.clusters = intervals.Clusters(pictures)
        self.models = [name for name in MODELS if self._is_done(name)]
        self.costs = COSTS if all(map(self._is_done, (TOLD, *FIXED))) else ()
        self.columns = {name: self._columns(name) for name in self.models}

    def content(self) -> dict:
        """{"models": {name: {metric: estimate}}, "users": {name: {kind: estimate of `answered`}}, "differences": to
        BASELINE, "costs": {cost: {...}}, ...}; an estimate is {"value", "low", "high", "n"}, a difference has "p"
        instead of "n"."""
        return {
            "metrics": METRICS,
            "models": {name: {m: self._estimate(c) for m, c in found.items()} for name, found in self.columns.items()},
            "users": {
                name: {kind: self._estimate(c) for kind, c in self._answered(name).items()} for name in self.models
            },
            "seeds": {name: self._by_seed(found["answered"]) for name, found in self.columns.items()},
            "differences": {
                name: {m: self._difference(column, self.columns[BASELINE][m]) for m, column in found.items()}
                for name, found in self.columns.items()
                if name != BASELINE and BASELINE in self.columns
            },
            "step_seconds": {name: self._step_seconds(name) for name in self.models if name != "SFT"},
            "costs": {f"{cost:g}": self._cost(cost) for cost in self.costs},
            "machine": machine(),
            "versions": versions(),
            "commit": commit(),
        }

    def markdown(self, content: dict) -> str:
        """Tables of `content()`."""
        shown = list(METRICS)
        lines = [f"| % [95 % interval], seeds {', '.join(map(str, self.seeds))} | {' | '.join(METRICS.values())} |"]
        lines.append("|---" * (len(shown) + 1) + "|")
        for name, found in content["models"].items():
            lines.append(f"| {name} | {' | '.join(percent(found[m]) for m in shown)} |")
        lines += ["", f"| right in the end where asking is right, by user | {' | '.join(INFORMED)} |"]
        lines.append("|---" * (len(INFORMED) + 1) + "|")
        for name, found in content["users"].items():
            lines.append(f"| {name} | {' | '.join(percent(found[kind]) for kind in INFORMED)} |")
        lines += ["", f"| minus {BASELINE}, points | {' | '.join(METRICS.values())} |"]
        lines.append("|---" * (len(shown) + 1) + "|")
        for name, found in content["differences"].items():
            lines.append(f"| {name} | {' | '.join(percent(found[m], signed=True) for m in shown)} |")
        lines += ["", "| | seconds a step |", "|---|---|"]
        lines += [f"| {name} | {seconds} |" for name, seconds in content["step_seconds"].items()]
        lines += [
            "",
            "| a question costs | asked, told all costs | utility | of the best of five, each trained at one cost "
            "| which | share of it |",
        ]
        lines.append("|---" * 6 + "|")
        for cost, found in content["costs"].items():
            best = found["best_utility"]["value"]
            share = f"{found['utility']['value'] / best:.3f}" if best > 0 else ""
            cells = [percent(found["asked"]), number(found["utility"])]
            cells += [number(found["best_utility"]), f"{found['best']:g}", share]
            lines.append(f"| {cost} | {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"

    def _is_done(self, name: str) -> bool:
        """Whether all that the tables read of a model is there, for all seeds."""
        parts = [f"costs/{cost:g}" for cost in costs_of(name)]
        if name not in FIXED:
            parts += ["plain", *(f"users/user_{kind}" for kind in OTHERS)]
        records = [f / part / slug(name) / "verdicts.run.json" for f in self.folders for part in parts]
        return all(path.is_file() and json.loads(path.read_text())["status"] == "complete" for path in records)

    def _step_seconds(self, name: str) -> float:
        """Median over the steps of all seeds."""
        logs = [(folder / slug(name) / "log.jsonl").read_text().splitlines() for folder in self.folders]
        rows = [json.loads(line) for log in logs for line in log]
        return round(float(np.median([row["step_time"] for row in rows if "step_time" in row])), 3)

    def _columns(self, name: str) -> dict[str, np.ndarray]:
        plain = self._judged("plain", name)
        untold = [self._judged(f"users/user_{kind}", name) for kind in UNTOLD]
        of_verdict = {m: metrics.METRICS[key].value for m, key in STANDARD.items()}
        found = {m: self._column(plain, value) for m, value in of_verdict.items()}
        found["answered"] = np.mean(list(self._answered(name).values()), axis=0)
        found["guessed"] = np.mean([self._column(judged, guessed) for judged in untold], axis=0)
        found["asked_again"] = np.mean([self._column(judged, asked_again) for judged in untold], axis=0)
        found["believed"] = self._column(self._judged("users/user_wrong", name), guessed)
        return {m: found[m] for m in METRICS}

    def _answered(self, name: str) -> dict[str, np.ndarray]:
        """Kind of user -> whether the dialogue with one ends rightly."""
        said = {kind: "plain" if kind == "helpful" else f"users/user_{kind}" for kind in INFORMED}
        return {kind: self._column(self._judged(folder, name), right_in_the_end) for kind, folder in said.items()}

    def _cost(self, cost: float) -> dict:
        """Of the model that was told all costs; and of the best of those trained at one, each told its own."""
        told = self._judged(f"costs/{cost:g}", TOLD)
        own = {c: self._judged(f"costs/{c:g}", fixed_at(c)) for c in self.costs}
        earned = {c: self._column(judged, utility_at(cost)) for c, judged in own.items()}
        best = max(earned, key=lambda c: np.nanmean(earned[c]))
        return {
            "asked": self._estimate(self._column(told, asked)),
            "utility": self._estimate(self._column(told, utility_at(cost)), is_share=False),
            "best": best,
            "best_utility": self._estimate(earned[best], is_share=False),
        }

    def _judged(self, folder: str, name: str) -> list[Judged]:
        """Per seed, (example, prediction, verdict) of what the model `name` said."""
        found = []
        for run, examples in zip(self.folders, self.examples, strict=True):
            by_id, path = {e.id: e for e in examples}, run / folder / slug(name)
            said = jsonl.read(path / "predictions.jsonl", Prediction)
            verdicts = jsonl.read(path / "verdicts.jsonl", Verdict)
            found.append([(by_id[p.example_id], p, v) for p, v in zip(said, verdicts, strict=True)])
        return found

    def _column(self, judged: list[Judged], value: Callable) -> np.ndarray:
        parts = []
        for examples, rows in zip(self.examples, judged, strict=True):
            values = {e.id: value(e, v, p) for e, p, v in rows}
            found = [values.get(e.id) for e in examples]
            parts.append(np.array([np.nan if x is None else x for x in found], dtype=float))
        return np.concatenate(parts)

    def _draws(self, *columns: np.ndarray) -> np.ndarray:
        stacked = np.stack(columns, axis=1)
        return intervals.bootstrap(stacked, self.clusters, seed=0, resamples=self.resamples).T

    def _estimate(self, column: np.ndarray, *, is_share: bool = True) -> dict:
        return intervals.estimate(column, self._draws(column)[0], self.clusters, is_share=is_share)

    def _difference(self, column: np.ndarray, baseline: np.ndarray) -> dict:
        if np.isnan(column).all() or np.isnan(baseline).all():
            return {"value": None, "low": None, "high": None, "p": None}
        a, b = self._draws(column, baseline)
        return intervals.difference(float(np.nanmean(column) - np.nanmean(baseline)), a - b)

    def _by_seed(self, column: np.ndarray) -> list[float]:
        ends = np.cumsum([len(part) for part in self.examples])[:-1]
        return [round(float(np.nanmean(part)), 4) for part in np.split(column, ends)]


STANDARD = {
    "strategy": "strategy_accuracy",
    "asked_needlessly": "over_asked",
    "overconfident": "overconfident",
    "grounded": "grounded",
}


def fixed_at(cost: float) -> str:
    """The model that was trained at this cost alone."""
    return next(name for name in FIXED if costs_of(name) == (cost,))


def right_in_the_end(example: Example, verdict: Verdict, prediction: Prediction) -> float | None:
    """Where asking is right: whether the model asked, and answered the reply rightly."""
    return (verdict.answer_right_after_reply or 0.0) if example.strategy == "clarify" else None


def guessed(example: Example, verdict: Verdict, prediction: Prediction) -> float | None:
    """Of a dialogue whose user told nothing: whether the last response asserts one reading."""
    return None if verdict.used_after_reply is None else float(verdict.used_after_reply in ("answer", "infer"))


def asked_again(example: Example, verdict: Verdict, prediction: Prediction) -> float | None:
    return None if verdict.used_after_reply is None else float(verdict.used_after_reply == "clarify")


def asked(example: Example, verdict: Verdict, prediction: Prediction) -> float | None:
    return float(verdict.used_strategy == "clarify") if example.strategy == "clarify" else None


def utility_at(cost: float) -> Callable[[Example, Verdict, Prediction], float | None]:
    """1 where the user is left with what is right, a lucky guess included; of a list where asking is right less what
    reading it costs; minus what the questions cost, at `cost` for each."""

    def utility(example: Example, verdict: Verdict, prediction: Prediction) -> float | None:
        served = metrics.METRICS["served"].value(example, verdict, prediction)
        if served is None:
            return None
        if example.strategy == "clarify":
            lucky = float(rewards.guessed_right(example, verdict, prediction))
            listed = 1 - rewards.LIST_COST * len(example.ambiguity.readings) if verdict.listed == 1 else 0.0
            served = max(served, lucky, listed)
        return served + rewards.asking(example, verdict, prediction.model_copy(update={"ask_cost": cost}))

    return utility


def percent(estimate: dict, *, signed: bool = False) -> str:
    if estimate["value"] is None:
        return ""
    sign = "+" if signed else ""
    value, low, high = (f"{100 * estimate[key]:{sign}.1f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def number(estimate: dict) -> str:
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
