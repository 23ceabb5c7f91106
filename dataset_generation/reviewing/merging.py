"""Exports of review.html put together: who accepted what, how far they agree, whether they looked (traps)."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np

from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example, Record
from clarifyvlm.run_record import hash_input
from clarifyvlm.text_files import read_text
from folder.faults import listed

DRAWS = 2000  # of pictures, for the intervals of agreement
FEW_CAUGHT = 0.5  # a reviewer who catches less of the traps than this did not look
MAX_LISTED = 100  # disagreements in the summary


class Review(Record):
    """One line of an export."""

    id: str
    annotator: str
    data_sha256: str
    decision: Literal["accept", "reject"]
    reason: str | None = None
    note: str = ""
    seconds: float = 0.0


def read_traps(path: str | None) -> dict[str, dict]:
    """trap id -> {"of", "how"}; {} without a file."""
    if path is None:
        return {}
    try:
        traps = json.loads(read_text(path))
        return {id: {"of": trap["of"], "how": trap["how"]} for id, trap in traps.items()}
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise UserError(f"--traps {path}: not the traps.json of a review page ({error})") from None


def read(paths: Sequence[str], data_file: str, known: set[str], traps: dict) -> dict[str, dict[str, Review]]:
    """annotator -> id -> review. UserError: empty, of another data file, one reviewer twice, unknown ids."""
    digest, found = hash_input(data_file), {}
    for path in paths:
        rows = jsonl.read(path, Review, unique="id", made_by="the page of review.py")
        if not rows:
            raise UserError(f"{path} has no decisions.")
        if any(row.data_sha256 != digest for row in rows):
            raise UserError(f"{path} is the review of another file than {data_file}, or that one has changed since.")
        names = {row.annotator for row in rows}
        if len(names) > 1 or names & set(found):
            raise UserError(f"{path}: the reviewer {', '.join(sorted(names))} is in it beside another, or came before.")
        unknown = [row.id for row in rows if row.id not in known and row.id not in traps]
        if unknown:
            raise listed(
                f"{path}: {len(unknown)} of {len(rows)} ids are not in {data_file}",
                unknown,
                "Are they traps? Then give --traps traps.json of the page.",
            )
        found[names.pop()] = {row.id: row for row in rows}
    return found


def summarize(
    examples: Sequence[Example],
    reviews: dict[str, dict[str, Review]],
    traps: dict,
    keep: str,
    seed: int,
    min_reviews: int = 1,
) -> tuple[dict, dict[str, list[str]]]:
    """(JSON-ready summary, id of every example that is kept -> who accepted it)."""
    by_id = {example.id: example for example in examples}
    votes = defaultdict(dict)
    for annotator, rows in reviews.items():
        for id, row in rows.items():
            if id not in traps:
                votes[id][annotator] = row.decision == "accept"
    rule = {"all": all, "any": any, "most": lambda given: 2 * sum(given) > len(given)}[keep]
    accepted = {
        id: [a for a, yes in given.items() if yes]
        for id, given in votes.items()
        if len(given) >= min_reviews and rule(list(given.values()))
    }
    names = list(reviews)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    differ = [id for id, given in votes.items() if len(set(given.values())) > 1]
    summary = {
        "reviewed": len(votes),
        "reviewed_by": {str(n): count for n, count in sorted(Counter(map(len, votes.values())).items())},
        "accepted": len(accepted),
        "keep": keep,
        "min_reviews": min_reviews,
        "reviewers": {name: _reviewer(rows, traps) for name, rows in reviews.items()},
        "agreement": [_agreement(a, b, votes, by_id, seed) for a, b in pairs],
        "disagreements": [
            {"id": id, "question": by_id[id].question}
            | {a: reviews[a][id].reason or reviews[a][id].decision for a in votes[id]}
            for id in differ[:MAX_LISTED]
        ],
        "disagreed": len(differ),
    }
    return summary, accepted


def _reviewer(rows: dict[str, Review], traps: dict) -> dict:
    own = [row for id, row in rows.items() if id not in traps]
    trapped = [row for id, row in rows.items() if id in traps]
    caught = sum(row.decision == "reject" for row in trapped)
    return {
        "reviewed": len(own),
        "accepted": sum(row.decision == "accept" for row in own),
        "rejected": dict(Counter(row.reason or "not said" for row in own if row.decision == "reject").most_common()),
        "traps": _share(caught, len(trapped)),
        "missed_traps": dict(Counter(traps[row.id]["how"] for row in trapped if row.decision == "accept")),
        "seconds": median(row.seconds for row in rows.values()),
    }


def _share(count: int, of: int) -> dict:
    """With Wilson's interval."""
    from scipy.stats import binomtest

    if not of:
        return {"value": None, "low": None, "high": None, "n": 0}
    interval = binomtest(count, of).proportion_ci(method="wilson")
    return {"value": count / of, "low": float(interval.low), "high": float(interval.high), "n": of}


