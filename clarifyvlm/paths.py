"""Folders outside a run."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/clarifyvlm`, or `~/.cache/clarifyvlm`: replies of endpoints, and pictures that were shrunk."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clarifyvlm"
