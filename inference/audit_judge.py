"""Who judges the judge: its agreement with responses whose labels are known, and with people's labels.

    python inference/audit_judge.py --data_file runs/tiny/data/test.jsonl --output_file runs/tiny/judge_audit.json

The labels come from construction (auditing/corruptions.py: references, and references spoilt by one fault each), from
people (`--labels`, a JSONL of {"example_id", "text", "used_strategy", "criteria"}), or both; apart from these, the
judge is put to responses that were written as models and people write (auditing/natural/README.md). Any judge
can be audited, with the flags of judge.py. Written are, per criterion: accuracy, Cohen's kappa and Gwet's AC2 (nominal
weights) with 95 % intervals by a bootstrap over pictures, and the confusion table; accuracy per fault; what of a set
of canaries passed; what moves the judge and should not (auditing/judge_effects.py); warnings in plain sentences; and
the disagreements themselves. What the judge fails on is counted and is part of no number. Of a --config the sections
`judge:` and `audit:` are read.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from clarifyvlm import images, jsonl
from clarifyvlm.config import REDO, option, parse_args
from clarifyvlm.endpoint.usage import total
from clarifyvlm.errors import UserError, run_main
from clarifyvlm.judges import SPEED_ONLY, Judge, JudgeArguments, make_judge, panel_members, rubric
from clarifyvlm.records import Example, Prediction
from clarifyvlm.run_record import RunRecord

IGNORED = (*SPEED_ONLY, "judge_max_failure_share")


@dataclass
class ScriptArguments:
    data_file: str = option("examples.jsonl to build responses from, and that labels are about")
    output_file: str = option("judge_audit.json to write")
    labels: str | None = option("JSONL of people's labels", None)
    num_responses: int = option("constructed responses; 0: people's labels only", 2000, min=0)
    num_natural: int | None = option(
        "natural responses; 0: none; unset: all, or 200 where the judge's calls cost something", None, min=0
    )
    num_canary_examples: int = option("examples that every canary is tried on", 10, min=0)
    num_effect_items: int = option("constructed responses judged in variants of themselves; 0: none", 60, min=0)
    repeats: int = option("times that each of them is judged as it is", 3, min=2)
    policy_model: str | None = option("checkpoint or hub name of the model to be judged: warn of self-preference", None)
    judge_max_failure_share: float = option(
        "warn when the judge fails on more than this share, 0..1", 0.05, min=0, max=1
    )
    resamples: int = option("draws of the bootstrap", 1000, min=100)
    seed: int = option("of the choice of responses and of the bootstrap", 0)
    overwrite: bool = option("audit anew; else a complete audit stays", False)
    redo: bool = option(REDO, False)


def main(argv: list[str] | None = None) -> int:
    args, judge_args = parse_args(
        [ScriptArguments, JudgeArguments], argv, description=__doc__, section=("judge", "audit"), check=_check
    )
    from auditing import corruptions, findings, judge_effects

    examples = jsonl.read(args.data_file, Example, unique="id")
    constructed = corruptions.labeled(examples, args.seed)
    items = judge_effects.spread(constructed[: args.num_responses] or constructed, args.num_effect_items)
    people = findings.read_labels(args.labels, examples) if args.labels else []
    responses = constructed[: args.num_responses] + people
    if not responses:
        raise UserError("nothing to audit with: give --num_responses above 0 or --labels.")
    inputs = [path for path in (args.data_file, args.labels, judge_args.judge_panel) if path]
    settings = asdict(args) | asdict(judge_args)
    with RunRecord.start(args.output_file, "audit_judge", settings, inputs, ignore=IGNORED) as run:
        if run.complete:
            print(f"{args.output_file}: complete already")
            return 0
        result = audit(args, judge_args, examples, responses, items)
        jsonl.write_text_atomic(args.output_file, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        run.finish(responses=result["responses"], warnings=len(result["warnings"]), usage=result["usage"])
    print(table(result))
    print(f"\n{args.output_file}: {len(result['disagreements'])} responses on which judge and label differ")
    return 0


def audit(args: ScriptArguments, judge_args: JudgeArguments, examples: list[Example], responses, items) -> dict:
    """The content of judge_audit.json: the judge on `responses` (Labeled), and on `items` and their variants."""
    from auditing import findings, judge_effects, wordings
    from measures.agreement import AUDITED, agreement

    members = panel_members(judge_args) if judge_args.judge == "panel" else [judge_args]

    def make(changed: JudgeArguments, reverse_criteria: bool = False):
        return make_judge(changed, images.root_of(args.data_file, examples), reverse_criteria)

    judge = make(judge_args)
    judge.check()
    if judge.sees_image:
        images.check_unchanged([r.example for r in responses], Path(args.data_file).parent)
        images.check_images([r.example.image for r in responses], Path(args.data_file).parent)
    planned = judge_effects.variants(items, judge_args, judge.sees_image, repeats=args.repeats, seed=args.seed)
    tried = findings.canaries(examples[: args.num_canary_examples])
    natural = _natural(args, judge)
    _announce(
        members, len(responses), len(natural), len(tried), len(items) + sum(v.judgments for v in planned.values())
    )

    predictions = [Prediction(example_id=r.example.id, text=r.text) for r in responses]
    verdicts = judge.judge([r.example for r in responses], predictions)
    canaries = findings.try_canaries(judge, tried)
    draws = {"seed": args.seed, "resamples": args.resamples}
    effects, usages = {}, []
    if items:
        effects, usages = judge_effects.measure(items, planned, judge, make, judge_args, **draws)
    usages += [judge.usage] if judge.usage else []
    by_wording = None
    if natural:
        reader = judge
        if judge.sees_image:  # those pictures are not there
            reader = make(replace(judge_effects.left(judge_args, usages), judge_sees_image="no"))
            reader.check()
            usages += [reader.usage] if reader.usage else []
        said = [Prediction(example_id=r.example.id, text=r.text) for r in natural]
        by_wording = wordings.measure(natural, reader.judge([r.example for r in natural], said), **draws)
        by_wording["facts_alone"] = reader is not judge
    result = {
        "warnings": [],
        "judge": judge.name,
        "policy_model": args.policy_model,
        "data": args.data_file,
        "labels": args.labels,
        "seed": args.seed,
        "responses": len(responses),
        "judge_failures": dict(Counter(v.failure for v in verdicts if v.failure)),
        "criteria": {name: agreement(name, responses, verdicts, **draws) for name in AUDITED},
        "faults": findings.by_fault(responses, verdicts),
        "natural": by_wording,
        "canaries": canaries,
        "effects": effects,
        "disagreements": findings.disagreements(responses, verdicts),
        "usage": asdict(total(usages)) if usages else None,
    }
    trust = {"policy_model": args.policy_model, "max_failure_share": args.judge_max_failure_share}
    result["warnings"] = wordings.warnings(by_wording) + findings.warnings(result, judge_args, **trust)
    return result


def _natural(args: ScriptArguments, judge: Judge) -> list:
    from auditing import wordings

    limit = wordings.PAID_CALLS if args.num_natural is None and judge.usage is not None else args.num_natural
    return wordings.read(limit, args.seed) if limit != 0 else []


def _check(args: ScriptArguments, judge_args: JudgeArguments) -> None:
    if Path(args.output_file).suffix != ".json":
        raise UserError(f"--output_file {args.output_file}: must end in .json.")
    if not args.num_responses and not args.labels:
        raise UserError("nothing to audit with: give --num_responses above 0 or --labels.")


def _announce(members: list[JudgeArguments], responses: int, natural: int, canaries: int, effects: int) -> None:
    """Say how many calls are to come, where calls cost something."""
    per_criterion = [m.judge_calls == "per_criterion" for m in members if m.judge == "openai"]
    calls = sum(len(rubric.calls(apart)) for apart in per_criterion) + sum(m.judge == "extract" for m in members)
    if calls:
        print(
            f"up to {calls * (responses + natural + canaries + effects)} calls of the judge, retries aside: "
            f"{responses} constructed and {natural} natural responses, {canaries} canaries and {effects} judgments "
            f"for the effects, {calls} call{'s' if calls > 1 else ''} each; what it said before costs none",
            flush=True,
        )


def table(result: dict) -> str:
    """The audit for a terminal."""
    lines = [
        f"{result['judge']} on {result['responses']} responses of known labels, % or coefficient [95 % interval]",
        f"WARNINGS: {len(result['warnings'])}" if result["warnings"] else "no warnings",
        *(f"  ! {warning}" for warning in result["warnings"]),
        "",
        "constructed: references, and references spoilt by one fault each",
    ]
    lines.append(f"{'criterion':<16}{'n':>6}  {'accuracy':<22}{'kappa':<22}{'AC2':<22}".rstrip())
    for name, found in result["criteria"].items():
        if found["n"]:
            cells = [_percent(found["accuracy"])]
            cells += [f"{m['value']:.3f} [{m['low']:.3f}, {m['high']:.3f}]" for m in (found["kappa"], found["ac2"])]
            lines.append(f"{name:<16}{found['n']:>6}  {''.join(f'{c:<22}' for c in cells)}".rstrip())
    lines.append("")
    lines += [
        f"{fault:<16}{f['n']:>6}  {100 * f['all_right']:.1f} all labels met" for fault, f in result["faults"].items()
    ]
    lines += _by_wording(result["natural"]) if result["natural"] else []
    if result["effects"]:
        columns = ("strategy flips", "grounded flips", "reward shifts by")
        lines += ["", f"{'effect of':<18}{'n':>4}  {''.join(f'{c:<20}' for c in columns)}".rstrip()]
    for name, effect in result["effects"].items():
        shift = effect["reward_shift"]
        cells = [_percent(effect["flips"].get(n)) for n in ("used_strategy", "grounded")]
        cells += [f"{shift['value']:+.3f} [{shift['low']:+.3f}, {shift['high']:+.3f}]" if shift["n"] else "-"]
        lines.append(f"{name:<18}{effect['n']:>4}  {''.join(f'{c:<20}' for c in cells)}".rstrip())
    canaries = result["canaries"]
    lines.append(f"\ncanaries: {len(canaries['passed'])} of {canaries['tried']} passed")
    if result["judge_failures"]:
        lines.append(f"the judge failed on {sum(result['judge_failures'].values())}: {result['judge_failures']}")
    return "\n".join(lines)


def _by_wording(natural: dict) -> list[str]:
    """Lines on natural wordings, by style and file."""
    alone = ", by the facts alone" if natural["facts_alone"] else ""
    columns = ("understood", "all labels met", "strategy right", "grounded right", "false, paid")
    lines = ["", f"natural: {natural['responses']} responses as models and people write them{alone}"]
    lines.append(f"{'':<18}{''.join(f'{c:<20}' for c in columns)}".rstrip())
    for name, row in {**natural["styles"], **natural["files"], "all": natural["all"]}.items():
        lines.append(f"{name:<18}{''.join(f'{_percent(cell):<20}' for cell in row.values())}".rstrip())
    return lines


def _percent(found: dict | None) -> str:
    if not found or found["value"] is None:
        return "-"
    return f"{100 * found['value']:.1f} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


if __name__ == "__main__":
    run_main(main)
