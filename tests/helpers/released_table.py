"""Write the table of published benchmarks into docs/benchmarks.md, from their modules.

python tests/helpers/released_table.py
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    code, folder = "import released; print(released.table())", ROOT / "dataset_generation"
    table = subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True).stdout
    path = ROOT / "docs" / "benchmarks.md"
    text = path.read_text(encoding="utf-8")
    found = re.search(r"^\| `--benchmark`.*\n(?:^\|.*\n)+", text, flags=re.MULTILINE)
    path.write_text(text[: found.start()] + table + text[found.end() :], encoding="utf-8")


if __name__ == "__main__":
    main()
