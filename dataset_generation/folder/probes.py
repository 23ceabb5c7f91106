"""Probes: small classifiers that try to tell the strategy without looking at the picture with the question in mind.

One that sees only the question's words, or only the picture, or only the line's position in the file must stay near
chance: what it finds is what a model could learn in place of looking. Trained on the spot on train.jsonl and measured
on validation and test; within each kind of question (and each type within it), where there are enough examples,
trained on one half of that kind's minimal-pair groups and measured on the other, both ways.
"""

from collections import Counter, defaultdict

LIMIT = 0.05  # a bound probe may be this much above chance
MAX_TRAIN, MAX_HELD_OUT = 4000, 2000  # examples that the probes see
MIN_CELL = 400  # examples of a kind, or of a type within one, from which the probes look at it alone
WITHIN = ("question", "picture")

# probe -> (bound by design?, what a win would mean)
PROBES = {
    "question": (True, "the words alone give the strategy away"),
    "picture": (True, "the picture alone gives the strategy away"),
    "position": (True, "the order of the lines gives the strategy away"),
    "reference_length": (False, "by nature: a list of readings is longer than an answer. The model never sees it"),
}


def probe(sample: dict[str, list[dict]], seed: int, bound_within: bool = True) -> dict:
    """probe -> what it found, overall and within kinds; {} where there is nothing to tell apart."""
    import numpy as np

    train = sample.get("train", [])
    held_out = [row for split in ("validation", "test") for row in sample.get(split, [])]
    if len({r["strategy"] for r in train}) < 2 or not held_out:
        return {}
    findings = {}
    for name, (bound, meaning) in PROBES.items():
        right = _predict(name, train, held_out, seed) == np.array([r["strategy"] for r in held_out])
        found = _measured(held_out, right, bound)
        findings[name] = found | {
            "limit": round(found["chance"] + LIMIT, 4) if bound else None,
            "bound": bound,
            "meaning": meaning,
            "by_type": _by(held_out, "type", right),
            "by_form": _by(held_out, "form", right),
            "within": _within(name, [*train, *held_out], seed, bound_within) if name in WITHIN else {},
        }
    return findings


def _measured(rows: list[dict], right, bound: bool) -> dict:
    """Accuracy beside chance (the share of the most frequent strategy). A small cell swings by itself: out of bounds is
    what is above the limit and no accident (one-sided 99.5 %)."""
    chance = Counter(r["strategy"] for r in rows).most_common(1)[0][1] / len(rows)
    accuracy = float(right.mean())
    error = (chance * (1 - chance) / len(rows)) ** 0.5
    over = bound and accuracy > chance + LIMIT and accuracy > chance + 2.58 * error
    return {"accuracy": round(accuracy, 4), "chance": round(chance, 4), "n": len(rows), "ok": not over}


def _within(name: str, rows: list[dict], seed: int, bound: bool) -> dict:
    """kind, or "kind, type" -> what a probe finds that is trained on this kind alone."""
    import numpy as np

    found = {}
    for kind in sorted({r["kind"] for r in rows}):
        mine = [r for r in rows if r["kind"] == kind]
        groups = sorted({r["group"] for r in mine})
        first = set(np.random.default_rng(seed).permutation(groups)[: len(groups) // 2])
        halves = [[r for r in mine if (r["group"] in first) == side] for side in (True, False)]
        if len(mine) < MIN_CELL or any(len({r["strategy"] for r in half}) < 2 for half in halves):
            continue
        measured = halves[1] + halves[0]
        said = np.concatenate([_predict(name, *halves, seed), _predict(name, *halves[::-1], seed)])
        right = said == np.array([r["strategy"] for r in measured])
        found[kind] = _measured(measured, right, bound)
        for type in sorted({r["type"] for r in mine}):
            of_type = np.array([r["type"] == type for r in measured])
            rows_of_type = [r for r in measured if r["type"] == type]
            if len(mine) > len(rows_of_type) >= MIN_CELL and len({r["strategy"] for r in rows_of_type}) > 1:
                found[f"{kind}, {type}"] = _measured(rows_of_type, right[of_type], bound)
    return found


def _by(rows: list[dict], key: str, right) -> dict:
    """value -> [share right, n]."""
    hits = defaultdict(list)
    for row, hit in zip(rows, right, strict=True):
        hits[row[key]].append(bool(hit))
    return {value: [round(sum(h) / len(h), 4), len(h)] for value, h in sorted(hits.items())}


def _predict(name: str, train: list[dict], held_out: list[dict], seed: int):
    """The strategies that a probe, trained on `train`, names for `held_out`."""
    import numpy as np
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.tree import DecisionTreeClassifier

    labels = np.array([r["strategy"] for r in train])
    if name == "question":
        words = CountVectorizer(ngram_range=(1, 3), binary=True, token_pattern=r"\S+", min_df=2)
        probe = make_pipeline(words, LogisticRegression(C=0.3, max_iter=300))
        return probe.fit([r["question"] for r in train], labels).predict([r["question"] for r in held_out])
    if name == "picture":
        probe = ExtraTreesClassifier(200, min_samples_leaf=3, random_state=seed)
        return probe.fit(_picture_features(train), labels).predict(_picture_features(held_out))
    column = "reference" if name == "reference_length" else "position"
    tree = DecisionTreeClassifier(max_depth=5, min_samples_leaf=20, random_state=seed)
    return tree.fit(np.array([[r[column]] for r in train]), labels).predict(np.array([[r[column]] for r in held_out]))


def _picture_features(rows: list[dict]):
    """Thumbnail, channel means and spreads, histograms and edge density per picture.  # (n, 464)"""
    import numpy as np
    from PIL import ImageFilter

    from clarifyvlm.images import open_image

    features = {}
    for path in {r["image"] for r in rows}:
        image = open_image(path)
        small = np.asarray(image.resize((12, 12)), dtype=np.float32).ravel() / 255
        pixels = np.asarray(image.resize((96, 96)), dtype=np.float32) / 255
        histogram = np.concatenate([np.histogram(pixels[..., c], 8, (0, 1))[0] for c in range(3)]) / pixels[..., 0].size
        edges = np.asarray(image.resize((96, 96)).convert("L").filter(ImageFilter.FIND_EDGES), dtype=np.float32) / 255
        spread = [*pixels.mean((0, 1)), *pixels.std((0, 1)), edges.mean(), (edges > 0.2).mean()]
        features[path] = np.concatenate([small, spread, histogram])
    return np.stack([features[r["image"]] for r in rows])
