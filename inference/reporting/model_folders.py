"""A folder for each model, with its predictions and verdicts: found, put in order, read."""

from pathlib import Path

from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.records import Prediction, Verdict

FIRST = ("base", "sft", "grpo")


def find(inference_dir: Path, data_file: str) -> list[Path]:
    """The folders with predictions, in the order of the report. UserError where there are none, or verdicts lack."""
    found = [p.parent for p in inference_dir.glob("*/predictions.jsonl")]
    if not found:
        raise UserError(
            f"{inference_dir}/ has no <model>/predictions.jsonl. This makes one:\n  python inference/predict.py "
            f"--model_name_or_path MODEL --data_file {data_file} --output_file {inference_dir}/NAME/predictions.jsonl"
        )
    folders = sorted(found, key=lambda p: (FIRST.index(p.name) if p.name in FIRST else len(FIRST), p.name))
    unjudged = [folder for folder in folders if not (folder / "verdicts.jsonl").exists()]
    if unjudged:
        lines = "\n  ".join(judge_command(folder, data_file) for folder in unjudged)
        raise UserError(
            f"no verdicts on the predictions of {', '.join(p.name for p in unjudged)}. Make them:\n  {lines}"
        )
    return folders


def of_variants(variants_dir: Path, data_file: str) -> dict[str, list[Path]]:
    """Variant -> its folders with predictions, one per model. UserError where there are none, or verdicts lack."""
    names = sorted(p.name for p in variants_dir.glob("*") if any(p.glob("*/predictions.jsonl")))
    if not names:
        raise UserError(
            f"{variants_dir}/ has no <variant>/<model>/predictions.jsonl. This makes them:\n  python "
            f"inference/variants.py --model_name_or_path MODEL --data_file {data_file} --output_dir {variants_dir}"
        )
    return {name: find(variants_dir / name, data_file) for name in names}


def judge_command(folder: Path, data_file: str) -> str:
    return (
        f"python inference/judge.py --data_file {data_file} --predictions {folder / 'predictions.jsonl'} "
        f"--output_file {folder / 'verdicts.jsonl'}"
    )


def load(folder: Path, known: set[str], data_file: str):
    """One model's predictions and verdicts, which must be of the data file's examples and of each other."""
    from measures.judged import Judged

    predictions = jsonl.read(folder / "predictions.jsonl", Prediction, unique="example_id", mend=True)
    verdicts = jsonl.read(folder / "verdicts.jsonl", Verdict, unique="example_id")
    if not predictions:
        raise UserError(f"{folder / 'predictions.jsonl'} is empty; remove the folder, or run inference/predict.py.")
    for path, rows in (("predictions.jsonl", predictions), ("verdicts.jsonl", verdicts)):
        foreign = [row.example_id for row in rows if row.example_id not in known]
        if foreign:
            raise UserError(
                f"{folder / path}: {len(foreign)} of {len(rows)} rows are on examples that {data_file} does not have "
                f"(the first: {foreign[0]}). Give the --data_file that they were made from."
            )
    judged = {row.example_id for row in verdicts}
    missing = [row.example_id for row in predictions if row.example_id not in judged]
    if missing:
        raise UserError(
            f"{folder / 'verdicts.jsonl'} lacks {len(missing)} of {len(predictions)} verdicts. This completes it:\n  "
            + judge_command(folder, data_file)
        )
    said = {row.example_id: row for row in predictions}
    return Judged(folder.name, said, {row.example_id: row for row in verdicts if row.example_id in said})
