#!/usr/bin/env bash
# Fill wheelhouse/ with the packages of the lock, from whatever index pip is set to: for a machine without network
# (copy the folder along; setup.sh and uv.lock look there) or to install the same files again and again.
#
#     scripts/wheelhouse.sh           # the CPU set (requirements.txt), with the packages for the tests
#     scripts/wheelhouse.sh --cuda    # the CUDA set (requirements-cuda.txt), several gigabytes
#
# Then, without network, one of
#     PIP_NO_INDEX=1 ./run.sh
#     uv sync --frozen --offline --find-links wheelhouse [--extra cpu | --extra gpu] [--extra dev]
# `--extra cpu` insists on the CPU build; without an extra uv takes it where the lock has a wheel of it for the machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-python3}
case "${1:-}" in
    "") requirements=requirements.txt ;;
    --cuda) requirements=requirements-cuda.txt ;;
    *) echo "usage: scripts/wheelhouse.sh [--cuda]" >&2; exit 2 ;;
esac
# setuptools builds the editable install; it comes with torch's own requirements.
"$PYTHON" -m pip download -q --require-hashes --no-deps -r "$requirements" -r requirements-dev.txt -d wheelhouse
echo "wheelhouse.sh: $(find wheelhouse -type f | wc -l | tr -d ' ') files in wheelhouse/"
