"""Turn a resolved uv.lock and its exports into files that name no index. Called by lock.sh.

Reads   WORK/uv.lock, WORK/{cpu,cuda,dev}.txt (uv export), WORK/cpu/*.whl (the CPU build of torch)
Writes  DEST/uv.lock, DEST/requirements.txt, DEST/requirements-cuda.txt, DEST/requirements-dev.txt

    python scripts/neutral_lock.py WORK DEST
"""

import hashlib
import re
import sys
from pathlib import Path

HEADER = "# Made by scripts/lock.sh from pyproject.toml: do not edit.\n"
CPU_HEADER = (
    HEADER
    + """#
# What ./run.sh installs where there is no NVIDIA GPU. On Linux torch's plain build is the CUDA build, with gigabytes
# beside it, so its CPU build is asked for by name here. `pip install -r requirements.txt` therefore needs an index or
# a find-links folder that offers it; where none does, pip says "No matching distribution found for torch==…+cpu":
# use requirements-cuda.txt (./run.sh does so by itself, and says so). The hash is that of the wheel for the Python in
# .python-version on x86-64; for another Python ./run.sh installs torch first, by version.
"""
)
CUDA_HEADER = (
    HEADER
    + """#
# What ./run.sh installs on a machine with an NVIDIA GPU (and where no CPU build of torch is on offer): the CUDA build
# of torch by its exact name, its CUDA packages, torchvision. Several gigabytes.
"""
)
DEV_HEADER = (
    HEADER
    + """#
# Beside requirements.txt or requirements-cuda.txt, for the tests: what ./tests/run.sh adds.
"""
)


def neutral_lock(text, cpu_wheel):
    """Sources become the folder wheelhouse/, addresses become file names, the CPU build gets its hash."""
    text = re.sub(r'registry = "[^"]*"', 'registry = "wheelhouse"', text)
    text = re.sub(r'(?:url|path) = "[^"]*/([^/"]+)"', lambda m: f'path = "{m[1].replace("%2B", "+")}"', text)
    digest = hashlib.sha256(cpu_wheel.read_bytes()).hexdigest()
    entry = f'path = "{cpu_wheel.name}"'
    if text.count(entry) != 1:
        raise SystemExit(f"neutral_lock: uv.lock should name {cpu_wheel.name} once, and does {text.count(entry)} times")
    return text.replace(entry, f'{entry}, hash = "sha256:{digest}"'), digest


def requirements(text):
    """'name==1.0 ; marker' -> [hashes], in file order."""
    pins, pin = {}, None
    for line in text.splitlines():
        line = line.strip().removesuffix("\\").strip()
        if line.startswith("--hash="):
            pins[pin].append(line)
        elif line and not line.startswith("#"):
            pin = line
            pins[pin] = []
    return pins


def render(pins):
    bare = [pin for pin, hashes in pins.items() if not hashes]
    if bare:
        raise SystemExit(f"neutral_lock: no hash for {', '.join(bare)}")
    return "".join(" \\\n    ".join([pin, *hashes]) + "\n" for pin, hashes in pins.items())


def main(argv=None):
    work, dest = map(Path, argv or sys.argv[1:])
    (cpu_wheel,) = (work / "cpu").glob("torch-*.whl")
    lock, digest = neutral_lock((work / "uv.lock").read_text(), cpu_wheel)
    cpu, cuda, dev = (requirements((work / f"{name}.txt").read_text()) for name in ("cpu", "cuda", "dev"))

    dev = {pin: hashes for pin, hashes in dev.items() if pin not in cpu}
    torch_cpu = next(pin for pin in cpu if pin.startswith("torch=="))
    torch_cuda = next(pin for pin in cuda if pin.startswith("torch=="))
    # Listed as one pin with the hashes of both builds, pip would take the CUDA build: it prefers a file whose hash its
    # index already states to one in a folder.
    torch = {
        f"{torch_cpu} ; sys_platform == 'linux'": [f"--hash=sha256:{digest}"],
        f"{torch_cuda} ; sys_platform != 'linux'": cuda[torch_cuda],
    }
    cpu = {pin: hashes for pin, hashes in cpu.items() if pin != torch_cpu} | torch
    # '===' compares the whole name, so a CPU build on offer is not taken for the CUDA build.
    cuda = {pin.replace("==", "===", 1) if pin == torch_cuda else pin: hashes for pin, hashes in cuda.items()}

    (dest / "uv.lock").write_text(lock)
    (dest / "requirements.txt").write_text(CPU_HEADER + render(cpu))
    (dest / "requirements-cuda.txt").write_text(CUDA_HEADER + render(cuda))
    (dest / "requirements-dev.txt").write_text(DEV_HEADER + render(dev))


if __name__ == "__main__":
    main()
