"""What a data set gives away: label balance, strategies within kinds of questions, duplicates, and the probes."""

import json
import sys
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from folder.pictures import look
from folder.probes import MAX_HELD_OUT, MAX_TRAIN, PROBES, probe
from folder.shares import OF_THEIR_OWN

MAX_REPEATED = 0.02  # share of lines that repeat the question and the things in the picture of an earlier one
SPREAD = ("correct", "abstain")  # strategies that no kind of question may have much more or less often than all have


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
                    ("kind and strategy", f"{kind}:{row['strategy']}"),
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
                            "kind": kind,
                            "group": row.get("group_id") or row["id"],
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


def audit(stats: dict, wanted: dict[str, float] | None, seed: int, max_kind_gap: float | None = None) -> dict:
    """The findings; `passed` is false when one that is bound by the design is out of bounds.

    `wanted`: "type:strategy" -> share of each split; None where the balance is no matter of this data set.
    `max_kind_gap`: how far the share of a SPREAD strategy within a kind may be from its share over all kinds; where it
    is given, the probes are bound within kinds, too.
    """
    findings = {
        "balance": {} if wanted is None else _balance(stats, wanted),
        "kinds": _kinds(stats, max_kind_gap),
        "duplicates": {
            "pictures_in_two_splits": stats["shared_pictures"],
            "repeated_lines": round(stats["repeated"] / max(1, stats["lines"]), 4),
            "limit": MAX_REPEATED,
            "ok": stats["shared_pictures"] == 0 and stats["repeated"] <= MAX_REPEATED * stats["lines"],
        },
        "in_a_group": round(
            sum(size * n for size, n in stats["groups"].items() if size > 1) / max(1, stats["lines"]), 4
        ),
        "probes": probe(stats["sample"], seed, bound_within=max_kind_gap is not None),
    }
    failures = [f"{s}: {what}" for s, b in findings["balance"].items() for what in b["off"]]
    if not findings["duplicates"]["ok"]:
        failures.append(
            f"{stats['shared_pictures']} pictures in two splits, {findings['duplicates']['repeated_lines']:.1%} "
            "repeated lines. Take another seed, or allow more objects, colors or names."
        )
    failures += [f"kinds: {what}" for what in findings["kinds"].get("off", [])]
    for name, found in findings["probes"].items():
        for where, cell in (("", found), *((f" of {key}", cell) for key, cell in found["within"].items())):
            if not cell["ok"]:
                failures.append(
                    f"the {name} probe names the strategy in {cell['accuracy']:.1%} of {cell['n']} examples{where}, "
                    f"chance is {cell['chance']:.1%}: {PROBES[name][1]}. Bring the shares of the strategies, the "
                    "shares of the types within them and the kinds nearer to each other (docs/troubleshooting.md)."
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
        if split in OF_THEIR_OWN:
            continue
        got = {key: n for (s, key), n in stats["tables"]["type and strategy"].items() if s == split}
        off = [
            f"{key} has {got.get(key, 0)} examples, not about {share / whole * total:.1f}"
            for key, share in wanted.items()
            if abs(got.get(key, 0) - share / whole * total) >= 1
        ]
        off += [f"{key} has {n} examples, but no share" for key, n in got.items() if key not in wanted]
        result[split] = {"examples": total, "off": off}
    return result


def _kinds(stats: dict, max_gap: float | None) -> dict:
    """Per kind: how often each SPREAD strategy is right, beside all kinds. A kind that is abstained from three times as
    often as the others teaches abstaining."""
    if max_gap is None:
        return {}
    counts, totals = defaultdict(Counter), Counter()
    for (split, key), n in stats["tables"]["kind and strategy"].items():
        if split in OF_THEIR_OWN:
            continue
        kind, _, strategy = key.rpartition(":")
        counts[kind][strategy] += n
        totals[strategy] += n
    overall = {s: totals[s] / max(1, totals.total()) for s in SPREAD}
    shares = {kind: {s: found[s] / found.total() for s in SPREAD} for kind, found in sorted(counts.items())}
    off = [
        f"{strategy} is right for {share:.1%} of the {kind} questions, for {overall[strategy]:.1%} of all: more than "
        f"{max_gap:.0%} apart (max_kind_gap). Bring the weights of the kinds, or the shares of {strategy} and of "
        "none:answer, nearer to each other."
        for kind, found in shares.items()
        for strategy, share in found.items()
        if abs(share - overall[strategy]) > max_gap
    ]
    return {
        "limit": max_gap,
        "all": {s: round(share, 4) for s, share in overall.items()},
        "shares": {kind: {s: round(share, 4) for s, share in found.items()} for kind, found in shares.items()},
        "off": off,
    }
