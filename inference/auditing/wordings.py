"""A judge on responses as models and people write them: labeled by hand, in natural/ (its README says by whom).

The constructed responses of corruptions.py are worded by this project, as references are, and a judge that reads those
may not read others. The pictures are not there: a judge that sees pictures is asked to judge by the facts alone. What
the judge says of natural/blind.jsonl is shown as numbers only, so that nobody mends a judge by it.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auditing.findings import disagreements
from clarifyvlm import jsonl
from clarifyvlm.judges.coverage import MIN_COVERAGE, OTHER_JUDGES
from clarifyvlm.records import NOT_UNDERSTOOD, Example, Record, Verdict
from measures.agreement import AUDITED, Labeled, agreement, compared, said, same
from measures.intervals import Clusters, Resampled

FOLDER = Path(__file__).parent / "natural"
FILES = ("development", "blind")
PAID_CALLS = 200  # responses by default for a judge whose calls cost something
FEW = 10  # responses from which on there is a warning
ENOUGH_BLIND = 100  # of blind.jsonl
MIN_ALL_MET = 0.92  # share of the responses that it understands on which a judge should meet all labels
MAX_UNGROUNDED_PAID = 0.03  # share of ungrounded responses that it may call grounded


class Natural(Record):
    """One row. A label is a value, null where the criterion does not apply, "?" where people would dispute it."""

    example_id: str
    text: str
    style: str
    labels: dict[str, float | str | None]
    disputed: bool = False  # nothing of the row is scored
    note: str = ""

    def scored(self) -> dict[str, float | str | None]:
        """The labels that count. How much of a list is complete is not scored where its writer left it open."""
        unscored = [name for name, value in self.labels.items() if value == "?"]
        unscored += [name for name in ("complete",) if self.labels.get(name) is None]
        return {name: value for name, value in self.labels.items() if name not in unscored}


@dataclass
class Response(Labeled):
    """`fault` is the style."""

    file: str = ""


def read(limit: int | None, seed: int) -> list[Response]:
    """The responses that are scored; with `limit`, so many of them, drawn from `seed`."""
    by_id = {example.id: example for example in jsonl.read(FOLDER / "examples.jsonl", Example, unique="id")}
    found = [
        Response(by_id[row.example_id], row.style, row.text, row.scored(), file)
        for file in FILES
        for row in jsonl.read(FOLDER / f"{file}.jsonl", Natural)
        if not row.disputed
    ]
    order = sorted(found, key=lambda r: hashlib.sha256(f"{seed}:{r.example.id}:{r.text}".encode()).digest())
    kept = {id(r) for r in order[:limit]}
    return [r for r in found if id(r) in kept]


def measure(responses: Sequence[Response], verdicts: list[Verdict], *, seed: int, resamples: int) -> dict:
    """{"responses", "all", "styles", "files", "criteria", "judge_failures", "disagreements"}.

    "all", and each of "styles" and "files", has estimates: "understood" (share; other failures of the judge aside),
    "all_met" (of those, share on which every label is met), "used_strategy" and "grounded" (share right),
    "ungrounded_paid" (of those labeled ungrounded, share judged grounded). "criteria" as `agreement` has it.
    """
    rows = [_row(r, v) for r, v in zip(responses, verdicts, strict=True)]
    values = {name: np.array([row[name] for row in rows], float) for name in COLUMNS}
    styles = sorted({r.fault for r in responses})
    cuts = {("all", ""): np.ones(len(responses), bool)}
    cuts |= {("styles", style): np.array([r.fault == style for r in responses]) for style in styles}
    cuts |= {("files", file): np.array([r.file == file for r in responses]) for file in FILES}
    columns = {
        (*cut, n): np.where(where, column, np.nan) for cut, where in cuts.items() for n, column in values.items()
    }
    draws = {"seed": seed, "resamples": resamples}
    sample = Resampled(columns, Clusters([r.example.image_sha256 for r in responses]), **draws)
    found = {cut: {name: sample.estimate((*cut, name)) for name in COLUMNS} for cut in cuts}
    shown = [(r, v) for r, v in zip(responses, verdicts, strict=True) if r.file != "blind"]
    return {
        "responses": len(responses),
        "all": found["all", ""],
        "styles": {style: found["styles", style] for style in styles},
        "files": {file: found["files", file] for file in FILES},
        "criteria": {name: agreement(name, responses, verdicts, **draws) for name in AUDITED},
        "judge_failures": dict(Counter(v.failure for v in verdicts if v.failure)),
        "disagreements": disagreements([r for r, _ in shown], [v for _, v in shown]),
    }


COLUMNS = ("understood", "all_met", "used_strategy", "grounded", "ungrounded_paid")


def _row(r: Response, v: Verdict) -> dict[str, float | None]:
    """What one verdict adds to COLUMNS; None where it says nothing."""
    row = dict.fromkeys(COLUMNS)
    if r.labels.get("used_strategy") == "other_language":  # to say so is right, and no lack of understanding
        if v.failure in (None, "other_language"):
            row["all_met"] = float(v.failure is not None)
        return row
    if v.failure is not None:
        if v.failure in NOT_UNDERSTOOD:
            row["understood"] = 0.0
        return row
    met = {name: float(same(r.labels[name], said(v, name))) for name in compared(r, v)}
    row |= {name: met.get(name) for name in ("used_strategy", "grounded")}
    row |= {"understood": 1.0, "all_met": float(all(met.values()))}
    if r.labels.get("grounded") == 0:
        row["ungrounded_paid"] = float(v.criteria["grounded"] == 1)
    return row


def warnings(found: dict | None) -> list[str]:
    """What is low, in sentences: of blind.jsonl, which no judge was tuned on, where enough of it was judged."""
    if not found:
        return []
    measured, said_of = found["files"]["blind"], "of held-out responses in natural wordings"
    if measured["understood"]["n"] < ENOUGH_BLIND:
        measured, said_of = found["all"], "of responses in natural wordings"
    sentences = []
    if measured["understood"]["n"] >= FEW and measured["understood"]["value"] < MIN_COVERAGE:
        sentences.append(
            f"low coverage: {said_of}, the judge understands {_percent(measured['understood'])}, less than "
            f"{100 * MIN_COVERAGE:g} %: its numbers are about those. {OTHER_JUDGES}"
        )
    if measured["all_met"]["n"] >= FEW and measured["all_met"]["value"] < MIN_ALL_MET:
        sentences.append(
            f"low agreement: {said_of} that it understands, the judge meets all labels on "
            f"{_percent(measured['all_met'])}, less than {100 * MIN_ALL_MET:g} %"
        )
    paid = measured["ungrounded_paid"]
    if paid["n"] >= FEW and paid["value"] > MAX_UNGROUNDED_PAID:
        sentences.append(f"false claims pass: {said_of}, the judge calls {_percent(paid)} of the ungrounded grounded")
    return sentences


def _percent(row: dict) -> str:
    return f"{100 * row['value']:.1f} % [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
