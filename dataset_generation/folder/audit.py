"""What a data set gives away: label balance, duplicates, and probes that try to tell the strategy without looking.

A probe is a small classifier, trained on the spot on train.jsonl and measured on validation and test. One that sees
only the question's words, or only the picture, or only the line's position in the file must stay near chance: what it
finds is what a model could learn in place of looking at the picture with the question in mind.
"""

import json
import sys
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from folder.pictures import look

LIMIT = 0.05  # a bound probe may be this much above chance
MAX_TRAIN, MAX_HELD_OUT = 4000, 2000  # examples that the probes see
MAX_REPEATED = 0.02  # share of lines that repeat the question and the things in the picture of an earlier one

# probe -> (bound by design?, what a win would mean)
PROBES = {
    "question": (True, "the words alone give the strategy away"),
    "picture": (True, "the picture alone gives the strategy away"),
    "position": (True, "the order of the lines gives the strategy away"),
    "reference_length": (False, "by nature: a list of readings is longer than an answer. The model never sees it"),
}


def collect(output: Path, splits: Iterable[str]) -> dict:
    """Counts over all lines, and a sample of short rows for the probes: two passes over each file.

    Memory: 24 bytes per line (three hashes), and the sample.
    """
    import numpy as np

    stats = {
        "counts": {},
        "tables": defaultdict(Counter),
        "sample": {},
        "shared_pictures": 0,
        "repeated": 0,
        "lines": 0,
        "groups": Counter(),  # size of a minimal-pair group -> how many there are
    }
    groups = array("Q")
    pictures = np.empty(0, np.uint64)  # of the splits so far
    for split in splits:
        path = output / f"{split}.jsonl"
        if not path.exists():
            continue
        with open(path, "rb") as file:
            total = sum(1 for _ in file)
        every = max(1, -(-total // (MAX_TRAIN if split == "train" else MAX_HELD_OUT // 2)))
        sample, looks, asked = [], array("Q"), array("Q")
        with open(path, encoding="utf-8") as file:
            for index, line in enumerate(file):
                row = json.loads(line)
                seen, kind = row["ambiguity"]["type"], row["kind"]
                level = row["ambiguity"]["level"]
                for table, key in (
                    ("type and strategy", f"{seen}:{row['strategy']}"),
                    ("strategy", row["strategy"]),
                    ("type", seen),
                    ("level", "none" if level is None else str(level)),
                    ("kind", kind),
                    ("objects", str(len(row["facts"]["objects"]))),
                ):
                    stats["tables"][table][split, key] += 1
                seen_as = look(row["facts"]["source"], row["image_sha256"], row["facts"]["objects"])
                looks.append(_short(seen_as))
                asked.append(_short(seen_as + row["question"].encode()))
                if row.get("group_id"):
                    groups.append(_short(row["group_id"].encode()))
                if index % every == 0:
                    sample.append(
                        {
                            "question": row["question"],
                            "image": str(output / row["image"]),
                            "strategy": row["strategy"],
                            "type": seen,
                            "form": row["provenance"].get("form", kind),
                            "reference": len(row["reference"]),
                            "position": index / total,
                        }
                    )
        stats["counts"][split] = total
        stats["lines"] += total
        shown = np.unique(np.frombuffer(looks, np.uint64))
        stats["shared_pictures"] += len(np.intersect1d(shown, pictures, assume_unique=True))
        pictures = np.union1d(pictures, shown)
        stats["repeated"] += total - len(np.unique(np.frombuffer(asked, np.uint64)))
        stats["sample"][split] = sample
    sizes = np.unique(np.frombuffer(groups, np.uint64), return_counts=True)[1]
    stats["groups"] = Counter(sizes.tolist())
    return stats


def _short(content: bytes) -> int:
    return int.from_bytes(sha256(content).digest()[:8], "little")


def audit(stats: dict, wanted: dict[str, float] | None, seed: int) -> dict:
    """The findings; `passed` is false when one that is bound by the design is out of bounds.

    `wanted`: "type:strategy" -> share of each split; None where the balance is no matter of this data set.
    """
    findings = {
        "balance": {} if wanted is None else _balance(stats, wanted),
        "duplicates": {
            "pictures_in_two_splits": stats["shared_pictures"],
            "repeated_lines": round(stats["repeated"] / max(1, stats["lines"]), 4),
            "limit": MAX_REPEATED,
            "ok": stats["shared_pictures"] == 0 and stats["repeated"] <= MAX_REPEATED * stats["lines"],
        },
        "in_a_group": round(
            sum(size * n for size, n in stats["groups"].items() if size > 1) / max(1, stats["lines"]), 4
        ),
        "probes": _probes(stats["sample"], seed),
    }
    failures = [f"{s}: {what}" for s, b in findings["balance"].items() for what in b["off"]]
    if not findings["duplicates"]["ok"]:
        failures.append(
            f"{stats['shared_pictures']} pictures in two splits, {findings['duplicates']['repeated_lines']:.1%} "
            "repeated lines. Take another seed, or allow more objects, colors or names."
        )
    for name, probe in findings["probes"].items():
        if not probe["ok"]:
            failures.append(
                f"the {name} probe names the strategy in {probe['accuracy']:.1%} of {probe['n']} examples, chance is "
                f"{probe['chance']:.1%}: {PROBES[name][1]}. Bring the shares of the strategies, the shares of the "
                "types within them and the kinds nearer to each other (README.md, Troubleshooting)."
            )
    return findings | {"failures": failures, "passed": not failures}


def tell(findings: dict | None, mode: str) -> int:
    """Print what was found. The exit code: 3 where the audit failed and `mode` is "fail", so that the run stays
    incomplete and the same command looks again."""
    if not findings:
        return 0
    probes = findings["probes"].items()
    print("audit:", ", ".join(f"{name} {p['accuracy']:.1%} (chance {p['chance']:.1%})" for name, p in probes))
    if findings["passed"]:
        return 0
    print("the audit failed; everything is written, and audit.json says more", file=sys.stderr)
    print("\n".join(f"- {f}" for f in findings["failures"]), file=sys.stderr)
    if mode == "fail":
        print("To go on all the same: --audit warn", file=sys.stderr)
    return 3 if mode == "fail" else 0


def outcome(findings: dict | None) -> str:
    """For run.json."""
    return "off" if findings is None else "passed" if findings["passed"] else "failed"


def _balance(stats: dict, wanted: dict[str, float]) -> dict:
    """Per split: the largest distance between a share and what was asked for, in examples (below 1 by rounding)."""
    result = {}
    whole = sum(wanted.values())
    for split, total in stats["counts"].items():
        got = {key: n for (s, key), n in stats["tables"]["type and strategy"].items() if s == split}
        off = [
            f"{key} has {got.get(key, 0)} examples, not about {share / whole * total:.1f}"
            for key, share in wanted.items()
            if abs(got.get(key, 0) - share / whole * total) >= 1
        ]
        off += [f"{key} has {n} examples, but no share" for key, n in got.items() if key not in wanted]
        result[split] = {"examples": total, "off": off}
    return result


def _probes(sample: dict[str, list[dict]], seed: int) -> dict:
    import numpy as np

    train = sample.get("train", [])
    held_out = [row for split in ("validation", "test") for row in sample.get(split, [])]
    if len({r["strategy"] for r in train}) < 2 or not held_out:
        return {}
    labels, truth = (np.array([r["strategy"] for r in rows]) for rows in (train, held_out))
    majority = Counter(truth).most_common(1)[0][1] / len(truth)
    findings = {}
    for name, (bound, meaning) in PROBES.items():
        said = _predict(name, train, labels, held_out, seed)
        right = said == truth
        accuracy = float(right.mean())
        error = float(np.sqrt(majority * (1 - majority) / len(truth)))
        # A small split swings by itself: out of bounds is what is above the limit and no accident (one-sided 99.5 %).
        over = accuracy > majority + LIMIT and accuracy > majority + 2.58 * error
        findings[name] = {
            "accuracy": round(accuracy, 4),
            "chance": round(majority, 4),
            "limit": round(majority + LIMIT, 4) if bound else None,
            "n": len(truth),
            "bound": bound,
            "ok": not (bound and over),
            "meaning": meaning,
            "by_type": _by(held_out, "type", right),
            "by_form": _by(held_out, "form", right),
        }
    return findings


def _by(rows: list[dict], key: str, right) -> dict:
    """value -> [share right, n]."""
    hits = defaultdict(list)
    for row, hit in zip(rows, right, strict=True):
        hits[row[key]].append(bool(hit))
    return {value: [round(sum(h) / len(h), 4), len(h)] for value, h in sorted(hits.items())}


def _predict(name: str, train: list[dict], labels, held_out: list[dict], seed: int):
    """The strategies that a probe names for `held_out`."""
    import numpy as np
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.tree import DecisionTreeClassifier

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
