"""Folders outside a run."""

import os
import sys
import tempfile
from functools import cache
from pathlib import Path


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/clarifyvlm`, or `~/.cache/clarifyvlm`: replies of endpoints, and shrunk pictures. Where that
    cannot be written, a folder for temporary files; said once."""
    return _writable(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))


@cache
def _writable(parent: str) -> Path:
    folder = Path(parent) / "clarifyvlm"
    try:
        if not folder.is_absolute():
            raise OSError("it is no absolute path")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        instead = Path(tempfile.gettempdir()) / f"clarifyvlm-{os.getuid()}"
        print(
            f"{folder} cannot be written ({error}): what is kept for later runs goes to {instead}. "
            "XDG_CACHE_HOME names another folder.",
            file=sys.stderr,
        )
        return instead


def home() -> str | None:
    """The home folder; None where the machine has none for this user."""
    found = os.path.expanduser("~")
    return None if found == "~" else found
