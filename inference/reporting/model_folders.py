"""A folder for each model, with its predictions and verdicts: found, put in order, read."""

from collections.abc import Iterable
from pathlib import Path

from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.records import Prediction, Verdict

FIRST = ("base", "sft", "grpo")


def find(inference_dir: Path, data_file: str) -> list[Path]:
    """The folders with predictions, in the order of the report. UserError where there are none, or none is judged."""
    found = [p.parent for p in inference_dir.glob("*/predictions.jsonl")]
    if not found:
        raise UserError(
            f"{inference_dir}/ has no <model>/predictions.jsonl. This makes one:\n  python inference/predict.py "
            f"--model_name_or_path MODEL --data_file {data_file} --output_file {inference_dir}/NAME/predictions.jsonl"
        )
    folders = _in_order(found)
    if not any((folder / "verdicts.jsonl").exists() for folder in folders):
        lines = "\n  ".join(judge_command(folder, data_file) for folder in folders)
        raise UserError(
            f"no verdicts on the predictions of {', '.join(p.name for p in folders)}. Make them:\n  {lines}"
        )
    return folders


def of_variants(variants_dir: Path, data_file: str) -> dict[str, list[Path]]:
    """Variant -> its folders with predictions, one per model. UserError where there are none."""
    names = sorted(p.name for p in variants_dir.glob("*") if any(p.glob("*/predictions.jsonl")))
    if not names:
        raise UserError(
            f"{variants_dir}/ has no <variant>/<model>/predictions.jsonl. This makes them:\n  python "
            f"inference/variants.py --model_name_or_path MODEL --data_file {data_file} --output_dir {variants_dir}"
        )
    return {name: _in_order(p.parent for p in (variants_dir / name).glob("*/predictions.jsonl")) for name in names}


def _in_order(folders: Iterable[Path]) -> list[Path]:
    return sorted(folders, key=lambda p: (FIRST.index(p.name) if p.name in FIRST else len(FIRST), p.name))


def judge_command(folder: Path, data_file: str) -> str:
    return (
        f"python inference/judge.py --data_file {data_file} --predictions {folder / 'predictions.jsonl'} "
        f"--output_file {folder / 'verdicts.jsonl'}"
    )


def load_all(folders: list[Path], known: set[str], data_file: str) -> tuple[list, dict[Path, str]]:
    """(the models of the folders that are whole, why each of the others is left out)."""
    models, left_out = [], {}
    for folder in folders:
        try:
            models.append(load(folder, known, data_file))
        except UserError as error:
            left_out[folder] = str(error)
    return models, left_out


def load(folder: Path, known: set[str], data_file: str, name: str | None = None):
    """The predictions and verdicts of one model (`name`: not that of its folder), which must be of the data file's
    examples and of each other."""
    from measures.calibration import confidence_in
    from measures.judged import Judged

    if not (folder / "verdicts.jsonl").exists():
        command = judge_command(folder, data_file)
        raise UserError(f"no verdicts on the predictions of {folder.name}. Make them:\n  {command}")
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
    model = Judged(name or folder.name, said, {row.example_id: row for row in verdicts if row.example_id in said})
    for example_id in said:
        confidence_in(model, example_id)
    return model
