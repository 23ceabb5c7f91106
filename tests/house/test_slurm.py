"""The job scripts of slurm/, with stand-ins for the cluster's own commands (scontrol, srun)."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from clarifyvlm.models import checkpoints
from stages import ROOT, write_data

pytestmark = pytest.mark.slow
SCONTROL = """#!/bin/sh
case $1 in
    requeue) echo "requeue $2" >>"$TOLD" ;;
    show) echo 127.0.0.1 ;;
esac
"""
SRUN = """#!/bin/sh
shift 2
SLURM_NODEID=0 exec "$@"
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """The file that `scontrol requeue` writes to."""
    for name, text in (("scontrol", SCONTROL), ("srun", SRUN)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    given = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TOLD": str(tmp_path / "told"), "OMP_NUM_THREADS": "1"}
    given |= {"SLURM_SUBMIT_DIR": str(ROOT), "SLURM_JOB_ID": "7", "SLURM_NNODES": "1", "SLURM_GPUS_ON_NODE": "2"}
    given |= {
        "SLURM_CPUS_PER_TASK": "1",
        "SLURM_JOB_NODELIST": "here",
        "ACCELERATE_CONFIG": "configs/accelerate/ddp.yaml",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "told"


def submit(script: str, *arguments) -> subprocess.Popen:
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(["bash", ROOT / "slurm" / script, *map(str, arguments)], **both, cwd=ROOT)


def when(there: Path, job: subprocess.Popen) -> None:
    deadline = time.monotonic() + 200
    while not there.exists():
        assert job.poll() is None and time.monotonic() < deadline, job.stdout.read()[-3000:]
        time.sleep(0.02)


@pytest.mark.parametrize("script", ["run.sbatch", "multinode.sbatch"])
def test_a_preempted_job_goes_back_into_the_queue_and_goes_on(script, cluster, tmp_path, monkeypatch):
    """SIGTERM that stops at the shell, a requeue before the checkpoint is written, a requeue of a job that is done."""
    output = tmp_path / "run" / "sft"
    more = ["--max_steps", 8, "--save_steps", 8]
    if script == "run.sbatch":
        monkeypatch.setenv("SFT_ARGS", " ".join(map(str, more)))
        arguments = ["smoke", tmp_path / "run"]
    else:
        data = write_data(tmp_path / "data")
        arguments = ["tuning_sft/train.py", "--config", "tuning_sft/configs/smoke.yaml", *more, "--output_dir", output]
        arguments += ["--model_name_or_path", "models/tiny", "--data_dir", data, "--per_device_train_batch_size", 4]
    job = submit(script, *arguments)
    when(output / "log.jsonl", job)
    job.send_signal(signal.SIGTERM)
    said = job.communicate(timeout=200)[0]
    assert "back into the queue" in said and cluster.read_text() == "requeue 7\n", said[-3000:]
    (saved,) = output.glob("checkpoint-*")
    assert checkpoints.fault(saved) is None and saved.name != "checkpoint-8"
    if script == "multinode.sbatch":
        job = submit(script, *arguments)
        said = job.communicate(timeout=400)[0]
        assert job.returncode == 0 and f"continuing from {saved}" in said, said[-3000:]
        assert cluster.read_text() == "requeue 7\n"


def test_a_job_that_fails_is_not_requeued(cluster, tmp_path):
    """A mistake in a flag that comes back for ever."""
    job = submit("multinode.sbatch", "tuning_sft/train.py", "--no_such_flag", "1")
    said = job.communicate(timeout=100)[0]
    assert job.returncode != 0 and "are required: --data_dir" in said and not cluster.exists()
