"""Start-up: how long every script takes to show its --help, and to tell of a wrong line in its config; how long run.sh
takes for --dry_run, and to tell of a wrong flag of a later stage.

    python benchmarks/startup.py            # a minute or two
    python benchmarks/startup.py --quick    # one run of each, not five

Each value is the median of --rounds runs of the whole command; the baseline is `python -c pass`.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import run_main
from measure import ROOT, STAGES, report, row

COMMANDS = {"main.py": ("ask", "demo", "publish"), "dataset_generation/review.py": ("page", "merge")}
NO_CONFIG = "models/tiny"
HELP_S, ERROR_S = 0.3, 1.5
PLAN_S, MISTAKE_S = 1.0, 2.0


@dataclass
class Arguments:
    rounds: int = option("runs of each command", 5)
    quick: bool = option("one run of each", False)
    output_dir: str = option("folder for startup.json", "benchmarks/results")


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)
    rounds = 1 if args.quick else args.rounds
    bare = seconds([sys.executable, "-c", "pass"], rounds, code=0)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "wrong.yaml"
        config.write_text("no_such_key: 1\n")
        for command in commands():
            name = " ".join(command)
            shown = seconds([sys.executable, *command, "--help"], rounds, code=0)
            rows.append(row(f"{name} --help", shown, "s", baseline=bare, at_most=HELP_S))
            if not name.startswith(NO_CONFIG):
                wrong = seconds([sys.executable, *command, "--config", str(config)], rounds, code=2, says="no_such_key")
                rows.append(row(f"{name}: wrong key in the config", wrong, "s", baseline=bare, at_most=ERROR_S))
    pipeline = [str(ROOT / "run.sh"), "tiny", "runs/no such run", "--dry_run"]
    environment = os.environ | {"CLARIFYVLM_PYTHON": sys.executable}
    planned = seconds(pipeline, rounds, code=0, env=environment)
    rows.append(row("run.sh --dry_run", planned, "s", baseline=bare, at_most=PLAN_S))
    wrong = environment | {"GRPO_ARGS": "--learning_rat 1"}
    told = seconds(pipeline[:-1], rounds, code=2, says="--learning_rat", env=wrong)
    rows.append(row("run.sh: wrong flag of a later stage", told, "s", baseline=bare, at_most=MISTAKE_S))
    report("startup", rows, args.output_dir)
    return 0


def commands() -> list[list[str]]:
    """Every script that a user can start, with each of its commands."""
    found = ["main.py"]
    for folder in (*STAGES, "models/tiny"):
        for path in sorted((ROOT / folder).glob("*.py")):
            if '__name__ == "__main__"' in path.read_text(encoding="utf-8"):  # others are what train.py imports
                found.append(f"{folder}/{path.name}")
    return [[script, *command] for script in found for command in [[c] for c in COMMANDS.get(script, ())] or [[]]]


def seconds(command: list[str], rounds: int, *, code: int, says: str = "", env: dict | None = None) -> float:
    """Median time of a command. RuntimeError unless it ends with `code` and prints `says` to stderr."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        taken.append(time.perf_counter() - began)
        if done.returncode != code or says not in done.stderr:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return median(taken)


if __name__ == "__main__":
    run_main(main)
