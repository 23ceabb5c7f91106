#!/usr/bin/env bash
# Set up, then run the tests:  ./tests/run.sh [any arguments of pytest], e.g.  ./tests/run.sh -m "not slow" -k readme
# Two files at a time, each on one thread; -n 0 runs them one after another (for --pdb).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
CLARIFYVLM_DEV=1
source scripts/setup.sh
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
