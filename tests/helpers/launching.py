"""Training scripts in two processes on the CPU, started by accelerate launch as on GPUs."""

import json
import os
import subprocess
import sys
from pathlib import Path

from stages import ROOT

TINY = ROOT / "models" / "tiny"
SFT = ["--model_name_or_path", TINY, "--num_validation_examples", 6, "--generation_batch", 2, "--max_new_tokens", 8]
SFT += ["--max_steps", 4, "--save_steps", 1, "--logging_steps", 1, "--learning_rate", 5e-4, "--bf16", "false"]


def sft(data: Path, output: Path, batch: int) -> list:
    return ["--data_dir", data, "--output_dir", output, "--per_device_train_batch_size", batch]


def command(path: str, *arguments, config: Path = ROOT / "configs" / "accelerate" / "ddp.yaml") -> list[str]:
    launch = ["-m", "accelerate.commands.launch", "--config_file", config, "--num_processes", 2]
    return [sys.executable, *map(str, [*launch, ROOT / path, *arguments])]


def launch(path: str, *arguments, **config) -> subprocess.CompletedProcess:
    rooms = os.pathsep.join(str(ROOT / stage) for stage in ("tuning_sft", "tuning_grpo"))  # for sharded_on_cpu.py
    how = {"capture_output": True, "text": True, "cwd": ROOT, "env": os.environ | {"PYTHONPATH": rooms}}
    return subprocess.run(command(path, *arguments, **config), **how, timeout=400)


def workers(process: subprocess.Popen) -> dict[int, int]:
    """rank -> pid of the processes that a launcher started."""
    found = {}
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        found |= {int(v[5:]): int(child) for v in variables if v.startswith(b"RANK=")}
    return found


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
