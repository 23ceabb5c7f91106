#!/usr/bin/env bash
# Make uv.lock, requirements.txt, requirements-cuda.txt and requirements-dev.txt from pyproject.toml.
#
#     scripts/lock.sh [--upgrade]        # needs uv, and an index or find-links that offers torch's CPU build
#
# The lock holds files and hashes and no index address, so one lock serves a mirror, a cluster without network and a
# laptop: it is resolved against whatever index pip or uv is set to, then each source becomes the folder wheelhouse/,
# which scripts/wheelhouse.sh fills. Versions that pyproject.toml does not pin stay as they are locked; with --upgrade
# they move to the newest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-python3}
UV=${UV:-uv}
command -v "$UV" >/dev/null || { echo "lock.sh: uv is not installed (pip install uv), or name it: UV=/path/to/uv" >&2; exit 1; }
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
torch_version=$(sed -n 's/.*"torch==\([0-9.]*+cpu\)".*/\1/p' pyproject.toml)
"$PYTHON" -m pip download -q --no-deps --only-binary=:all: -d "$work/cpu" "torch==$torch_version" || {
    echo "lock.sh: no torch $torch_version for this Python on offer. Name a folder or index that has it:" >&2
    echo "         PIP_FIND_LINKS=/path/to/wheels scripts/lock.sh" >&2
    exit 1
}

(
    cd "$work"
    "$UV" lock --quiet
    export_pins() { "$UV" export --quiet --frozen --no-emit-project --no-header --no-annotate --output-file "$@"; }
    export_pins cpu.txt --extra cpu
    export_pins cuda.txt --extra gpu --prune deepspeed # deepspeed is compiled on the spot: asked for, never by default
    export_pins dev.txt --extra cpu --extra dev
)
"$PYTHON" scripts/neutral_lock.py "$work" .
echo "lock.sh: wrote uv.lock, requirements.txt, requirements-cuda.txt, requirements-dev.txt"
