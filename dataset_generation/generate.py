"""Make a data set: pictures, questions with their readings and right strategies, reference responses and dialogues.

Reads a config, writes <output_dir>/{train,validation,test,test_ood}.jsonl, images/, audit.json, README.md (the dataset
card) and run.json. The same config and seed give the same bytes, whatever the number of workers.

    python dataset_generation/generate.py --config dataset_generation/configs/tiny.yaml --output_dir runs/tiny/data
"""

import random
from dataclasses import asdict, dataclass, field
from typing import Literal

from clarifyvlm.config import parse_args
from clarifyvlm.errors import UserError, run_main

SPLITS = ("test", "validation", "test_ood", "train")  # the small ones first: train gives way to them
FASTER_ONLY = ("num_workers",)


@dataclass
class Options:
    output_dir: str = field(metadata={"help": "folder to write to"})
    source: Literal["scenes", "coco"] = field(default="scenes", metadata={"help": "where pictures and facts come from"})
    seed: int = field(default=0, metadata={"help": "another seed gives other data"})
    num_workers: int = field(default=2, metadata={"help": "processes; the files do not depend on it"})
    overwrite: bool = field(default=False, metadata={"help": "delete what an earlier run left in output_dir"})

    # How many examples, and of what
    num_train: int = field(default=1200, metadata={"help": "examples in train.jsonl"})
    num_validation: int = field(default=120, metadata={"help": "examples in validation.jsonl"})
    num_test: int = field(default=300, metadata={"help": "examples in test.jsonl"})
    num_test_ood: int = field(
        default=0, metadata={"help": "examples in test_ood.jsonl: unseen pairs of shape and color"}
    )
    shares: list[str] = field(
        default_factory=lambda: ["none:answer=1", "referential:clarify=1"],
        metadata={"help": "type:strategy=share ...; relative, and met exactly in every split"},
    )
    kinds: list[str] = field(
        default_factory=lambda: ["color=1", "shape=1"],
        metadata={"help": "kind=weight ...: what is asked; met as nearly as minimal pairs allow"},
    )
    place_share: float = field(
        default=0.03,
        metadata={"help": "share of the one-reading questions that name a place (the object at the top left)"},
    )

    # The generated world
    world: Literal["tiny", "full"] = field(
        default="full", metadata={"help": "tiny: the part that a model of a few million parameters can learn to see"}
    )
    image_size: int | None = field(default=None, metadata={"help": "pixels, square (default: the world's own)"})
    min_objects: int = field(default=1, metadata={"help": "fewest objects in a picture"})
    max_objects: int | None = field(
        default=None, metadata={"help": "most objects in a picture (default: the world's own)"}
    )
    count_weights: list[float] = field(
        default_factory=lambda: [1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 6.0, 4.0, 3.0],
        metadata={"help": "weights of 1, 2, ... objects; a question that needs more gets more"},
    )
    unseen_pairs: int = field(default=4, metadata={"help": "pairs of shape and color that only test_ood shows"})


def main(argv: list[str] | None = None) -> int:
    (options,) = parse_args([Options], argv, description=__doc__)

    import source_scenes
    from layout import parse_shares, plan
    from write import write_split

    from clarifyvlm.run_record import RunRecord

    shares = parse_shares(options.shares)
    sizes = {split: getattr(options, f"num_{split}") for split in SPLITS}
    kinds = _weights(options.kinds)
    settings = source_scenes.settings(options)
    groups = {
        split: plan(n, shares, kinds, options.place_share, random.Random(f"{options.seed}:{split}:plan"))
        for split, n in sizes.items()
        if n
    }
    with RunRecord.start(
        options.output_dir,
        "dataset_generation/generate.py",
        asdict(options),
        overwrite=options.overwrite,
        ignore=FASTER_ONLY,
    ) as run:
        if run.complete:
            print(f"{options.output_dir} is complete; nothing to do")
            return 0
        seen: set[bytes] = set()
        counts = {}
        for split, plan_ in groups.items():
            counts[split] = write_split(settings, split, plan_, run.output, seen, options.num_workers)
        run.finish(**counts)
    return 0


def _weights(tokens: list[str]) -> dict[str, float]:
    from layout import KINDS

    weights = {}
    for token in tokens:
        kind, _, value = token.partition("=")
        if kind not in KINDS:
            raise UserError(f"kinds: unknown kind {kind!r} in {token!r}; known: {', '.join(KINDS)}")
        try:
            weights[kind] = float(value)
        except ValueError:
            raise UserError(f"kinds: {token!r} is not kind=weight, as in color=40") from None
        if not 0 <= weights[kind] < float("inf"):
            raise UserError(f"kinds: {token!r}: a weight is a number from 0 up")
    if not sum(weights.values()):
        raise UserError("kinds: at least one must be above 0")
    return weights


if __name__ == "__main__":
    run_main(main)
