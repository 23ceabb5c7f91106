"""Trackers of training runs (--report_to): whether they are there, and where they write. Light to import."""

import argparse
import difflib
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from clarifyvlm import config, processes
from clarifyvlm.errors import UserError

TRACKERS = ("tensorboard", "trackio", "wandb")
SPEED_ONLY = ("project", "report_to", "run_name", "trackio_bucket_id", "trackio_space_id", "trackio_static_space_id")
RUN_ID = ".tracker_run"  # file in the output folder with the name under which trackers know the run


def check(argv: Sequence[str] | None) -> None:
    """UserError where --report_to, of the command line or else of the config, names what is not there. Called ahead of
    the parsing, so that a typo is told before TRL is imported."""
    argv, path = config.take_config(list(sys.argv[1:] if argv is None else argv))
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--report_to", "--report-to", nargs="*")
    names = parser.parse_known_args(argv)[0].report_to
    if names is None:
        names = config.read_yaml(path).get("report_to") if path else None
    names = [names] if isinstance(names, str) else names or []
    for name in names:
        if name not in TRACKERS and (name != "none" or len(names) > 1):
            near = difflib.get_close_matches(str(name), TRACKERS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise UserError(f"--report_to {name}: there are {', '.join(TRACKERS)}, or none alone.{hint}")
        if name in TRACKERS and not _installed(name):
            raise UserError(f"--report_to {name}: {name} is not installed. `pip install -e '.[tracking]'` does it.")
    if "wandb" in names and "--check" not in argv and processes.is_leader():
        _log_in()


def _log_in() -> None:
    """Have wandb ask for a key, or miss one or the network, now and not once a model is loaded."""
    import wandb

    try:
        if os.environ.get("WANDB_MODE", "online") == "online":
            wandb.login()
    except wandb.errors.Error as error:
        told = " ".join(str(error).split())
        raise UserError(f"--report_to wandb: {told} Or set WANDB_MODE=offline, and `wandb sync` later.") from None


def _installed(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None  # a folder of runs, ./wandb, looks like a package without one


def prepare(training) -> None:
    """Have the trackers of `training` (TRL's config) write to its output folder, under one name when it continues.

    Where a tracker's own variable (WANDB_DIR, ...) is set, that holds. Before the trainer is made.
    """
    if not training.report_to:
        return
    output, run = Path(training.output_dir), uuid4().hex[:8]
    if processes.is_leader():
        file = output / RUN_ID
        if file.exists():
            run = file.read_text()
        else:
            file.write_text(run)
    run = processes.from_leader(run if processes.is_leader() else None)
    training.run_name = training.run_name or f"{output.resolve().name}-{run}"
    variables = {
        "TENSORBOARD_LOGGING_DIR": output / "tensorboard",
        "TRACKIO_DIR": output / "trackio",
        "WANDB_DIR": output,  # it makes a folder wandb in there
        "WANDB_PROJECT": training.project,
        "WANDB_RUN_ID": run,
        "WANDB_RESUME": "allow",
    }
    for name, value in variables.items():
        os.environ.setdefault(name, str(value))
