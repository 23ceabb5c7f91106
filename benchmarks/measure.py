"""What the benchmarks share: the time and memory of a command with all its processes, and the results file."""

import datetime
import importlib.util
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("dataset_generation", "tuning_sft", "tuning_grpo", "inference")
sys.path += [str(ROOT / stage) for stage in STAGES]  # scripts of the stages find their rooms as when they are run
SAMPLE_S = 0.2  # between two looks at the memory


def script(path: str):
    """A script of a stage ("tuning_sft/train.py") as a module."""
    name = path.replace("/", "_").removesuffix(".py")
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@dataclass
class Row:
    """One measure. `ratio` is value / baseline; `ok` says whether the bar is met, where there is one."""

    measure: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    bar: str | None = None
    ok: bool | None = None


def row(
    measure: str,
    value: float,
    unit: str,
    *,
    baseline: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    ratio_at_least: float | None = None,
    ratio_at_most: float | None = None,
) -> Row:
    ratio = round(value / baseline, 3) if baseline else None
    bar, ok = None, None
    if at_least is not None:
        bar, ok = f">= {at_least:g}", value >= at_least
    if at_most is not None:
        bar, ok = f"<= {at_most:g}", value <= at_most
    if ratio_at_least is not None:
        bar, ok = f"ratio >= {ratio_at_least:g}", value / baseline >= ratio_at_least
    if ratio_at_most is not None:
        bar, ok = f"ratio <= {ratio_at_most:g}", value / baseline <= ratio_at_most
    return Row(measure, round(value, 3), unit, None if baseline is None else round(baseline, 3), ratio, bar, ok)


def run(command: list, on_line: Callable[[str], None] | None = None, **environment: str) -> tuple[float, float]:
    """(seconds, peak MiB) of a command; `on_line` gets each line of its stderr as it comes.

    Memory is the sum of the resident sets of all its processes at one moment, sampled: pages that they share count
    more than once. Raises RuntimeError with the end of its stderr where it fails.
    """
    began, peak, lines = time.monotonic(), 0.0, []
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )

    def sample() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, _resident_mib(process.pid))
            time.sleep(SAMPLE_S)

    watcher = threading.Thread(target=sample, daemon=True)
    watcher.start()
    for line in process.stderr:
        lines.append(line)
        if on_line is not None:
            on_line(line)
    process.wait()
    watcher.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{''.join(lines[-20:])}")
    return time.monotonic() - began, peak


def _resident_mib(pid: int) -> float:
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
    except psutil.NoSuchProcess:
        return 0.0
    return total / 2**20


def report(name: str, rows: list[Row], output_dir: str | Path) -> None:
    """Print the rows as a table and write <output_dir>/<name>.json."""
    from clarifyvlm.jsonl import write_text_atomic
    from clarifyvlm.run_record import commit, versions

    header = ("measure", "value", "unit", "baseline", "ratio", "bar", "ok")
    table = [header, *(tuple("" if v is None else str(v) for v in asdict(r).values()) for r in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(header))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    content = {
        "rows": [asdict(r) for r in rows],
        "machine": {
            **machine(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "load_before": round(os.getloadavg()[2], 2),  # of the last 15 minutes: was the machine idle?
        },
        "versions": versions(),
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    path = Path(output_dir) / f"{name}.json"
    write_text_atomic(path, json.dumps(content, indent=2) + "\n")
    print(f"\n{path}")


def machine() -> dict:
    """Its processor, and how many cores that has."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    return {"cpu": cpu, "cores": os.cpu_count()}
