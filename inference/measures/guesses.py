"""Which reading does a model pick when it guesses, against chance; and do longer responses score higher?

A guess: the response answers (`answer` or `infer`) although each of several readings means another object and has an
answer, and it names the answer of exactly one reading, in whole words. Examples whose right strategy is `infer` are
left out: picking the reading that stands out is right there. The candidates are the readings whose answer no other
reading of the example shares, at least two: a pick of any other cannot be told from the words.

An attribute ("leftmost", "color: red") is one among the objects of all readings; it tells the k candidates apart if m
of them have it, 0 < m < k. Under uniform choice a guess has it with the chance m / k, whatever else the pictures hold.
Scenes are counterbalanced besides: every question is asked of two pictures that need different strategies, and each
picture is asked two. Of the guesses on which an attribute tells candidates apart:

    observed     share of the guesses that picked a candidate with it
    expected     mean of m / k
    difference   observed - expected, paired by guess, with an interval over pictures
    p            two-sided, exact: twice the smaller tail of the Poisson-binomial distribution (the sum of independent
                 trials with the chances m / k: Wang 1993, Statistica Sinica 3) at the number observed; guesses count
                 as independent, also two on one picture
    p_holm       p, adjusted for all attributes of all models (Holm 1979)

An attribute of a model is tested from MIN_GUESSES such guesses on. Where a color is asked for, "color: red" says
whether the model favors saying "red".

Length: Spearman's rank correlation of the words of the first response with the reward, which itself takes something
for a response that is far longer than the reference. Its interval keeps the ranks of the whole sample in every draw.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import signal, stats

from clarifyvlm import rewards
from clarifyvlm.language.layout import after_reasoning
from clarifyvlm.records import Example
from measures import calibration, comparison, intervals
from measures.intervals import NO_VALUE, Resampled
from measures.judged import Judged

MIN_GUESSES = 20
TIE = 0.02  # positions this near, of the picture's width, are one; so are areas of which the smaller is 98 %
SIGNIFICANT = 0.05


def measure(examples: Sequence[Example], models: Sequence[Judged], *, seed: int, resamples: int) -> dict:
    """JSON-ready {"models", "tests", "min_guesses", "significant"}; an estimate is {"value", "low", "high", "n"}.

    Each of "models" has "guesses" (their number), "attributes", a list by ascending p of {"attribute", "observed",
    "expected", "difference" (estimate), "p", "p_holm", "n"}, and "length": {"rho", "words_right", "words_wrong"}, the
    last two the mean words of right and of wrong responses (`calibration.right`). "tests": how many p were adjusted.
    """
    clusters = intervals.Clusters([e.image_sha256 for e in examples])
    table = Candidates(examples)
    columns: dict[tuple[str, str], np.ndarray] = {}
    found: dict[str, list[dict]] = {}
    counts: dict[str, int] = {}
    for model in models:
        groups, rows = table.guesses(model)
        found[model.name], counts[model.name] = [], len(groups)
        for name, picked, chance, at in table.compare(groups, rows):
            column = np.full(len(examples), np.nan)
            column[at] = picked - chance
            columns[model.name, name] = column
            found[model.name].append(_row(name, picked, chance))
        columns |= {(model.name, key): column for key, column in _length_columns(examples, model).items()}
    sample = Resampled(columns, clusters, seed=seed, resamples=resamples)
    for name, rows in found.items():
        for row in rows:
            _add_interval(row, sample, (name, row["attribute"]))
    tested = [row for rows in found.values() for row in rows]
    for row, p in zip(tested, comparison.holm([row["p"] for row in tested]) if tested else [], strict=True):
        row["p_holm"] = round(float(p), 8)
    return {
        "models": {
            model.name: {
                "guesses": counts[model.name],
                "attributes": sorted(found[model.name], key=lambda row: (row["p"], -abs(row["difference"]["value"]))),
                "length": _length(model.name, sample),
            }
            for model in models
        },
        "tests": len(tested),
        "min_guesses": MIN_GUESSES,
        "significant": SIGNIFICANT,
    }


class Candidates:
    """The readings of every example on which a guess can be told, one row each, R in all, in groups by example.

    `at` (G,) is the index of each group's example; `starts` (G,) its first row; `group` (R,) the group of a row;
    `unique` (R,) whether its answer belongs to no other reading of the group.
    """

    def __init__(self, examples: Sequence[Example]):
        self.ids: list[str] = []
        self.answers: list[list[str]] = []
        at, objects, frames = [], [], []
        for i, example in enumerate(examples):
            answers = open_answers(example)
            if answers is None:
                continue
            known = {o.id: o for o in example.facts.objects}
            at.append(i)
            self.ids.append(example.id)
            self.answers.append(answers)
            objects += [known[r.objects[0]] for r in example.ambiguity.readings]
            frames.append((example.facts.width, example.facts.height))
        sizes = np.array([len(answers) for answers in self.answers], int)
        self.at = np.array(at, int)
        self.starts = np.cumsum(sizes) - sizes
        self.group = np.repeat(np.arange(len(sizes)), sizes)
        self.unique = np.array([a.count(answer) == 1 for a in self.answers for answer in a], bool)
        self.boxes = np.array([o.box for o in objects], float).reshape(-1, 4)
        self.frames = np.array(frames, float).reshape(-1, 2)[self.group]  # (R, 2) width and height, pixels
        self.words = {key: np.array([getattr(o, key) or "" for o in objects], object) for key in WORDS}

    def guesses(self, model: Judged) -> tuple[np.ndarray, np.ndarray]:
        """(N,) groups on which the model guessed and (N,) rows that it picked."""
        groups, rows = [], []
        for g, (example_id, answers) in enumerate(zip(self.ids, self.answers, strict=True)):
            verdict = model.verdict_on(example_id)
            if verdict is None or verdict.used_strategy not in ("answer", "infer"):
                continue
            picked = guessed_reading(answers, after_reasoning(model.predictions[example_id].text))
            if picked is not None:
                groups.append(g)
                rows.append(self.starts[g] + picked)
        return np.array(groups, int), np.array(rows, int)

    def compare(self, groups: np.ndarray, rows: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
        """(attribute, whether the pick has it, its chance, index of the example), the last three (n,), of every
        attribute that tells the candidates of at least MIN_GUESSES guesses apart."""
        if len(groups) < MIN_GUESSES:
            return
        count = np.add.reduceat(self.unique.astype(int), self.starts)[groups]
        for name, has in self.attributes():
            having = np.add.reduceat((has & self.unique).astype(int), self.starts)[groups]
            telling = (having > 0) & (having < count)
            if telling.sum() >= MIN_GUESSES:
                chance = having[telling] / count[telling]
                yield name, has[rows[telling]].astype(float), chance, self.at[groups[telling]]

    def attributes(self) -> Iterator[tuple[str, np.ndarray]]:
        """(name, (R,) whether the object of a reading has it, among all readings of its example)."""
        x, y = ((self.boxes[:, i] + self.boxes[:, i + 2]) / 2 for i in (0, 1))
        near = TIE * self.frames[:, 0]
        yield "leftmost", self._lowest(x, near)
        yield "rightmost", self._lowest(-x, near)
        yield "topmost", self._lowest(y, near)
        yield "bottommost", self._lowest(-y, near)
        sides = np.maximum(self.boxes[:, 2:] - self.boxes[:, :2], 1e-6)
        area = np.log(sides).sum(axis=1)
        yield "smallest", self._lowest(area, -np.log(1 - TIE))
        yield "largest", self._lowest(-area, -np.log(1 - TIE))
        yield "most central", self._lowest(np.hypot(*(np.stack([x, y]) - self.frames.T / 2)), near)
        order = np.arange(len(self.group))
        yield "first reading", self._lowest(order, 0)
        yield "last reading", self._lowest(-order, 0)
        for key, words in self.words.items():
            for word in _common(words, self.group):
                yield f"{WORDS[key]}: {word}", words == word

    def _lowest(self, values: np.ndarray, tolerance: np.ndarray | float) -> np.ndarray:
        """(R,) whether a row has the lowest value of its group, give or take the tolerance."""
        return values <= np.minimum.reduceat(values, self.starts)[self.group] + tolerance


WORDS = {"color": "color", "name": "shape", "size": "size"}  # field of an object -> its name as an attribute


def _common(words: np.ndarray, group: np.ndarray) -> list[str]:
    """The words that at least MIN_GUESSES examples have, sorted: of others no attribute can have as many guesses."""
    counts = Counter(word for word, _ in set(zip(words, group.tolist(), strict=True)))
    return sorted(word for word, n in counts.items() if word and n >= MIN_GUESSES)


def open_answers(example: Example) -> list[str] | None:
    """The readings' answers as `words` has them; None where no guess could be told: see the module."""
    readings = example.ambiguity.readings
    if example.strategy == "infer" or len(readings) < 2:
        return None
    objects = [r.objects[0] for r in readings if len(r.objects) == 1]
    if len(set(objects)) < len(readings) or not {o.id for o in example.facts.objects}.issuperset(objects):
        return None
    answers = [rewards.words(r.answer or "") for r in readings]
    return answers if all(answers) and sum(answers.count(a) == 1 for a in answers) >= 2 else None


