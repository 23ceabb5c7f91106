#!/usr/bin/env bash
# The whole pipeline: data -> audit of the judge -> SFT -> GRPO -> predictions -> verdicts -> report.
#
#     ./run.sh [preset] [run_dir] [flags for every stage]
#
#     ./run.sh                              # preset tiny into runs/tiny: minutes on two cores; no GPU
#     ./run.sh smoke                        # the same at the smallest sizes, into runs/smoke
#     ./run.sh tiny runs/tiny --overwrite   # anew, over what is there
#     ./run.sh tiny runs/seed1 --seed 1     # another seed, in every stage
#     ./run.sh tiny runs/tiny --redo        # after an edit: the stage that it is about, and what follows from it
#     ./run.sh tiny runs/new --reuse runs/tiny   # the same as a new run, which takes over what is unchanged
#     ./run.sh tiny runs/tiny --dry_run     # what would run, what is there already, and why; any of the above with it
#     ./run.sh tiny runs/tiny --from sft --until grpo   # of data, audit, base, sft, grpo, report
#     DATA_DIR=runs/mixed/data ./run.sh tiny runs/mixed  # data of your own, of mix.py, benchmark.py or author.py
#     UNAMBIGUOUS_FILE=gqa/test.jsonl ./run.sh qwen2.5-vl-3b   # what tuning cost, on questions with one reading of yours
#     GENERATE_ARGS="--num_workers 8" SFT_ARGS="--learning_rate 1.0e-4" ./run.sh tiny runs/other
#     ACCELERATE_CONFIG=configs/accelerate/ddp.yaml ./run.sh qwen3-vl-2b     # all GPUs of this machine
#
#     DATA_CONFIG=dataset_generation/configs/coco.yaml GENERATE_ARGS="--coco_annotations instances_train2017.json \
#         --image_dir 'my photographs'" ./run.sh qwen2.5-vl-3b runs/photographs
#
# A preset is a configs/<preset>.yaml in each stage's folder. It starts from the model_name_or_path of
# tuning_sft/configs/<preset>.yaml, or from MODEL=DIR. A preset without a config for the data is a model that takes any:
# the generated world of dataset_generation/configs/scenes.yaml, or DATA_CONFIG. Each command is printed before it runs
# and works pasted alone after `source scripts/setup.sh`. A rerun skips what is complete and continues what is not.
#
# Flags for one stage, quoted as on the command line: GENERATE_ARGS, SFT_ARGS, GRPO_ARGS, PREDICT_ARGS, REPORT_ARGS,
# AUDIT_ARGS, and JUDGE_ARGS for judge, audit and GRPO's reward: JUDGE_ARGS="--judge openai --judge_model ..."; for the
# launcher of the stages that run on several GPUs: ACCELERATE_ARGS="--num_processes 4"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
fail() { echo "run.sh: $*" >&2; exit 2; }
case "${1:-}" in -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' run.sh; exit 0 ;; esac

names="data audit base sft grpo report"

# What was asked for: preset, run_dir, and flags for every stage; --seed and --redo apart, for some stages have none
preset=tiny; if [[ $# -gt 0 && $1 != -* ]]; then preset=$1; shift; fi
run=runs/$preset; if [[ $# -gt 0 && $1 != -* ]]; then run=$1; shift; fi
flags=() seed=() redo=() reuse=() dry_run=() from="" until=""
while [ $# -gt 0 ]; do
    case $1 in
        --seed) seed=("$1" "${2:?run.sh: --seed needs a number}"); shift ;;
        --seed=*) seed=("$1") ;;
        --redo) redo=("$1") ;;
        --reuse) reuse=(--old "${2:?run.sh: --reuse needs a run folder}"); redo=(--redo); shift ;;
        --dry_run) dry_run=("$1") ;;
        --from | --until)
            [[ " $names " == *" ${2:-} "* ]] || fail "$1 ${2:-}: no stage of that name. There are: $names"
            if [ "$1" = --from ]; then from=$2; else until=$2; fi
            shift
            ;;
        *) flags+=("$1") ;;
    esac
    shift
