#!/usr/bin/env bash
# Make .venv with the pinned packages and the editable install of clarifyvlm. Sourced by run.sh, tests/run.sh and
# .ci/run; `source scripts/setup.sh` does the same for your own shell. A second call finds the stamp and does nothing.
#
#   CLARIFYVLM_PYTHON=/path/python   use this interpreter as it is and install nothing (a cluster's own environment)
#   CLARIFYVLM_TORCH=cpu|cuda        which build of torch; default: cuda where nvidia-smi shows a GPU, else cpu
#   CLARIFYVLM_DEV=1                 with the extra dev: packages for tests and lint
#   PYTHON=/path/python              the Python that makes .venv; default: the first of python3.11, python3, python3.1x
#
# It installs with uv where there is one or pip finds one, else with pip; pip's settings (PIP_FIND_LINKS, PIP_INDEX_URL,
# PIP_EXTRA_INDEX_URL, pip.conf) hold for both. Without network: fill wheelhouse/ on a machine that has one with
# `pip download -r requirements.txt -d wheelhouse`, copy it along, and set PIP_NO_INDEX=1.

CLARIFYVLM_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# How long a torch thread spins before it sleeps. OpenMP's own default slows two of them tenfold on a busy CPU;
# none at all (OMP_WAIT_POLICY=PASSIVE) costs a third of the speed on an idle one.
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-30000}"

# Every batch has another shape. Unless told otherwise, oneDNN keeps the kernels of a thousand of them, and glibc keeps the
# memory that they leave: the default run took 4.4 GB then, and takes 2.7 GB so; 20 steps of GRPO take as long as before.
export ONEDNN_PRIMITIVE_CACHE_CAPACITY="${ONEDNN_PRIMITIVE_CACHE_CAPACITY:-32}"
export MALLOC_MMAP_THRESHOLD_="${MALLOC_MMAP_THRESHOLD_:-4194304}" MALLOC_TRIM_THRESHOLD_="${MALLOC_TRIM_THRESHOLD_:-67108864}"

# Seconds that a step and its checkpoint may take after a SIGTERM, before the launcher of several processes kills them.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT="${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-280}"

# Files, their names and what is printed are UTF-8, whatever the terminal is set to.
export PYTHONUTF8="${PYTHONUTF8:-1}"

_setup_say() { echo "set-up: $*" >&2; }
_setup_fail() { echo "set-up failed: $*" >&2; return 1; }

_setup_find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3 python3.12 python3.13 python3.14}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    candidate=${PYTHON:-python3}
    _setup_fail "needs Python 3.11 or newer; $candidate is $("$candidate" --version 2>/dev/null || echo 'not there')." \
        "Install one, or name it: PYTHON=/path/to/python3.11 ./run.sh"
}

_setup_kind() {
    case ${CLARIFYVLM_TORCH:-} in
        cpu | cuda) echo "$CLARIFYVLM_TORCH" ;;
        "") if nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then echo cuda; else echo cpu; fi ;;
        *) _setup_fail "CLARIFYVLM_TORCH is '$CLARIFYVLM_TORCH'; it can be cpu or cuda" ;;
    esac
}

# What .venv was made from: a change of any of it sets up again. The folder is in it because an editable install
# points there.
_setup_fingerprint() {
    (cd "$CLARIFYVLM_ROOT" && { echo "$CLARIFYVLM_ROOT $1"; cat pyproject.toml requirements.txt scripts/setup.sh; } |
        cksum | tr ' ' '-')
}

