"""Which settings differ between runs, key by key, as the records of their stages say."""

import json
from dataclasses import dataclass
from pathlib import Path

PASSED_OVER = ("config", "overwrite", "redo", "output_dir", "output_file")
NO_RECORD = "no record"
RECORDS = {  # where a run of run.sh has them
    "data": "data/run.json",
    "sft": "sft/run.json",
    "grpo": "grpo/run.json",
    "judge_audit": "judge_audit.run.json",
}


@dataclass(frozen=True)
class Setting:
    shown: str
    same_as: object  # two settings are the same where this is equal


# Records of trainings hold only what differs from the default. Unset is the same: options that came later are unset.
DEFAULT = Setting("default", None)


@dataclass
class Row:
    """A setting that differs: `name` is stage.key, `cells` has one for each run."""

    name: str
    cells: list[str]

    @property
    def is_seed(self) -> bool:
        return self.name.endswith(".seed")

    @property
    def makes_another_recipe(self) -> bool:
        return not self.is_seed and not self.name.startswith("judge_audit")


def records(run: Path, content: dict) -> dict[str, dict[str, Setting]]:
    """Stage -> key -> setting, of a run's folder and its metrics.json's content; a stage without a record is left out.
    Models have stages of their own: "predictions/grpo", "verdicts/grpo"."""
    places = {stage: (run / path, Path(path).parent) for stage, path in RECORDS.items()}
    if not places["data"][0].exists():  # data from elsewhere
        places["data"] = (Path(content["data"]).parent / "run.json", Path("data"))
    for model in content["models"]:
        for what in ("predictions", "verdicts"):
            place = Path("inference", model)
            places[f"{what}/{model}"] = (run / place / f"{what}.run.json", place)
    return {stage: found for stage, place in places.items() if (found := _settings(*place)) is not None}


def differing(runs: list[dict[str, dict[str, Setting]]]) -> list[Row]:
    """The settings that are not the same in all runs; what all models have alike is one row."""
    stages = list(dict.fromkeys(stage for run in runs for stage in run))
    lacking = {stage: [_lacks(run, stage) for run in runs] for stage in stages}
    rows = [Row(s, [NO_RECORD if lacks else "recorded" for lacks in lacking[s]]) for s in stages if any(lacking[s])]
    shared = [stage for stage in stages if all(stage in run for run in runs)]
    for what in dict.fromkeys(stage.partition("/")[0] for stage in shared):
        parts = [stage for stage in shared if stage.partition("/")[0] == what]
        for key in dict.fromkeys(key for run in runs for stage in parts for key in run[stage]):
            found = {stage: [run[stage].get(key, DEFAULT) for run in runs] for stage in parts}
            found = {
                stage: cells for stage, cells in found.items() if any(c.same_as != cells[0].same_as for c in cells)
            }
            shown = [[cell.shown for cell in cells] for cells in found.values()]
            if len(found) == len(parts) and all(cells == shown[0] for cells in shown):
                rows.append(Row(f"{what}.{key}", shown[0]))
            else:
                rows += [Row(f"{stage}.{key}", cells) for stage, cells in zip(found, shown, strict=True)]
    return rows


def _lacks(run: dict[str, dict], stage: str) -> bool:
    """Whether a run has no record of a stage; of a model that it does not have at all, it lacks none."""
    model = stage.partition("/")[2]
    return stage not in run and (not model or any(other.endswith(f"/{model}") for other in run))


def _settings(path: Path, place: Path) -> dict[str, Setting] | None:
    """Of one record; None where there is none. `place`: of the stage's output in its run."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        args = dict(record["args"])
        inputs = {Path(i["path"]): i["sha256"] for i in record["inputs"]}
    except (OSError, ValueError, KeyError, TypeError):  # torn, or of another tool
        return None
    output = Path(args["output_dir"]) if args.get("output_dir") else Path(args.get("output_file") or "").parent
    depth = len(place.parts)
    root = output.parents[depth - 1] if depth and output.parts[-depth:] == place.parts else output
    return {key: _setting(value, root, inputs) for key, value in args.items() if key not in PASSED_OVER}


def _setting(value, root: Path, inputs: dict[Path, str]) -> Setting:
    """A path in the run (`root`) is the same as that of another run; another input is what its content is."""
    if isinstance(value, str):
        path = Path(value)
        if root.name and path.is_relative_to(root):
            return Setting(str(path.relative_to(root)), str(path.relative_to(root)))
        hashes = [sha256 for name, sha256 in inputs.items() if name == path or path in name.parents]
        if hashes:
            return Setting(f"{value} ({hashes[0][:8]})", hashes)
        return Setting(value, value)
    if value is None or isinstance(value, bool):
        return Setting({None: "unset", True: "true", False: "false"}[value], value)
    return Setting(" ".join(map(str, value)) if isinstance(value, list) else str(value), value)