def guessed_reading(answers: Sequence[str], text: str) -> int | None:
    """The index of the one reading whose answer, and no other's, `text` has as whole words; else None.

    Longer answers are looked for first: "hot dog" does not name the answer "dog".
    """
    said, named = rewards.words(text), []
    for answer in sorted(set(answers), key=len, reverse=True):
        if answer in said:
            named.append(answer)
            said = said.replace(answer, " | ")
    return answers.index(named[0]) if len(named) == 1 and answers.count(named[0]) == 1 else None


def two_sided_p(count: int, chances: np.ndarray) -> float:
    """Twice the smaller tail of the Poisson-binomial distribution of `chances` (n,) at `count`, at most 1.

    scipy's poisson_binom takes time quadratic in n. Guesses of equal chance are a binomial, and there are few chances.
    """
    mass = np.ones(1)
    for chance, n in zip(*np.unique(chances, return_counts=True), strict=True):
        mass = signal.convolve(mass, stats.binom.pmf(np.arange(n + 1), n, chance))
    mass = np.maximum(mass, 0.0)  # the FFT inside leaves -1e-18
    return float(min(1.0, 2 * min(mass[: count + 1].sum(), mass[count:].sum())))


def _row(name: str, picked: np.ndarray, chance: np.ndarray) -> dict:
    p = two_sided_p(int(picked.sum()), chance)
    observed, expected = float(picked.mean()), float(chance.mean())
    return {"attribute": name, "observed": round(observed, 6), "expected": round(expected, 6), "p": round(p, 8)}


