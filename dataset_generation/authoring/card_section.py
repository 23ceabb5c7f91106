"""What author.py says of itself: the section of the card, and the lines at the end of a run."""

from collections import Counter, defaultdict

from authoring.arguments import SPEED_ONLY
from authoring.checks import STEPS
from clarifyvlm.strategies import AMBIGUITY_TYPES, STRATEGIES

NOT_SHOWN = (*SPEED_ONLY, "author_base_url", "verifier_base_url", "overwrite", "redo", "audit")


def summary(rows: list[dict]) -> list[str]:
    """Acceptance in a line, per type in a line, and the reasons for rejection in a line."""
    outcomes = Counter(row["outcome"] for row in rows)
    rejected = Counter(r["step"] for row in rows for r in row["rejections"])
    accepted = [f"{key} {_share(*n)}" for key, n in _accepted(rows, "type", AMBIGUITY_TYPES).items()]
    return [
        f"accepted {outcomes['accepted']:,} of {len(rows):,}; dropped {outcomes['dropped']:,}, kept as they were "
        f"{outcomes['template']:,}",
        f"accepted per type: {', '.join(accepted)}",
        f"wordings rejected: {', '.join(f'{step} {n:,}' for step, n in rejected.most_common()) or 'none'}",
    ]


def lines_of(rows: list[dict], options, args, guessed: tuple[int, int, float] | None) -> list[str]:
    """The card's section: acceptance per type and strategy, and per step."""
    lines = [
        "## Wording",
        "",
        f"By {args.author_model}; the questions without knowing readings, strategies or pictures. Checked by "
        f"{options.verifier_model or args.author_model} and by the judge `{options.reference_judge}`. Up to "
        f"{options.max_attempts} wordings of a question and of a response; rejections.jsonl holds those that were "
        "rejected, with the reason.",
        "",
    ]
    for name, order in (("type", AMBIGUITY_TYPES), ("strategy", STRATEGIES)):
        lines += [
            f"| {name} | examples | accepted | at the first attempt | kept as they were | dropped |",
            "|---" * 6 + "|",
        ]
        for key, (n, of) in _accepted(rows, name, order).items():
            mine = [row for row in rows if row[name] == key]
            first = sum(row["outcome"] == "accepted" and set(row["attempts"].values()) == {1} for row in mine)
            outcomes = Counter(row["outcome"] for row in mine)
            lines.append(
                f"| {key} | {of} | {_share(n, of)} | {_share(first, of)} | {outcomes['template']} "
                f"| {outcomes['dropped']} |"
            )
        lines.append("")
    lines += ["| step | of | wordings checked | rejected |", "|---|---|---|---|"]
    lines += [f"| {step} | {part} | {n:,} | {_share(bad, n)} |" for (part, step), (n, bad) in _steps(rows).items()]
    lines.append("")
    if guessed:
        right, of, chance = guessed
        lines += [
            f"{options.leak_model}, which saw only the questions, named the strategy of {_share(right, of)} of {of}; "
            f"the most frequent one is right for {chance:.1%}.",
            "",
        ]
    return lines


def _accepted(rows: list[dict], name: str, order) -> dict[str, tuple[int, int]]:
    """value -> (accepted, examples)."""
    found = defaultdict(Counter)
    for row in rows:
        found[row[name]][row["outcome"]] += 1
    return {key: (found[key]["accepted"], found[key].total()) for key in order if key in found}


def _steps(rows: list[dict]) -> dict[tuple[str, str], tuple[int, int]]:
    """(part, step) -> (wordings checked, rejected)."""
    passed, failed = Counter(), Counter()
    for row in rows:
        for key, n in row["passed"].items():
            passed[tuple(key.split())] += n
        failed.update((r["part"], r["step"]) for r in row["rejections"])
    keys = [(part, step) for part in ("question", "response") for step in STEPS]
    return {k: (passed[k] + failed[k], failed[k]) for k in keys if passed[k] + failed[k]}


def _share(n: int, of: int) -> str:
    return f"{n:,} ({n / of:.1%})" if of else "0"