done

until_there=${names%%"${until:-report}"*} from_there=${names%%"${from:-data}"*}
[ ${#from_there} -le ${#until_there} ] || fail "--from $from comes after --until $until"

for stage in tuning_sft tuning_grpo inference; do
    [ -f "$stage/configs/$preset.yaml" ] || fail "preset '$preset' has no $stage/configs/$preset.yaml. There is:" \
        "$(cd "$stage/configs" && echo *.yaml | sed 's/\.yaml//g')"
done
data=${DATA_DIR:-$run/data}
for split in train validation test; do
    [ -z "${DATA_DIR:-}" ] || [ -f "$data/$split.jsonl" ] || fail "DATA_DIR: no $data/$split.jsonl"
done
[ -z "${UNAMBIGUOUS_FILE:-}" ] || [ -f "$UNAMBIGUOUS_FILE" ] || fail "UNAMBIGUOUS_FILE: no file $UNAMBIGUOUS_FILE"
data_config=${DATA_CONFIG:-dataset_generation/configs/$preset.yaml}
[ -f "$data_config" ] || [ -n "${DATA_CONFIG:-}" ] || data_config=dataset_generation/configs/scenes.yaml
[ -z "${ACCELERATE_CONFIG:-}" ] || [ -f "$ACCELERATE_CONFIG" ] ||
    fail "ACCELERATE_CONFIG: no file $ACCELERATE_CONFIG. There is:" configs/accelerate/*.yaml

# Questions with one reading, on which what tuning cost is measured: those of the data, where it has some
unambiguous=${UNAMBIGUOUS_FILE:-$data/unambiguous.jsonl}
if [ ! -f "$unambiguous" ]; then
    [ -z "${DATA_DIR:-}" ] && grep -q '^num_unambiguous: *[1-9]' "$data_config" || unambiguous=""
fi

variables="GENERATE_ARGS SFT_ARGS GRPO_ARGS PREDICT_ARGS JUDGE_ARGS AUDIT_ARGS REPORT_ARGS ACCELERATE_ARGS
    MODEL DATA_CONFIG DATA_DIR UNAMBIGUOUS_FILE ACCELERATE_CONFIG"
given="" # the command line again, for the message of a stage that is out of date
for name in $variables; do
    [ -z "${!name:-}" ] || given+="$name=$(printf %q "${!name}") "
done
quoted() { [ $# -eq 0 ] || printf ' %q' "$@"; }
new=2
while [ -e "$run-$new" ]; do new=$((new + 1)); done
more=$(quoted ${seed[@]+"${seed[@]}"} ${flags[@]+"${flags[@]}"})
export CLARIFYVLM_RERUN="  $given./run.sh$(quoted "$preset" "$run")$more --redo
  $given./run.sh$(quoted "$preset" "$run-$new")$more --reuse$(quoted "$run")"

source scripts/setup.sh
base=${MODEL:-$(python -c 'import sys, yaml; print(yaml.safe_load(open(sys.argv[1]))["model_name_or_path"])' \
    "tuning_sft/configs/$preset.yaml")}

# Training, predict and judge run on several GPUs where ACCELERATE_CONFIG says so: in one process for each, unless it
# says how many
several=(python)
if [ -n "${ACCELERATE_CONFIG:-}" ]; then
    several=(accelerate launch --config_file "$ACCELERATE_CONFIG")
    grep -q '^num_processes:' "$ACCELERATE_CONFIG" ||
        several+=(--num_processes "$(python -c 'import torch; print(max(1, torch.cuda.device_count()))')")
    eval "several+=(${ACCELERATE_ARGS:-})"
fi

begin() { # name of a stage: whether --from and --until have it run
    if [ -n "$until" ] && [ "$last" = "$until" ]; then active=; fi
    if [ "$1" = "$from" ]; then active=yes; fi
    last=$1
}

number=0 total=0 plan=()
step() { # VARIABLES command ...: the command with the flags in VARIABLES, printed as it can be pasted, then run
    local name more=()
    [ -n "$active" ] || return 0
    for name in $1; do eval "more+=(${!name:-})"; done
    [[ $* == *inference/judge.py* ]] || more+=(${seed[@]+"${seed[@]}"})
    [[ $* == *inference/report.py* ]] || more+=(${redo[@]+"${redo[@]}"})
    set -- "${@:2}" ${more[@]+"${more[@]}"} ${flags[@]+"${flags[@]}"}
    if [ -n "$planning" ]; then
        total=$((total + 1))
        plan+=("$#" "$@")
        return
    fi
    number=$((number + 1))
    printf '\n[%d of %d]\n$%s\n' "$number" "$total" "$(quoted "$@")" >&2
    "$@"
}

infer() { # name, model: its predictions and their verdicts, on the test set and on questions with one reading
    answer "$2" "$data/test.jsonl" "$run/inference/$1"
    [ -z "$unambiguous" ] || answer "$2" "$unambiguous" "$run/inference/$1/unambiguous"
}

answer() { # model, examples, folder
    step PREDICT_ARGS "${several[@]}" inference/predict.py --config "inference/configs/$preset.yaml" \
        --model_name_or_path "$1" --data_file "$2" --output_file "$3/predictions.jsonl" --turns 2
    step JUDGE_ARGS "${several[@]}" inference/judge.py --config "inference/configs/$preset.yaml" \
        --data_file "$2" --predictions "$3/predictions.jsonl" --output_file "$3/verdicts.jsonl"
}

stages() {
    active=yes last=""
    if [ -n "$from" ]; then active=; fi

    begin data
    [ -n "${DATA_DIR:-}" ] ||
        step GENERATE_ARGS python dataset_generation/generate.py --config "$data_config" --output_dir "$run/data"
    begin audit
    step "JUDGE_ARGS AUDIT_ARGS" python inference/audit_judge.py --config "inference/configs/$preset.yaml" \
        --data_file "$data/test.jsonl" --output_file "$run/judge_audit.json"
    begin base
    infer base "$base"

    begin sft
    step SFT_ARGS "${several[@]}" tuning_sft/train.py --config "tuning_sft/configs/$preset.yaml" \
        --model_name_or_path "$base" --data_dir "$data" --output_dir "$run/sft"
    infer sft "$run/sft"

    begin grpo
    step "JUDGE_ARGS GRPO_ARGS" "${several[@]}" tuning_grpo/train.py --config "tuning_grpo/configs/$preset.yaml" \
        --model_name_or_path "$run/sft" --data_dir "$data" --output_dir "$run/grpo"
    infer grpo "$run/grpo"

    begin report
    step REPORT_ARGS python inference/report.py --data_file "$data/test.jsonl" --inference_dir "$run/inference" \
        --output_dir "$run/report" --judge_audit "$run/judge_audit.json" --training_dirs "$run/sft" "$run/grpo" \
        ${unambiguous:+--unambiguous_file "$unambiguous"}
}

# First the plan: the options of all stages are looked at, and what is there already
planning=yes
stages
rooms=dataset_generation:inference:tuning_sft:tuning_grpo${PYTHONPATH:+:$PYTHONPATH}
printf '%s\0' "${plan[@]}" | PYTHONPATH=$rooms python scripts/plan.py --new "$run" --variables $variables \
    ${reuse[@]+"${reuse[@]}"} ${redo[@]+"${redo[@]}"} ${dry_run[@]+"${dry_run[@]}"}
[ ${#dry_run[@]} -eq 0 ] || exit 0
planning=
[ ${#reuse[@]} -eq 0 ] || python scripts/reuse.py "${reuse[@]}" --new "$run"
stages

[ -z "$active" ] || printf '\n%s\n\nThe report: %s\n' "$(cat "$run/report/report.md")" "$run/report/report.html"
