"""WORK/uv.lock without the addresses of an index, and requirements.txt. Called by lock.sh.

Reads   WORK/uv.lock, WORK/pins.txt (uv export), WORK/cpu/torch-*.whl (the CPU build of torch)
Writes  DEST/uv.lock, DEST/requirements.txt

    python scripts/neutral_lock.py WORK DEST
"""

import hashlib
import re
import sys
from pathlib import Path

HEADER = """\
# Everything that ClarifyVLM needs, and ClarifyVLM itself. Made by scripts/lock.sh from uv.lock: do not edit.
#
#     pip install -r requirements.txt                  # or: uv pip install -r requirements.txt
#     pip install -r requirements.txt -e '.[gpu]'      # extras of pyproject.toml: dev, demo, gpu, vllm, ...
#
# torch is its CPU build where an index or a folder of wheels offers one (PIP_FIND_LINKS; UV_FIND_LINKS for uv), else
# the CUDA build on Linux, several gigabytes. The extra gpu takes the CUDA build in any case.
"""


def neutral_lock(text: str, cpu_wheel: Path) -> str:
    """Sources become the folder wheelhouse/, addresses become file names, the CPU build gets its hash."""
    text = re.sub(r'registry = "[^"]*"', 'registry = "wheelhouse"', text)
    text = re.sub(r'(?:url|path) = "[^"]*/([^/"]+)"', lambda m: f'path = "{m[1].replace("%2B", "+")}"', text)
    entry = f'path = "{cpu_wheel.name}"'
    if text.count(entry) != 1:
        raise SystemExit(f"neutral_lock: uv.lock should name {cpu_wheel.name} once, and does {text.count(entry)} times")
    return text.replace(entry, f'{entry}, hash = "sha256:{hashlib.sha256(cpu_wheel.read_bytes()).hexdigest()}"')


def requirements(pins: str) -> str:
    """The pins for Linux and macOS, without the name of a build of torch, then the project itself."""
    pins = pins.replace("+cpu", "").replace(" ; sys_platform != 'emscripten'", "")
    elsewhere = re.compile(r".*sys_platform == '(win32|emscripten)'\n", re.MULTILINE)
    return HEADER + elsewhere.sub("", pins) + "-e .\n"


def main(argv: list[str] | None = None) -> None:
    work, dest = map(Path, argv or sys.argv[1:])
    (cpu_wheel,) = (work / "cpu").glob("torch-*.whl")
    (dest / "uv.lock").write_text(neutral_lock((work / "uv.lock").read_text(), cpu_wheel))
    (dest / "requirements.txt").write_text(requirements((work / "pins.txt").read_text()))


if __name__ == "__main__":
    main()