def _add_interval(row: dict, sample: Resampled, key: tuple[str, str]) -> None:
    column, draws, n = sample.columns[key], sample.draws[key], sample.count(key)
    estimate = _estimate(float(np.nanmean(column)), draws, n)
    if row["observed"] in (0.0, 1.0):  # draws agree on the share, and their interval would claim certainty
        trials = sample.clusters.touched(column)
        share = intervals.with_interval(row["observed"], draws, n, trials=trials, is_share=True)
        estimate |= {end: round(share[end] - row["expected"], 6) for end in ("low", "high")}
    row |= {"difference": estimate, "n": n}


def _length_columns(examples: Sequence[Example], model: Judged) -> dict[str, np.ndarray]:
    """Columns (E,), NaN where the judge failed: words of right and of wrong responses; centered ranks of words ("x")
    and reward ("y") and their products, of which every draw's means give its correlation."""
    length, reward, right = np.full((3, len(examples)), np.nan)
    for i in np.flatnonzero(model.judged(examples)):
        example, verdict = examples[i], model.verdicts[examples[i].id]
        said = model.predictions[example.id]
        is_right = calibration.right(verdict)
        total = rewards.total(example, verdict, said)
        if total is None:  # the judge does not know what it is worth
            continue
        length[i], reward[i] = len(said.text.split()), total
        right[i] = np.nan if is_right is None else is_right
    x, y = (_centred_ranks(values) for values in (length, reward))
    columns = {"words": length, "reward": reward, "x": x, "y": y, "xx": x * x, "yy": y * y, "xy": x * y}
    return columns | {f"words_{key}": np.where(right == r, length, np.nan) for key, r in (("right", 1), ("wrong", 0))}


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    """(E,) ranks as shares of their number, minus their mean; NaN stays."""
    ranks = stats.rankdata(values, nan_policy="omit")
    n = np.sum(~np.isnan(values))
    return (ranks - (n + 1) / 2) / n if n else ranks


def _length(name: str, sample: Resampled) -> dict:
    length, reward = sample.columns[name, "words"], sample.columns[name, "reward"]
    judged = ~np.isnan(length)
    rho, n = NO_VALUE, int(judged.sum())
    if n > 1 and np.ptp(length[judged]) and np.ptp(reward[judged]):
        value = stats.spearmanr(length[judged], reward[judged]).statistic
        x, y, xx, yy, xy = (sample.draws[name, key] for key in ("x", "y", "xx", "yy", "xy"))
        with np.errstate(invalid="ignore", divide="ignore"):  # a draw may have one length only
            drawn = np.clip((xy - x * y) / np.sqrt((xx - x * x) * (yy - y * y)), -1.0, 1.0)
        rho = _estimate(float(value), drawn, n)
    words = {key: sample.estimate((name, key), is_share=False) for key in ("words_right", "words_wrong")}
    return {"rho": rho} | words


def _estimate(value: float, draws: np.ndarray, n: int) -> dict:
    return intervals.with_interval(value, draws, n, trials=n, is_share=False)
