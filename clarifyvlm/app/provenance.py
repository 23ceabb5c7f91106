"""Where a checkpoint comes from and how it did: the records of its runs, its data, and its row of a report.

Records name each other by path and by content; a path that leads to another content now is not followed.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from clarifyvlm.errors import UserError
from clarifyvlm.models import loading
from clarifyvlm.run_record import hash_input

MAX_STAGES = 10  # longer chains are a circle


@dataclass
class Stage:
    """One training run behind a checkpoint."""

    record: dict  # its run.json
    folder: Path  # the checkpoint
    steps: int | None = None  # where a checkpoint-N inside the run was taken, N
    data_dir: Path | None = None  # its data folder, where that still is the data that was trained on
    data: dict | None = None  # run.json of that folder
    shares: str | None = None  # the table "Examples per strategy" of that folder's card


@dataclass
class History:
    """The stages that led to a checkpoint, first one first, and the model that they started from."""

    base: str  # path or hub name
    stages: list[Stage] = field(default_factory=list)
    torn: str | None = None  # why it goes no further back, where it does not


def history(model: str | Path) -> History:
    """The runs that made `model`, as far back as their records lead."""
    found = History(base=str(model))
    while len(found.stages) < MAX_STAGES:
        folder = Path(found.base)
        stage = _stage(folder)
        if stage is None:
            break
        found.stages.insert(0, stage)
        before = stage.record.get("args", {}).get("model_name_or_path")
        if not before:
            found.torn = "its record does not say what it started from"
            break
        there = locate(before, near=folder)
        if there is not None and not _is_input(stage.record, before, there):
            found.torn = "the checkpoint before that is no longer as it was"
            there = None
        elif there is None and Path(before).parts[0] in ("/", "..", "~", "runs"):
            found.torn = "the checkpoint before that is no longer there"
        found.base = str(before if there is None else there)
        if there is None:
            break
    if loading.is_adapter(model):  # what an adapter needs is what it names, whatever its records say
        found.base = loading.base_of(model)
    return found


def _stage(folder: Path) -> Stage | None:
    inside = folder.name.startswith("checkpoint-") and not (folder / "run.json").is_file()
    record = read_json(folder.parent / "run.json" if inside else folder / "run.json")
    if record is None or not str(record.get("stage", "")).startswith("tuning_"):
        return None
    number = folder.name.rpartition("-")[2]
    if not inside and record.get("status") != "complete":
        raise UserError(
            f"{folder}: the run that writes it ({record.get('stage')}) has not finished. Run that command again, it "
            "continues; or give one of its checkpoint-N folders."
        )
    stage = Stage(record, folder, steps=int(number) if inside and number.isdigit() else None)
    data = locate(record.get("args", {}).get("data_dir"), near=folder)
    if data is not None and _is_input(record, Path(record["args"]["data_dir"]) / "train.jsonl", data / "train.jsonl"):
        stage.data_dir, stage.data = data, read_json(data / "run.json")
        card = data / "README.md"
        shares = card.is_file() and re.search(
            r"^## Examples per strategy\n+((?:\|.*\n)+)", card.read_text(), flags=re.M
        )
        stage.shares = shares.group(1).strip() if shares else None
    return stage


def _is_input(record: dict, named: str | Path, there: Path) -> bool:
    """Whether `there` has the content that the run read as its input `named`."""
    recorded = [i["sha256"] for i in record.get("inputs", []) if Path(i["path"]) == Path(named)]
    return there.exists() and hash_input(there) in recorded


def locate(path: str | None, near: Path) -> Path | None:
    """Where a path of a record leads now: from the current folder, or from a folder above `near`. None: nowhere."""
    if not path:
        return None
    folders = [Path()] if Path(path).is_absolute() else [Path(), *list(near.resolve().parents)[:6]]
    return next((folder / path for folder in folders if (folder / path).exists()), None)


def read_json(path: Path) -> dict | None:
    """A JSON mapping, None where there is no such file; UserError where it is torn."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is torn or not JSON ({error}). Run the command again that wrote it.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a JSON mapping. Run the command again that wrote it.")
    return content


# --- results -----------------------------------------------------------------------------------------------------


@dataclass
class Results:
    """What a report says about one model."""

    row: str  # the model's name in it
    metrics: dict  # metrics.json
    matched: bool  # the row's predictions are of this very checkpoint; False: the user says so


def results(model: str | Path, report_dir: str | Path, row: str | None = None) -> Results:
    """The row of the report in `report_dir` that is `model`: `row`, else the one whose predictions were made by a
    checkpoint of the same content. UserError where there is no report, no such row, or one of an older content."""
    report_dir = Path(report_dir)
    metrics, record = read_json(report_dir / "metrics.json"), read_json(report_dir / "run.json")
    if metrics is None or "models" not in metrics:
        raise UserError(f"{report_dir} has no metrics.json; give the folder that inference/report.py wrote.")
    names = list(metrics["models"])
    inference = locate((record or {}).get("args", {}).get("inference_dir"), near=report_dir)
    records = {name: read_json(inference / name / "predictions.run.json") if inference else None for name in names}
    digest = hash_input(model)
    same = [name for name, r in records.items() if r and digest in [i["sha256"] for i in r.get("inputs", [])]]
    if row is not None:
        if row not in names:
            raise UserError(f"--model_row {row}: the report in {report_dir} has {', '.join(names)}.")
        return Results(row, metrics, row in same and not _is_older(record, inference, row))
    if not same:
        raise UserError(
            f"none of the models of the report in {report_dir} ({', '.join(names)}) is {model} as it is now"
            f"{_outdated(model, records)}. Run predict.py, judge.py and report.py on it, or say which row it is: "
            "--model_row NAME."
        )
    if len(same) > 1:
        raise UserError(f"{model} is in the report several times ({', '.join(same)}): say which with --model_row NAME.")
    if _is_older(record, inference, same[0]):
        raise UserError(
            f"the predictions of {same[0]} changed after the report in {report_dir} was made. Run report.py again."
        )
    return Results(same[0], metrics, True)


def _is_older(record: dict, inference: Path, name: str) -> bool:
    """Whether the row's predictions are others than those that the report was made from."""
    read = [i for i in record.get("inputs", []) if Path(i["path"]).parts[-2:] == (name, "predictions.jsonl")]
    return not any(hash_input(inference / name / "predictions.jsonl") == i["sha256"] for i in read)


def _outdated(model: str | Path, records: dict[str, dict | None]) -> str:
    for name, record in records.items():
        path = (record or {}).get("args", {}).get("model_name_or_path")
        if path and Path(path).parts[-2:] == Path(model).parts[-2:]:
            return f" ({name} was made from {path}, with another content)"
    return ""
