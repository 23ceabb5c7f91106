"""benchmarks/gpu.py at its toy size on a CPU: what runs here can run on a card."""

import subprocess
import sys

import pytest

from stages import ROOT


@pytest.mark.slow
def test_every_part_is_measured():
    """A part that fails, and is found to fail when a GPU is at hand for ten minutes."""
    command = [sys.executable, "benchmarks/gpu.py", "--shape", "small", "--device", "cpu", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    failed = [line for line in done.stdout.splitlines() if "not measured" in line]
    assert all("vllm is not installed" in line for line in failed), done.stderr[-3000:]
    for what in ("SFT", "GRPO step", "predictions"):
        assert what in done.stdout
