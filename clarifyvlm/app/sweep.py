"""Run every combination of some settings and seeds, one ./run.sh after the other, and put them into one table.

    python main.py sweep PRESET RUN_DIR --STAGE.KEY VALUE ... [--STAGE.KEY VALUE ...] [--seeds 0 1 2]
    python main.py sweep tiny runs/rates --grpo.learning_rate 2e-5 5e-5 --seeds 0 1 2

STAGE is data, sft, grpo, predict, judge, audit or report, and KEY an option of its script; judge is the judge of GRPO's
reward and of the audit, too. Each combination is a run in a folder of RUN_DIR, named after its settings. It takes over
what it shares with an earlier one of its seed (run.sh --reuse), so that a sweep over GRPO's learning rate trains SFT
once for each seed. What the environment has in SFT_ARGS, GRPO_ARGS, ... holds for all of them. Given again, it goes on.
The table, RUN_DIR/sweep.md, has the GRPO model's main numbers: a combination a row, its mean over the seeds.
"""

import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clarifyvlm.app import provenance
from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import UserError

# Stage -> its variable of run.sh, in such an order that what comes before a stage does not depend on it.
VARIABLES = {
    "data": "GENERATE_ARGS",
    "sft": "SFT_ARGS",
    "judge": "JUDGE_ARGS",
    "grpo": "GRPO_ARGS",
    "predict": "PREDICT_ARGS",
    "audit": "AUDIT_ARGS",
    "report": "REPORT_ARGS",
}
FLAG = re.compile(r"--(\w+)\.(\w+)(?:=(.*))?", flags=re.S)


@dataclass
class SweepArguments:
    seeds: list[int] = option("of all stages; without: the preset's", factory=list, min=0)
    cell: int | None = option(
        "run this combination only, counted from 0, and make no table: for job arrays", None, min=0
    )
    dry_run: bool = option("look at all options, print the commands and stop", False)


@dataclass(frozen=True)
class Cell:
    """One run of the grid."""

    settings: tuple[tuple[str, str, str], ...]  # stage, key, value
    seed: int | None

    @property
    def name(self) -> str:
        parts = [f"{stage}.{key}={value}" for stage, key, value in self.settings]
        parts += [] if self.seed is None else [f"seed={self.seed}"]
        return re.sub(r"[^\w.,=+-]+", "_", ",".join(parts))

    @property
    def variables(self) -> dict[str, str]:
        """Of run.sh, after what the environment has in them."""
        found: dict[str, str] = {}
        for stage, key, value in self.settings:
            name = VARIABLES[stage]
            before = found.get(name, os.environ.get(name, ""))
            found[name] = f"{before} --{key}={shlex.quote(value)}".strip()
        return found

    def shares_with(self, other: "Cell") -> int:
        """How many stages, from the first one on, are the same in both."""
        alike = (self._of(stage) == other._of(stage) for stage in VARIABLES)
        return len(list(itertools.takewhile(bool, alike)))

    def _of(self, stage: str) -> list[tuple[str, str, str]]:
        return [setting for setting in self.settings if setting[0] == stage]


