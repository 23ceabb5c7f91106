"""Judge the predictions of a model: examples.jsonl + predictions.jsonl -> verdicts.jsonl.

    python inference/judge.py --config inference/configs/tiny.yaml --data_file runs/tiny/data/test.jsonl \
        --predictions runs/tiny/inference/grpo/predictions.jsonl --output_file runs/tiny/inference/grpo/verdicts.jsonl

One verdict per prediction, in the order of the predictions: a value per criterion, or a named failure of the judge,
which is never a number. Predictions of other tools are judged too: {"example_id", "text"} is enough. A run that was
stopped continues; what failed is asked again, what is judged or was not understood is not. Above
--judge_max_failure_share of failures the run stops with everything kept. Started by `accelerate launch`, each process
judges its share; --judge_max_calls and --judge_budget_usd are for all of them together.
"""

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from clarifyvlm import images, jsonl, processes
from clarifyvlm.config import REDO, option, parse_args
from clarifyvlm.endpoint.usage import total
from clarifyvlm.errors import UserError, run_main
from clarifyvlm.judges import SPEED_ONLY, Judge, JudgeArguments, make_judge, refuse_unannotated, self_preference
from clarifyvlm.judges.coverage import OTHER_JUDGES
from clarifyvlm.records import NOT_UNDERSTOOD, Example, Prediction, Verdict
from clarifyvlm.run_record import RunRecord
from predicting.answered import answered

FEW = 20  # so many verdicts at the end before a share of failures says anything ...
MANY = 256  # ... and so many on the way: the first failures are no share
IGNORED = (*SPEED_ONLY, "judge_max_failure_share")


@dataclass
class ScriptArguments:
    data_file: str = option("examples.jsonl that the predictions are about")
    predictions: str = option("predictions.jsonl of inference/predict.py or of another tool")
    output_file: str = option("verdicts.jsonl to write, or to continue")
    judge_max_failure_share: float = option(
        "stop when the judge fails on more than this share, 0..1", 0.05, min=0, max=1
    )
    overwrite: bool = option("delete the output file and start anew", False)
    redo: bool = option(REDO, False)


def main(argv: list[str] | None = None) -> int:
    args, judge_args = parse_args(
        [ScriptArguments, JudgeArguments],
        argv,
        description=__doc__,
        section="judge",
        check=_check,
    )
    pairs, number = answered(args.data_file, args.predictions, args.output_file)
    examples, predictions = map(list, zip(*pairs, strict=True))
    if len(predictions) < number:
        print(f"{args.predictions}: {len(predictions)} predictions for {number} examples; these are judged")
    if (policy := _policy(args.predictions)) and (warning := self_preference(judge_args, policy)):
        print(f"warning: {warning}", file=sys.stderr)
    refuse_unannotated(judge_args, examples, args.data_file)
    judge = make_judge(judge_args, image_root=images.root_of(args.data_file, examples))
    settings = asdict(args) | asdict(judge_args)
    if judge.sees_image and (unknown := images.check_unchanged(examples, Path(args.data_file).parent)):
        settings["pictures"] = unknown
    inputs = [args.data_file, args.predictions, *filter(None, [judge_args.judge_panel])]
    with RunRecord.start(args.output_file, "judge", settings, inputs, ignore=IGNORED, shared=True) as run:
        if run.complete:
            print(f"{args.output_file}: {len(predictions)} verdicts, complete already")
            return 0
        if processes.is_leader():
            _drop_failures(args.output_file)
        with jsonl.shared_appender(args.output_file, [p.example_id for p in predictions]) as output:
            _judge(args, judge, examples, predictions, output)
        used = processes.gather([judge.usage] if judge.usage else [])
        if not processes.is_leader():
            return 0
        verdicts = jsonl.read(args.output_file, Verdict)
        failures = Counter(v.failure for v in verdicts if v.failure)
        said = next((v.raw for v in verdicts if v.failure and v.raw), None)
        _stop_on_failures(args, failures, said, len(verdicts), FEW if failures.total() < len(verdicts) else 0)
        run.finish(
            verdicts=len(verdicts),
            judge_failures=sum(failures.values()),
            failures=dict(failures),
            usage=asdict(used[0] if len(used) == 1 else total(used)) if used else None,
        )
    print(f"{args.output_file}: {_summary(verdicts, failures)}")
    return 0


def _check(args: ScriptArguments, judge_args: JudgeArguments) -> None:
    if Path(args.output_file).suffix != ".jsonl":
        raise UserError(f"--output_file {args.output_file}: must end in .jsonl.")


