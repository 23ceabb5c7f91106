"""Run a model on variants of a data file: another picture, other words, no picture, no question, another user.

    python inference/variants.py --config inference/configs/tiny.yaml --model_name_or_path runs/tiny/grpo \
        --data_file runs/tiny/data/test.jsonl --output_dir runs/tiny/variants --name grpo

For every variant it makes the changed examples (transforms.py), then runs predict.py and judge.py with their sections
of --config, to <output_dir>/<variant>/<name>/predictions.jsonl and verdicts.jsonl, which report.py --variants_dir
compares with the model's run on the unchanged examples. What is complete is skipped, what was stopped continues.
"""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import judge
import predict
from clarifyvlm import images, jsonl
from clarifyvlm.config import REDO, option, parse_args, take_config
from clarifyvlm.errors import UserError, run_main
from clarifyvlm.models import loading
from clarifyvlm.records import Example, Verdict
from clarifyvlm.run_record import RunRecord
from clarifyvlm.users import USER_KINDS
from predicting import transforms

BLANK = ("blank_image", "blank_question")  # flags of predict.py
USERS = {f"user_{kind}": kind for kind in USER_KINDS if kind != "helpful"}  # its --user_kinds
VARIANTS = (*transforms.TRANSFORMS, *BLANK, *USERS)


@dataclass
class VariantsArguments:
    model_name_or_path: str = option("checkpoint or adapter directory, or hub name (owner/model)")
    data_file: str = option("examples.jsonl; pictures are found relative to it")
    output_dir: str = option("folder of the variants, of all models")
    name: str | None = option("the model's folder, as in the report (default: the checkpoint's name)", None)
    variants: list[str] | None = option(f"of {', '.join(VARIANTS)} (default: all that apply to the data)", None)
    num_examples: int = option("only the first N examples", 600, min=1)
    overwrite: bool = option("delete the output of these variants and start anew", False)
    redo: bool = option(REDO, False)


def main(argv: list[str] | None = None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    (args,) = parse_args([VariantsArguments], argv, description=__doc__, section="variants")
    _check(args)
    loading.check_checkpoint(args.model_name_or_path)
    examples = jsonl.read(args.data_file, Example, unique="id")[: args.num_examples]
    if not examples:
        raise UserError(f"{args.data_file} has no examples.")
    images.check_unchanged(examples, Path(args.data_file).parent)
    _, path = take_config(argv)
    config = ["--config", path] if path else []  # as predict.py and judge.py take it
    data_files = _data_files(args, examples)  # all of them before a model loads
    for variant, data_file in data_files.items():
        began = time.monotonic()
        verdicts = _run(args, variant, data_file, config)
        right = [v.criteria["strategy_right"] for v in verdicts if not v.failure]
        right = [value for value in right if value is not None]
        share = f"{sum(right) / len(right):.3f}" if right else "n/a"
        print(f"{variant}: {len(verdicts)} examples, strategy_right {share}, {time.monotonic() - began:.1f} s")
    return 0


def _check(args: VariantsArguments) -> None:
    unknown = [name for name in args.variants or () if name not in VARIANTS]
    if unknown:
        raise UserError(f"--variants: no variant {', '.join(unknown)}. There are: {', '.join(VARIANTS)}.")
    if args.name is None:
        args.name = loading.model_label(args.model_name_or_path)
    if args.name in ("", ".", "..", "images") or Path(args.name).name != args.name:
        raise UserError(f"--name {args.name!r}: must be the name of a folder, without a path, and not `images`.")


def _data_files(args: VariantsArguments, examples: Sequence[Example]) -> dict[str, Path]:
    """Variant -> its data file. Those that apply to none of the examples are left out where none was asked for."""
    found = {}
    for variant in args.variants or VARIANTS:
        try:
            found[variant] = _data_file(args, variant, examples)
        except transforms.AppliesToNone:
            if args.variants:
                raise
            print(f"{variant}: left out, it applies to none of the {len(examples)} examples", file=sys.stderr)
    return found


def _data_file(args: VariantsArguments, variant: str, examples: Sequence[Example]) -> Path:
    folder = Path(args.output_dir) / variant
    if variant in transforms.TRANSFORMS:
        return transforms.apply(variant, examples, Path(args.data_file).parent, folder, args.overwrite, args.redo)
    if variant in USERS:
        return _where_asking_is_right(args, variant, examples, folder / "examples.jsonl")
    return Path(args.data_file)


def _where_asking_is_right(args: VariantsArguments, variant: str, examples: Sequence[Example], path: Path) -> Path:
    """The examples where a user is asked: their pictures stay where they are."""
    asking = [e for e in examples if e.strategy == "clarify"]
    if not asking:
        raise transforms.AppliesToNone(
            f"variant {variant} (another user) applies to none of the {len(examples)} examples: clarify is right on "
            "none. Leave it out, or give other data."
        )
    root, folder = Path(args.data_file).resolve().parent, path.parent.resolve()
    moved = [e.model_copy(update={"image": os.path.relpath((root / e.image).resolve(), folder)}) for e in asking]
    settings = {"variant": variant, "examples": transforms.digest(moved)}
    with RunRecord.start(path, "variant", settings | {"overwrite": args.overwrite, "redo": args.redo}) as run:
        if not run.complete:
            run.finish(examples=jsonl.write_atomic(path, moved))
    return path


def _run(args: VariantsArguments, variant: str, data_file: Path, config: list[str]) -> list[Verdict]:
    """Predict and judge, or see that both are complete."""
    folder = Path(args.output_dir) / variant / args.name
    predictions, verdicts = str(folder / "predictions.jsonl"), str(folder / "verdicts.jsonl")
    data = [*config, "--data_file", str(data_file)] + ["--overwrite"] * args.overwrite + ["--redo"] * args.redo
    how = [f"--{variant}"] if variant in BLANK else []
    if variant in USERS:
        how = ["--turns", "2", "--user_kinds", USERS[variant]]
    model = ["--model_name_or_path", args.model_name_or_path, "--num_examples", str(args.num_examples)]
    predict.main([*data, *model, *how, "--output_file", predictions])
    # who is shown nothing may say what nobody understands: that is counted, and stops nothing
    any_share = ["--judge_max_failure_share", "1"] if variant in BLANK else []
    judge.main([*data, *any_share, "--predictions", predictions, "--output_file", verdicts])
    return jsonl.read(verdicts, Verdict)


if __name__ == "__main__":
    run_main(main, continues=True)
