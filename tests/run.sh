#!/usr/bin/env bash
# Set up, then run the tests:  ./tests/run.sh [any arguments of pytest], e.g.  ./tests/run.sh -m "not slow" -k readme
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
CLARIFYVLM_DEV=1
source scripts/setup.sh
exec python -m pytest "$@"
