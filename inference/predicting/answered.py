"""Predictions with the examples that they are about."""

from pathlib import Path

from clarifyvlm import jsonl
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example, Prediction


def answered(data_file: str, predictions: str, output_file: str) -> tuple[list[tuple[Example, Prediction]], int]:
    """(each prediction with its example, in their order; the number of examples). UserError where one has none, where
    there are no predictions, or `output_file` is one of the two."""
    for name, path in (("data_file", data_file), ("predictions", predictions)):
        if Path(output_file).absolute() == Path(path).absolute():
            raise UserError(f"--output_file and --{name} are one file; give another --output_file.")
    found = jsonl.read(predictions, Prediction, unique="example_id", mend=True)
    if not found:
        raise UserError(f"{predictions} has no predictions. `python inference/predict.py` makes them.")
    by_id = {e.id: e for e in jsonl.read(data_file, Example, unique="id")}
    if unknown := [p.example_id for p in found if p.example_id not in by_id]:
        shown = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        raise UserError(
            f"{predictions}: {len(unknown)} of {len(found)} predictions are about examples that are not in {data_file} "
            f"({shown}). Give the data file that they were made from."
        )
    return [(by_id[p.example_id], p) for p in found], len(by_id)
