#!/usr/bin/env bash
# The tests of Qwen2.5-VL, Qwen3-VL, InternVL and SmolVLM on a machine without a GPU:  ./tests/torchvision.sh [-x ...]
#
# Their processors need torchvision, of which package indexes have the CUDA build only. Beside a CPU torch that build
# loads no library of its own, and then fails to import for want of two operators that no processor calls. So: its
# wheel (8 MB) goes into a folder beside .venv's packages, the two operators are declared there, and only these tests
# see that folder. tests/run.sh runs everything else as users of a CPU have it, without torchvision.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
CLARIFYVLM_DEV=1
source scripts/setup.sh
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
if python -c 'import torchvision' 2>/dev/null; then
    echo "torchvision is installed: tests/run.sh has run these tests" >&2
    exit
fi
folder=$PWD/.venv/torchvision
if ! PYTHONPATH=$folder python -c 'import torchvision, num2words' 2>/dev/null; then
    rm -rf "$folder"
    mkdir -p "$folder"
    python -m pip install -qq --no-deps --target "$folder" docopt $(grep -oE '(torchvision|num2words)==[0-9.]+' pyproject.toml)
    cat >>"$folder/torchvision/extension.py" <<'END'

if not _has_ops():
    _operators = torch.library.Library("torchvision", "DEF")
    _operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
END
fi
files=$(grep -rlE 'from families import .*\bHERE\b' tests --include='test_*.py')
PYTHONPATH=$folder exec python -m pytest -n 2 --dist loadfile $files -k "qwen2_5_vl or qwen3_vl or internvl or smolvlm" "$@"