def _agreement(a: str, b: str, votes: dict, by_id: dict[str, Example], seed: int) -> dict:
    """Per cent, Cohen's kappa and Gwet's AC1 (Gwet 2008) of two reviewers; intervals over draws of pictures."""
    both = [(by_id[id].image_sha256, given[a], given[b]) for id, given in votes.items() if a in given and b in given]
    row = {"a": a, "b": b, "n": len(both)}
    if not both:
        return row
    pictures = list(dict.fromkeys(picture for picture, _, _ in both))
    number = {picture: i for i, picture in enumerate(pictures)}
    cells = np.zeros((len(pictures), 4))  # both accept, only a, only b, neither
    for picture, first, second in both:
        cells[number[picture], 3 - 2 * first - second] += 1
    draws = np.random.default_rng(seed).multinomial(len(pictures), np.full(len(pictures), 1 / len(pictures)), DRAWS)
    tables = draws @ cells
    for name, measure in (("agreed", _agreed), ("kappa", _kappa), ("ac1", _ac1)):
        value, drawn = float(measure(cells.sum(0))), measure(tables)
        drawn = drawn[np.isfinite(drawn)]
        low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
        if value == 1:  # all draws agree then, which is no certainty
            low = _share(len(pictures), len(pictures))["low"]
        known = np.isfinite([value, low, high]).all()
        row[name] = {"value": value, "low": float(low), "high": float(high)} if known else None
    return row


def _agreed(table):
    return (table[..., 0] + table[..., 3]) / table.sum(-1)


def _above(observed, chance):
    with np.errstate(invalid="ignore", divide="ignore"):
        return (observed - chance) / (1 - chance)


def _kappa(table):
    n = table.sum(-1)
    first, second = (table[..., 0] + table[..., 1]) / n, (table[..., 0] + table[..., 2]) / n
    return _above(_agreed(table), first * second + (1 - first) * (1 - second))


def _ac1(table):
    accepted = (2 * table[..., 0] + table[..., 1] + table[..., 2]) / (2 * table.sum(-1))
    return _above(_agreed(table), 2 * accepted * (1 - accepted))


def rows(examples: Sequence[Example], accepted: dict[str, list[str]], data_file: Path, output: Path) -> list[Example]:
    """What is kept, in the order of the data, with pictures relative to the new file."""
    root, folder = data_file.parent.resolve(), output.parent.resolve()  # the file itself may be a link
    return [
        example.model_copy(
            update={
                "image": os.path.relpath(root / example.image, folder),
                "provenance": example.provenance | {"review": {"accepted_by": accepted[example.id]}},
            }
        )
        for example in examples
        if example.id in accepted
    ]


def sentences(summary: dict) -> list[str]:
    """The summary for the terminal."""
    told = []
    for name, row in summary["reviewers"].items():
        traps = row["traps"]
        caught = "no traps"
        if traps["n"]:
            caught = f"{traps['value']:.0%} [{traps['low']:.0%}, {traps['high']:.0%}] of {traps['n']} traps caught"
        reasons = ", ".join(f"{reason} {n}" for reason, n in row["rejected"].items()) or "none"
        told.append(
            f"{name}: {row['accepted']} of {row['reviewed']} accepted; rejected: {reasons}; {caught}; "
            f"{row['seconds']:.0f} s each"
        )
        if traps["n"] and traps["value"] < FEW_CAUGHT:
            told.append(
                f"warning: {name} accepted {sum(row['missed_traps'].values())} of {traps['n']} traps; leave out?"
            )
    counts = ", ".join(f"{count} by {n}" for n, count in summary["reviewed_by"].items())
    told.append(f"examples reviewed: {counts or 'none'}")
    for row in summary["agreement"]:
        said = [
            f"{label} {found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"
            for label, found in (("agreed", row.get("agreed")), ("kappa", row.get("kappa")), ("AC1", row.get("ac1")))
            if found
        ]
        told.append(f"{row['a']} and {row['b']} on {row['n']} examples: {', '.join(said) or 'nothing in common'}")
    return told
