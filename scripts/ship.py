"""The checkpoints of a run of the default preset -> models/tiny-sft and models/tiny-grpo, which come along.

    ./run.sh && python scripts/ship.py

Weights are rounded to float16 (half the size; loaded as float32). Each folder gets a model card with the figures of the
run's report, and a short run.json: what it was made from, by which commit, and the hash of the weights.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from clarifyvlm.app import publishing
from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import run_main
from clarifyvlm.models import loading
from clarifyvlm.run_record import hash_input

BEFORE = {"sft": "models/tiny", "grpo": "models/tiny-sft"}  # stage -> what it started from
STAGES = {"sft": "tuning_sft", "grpo": "tuning_grpo"}


@dataclass
class Arguments:
    run_dir: str = option("a complete run of preset tiny", "runs/tiny")


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)
    for stage, before in BEFORE.items():
        made, folder = Path(args.run_dir) / stage, Path(f"models/tiny-{stage}")
        report = str(Path(args.run_dir) / "report")
        publishing.publish(publishing.PublishArguments(str(made), str(folder), report_dir=report, overwrite=True))
        halve(folder)
        record = json.loads((made / "run.json").read_text())
        weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        short = {
            "stage": STAGES[stage],
            "status": "complete",
            "args": {"model_name_or_path": before, "seed": record["args"].get("seed", 0)},
            "inputs": [{"path": before, "sha256": hash_input(Path(before))}],
            "files": {"model.safetensors": weights},
            "commit": record["commit"],
        }
        (folder / "run.json").write_text(json.dumps(short, indent=2) + "\n")
        print(folder)
    return 0


def halve(folder: Path) -> None:
    """The weights of a checkpoint in float16, in place."""
    import torch

    model, _ = loading.load(folder, device="cpu", dtype="float32")
    model.to(torch.float16).save_pretrained(folder)


if __name__ == "__main__":
    run_main(main)
