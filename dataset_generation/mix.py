"""Data sets mixed with exact shares: generated scenes and photographs, say, in one train and test.

    python dataset_generation/mix.py --data_dirs runs/tiny/data runs/coco/data --shares 3 1 --output_dir runs/mixed/data

Every split that all of the folders have becomes as large as the shares allow, or as --num_train and so on say. Whole
groups are drawn, so that minimal pairs stay pairs; where a share does not come out otherwise, one group is cut. Writes
what generate.py writes: JSONL, images/, audit.json, the card README.md and run.json.
"""

import random
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from clarifyvlm.config import REDO, option, parse_args
from clarifyvlm.errors import UserError, run_main
from folder.faults import listed
from folder.shares import SPLITS, apportion


@dataclass
class Options:
    data_dirs: list[str] = option("data folders, as generate.py writes them")
    shares: list[float] = option("how much of each, in the same order: 3 1 is three quarters and one", above=0)
    output_dir: str = option("folder to write to")
    num_train: int | None = option("examples (default: as many as the shares allow)", None, min=0)
    num_validation: int | None = option("likewise", None, min=0)
    num_test: int | None = option("likewise", None, min=0)
    num_replay: int | None = option("likewise", None, min=0)
    num_unambiguous: int | None = option("likewise", None, min=0)
    num_test_ood: int | None = option("likewise", None, min=0)
    seed: int = option("draws groups and their order", 0)
    audit: Literal["fail", "warn", "off"] = option(
        "fail: exit code 3 when the data give the strategy away; warn: only say so", "warn"
    )
    overwrite: bool = option("delete what an earlier run left in output_dir", False)
    redo: bool = option(REDO, False)


def main(argv: list[str] | None = None) -> int:
    (options,) = parse_args([Options], argv, description=__doc__)
    folders = [Path(folder) for folder in options.data_dirs]
    splits = _check(options, folders)

    from clarifyvlm.run_record import RunRecord

    chosen = {split: _mixed(options, folders, split) for split in splits}
    _check_apart(chosen)
    inputs = [folder / f"{split}.jsonl" for folder in folders for split in splits]
    with RunRecord.start(options.output_dir, "dataset_generation/mix.py", asdict(options), inputs) as run:
        if run.complete:
            print(f"{options.output_dir} is complete; nothing to do")
            return 0
        return _write(options, folders, chosen, run)


def _check(options: Options, folders: list[Path]) -> list[str]:
    """The splits that every folder has."""
    if len(folders) < 2 or len(folders) != len(options.shares):
        raise UserError(f"{len(folders)} --data_dirs and {len(options.shares)} --shares: two or more, and one for each")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError("--data_dirs: one folder is there twice")
    splits = [split for split in SPLITS if all((folder / f"{split}.jsonl").is_file() for folder in folders)]
    if not splits:
        raise UserError(f"no split is in all of {', '.join(options.data_dirs)}. generate.py makes them.")
    return splits


def _mixed(options: Options, folders: list[Path], split: str) -> list[tuple]:
    """[(number of the folder, example)] in their order."""
    from clarifyvlm import jsonl
    from clarifyvlm.records import Example

    found = [jsonl.read(folder / f"{split}.jsonl", Example, unique="id") for folder in folders]
    whole = sum(options.shares)
    total = getattr(options, f"num_{split}")
    if total is None:
        total = int(min(len(rows) * whole / share for rows, share in zip(found, options.shares, strict=True)) + 1e-9)
        while any(n > len(rows) for n, rows in zip(apportion(total, options.shares), found, strict=True)):
            total -= 1
    rng = random.Random(f"mix:{options.seed}:{split}")
    mixed = []
    for number, (rows, count) in enumerate(zip(found, apportion(total, options.shares), strict=True)):
        if count > len(rows):
            raise UserError(
                f"{folders[number]}/{split}.jsonl: {count:,} examples are asked for (of {total:,}, with shares "
                f"{' '.join(map(str, options.shares))}), and it has {len(rows):,}. Lower --num_{split} or its share."
            )
        mixed += [(number, example) for example in _drawn(rows, count, rng)]
    rng.shuffle(mixed)
    return mixed


def _drawn(rows: list, count: int, rng: random.Random) -> list:
    """`count` of `rows` in whole groups, but for the last one where they do not add up."""
    groups = defaultdict(list)
    for row in rows:
        groups[row.group_id or row.id].append(row)
    order = rng.sample(list(groups.values()), len(groups))
    drawn, left = [], []
    for group in order:
        if len(drawn) + len(group) <= count:
            drawn += group
        else:
            left.append(group)
    return drawn + next((group[: count - len(drawn)] for group in left), [])


def _check_apart(chosen: dict[str, list[tuple]]) -> None:
    """UserError where an id is there twice, or a picture is in two splits."""
    ids = Counter(example.id for rows in chosen.values() for _, example in rows)
    if twice := [id for id, n in ids.items() if n > 1]:
        raise listed(f"{len(twice):,} ids are in two of the folders or splits", twice, "Are they of one data set?")
    splits = defaultdict(set)
    for split, rows in chosen.items():
        for _, example in rows:
            splits[example.image_sha256].add(split)
    if shared := [f"{digest[:16]}: {', '.join(sorted(of))}" for digest, of in splits.items() if len(of) > 1]:
        raise listed(f"{len(shared):,} pictures would be in two splits", shared, "Make one of the folders anew.")


def _write(options: Options, folders: list[Path], chosen: dict[str, list[tuple]], run) -> int:
    """Pictures, files, audit, card and record. 3 where the audit fails and may not."""
    from clarifyvlm import jsonl
    from folder.finish import finish
    from folder.pictures import link

    for split, rows in chosen.items():
        moved = []
        for number, example in rows:
            name = f"images/{number}/{example.image.removeprefix('images/')}"
            link(folders[number], example.image, example.image_sha256, run.output, name)
            moved.append(example.model_copy(update={"image": name}))
        jsonl.write_atomic(run.output / f"{split}.jsonl", moved)
    about = [f"A mixture with shares {' : '.join(f'{share:g}' for share in options.shares)} of"]
    about[0] += " and ".join(f" `{folder.parent.name}/{folder.name}`" for folder in folders)
    about[0] += ", whose own cards say where pictures and words come from."
    command = (
        f"python dataset_generation/mix.py --data_dirs {' '.join(options.data_dirs)} \\\n"
        f"    --shares {' '.join(f'{share:g}' for share in options.shares)} --seed {options.seed} "
        + "".join(f"--num_{s} {n} " for s in SPLITS if (n := getattr(options, f"num_{s}")) is not None)
        + f"--output_dir {run.output.name}"
    )
    return finish(run, options, command, about)


if __name__ == "__main__":
    run_main(main)
