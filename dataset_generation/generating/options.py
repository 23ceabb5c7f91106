"""The options of generate.py, which shards.py takes over from the shards."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clarifyvlm import users
from clarifyvlm.config import REDO, option
from clarifyvlm.errors import UserError
from folder.shares import parse_kinds, parse_shares

NEEDS = {  # source -> what it is made from
    "scenes": {},  # no files: the world is in the code
    "coco": {"coco_annotations": "the annotations (instances JSON)", "image_dir": "the folder of the pictures"},
    "visual_genome": {"scene_graphs": "JSON of Visual Genome or GQA", "image_dir": "the folder of the pictures"},
}
FASTER_ONLY = ("num_workers", "audit")  # these change nothing in the files of examples


@dataclass
class Options:
    output_dir: str = option("folder to write to")
    source: Literal["scenes", "coco", "visual_genome"] = option("where pictures and facts come from", "scenes")
    seed: int = option("another seed gives other data", 0)
    num_workers: int = option("processes; the files do not depend on it", 2, min=1)
    audit: Literal["fail", "warn", "off"] = option(
        "fail: exit code 3 when the data give the strategy away; warn: only say so", "fail"
    )
    overwrite: bool = option("delete what an earlier run left in output_dir", False)
    redo: bool = option(REDO, False)
    shard: str | None = option("2/8: make the second of eight parts only; shards.py puts them together", None)

    # How many examples, and of what
    num_train: int = option("examples in train.jsonl", 1200, min=0)
    num_validation: int = option("examples in validation.jsonl", 120, min=0)
    num_test: int = option("examples in test.jsonl", 300, min=0)
    num_replay: int = option(
        "examples in replay.jsonl: questions that nobody asks back about; SFT keeps with them what the base could do",
        0,
        min=0,
    )
    num_unambiguous: int = option(
        "examples in unambiguous.jsonl: questions with one reading, as many of each kind (what tuning costs)", 0, min=0
    )
    num_test_ood: int = option("examples in test_ood.jsonl: unseen pairs of shape and color", 0, min=0)
    shares: list[str] = option(
        "type:strategy=share ...; relative, and met exactly in every split",
        factory=lambda: ["none:answer=1", "referential:clarify=1"],
    )
    kinds: list[str] = option(
        "kind=weight ...: what is asked; met exactly in every split", factory=lambda: ["color=1", "shape=1"]
    )
    min_per_cell: int = option(
        "examples in train.jsonl, at least, of every strategy within every kind that can have it", 0, min=0
    )
    max_kind_gap: float | None = option(
        "the audit fails where `correct` or `abstain` is right for a share of a kind's questions that is further from "
        "the share over all kinds",
        None,
        min=0,
        max=1,
    )
    dialogue_users: list[str] = option(
        "kind=weight ...: who replies in dialogues (clarifyvlm/users/arguments.py): helpful, terse, ...",
        factory=lambda: ["helpful"],
    )
    place_share: float = option(
        "share of the one-reading questions that name a place (the object at the top left)", 0.03, min=0, max=1
    )

    # The generated world
    world: Literal["tiny", "full"] = option(
        "tiny: the part that a model of a few million parameters can learn to see", "full"
    )
    image_size: int | None = option("pixels, square (default: the world's own)", None, min=16)
    min_objects: int = option("fewest objects in a picture", 1, min=1)
    max_objects: int | None = option("most objects in a picture (default: the world's own)", None, min=1)
    count_weights: list[float] = option(
        "weights of 1, 2, ... objects; a question that needs more gets more",
        factory=lambda: [1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 6.0, 4.0, 3.0],
        min=0,
    )
    unseen_pairs: int = option("pairs of shape and color that only test_ood shows", 4, min=0)

    # Photographs
    coco_annotations: str | None = option("instances JSON in COCO's format", None)
    scene_graphs: str | None = option("scene graphs of Visual Genome or GQA (JSON), for source visual_genome", None)
    trust_scene_graphs: bool = option("the scene graphs miss nothing: things are counted, too", False)
    image_dir: str | None = option("folder of the pictures that they name", None)
    box_space: Literal["upright", "stored"] | None = option(
        "what the boxes are of, where EXIF turns a picture: as one sees it, or its pixels as stored (default: upright, "
        "with a warning)",
        None,
    )
    num_examples: int | None = option(
        "examples in all; num_train, num_validation and num_test become proportions", None, min=1
    )
    min_area: float = option("share of the picture: names with a smaller object are not asked for", 0.001, min=0, max=1)
    supercategories: float = option(
        "share of the coco questions about an animal, vehicle or appliance; as near as can be", 0.0, min=0, max=1
    )
    salience_area_weight: float = option("of the area's share in an object's salience", 0.7, min=0)
    salience_centrality_weight: float = option("of its nearness to the center", 0.3, min=0)
    salient_threshold: float = option(
        "share of the greatest salience from which another object stands out as well", 0.6, min=0, max=1
    )


def check(options: Options) -> None:
    """UserError where the options ask for what cannot be, as far as it is seen without reading their files."""
    for flag, what in NEEDS[options.source].items():
        if not (path := getattr(options, flag)):
            raise UserError(f"source {options.source} needs --{flag}: {what}")
        if not Path(path).exists():
            raise UserError(f"{flag}: no {'folder' if flag == 'image_dir' else 'file'} {path}")
    parse_shares(options.shares)
    parse_kinds(options.kinds)
    users.parse_kinds(options.dialogue_users, "--dialogue_users")
