"""The header of a data folder's card: with it `datasets.load_dataset(folder)` gives the records."""

import json
from pathlib import Path

import yaml

from clarifyvlm.records import SPLITS, Example

NESTED = ("ambiguity", "dialogue", "facts", "provenance")  # what they hold differs between records


def header(folder: Path) -> list[str]:
    """Lines of YAML, of the splits that have examples. Fields that records have beside those of Example count."""
    columns, data_files = dict.fromkeys(Example.model_fields), []
    for split in SPLITS:
        path = folder / f"{split}.jsonl"
        if not path.is_file() or not path.stat().st_size:
            continue
        with open(path, encoding="utf-8") as file:
            for line in file:
                columns |= dict.fromkeys(json.loads(line))
        data_files.append({"split": split, "path": path.name})
    known = {name: "string" for name in Example.model_fields if name not in NESTED}
    content = {
        "configs": [{"config_name": "default", "data_files": data_files}],
        "dataset_info": {"features": [{"name": name, "dtype": known.get(name, "json")} for name in columns]},
    }
    return ["---", *yaml.safe_dump(content, sort_keys=False, allow_unicode=True).splitlines(), "---", ""]


def without_header(card: str) -> str:
    """The card below its header."""
    return card.split("\n---\n", 1)[1] if card.startswith("---\n") else card