def _policy(predictions: str) -> str | None:
    """The model that made the predictions, where predict.py wrote it down beside them."""
    path = Path(predictions)
    try:
        return json.loads(path.with_name(f"{path.stem}.run.json").read_text())["args"]["model_name_or_path"]
    except (OSError, ValueError, KeyError):
        return None


def _drop_failures(path: str) -> None:
    """Take the failed verdicts of a stopped run out of its file, so that they are asked again; but not those on
    responses that the judge did not understand: it would not understand them now."""
    if not Path(path).exists():
        return
    with jsonl.Appender(path):
        pass  # drops a torn last line
    verdicts = jsonl.read(path, Verdict)
    kept = [v for v in verdicts if not v.failure or v.failure in NOT_UNDERSTOOD]
    if len(kept) < len(verdicts):
        print(f"{path}: {len(kept)} verdicts are there; asking again for {len(verdicts) - len(kept)} that failed")
        jsonl.write_atomic(path, kept)


def _judge(args, judge: Judge, examples: list[Example], predictions: list[Prediction], output: jsonl.Appender) -> None:
    """Append the verdicts that `output` lacks, each as soon as it is there."""
    from tqdm import tqdm

    left = [(e, p) for e, p in zip(examples, predictions, strict=True) if p.example_id not in output.done]
    left = left[processes.rank() :: processes.count()]
    if not left:
        return
    judge.check()
    if judge.sees_image:
        images.check_images([e.image for e, _ in left], Path(args.data_file).parent)
    failures: Counter[str] = Counter()

    def keep(_: int, verdict: Verdict) -> None:
        if verdict.failure == "budget":  # was not asked
            return
        output.append(verdict)
        bar.update()
        if verdict.failure:
            failures[verdict.failure] += 1
        used = judge.usage.shown(bar.format_dict["elapsed"]) if judge.usage else {}
        bar.set_postfix({"failures": failures.total()} | used, refresh=False)
        if verdict.failure:
            _stop_on_failures(args, failures, verdict.raw, bar.n - already, MANY)

    already = len(predictions) - len(left)  # by an earlier run, or by other processes
    with tqdm(total=len(predictions), initial=already, unit="ex", desc="judge") as bar:
        verdicts = judge.judge([e for e, _ in left], [p for _, p in left], keep)
    if any(verdict.failure == "budget" for verdict in verdicts):
        raise UserError(
            f"--judge_max_calls or --judge_budget_usd is spent: {judge.usage.calls} calls, "
            f"{judge.usage.spent_usd:.2f} USD. The verdicts so far are kept in {args.output_file}; allow more and "
            "run the same command: it asks for the rest."
        )


def _stop_on_failures(args: ScriptArguments, failures: Counter, said: str | None, judged: int, few: int) -> None:
    """UserError when the failures are more than the share allowed of `judged`, or of `few` where those are fewer.
    `said`: what the judge, or its server, said with one of them."""
    failed = failures.total()
    if failed > args.judge_max_failure_share * max(judged, few):
        names = ", ".join(f"{name} {count}" for name, count in failures.most_common())
        words = f'; it said "{" ".join(said.split())[:200]}"' if said else ""
        raise UserError(
            f"the judge failed on {failed} of {judged} predictions ({names}){words}: more than "
            f"--judge_max_failure_share {args.judge_max_failure_share:g}. The verdicts so far are kept in "
            f"{args.output_file}, with what the judge said; {_what_to_do(failures)}"
        )


def _what_to_do(failures: Counter) -> str:
    if 2 * failures["cut_off"] > failures.total():
        return "its replies are cut off: give --judge_max_tokens more, and run the same command."
    if 2 * sum(failures[name] for name in NOT_UNDERSTOOD) < failures.total():
        return "mend the judge and run the same command: it asks for the rest."
    return (
        f"this judge does not read how the model speaks. {OTHER_JUDGES}, with --overwrite; or raise the share: the "
        "report then says of every number how much was understood."
    )


def _summary(verdicts: list[Verdict], failures: Counter) -> str:
    scored = [v for v in verdicts if not v.failure]
    parts = [f"{len(scored)} verdicts by {verdicts[0].judge}"]
    if lost := sum(failures[name] for name in NOT_UNDERSTOOD):
        parts.append(f"{100 * len(scored) / (len(scored) + lost):.1f} % understood")
    for criterion in ("strategy_right", "grounded"):
        values = [v.criteria[criterion] for v in scored if v.criteria[criterion] is not None]
        if values:
            parts.append(f"{criterion} {sum(values) / len(values):.3f}")
    parts.append(f"{sum(failures.values())} failures of the judge")
    return ", ".join(parts)


if __name__ == "__main__":
    run_main(main, continues=True)
