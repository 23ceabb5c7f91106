# Sourced by the job scripts: run a command so that SIGTERM reaches every process of it, and requeue the job after one.

run_and_requeue() {
    local stopped="" child code
    setsid "$@" & # a process group of its own, so that all of it can be told
    child=$!
    trap 'stopped=yes; kill -TERM -- "-$child"' TERM
    while true; do
        wait "$child"
        code=$?
        kill -0 "$child" 2>/dev/null || break # else `wait` was interrupted by the signal
    done
    while kill -0 -- "-$child" 2>/dev/null; do sleep 0.2; done # a training that is still writing its checkpoint
    if [ -n "$stopped" ] && [ "$code" -ne 0 ]; then
        echo "stopped by SLURM: back into the queue, to continue from the last checkpoint"
        scontrol requeue "$SLURM_JOB_ID"
    fi
    exit "$code"
}