_setup_make() { # kind
    local extras=${CLARIFYVLM_DEV:+dev} uv=uv torch="the CPU build where one is on offer, else the CUDA build (several GB)"
    if [ "$1" = cuda ]; then extras=gpu${extras:+,$extras} torch="the CUDA build (several GB)"; fi
    PYTHON=$(_setup_find_python) || return 1

    # A half-copied package confuses every later install: after an interruption start from nothing.
    if [ -e .venv/.installing ]; then
        _setup_say "the last set-up did not finish: making .venv anew"
        rm -rf .venv
    fi
    if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        _setup_say "making .venv with $("$PYTHON" --version)"
        rm -rf .venv
        mkdir .venv
        touch .venv/.installing
        "$PYTHON" -m venv .venv || { _setup_fail "python -m venv did not work (on Debian: apt install python3-venv)"; return 1; }
    fi
    rm -f .venv/.stamp-*
    touch .venv/.installing
    .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null # uv makes one without

    # uv takes a third of pip's time. Where it is not to be had, pip does it all.
    local install=(.venv/bin/python -m pip install -qq --disable-pip-version-check)
    if [ -d wheelhouse ]; then install+=(--find-links wheelhouse); fi
    if ! command -v uv >/dev/null; then
        uv=.venv/bin/uv
        [ -x "$uv" ] || "${install[@]}" --retries 1 uv 2>/dev/null || true
    fi
    if "$uv" --version >/dev/null 2>&1; then
        source scripts/pip_settings.sh
        pip_settings_to_uv
        if [ -d wheelhouse ]; then export UV_FIND_LINKS=wheelhouse${UV_FIND_LINKS:+,$UV_FIND_LINKS}; fi
        install=("$uv" pip install --quiet --python .venv/bin/python ${PIP_NO_INDEX:+--no-index})
    fi
    _setup_say "installing requirements.txt${extras:+ and the extras $extras} (minutes, the first time); torch: $torch"
    "${install[@]}" -r requirements.txt ${extras:+-e ".[$extras]"} || {
        _setup_fail "the packages could not be installed (above). Behind a mirror: set PIP_INDEX_URL. Without network:" \
            "\`pip download -r requirements.txt -d wheelhouse\` elsewhere, then PIP_NO_INDEX=1"
        return 1
    }
    .venv/bin/python -c 'import clarifyvlm, torch, transformers' || { _setup_fail "the packages are in, but do not import (above)"; return 1; }
    rm -f .venv/.installing
}

_setup_is_there() { [ "$(cat "$wanted" 2>/dev/null)" = "$fingerprint" ] && [ -x .venv/bin/python ]; }

_setup_once() {
    _setup_is_there && return
    _setup_make "$kind" || return 1
    echo "$fingerprint" >.venv/.stamp-core
    if [ -n "${CLARIFYVLM_DEV:-}" ]; then echo "$fingerprint" >.venv/.stamp-dev; fi
    _setup_say "done: .venv"
}

# One set-up at a time: a second start waits for the first, then finds its stamp. (A number: bash 3.2 names none itself.)
_setup_locked() {
    flock -n 9 2>/dev/null || { _setup_say "waiting for another set-up in this folder" && flock 9; } ||
        _setup_say "this disk has no locks: start no second set-up in this folder"
    _setup_once
}

_setup() {
    local kind fingerprint wanted where='import sys; print(sys.prefix)'
    if [ -n "${CLARIFYVLM_PYTHON:-}" ]; then
        "$CLARIFYVLM_PYTHON" -c 'import clarifyvlm' 2>/dev/null || {
            _setup_fail "$CLARIFYVLM_PYTHON cannot import clarifyvlm. In that environment:" \
                "pip install --no-build-isolation --no-deps -e $CLARIFYVLM_ROOT"
            return 1
        }
        PATH=$(cd "$(dirname "$(command -v "$CLARIFYVLM_PYTHON")")" && pwd):$PATH
        export PATH
        hash -r 2>/dev/null || true
        [ "$(python -c "$where" 2>/dev/null)" = "$("$CLARIFYVLM_PYTHON" -c "$where")" ] ||
            _setup_fail "beside $CLARIFYVLM_PYTHON is no 'python' of the same environment; run.sh needs one"
        return
    fi
    cd "$CLARIFYVLM_ROOT" || return 1
    kind=$(_setup_kind) || return 1
    fingerprint=$(_setup_fingerprint "$kind")
    wanted=.venv/.stamp-core
    if [ -n "${CLARIFYVLM_DEV:-}" ]; then wanted=.venv/.stamp-dev; fi
    if ! _setup_is_there; then
        if command -v flock >/dev/null; then
            (_setup_locked) 9>.setup.lock || return 1
        else
            (_setup_once) || return 1
        fi
    fi
    case ${PYTHONPATH:-} in
        */site-packages* | */dist-packages*)
            _setup_say "PYTHONPATH names packages of another environment ($PYTHONPATH): it is left out"
            unset PYTHONPATH
            ;;
    esac
    unset PYTHONHOME
    export VIRTUAL_ENV=$CLARIFYVLM_ROOT/.venv
    case $PATH in # in front, also of an environment that was activated since
        "$VIRTUAL_ENV/bin":*) ;;
        *) export PATH=$VIRTUAL_ENV/bin:$PATH ;;
    esac
    hash -r 2>/dev/null || true
}

_setup_folder=$PWD
_setup || { cd "$_setup_folder" || true; return 1 2>/dev/null || exit 1; }
cd "$_setup_folder" || true
unset _setup_folder
