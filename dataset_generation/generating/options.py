"""The options of generate.py, which shards.py takes over from the shards."""

from dataclasses import dataclass, field
from typing import Literal

from clarifyvlm.config import REDO

FASTER_ONLY = ("num_workers", "audit")  # these change nothing in the files of examples


@dataclass
class Options:
    output_dir: str = field(metadata={"help": "folder to write to"})
    source: Literal["scenes", "coco", "visual_genome"] = field(
        default="scenes", metadata={"help": "where pictures and facts come from"}
    )
    seed: int = field(default=0, metadata={"help": "another seed gives other data"})
    num_workers: int = field(default=2, metadata={"min": 1, "help": "processes; the files do not depend on it"})
    audit: Literal["fail", "warn", "off"] = field(
        default="fail", metadata={"help": "fail: exit code 3 when the data give the strategy away; warn: only say so"}
    )
    overwrite: bool = field(default=False, metadata={"help": "delete what an earlier run left in output_dir"})
    redo: bool = field(default=False, metadata={"help": REDO})
    shard: str | None = field(
        default=None, metadata={"help": "2/8: make the second of eight parts only; shards.py puts them together"}
    )

    # How many examples, and of what
    num_train: int = field(default=1200, metadata={"min": 0, "help": "examples in train.jsonl"})
    num_validation: int = field(default=120, metadata={"min": 0, "help": "examples in validation.jsonl"})
    num_test: int = field(default=300, metadata={"min": 0, "help": "examples in test.jsonl"})
    num_test_ood: int = field(
        default=0, metadata={"min": 0, "help": "examples in test_ood.jsonl: unseen pairs of shape and color"}
    )
    shares: list[str] = field(
        default_factory=lambda: ["none:answer=1", "referential:clarify=1"],
        metadata={"help": "type:strategy=share ...; relative, and met exactly in every split"},
    )
    kinds: list[str] = field(
        default_factory=lambda: ["color=1", "shape=1"],
        metadata={"help": "kind=weight ...: what is asked; met as nearly as minimal pairs allow"},
    )
    dialogue_users: list[str] = field(
        default_factory=lambda: ["helpful"],
        metadata={
            "help": "kind=weight ...: who replies in dialogues (clarifyvlm/users/scripted.py): helpful, terse, ..."
        },
    )
    place_share: float = field(
        default=0.03,
        metadata={
            "min": 0,
            "max": 1,
            "help": "share of the one-reading questions that name a place (the object at the top left)",
        },
    )

    # The generated world
    world: Literal["tiny", "full"] = field(
        default="full", metadata={"help": "tiny: the part that a model of a few million parameters can learn to see"}
    )
    image_size: int | None = field(
        default=None, metadata={"min": 16, "help": "pixels, square (default: the world's own)"}
    )
    min_objects: int = field(default=1, metadata={"min": 1, "help": "fewest objects in a picture"})
    max_objects: int | None = field(
        default=None, metadata={"min": 1, "help": "most objects in a picture (default: the world's own)"}
    )
    count_weights: list[float] = field(
        default_factory=lambda: [1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 6.0, 4.0, 3.0],
        metadata={"min": 0, "help": "weights of 1, 2, ... objects; a question that needs more gets more"},
    )
    unseen_pairs: int = field(
        default=4, metadata={"min": 0, "help": "pairs of shape and color that only test_ood shows"}
    )

    # Photographs
    coco_annotations: str | None = field(default=None, metadata={"help": "instances JSON in COCO's format"})
    scene_graphs: str | None = field(
        default=None, metadata={"help": "scene graphs of Visual Genome or GQA (JSON), for source visual_genome"}
    )
    trust_scene_graphs: bool = field(
        default=False, metadata={"help": "the scene graphs miss nothing: things are counted, too"}
    )
    image_dir: str | None = field(default=None, metadata={"help": "folder of the pictures that they name"})
    num_examples: int | None = field(
        default=None,
        metadata={"min": 1, "help": "examples in all; num_train, num_validation and num_test become proportions"},
    )
    min_area: float = field(
        default=0.001,
        metadata={"min": 0, "max": 1, "help": "share of the picture: names with a smaller object are not asked for"},
    )
    supercategories: float = field(
        default=0.0,
        metadata={
            "min": 0,
            "max": 1,
            "help": "share of the coco questions about an animal, vehicle or appliance; as near as can be",
        },
    )
    salience_area_weight: float = field(
        default=0.7, metadata={"min": 0, "help": "of the area's share in an object's salience"}
    )
    salience_centrality_weight: float = field(default=0.3, metadata={"min": 0, "help": "of its nearness to the centre"})
    salient_threshold: float = field(
        default=0.6,
        metadata={
            "min": 0,
            "max": 1,
            "help": "share of the greatest salience from which another object stands out as well",
        },
    )
