"""What a config comes to: the examples planned, in whole and for each shard; and how its data folder is finished."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clarifyvlm import images
from clarifyvlm.errors import UserError
from clarifyvlm.run_record import RunRecord
from folder.card import command_of
from folder.finish import finish
from folder.shares import SMALL_FIRST, Slot, parse_kinds, parse_shares
from generating.options import FASTER_ONLY, NEEDS, Options, check
from photographs import coco, visual_genome
from scenes import source as scenes

SOURCES = {"scenes": scenes, "coco": coco, "visual_genome": visual_genome}
MAKING = (  # what examples are made by
    "dataset_generation/generate.py",
    "dataset_generation/shards.py",
    "dataset_generation/generating",
    "dataset_generation/scenes",
    "dataset_generation/photographs",
    "dataset_generation/folder",
    "clarifyvlm/world",
    "clarifyvlm/language",
    "clarifyvlm/users",
    "clarifyvlm/judges/finding.py",
    "clarifyvlm/images.py",
    "clarifyvlm/records.py",
    "clarifyvlm/strategies.py",
)


@dataclass(frozen=True)
class Plan:
    build: Callable  # of the source: folder/write.py says what it is given
    settings: Any  # likewise
    shares: dict[Slot, float]
    jobs: dict[str, list]  # split -> what `build` is given one by one, each with its `slots`; in the order of the work
    inputs: list[str]  # files that the examples are made from
    pictures: str | None = None  # hash of the photographs that are asked about


def planned(options: Options) -> Plan:
    """UserError where the options ask for what cannot be."""
    source = SOURCES[options.source]
    check(options)
    shares, kinds = parse_shares(options.shares), parse_kinds(options.kinds)
    settings = source.settings(options)
    jobs = source.plan(settings, options, shares, kinds)
    names = [job.file_name for split in jobs.values() for job in split] if options.source != "scenes" else []
    pictures = images.check_unchanged([images.Shown(name, "") for name in names], options.image_dir) if names else None
    in_order = {split: jobs[split] for split in SMALL_FIRST if split in jobs}
    return Plan(
        source.build,
        settings,
        shares,
        in_order,
        [getattr(options, flag) for flag in NEEDS[options.source] if flag != "image_dir"],
        pictures,
    )


def parse_shard(text: str | None) -> tuple[int, int]:
    """ "2/8" -> (2, 8); None is the whole, (1, 1)."""
    number, slash, of = (text or "1/1").partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise UserError(f"shard: {text!r} is not i/n with i from 1 to n, as in 2/8")
    return int(number), int(of)


def part_of(total: int, number: int, of: int) -> range:
    """The indices, out of `total`, that are of shard `number` of `of`."""
    return range(total * (number - 1) // of, total * number // of)


def file_digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def finish_folder(options: Options, plan: Plan, run: RunRecord) -> int:
    """Audit, card and record of the whole. 3 where the audit fails and may."""
    wanted = {f"{slot.type}:{slot.strategy}": share for slot, share in plan.shares.items()}
    command = command_of("generate.py", [options], (*FASTER_ONLY, "overwrite", "redo"))
    return finish(run, options, command, plan.settings.about, wanted, max_kind_gap=options.max_kind_gap)
