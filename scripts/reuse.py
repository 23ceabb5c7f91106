"""Begin a run beside another one: what the other holds is there by hard links, for the stages to keep or make anew.

    python scripts/reuse.py --old runs/tiny --new runs/tiny-2

Where the disk has no links, or a stage of the other run is not complete (it would go on in files of both), files are
copied. The report, what was replaced before (.replaced) and what stages in progress left (hidden files) are not taken
over. A complete stage replaces files and never writes into one, so that the other run stays as it is.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import UserError, run_main


@dataclass
class Options:
    old: str = option("run folder to take over from")
    new: str = option("run folder to begin; one that is there is left as it is")


def main(argv: list[str] | None = None) -> int:
    (options,) = parse_args([Options], argv, description=__doc__)
    old, new = Path(options.old), Path(options.new)
    records = [p for pattern in ("*run.json", "*/run.json", "inference/*/*.run.json") for p in old.glob(pattern)]
    if not records:
        raise UserError(f"{old} is no run of run.sh: none of its stages is in it.")
    if new.exists():
        print(f"{new} is there already: it goes on")
        return 0
    partial = new.with_name(f".{new.name}.partial")  # the whole run or none
    shutil.rmtree(partial, ignore_errors=True)
    complete = all(json.loads(path.read_text(encoding="utf-8"))["status"] == "complete" for path in records)
    how = {"ignore": shutil.ignore_patterns(".*", "report"), "copy_function": _link if complete else shutil.copy2}
    shutil.copytree(old, partial, **how)
    partial.rename(new)
    return 0


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)


if __name__ == "__main__":
    run_main(main)
