"""./run.sh as a user runs it: started, followed step by step, killed; and one run that the test files share."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from filelock import FileLock

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


class Finished:
    """An undisturbed smoke run, made once for all test files (and workers of xdist). Do not change its folder: copy it.

    `folder` is where it is, `made_in` where it was made (its files name that place), `said` what it printed, `seconds`
    how long each step took.
    """

    def __init__(self, place: Path):
        place.mkdir(exist_ok=True)
        self.folder, self.made_in = place / "finished", place / "run"
        with FileLock(place / "lock"):
            if not self.folder.exists():
                self._make(place)
        self.said = (place / "log").read_text(errors="replace")
        self.seconds = json.loads((place / "seconds.json").read_text())

    def _make(self, place: Path) -> None:
        run, starts = Run("smoke", self.made_in, log=place / "log"), []
        for number in range(STEPS):
            assert run.wait_for_step(number), run.said[-1500:]
            starts.append(time.monotonic())
        assert run.wait() and run.process.returncode == 0, run.said[-1500:]
        seconds = [b - a for a, b in zip(starts, [*starts[1:], time.monotonic()], strict=True)]
        (place / "seconds.json").write_text(json.dumps(seconds))
        self.made_in.rename(self.folder)
