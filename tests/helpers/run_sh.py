"""./run.sh as a user runs it: started, followed step by step, killed."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from stages import ROOT

STEP = re.compile(r"^\$ python (\S+)", flags=re.M)
STEPS = 17  # commands in one run: data, audit of the judge, SFT, GRPO, the report; predictions, verdicts of two files


class Run:
    """./run.sh in a process group of its own, so that all of it can be killed at once."""

    def __init__(self, *arguments, log: Path, **environment):
        self.log = log
        everything = os.environ | {"CLARIFYVLM_PYTHON": sys.executable} | environment
        self.began = time.monotonic()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["./run.sh", *map(str, arguments)],
                cwd=ROOT,
                env=everything,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return Path(self.log).read_text(errors="replace")

    @property
    def steps(self) -> list[str]:
        """The scripts begun so far, in order."""
        return STEP.findall(self.said)

    def wait(self) -> str:
        self.process.wait(timeout=1200)
        return self.said

    def wait_for_step(self, number: int) -> bool:
        """Until the step of this number (from 0) has begun; False where the run ended before."""
        while len(self.steps) <= number:
            if self.process.poll() is not None:
                return False
            time.sleep(0.02)
        return True

    def kill(self) -> None:
        """kill -9, the whole group: as a power cut takes it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