def main(argv: list[str], root: Path) -> int:
    """`root`: the folder of run.sh, which takes a relative RUN_DIR from there."""
    places, values, rest = _split(argv)
    (args,) = parse_args([SweepArguments], rest, description=__doc__)
    if len(places) != 2:
        raise UserError("sweep needs a preset and a folder for its runs, as in: main.py sweep tiny runs/rates --help")
    preset, folder = places[0], Path(places[1])
    cells = grid(values, args.seeds)
    if args.cell is not None and args.cell >= len(cells):
        raise UserError(f"--cell {args.cell}: there are {len(cells)} combinations, 0 to {len(cells) - 1}.")

    def command(cell: Cell, done: Iterable[Cell]) -> list[str]:
        """`done`: the cells that it may take over from."""
        words = ["./run.sh", preset, str(folder / cell.name)]
        words += [] if cell.seed is None else ["--seed", str(cell.seed)]
        one = max((c for c in done if c.seed == cell.seed), key=cell.shares_with, default=None)
        return words + (["--reuse", str(folder / one.name)] if one else [])

    if args.cell is None:
        _check([(cell, command(cell, ())) for cell in _new_values(cells)], root)
    for number, cell in enumerate(cells):
        if args.cell not in (None, number):
            continue
        # A job of an array takes over from what is complete by then: never from a run that another job is writing.
        sure = args.dry_run and args.cell is None
        words = command(cell, [c for c in cells[:number] if sure or _is_complete(root / folder / c.name)])
        given = [f"{name}={shlex.quote(value)}" for name, value in cell.variables.items()]
        print(" ".join([*given, shlex.join(words)]), flush=True)
        if args.dry_run:
            continue
        if code := subprocess.run(words, cwd=root, env=os.environ | cell.variables).returncode:
            print(
                f"sweep: stopped at {cell.name}. Once that is mended, the same command goes on there.", file=sys.stderr
            )
            return code
    return 0 if args.dry_run or args.cell is not None else _table([folder / c.name for c in cells], folder, root)


def grid(values: dict[tuple[str, str], list[str]], seeds: list[int]) -> list[Cell]:
    """All combinations; all seeds of the first one come first, so that the others have what to take over from."""
    settings = [[(stage, key, value) for value in found] for (stage, key), found in values.items()]
    cells = [Cell(chosen, seed) for chosen in itertools.product(*settings) for seed in seeds or [None]]
    names = [cell.name for cell in cells]
    if not names[0]:
        raise UserError(
            "sweep: nothing to vary. Give --STAGE.KEY with its values, or --seeds; --help shows an example."
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"sweep: two combinations would be called {twice[0]}. Give each value and seed once.")
    return cells


def _split(argv: list[str]) -> tuple[list[str], dict[tuple[str, str], list[str]], list[str]]:
    """What stands before the flags, (stage, key) -> values, and the other flags."""
    first = next((i for i, word in enumerate(argv) if word.startswith("-")), len(argv))
    places, values = argv[:first], {}
    rest: list[str] = []
    into = rest
    for word in argv[first:]:
        if found := FLAG.fullmatch(word):
            stage, key, value = found.groups()
            if stage not in VARIABLES:
                raise UserError(f"{word}: there is no stage {stage}. There are: {', '.join(VARIABLES)}.")
            if (stage, key) in values:
                raise UserError(f"--{stage}.{key} is there twice; give all its values at once.")
            into = values[stage, key] = [] if value is None else [value]
            continue
        if word.startswith("--"):
            into = rest
        into.append(word)
    if empty := [f"--{stage}.{key}" for (stage, key), found in values.items() if not found]:
        raise UserError(f"{empty[0]} needs one value or more.")
    return places, values, rest


def _new_values(cells: list[Cell]) -> list[Cell]:
    """Some of the cells, in which each value occurs."""
    seen: set[tuple[str, str, str]] = set()
    some: list[Cell] = []
    for cell in cells:
        if not seen.issuperset(cell.settings) or not some:
            some.append(cell)
            seen.update(cell.settings)
    return some


def _check(commands: list[tuple[Cell, list[str]]], root: Path) -> None:
    """Let run.sh look at the options of all stages. UserError with what it says."""
    for cell, words in commands:
        words = [*words, "--redo", "--dry_run"]
        found = subprocess.run(words, cwd=root, env=os.environ | cell.variables, capture_output=True, text=True)
        if found.returncode:
            raise UserError(f"{cell.name} cannot run:\n{found.stderr.strip()}")


def _is_complete(run: Path) -> bool:
    return (provenance.read_json(run / "report" / "run.json") or {}).get("status") == "complete"


def _table(runs: list[Path], folder: Path, root: Path) -> int:
    output = folder / "sweep.md"
    words = ["compare", *map(str, runs), "--summary", "grpo", "--output_file", str(output)]
    print(flush=True)
    code = subprocess.run([sys.executable, "inference/report.py", *words], cwd=root).returncode
    if not code:
        print(f"\nThe table: {output}")
    return code
