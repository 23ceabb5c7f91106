"""The end of every run that wrote a data folder: audit, card, record."""

import json
from collections.abc import Iterable

from clarifyvlm.jsonl import write_text_atomic
from clarifyvlm.run_record import RunRecord
from folder.audit import audit, collect, outcome, tell
from folder.card import write_card
from folder.shares import SPLITS


def finish(
    run: RunRecord,
    options,
    command: str,
    about: Iterable[str],
    wanted: dict[str, float] | None = None,
    summary: Iterable[str] = (),
    counts: dict | None = None,
    max_kind_gap: float | None = None,
    **card,
) -> int:
    """The exit code: 3 where the audit fails and `options.audit` is "fail". `options` also has the seed.

    `wanted`: "type:strategy" -> share, where a run promises shares; `max_kind_gap`: see `audit`. `summary`: lines for
    the terminal; `counts`: what the record says beside the examples; `card`: further arguments of `write_card`.
    """
    stats = collect(run.output, SPLITS)
    findings = None
    if options.audit != "off":
        findings = audit(stats, wanted, options.seed, max_kind_gap)
        write_text_atomic(run.output / "audit.json", json.dumps(findings, indent=2) + "\n")
    write_card(run.output, stats, findings, command, about, options.seed, **card)
    print(" ".join(f"{split}: {n:,}" for split, n in stats["counts"].items()), f"examples in {run.output}")
    for line in summary:
        print(line)
    if code := tell(findings, options.audit):
        return code
    run.finish(**stats["counts"], audit=outcome(findings), **(counts or {}))
    return 0
