"""Begin a run beside another one: what the other holds is there by hard links, for the stages to keep or make anew.

    python scripts/reuse.py --old runs/tiny --new runs/tiny-2

Where the disk has no links, files are copied. The report, what was replaced before (.replaced) and what stages in
progress left (hidden files) are not taken over. A stage replaces files and never writes into one, so that the other
run stays as it is.
"""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from clarifyvlm.errors import UserError, run_main


def main(argv: list[str] | None = None) -> int:
    from clarifyvlm.config import parse_args

    @dataclass
    class Options:
        old: str = field(metadata={"help": "run folder to take over from"})
        new: str = field(metadata={"help": "run folder to begin; one that is there is left as it is"})

    (options,) = parse_args([Options], argv, description=__doc__)
    old, new = Path(options.old), Path(options.new)
    if not (old / "data" / "run.json").is_file():
        raise UserError(f"{old} is no run of run.sh: it has no data/run.json.")
    if new.exists():
        print(f"{new} is there already: it goes on")
        return 0
    partial = new.with_name(f".{new.name}.partial")  # the whole run or none
    shutil.rmtree(partial, ignore_errors=True)
    left_out = shutil.ignore_patterns(".*", "report")
    shutil.copytree(old, partial, ignore=left_out, copy_function=_link)
    partial.rename(new)
    return 0


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)


if __name__ == "__main__":
    run_main(main)
