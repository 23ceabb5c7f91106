"""What the four stages agree on: records, strategies, chat messages, judges. Imports no stage."""

__version__ = "0.1.0"

import sys
from pathlib import Path

_script = Path(sys.argv[0] if sys.argv else "").resolve()
if sys.flags.safe_path and _script.parent.parent == Path(__file__).resolve().parents[1]:  # a stage's
    sys.exit("error: PYTHONSAFEPATH (python -P) hides a script's own folder, where its modules are; run it without.")
