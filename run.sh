#!/usr/bin/env bash
# The whole pipeline: data -> audit of the judge -> SFT -> GRPO -> predictions -> verdicts -> report.
#
#     ./run.sh [preset] [run_dir] [flags for every stage]
#
#     ./run.sh                              # preset tiny into runs/tiny: minutes on two cores, no GPU, no network
#     ./run.sh smoke                        # the same at the smallest sizes, into runs/smoke
#     ./run.sh tiny runs/tiny --overwrite   # anew, over what is there
#     ./run.sh tiny runs/seed1 --seed 1     # another seed, in every stage
#     GENERATE_ARGS="--num_workers 8" SFT_ARGS="--learning_rate 1.0e-4" ./run.sh tiny runs/other
#     ACCELERATE_CONFIG=configs/accelerate/ddp.yaml ./run.sh qwen2.5-vl-3b   # all GPUs of this machine
#
#     DATA_CONFIG=dataset_generation/configs/coco.yaml GENERATE_ARGS="--coco_annotations instances_train2017.json \
#         --image_dir train2017" ./run.sh qwen2.5-vl-3b runs/photographs
#
# A preset is a configs/<preset>.yaml in each stage's folder; the model that a run starts from is model_name_or_path
# in tuning_sft/configs/<preset>.yaml (models/tiny where that names none). A preset without a config for the data is a
# model that takes any: the generated world of configs/scenes.yaml, or DATA_CONFIG. Each command is printed before it
# runs and works pasted alone after `source scripts/setup.sh`. A rerun skips what is complete and continues what is not.
# Flags for one stage: GENERATE_ARGS, SFT_ARGS, GRPO_ARGS, PREDICT_ARGS, REPORT_ARGS, AUDIT_ARGS,
# and JUDGE_ARGS for judge and audit: JUDGE_ARGS="--judge openai --judge_model ..."; for the launcher of the stages that
# run on several GPUs: ACCELERATE_ARGS="--num_processes 4"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

case "${1:-}" in -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' run.sh; exit 0 ;; esac
preset=tiny
if [ $# -gt 0 ] && [[ $1 != -* ]]; then preset=$1; shift; fi
run=runs/$preset
if [ $# -gt 0 ] && [[ $1 != -* ]]; then run=$1; shift; fi
flags=("$@")
judge_flags=() # the judge draws nothing, so it takes no seed
while [ $# -gt 0 ]; do
    case $1 in
        --seed) shift ;;
        --seed=*) ;;
        *) judge_flags+=("$1") ;;
    esac
    if [ $# -gt 0 ]; then shift; fi
done

data_config=${DATA_CONFIG:-dataset_generation/configs/$preset.yaml}
for stage in tuning_sft tuning_grpo inference; do
    if [ ! -f "$stage/configs/$preset.yaml" ]; then
        echo "run.sh: preset '$preset' has no $stage/configs/$preset.yaml. There is:" \
            "$(cd "$stage/configs" && for file in *.yaml; do printf '%s ' "${file%.yaml}"; done)" >&2
        exit 2
    fi
done
if [ -z "${DATA_CONFIG:-}" ] && [ ! -f "$data_config" ]; then
    data_config=dataset_generation/configs/scenes.yaml
fi
base=$(sed -n 's/^model_name_or_path: *\([^ #]*\).*/\1/p' "tuning_sft/configs/$preset.yaml")
base=${base:-models/tiny}

if [ -n "${ACCELERATE_CONFIG:-}" ] && [ ! -f "$ACCELERATE_CONFIG" ]; then
    echo "run.sh: ACCELERATE_CONFIG: no file $ACCELERATE_CONFIG. There is:" configs/accelerate/*.yaml >&2
    exit 2
fi

source scripts/setup.sh

processes="" # one for each GPU, unless the config says how many
if [ -n "${ACCELERATE_CONFIG:-}" ] && ! grep -q '^num_processes:' "$ACCELERATE_CONFIG"; then
    processes="--num_processes $(python -c 'import torch; print(max(1, torch.cuda.device_count()))')"
fi

step() { # print a command as it could be pasted, then run it
    case $2 in
        inference/judge.py) set -- "$@" ${judge_flags[@]+"${judge_flags[@]}"} ;;
        *) set -- "$@" ${flags[@]+"${flags[@]}"} ;;
    esac
    case $2 in
        tuning_*/train.py | inference/predict.py | inference/judge.py)
            if [ -n "${ACCELERATE_CONFIG:-}" ]; then
                shift
                set -- accelerate launch --config_file "$ACCELERATE_CONFIG" $processes ${ACCELERATE_ARGS:-} "$@"
            fi
            ;;
    esac
    echo >&2
    printf '%q ' '$' "$@" | sed 's/^\\\$ /$ /; s/ $//' >&2
    echo >&2
    "$@"
}

data=$run/data/test.jsonl

infer() { # name, model: its predictions and their verdicts
    local out=$run/inference/$1
    step python inference/predict.py --config "inference/configs/$preset.yaml" --model_name_or_path "$2" \
        --data_file "$data" --output_file "$out/predictions.jsonl" --turns 2 ${PREDICT_ARGS:-}
    step python inference/judge.py --config "inference/configs/$preset.yaml" --data_file "$data" \
        --predictions "$out/predictions.jsonl" --output_file "$out/verdicts.jsonl" ${JUDGE_ARGS:-}
}

step python dataset_generation/generate.py --config "$data_config" \
    --output_dir "$run/data" ${GENERATE_ARGS:-}

step python inference/audit_judge.py --config "inference/configs/$preset.yaml" --data_file "$data" \
    --output_file "$run/judge_audit.json" ${JUDGE_ARGS:-} ${AUDIT_ARGS:-}

infer base "$base"

step python tuning_sft/train.py --config "tuning_sft/configs/$preset.yaml" --model_name_or_path "$base" \
    --data_dir "$run/data" --output_dir "$run/sft" ${SFT_ARGS:-}
infer sft "$run/sft"

step python tuning_grpo/train.py --config "tuning_grpo/configs/$preset.yaml" --model_name_or_path "$run/sft" \
    --data_dir "$run/data" --output_dir "$run/grpo" ${GRPO_ARGS:-}
infer grpo "$run/grpo"

step python inference/report.py --data_file "$data" --inference_dir "$run/inference" --output_dir "$run/report" \
    --judge_audit "$run/judge_audit.json" --training_dirs "$run/sft" "$run/grpo" ${REPORT_ARGS:-}

echo
cat "$run/report/report.md"
echo
echo "The report: $run/report/report.html"
