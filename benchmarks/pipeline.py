"""./run.sh from end to end: seconds of each command and peak memory.

    python benchmarks/pipeline.py            # preset tiny: minutes
    python benchmarks/pipeline.py --quick    # preset smoke: under a minute

The baseline of each command is the same command in a second run, which finds its work done: what starting it costs.
"""

import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import run_main
from measure import report, row, run

STEP = re.compile(r"^\$ python (\S+)/(\w+)\.py (.*)")
BARS_S = {"tiny": 900, "smoke": 90}
MAX_MEMORY_MIB = 6 * 1024


@dataclass
class Arguments:
    preset: str = option("as for run.sh", "tiny")
    quick: bool = option("preset smoke", False)
    output_dir: str = option("folder for pipeline.json", "benchmarks/results")


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)
    preset = "smoke" if args.quick else args.preset
    with tempfile.TemporaryDirectory() as folder:
        steps, seconds, memory = run_once(preset, Path(folder) / "run")
        again, seconds_again, memory_again = run_once(preset, Path(folder) / "run")
    rows = [row(name, took, "s", baseline=again[name]) for name, took in steps.items()]
    rows.append(row(f"./run.sh {preset}", seconds, "s", baseline=seconds_again, at_most=BARS_S.get(preset)))
    rows.append(row("peak memory, all processes", memory, "MiB", baseline=memory_again, at_most=MAX_MEMORY_MIB))
    report("pipeline", rows, args.output_dir)
    return 0


def run_once(preset: str, folder: Path) -> tuple[dict[str, float], float, float]:
    """Seconds per command of run.sh, seconds of all, and peak MiB."""
    starts: dict[str, float] = {}

    def on_line(line: str) -> None:
        if step := STEP.match(line):
            starts[name_of(*step.groups())] = time.monotonic()

    seconds, memory = run(["./run.sh", preset, folder], on_line, CLARIFYVLM_PYTHON=sys.executable)
    ends = [*list(starts.values())[1:], time.monotonic()]
    return {name: end - start for (name, start), end in zip(starts.items(), ends, strict=True)}, seconds, memory


def name_of(stage: str, script: str, arguments: str) -> str:
    """ "inference/predict.py (grpo)", "tuning_sft/train.py" """
    model = re.search(r"--output_file \S*/(\w+)/\w+\.jsonl", arguments)
    return f"{stage}/{script}.py" + (f" ({model[1]})" if model else "")


if __name__ == "__main__":
    run_main(main)
