#!/usr/bin/env bash
# Make uv.lock from pyproject.toml, and requirements.txt from uv.lock.
#
#     scripts/lock.sh [--upgrade]        # needs uv, and an index or find-links that offers torch's CPU build
#
# The lock holds files and hashes and no index address: it is resolved against whatever index pip or uv is set to, then
# each source becomes the folder wheelhouse/. What pyproject.toml does not pin stays as it is locked; with --upgrade it
# moves to the newest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-python3} UV=${UV:-uv}
command -v "$UV" >/dev/null || { echo "lock.sh: no uv here (pip install uv), or name it: UV=/path/to/uv" >&2; exit 1; }
source scripts/pip_settings.sh
pip_settings_to_uv

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/clarifyvlm" "$work/cpu"
cp pyproject.toml .python-version "$work"
case "${1:-}" in
    "") if [ -f uv.lock ]; then cp uv.lock "$work"; fi ;;
    --upgrade) ;;
    *) echo "lock.sh: unknown argument $1; there is --upgrade" >&2; exit 2 ;;
esac

# uv does not hash the files of a find-links folder: fetch the CPU build, so that its hash can be written down.
torch=$(sed -n 's/^cpu = \["\(torch==[^"]*\)"\]$/\1/p' pyproject.toml)
"$PYTHON" -m pip download -q --no-deps --only-binary=:all: -d "$work/cpu" "$torch" || {
    echo "lock.sh: $torch is not on offer for this Python. Name a folder or index that has it:" >&2
    echo "         PIP_FIND_LINKS=/path/to/wheels scripts/lock.sh" >&2
    exit 1
}
"$UV" --directory "$work" lock --quiet
"$UV" --directory "$work" export --quiet --frozen --extra cpu --no-hashes --no-emit-project --no-header --no-annotate \
    --output-file pins.txt >/dev/null
"$PYTHON" scripts/neutral_lock.py "$work" .
echo "lock.sh: wrote uv.lock and requirements.txt"
