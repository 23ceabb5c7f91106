"""Begin a run beside another one: what the other holds is there by hard links, for the stages to keep or make anew.

    python scripts/reuse.py --old runs/tiny --new runs/tiny-2

Where the disk has no links, files are copied. The report, what was replaced before (.replaced) and what stages in
progress left (hidden files) are not taken over. A stage replaces files and never writes into one, so that the other
run stays as it is.
"""

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
    if not any(old.glob("*run.json")) and not any(old.glob("*/run.json")):
        raise UserError(f"{old} is no run of run.sh: none of its stages is in it.")
    if new.exists():
        print(f"{new} is there already: it goes on")
        return 0
    partial = new.with_name(f".{new.name}.partial")  # the whole run or none
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(old, partial, ignore=shutil.ignore_patterns(".*", "report"), copy_function=_link)
    partial.rename(new)
    return 0


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)


if __name__ == "__main__":
    run_main(main)
