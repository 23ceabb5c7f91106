"""Make a data set: pictures, questions with their readings and right strategies, reference responses and dialogues.

Reads a config, writes <output_dir>/{train,validation,test,test_ood}.jsonl, images/, audit.json, README.md (the dataset
card) and run.json. The same config and seed give the same bytes, whatever the number of workers.

    python dataset_generation/generate.py --config dataset_generation/configs/tiny.yaml --output_dir runs/tiny/data
"""

import hashlib
import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal

from clarifyvlm.config import parse_args
from clarifyvlm.errors import UserError, run_main

SPLITS = ("train", "validation", "test", "test_ood")
PLANNING_ORDER = ("test", "validation", "test_ood", "train")  # the small ones first: train gives way to them
FASTER_ONLY = ("num_workers", "audit")  # these change nothing in the files of examples


@dataclass
class Options:
    output_dir: str = field(metadata={"help": "folder to write to"})
    source: Literal["scenes", "coco", "visual_genome"] = field(
        default="scenes", metadata={"help": "where pictures and facts come from"}
    )
    seed: int = field(default=0, metadata={"help": "another seed gives other data"})
    num_workers: int = field(default=2, metadata={"help": "processes; the files do not depend on it"})
    audit: Literal["fail", "warn", "off"] = field(
        default="fail", metadata={"help": "fail: exit code 3 when the data give the strategy away; warn: only say so"}
    )
    overwrite: bool = field(default=False, metadata={"help": "delete what an earlier run left in output_dir"})
    shard: str | None = field(
        default=None, metadata={"help": "2/8: make the second of eight parts only; shards.py puts them together"}
    )

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
    dialogue_users: list[str] = field(
        default_factory=lambda: ["helpful"],
        metadata={
            "help": "kind=weight ...: who replies in dialogues (clarifyvlm/users/scripted.py): helpful, terse, ..."
        },
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
        default=None, metadata={"help": "examples in all; num_train, num_validation and num_test become proportions"}
    )
    min_area: float = field(
        default=0.001, metadata={"help": "share of the picture: names with a smaller object are not asked for"}
    )
    supercategories: float = field(
        default=0.0,
        metadata={"help": "share of the coco questions about an animal, vehicle or appliance; as near as can be"},
    )
    salience_area_weight: float = field(default=0.7, metadata={"help": "of the area's share in an object's salience"})
    salience_centrality_weight: float = field(default=0.3, metadata={"help": "of its nearness to the centre"})
    salient_threshold: float = field(
        default=0.6,
        metadata={"help": "share of the greatest salience from which another object stands out as well"},
    )


def main(argv: list[str] | None = None) -> int:
    (options,) = parse_args([Options], argv, description=__doc__)

    from clarifyvlm.run_record import RunRecord
    from folder.write import write_part, write_split

    number, of = parse_shard(options.shard)
    source, shares, settings, plans = planned(options)
    with RunRecord.start(
        options.output_dir,
        "dataset_generation/generate.py",
        asdict(options) | ({"code": code_digest()} if options.shard else {}),
        inputs=source.inputs(options),
        ignore=FASTER_ONLY,
    ) as run:
        if run.complete:
            print(f"{options.output_dir} is complete; nothing to do")
            return 0
        if options.shard:
            counts, written = {}, {}
            for split, jobs in in_order(plans):
                part = part_of(len(jobs), number, of)
                counts[split] = write_part(options.source, settings, split, jobs, part, run.output, options.num_workers)
                written[split] = file_digest(run.output / f"{split}.jsonl")
            run.finish(**counts, sha256=written)
            print(f"shard {options.shard}:", " ".join(f"{s}: {n:,}" for s, n in counts.items()), "examples")
            return 0
        seen: set[bytes] = set()
        for split, jobs in in_order(plans):
            write_split(options.source, settings, split, jobs, run.output, seen, options.num_workers)
        return finish(options, source, settings, shares, run)


def planned(options: Options) -> tuple:
    """(source, shares, settings, plans: split -> jobs) of these options."""
    from folder.write import SOURCES
    from scenes.layout import parse_shares

    source = SOURCES[options.source]
    shares = parse_shares(options.shares)
    kinds = parse_kinds(options.kinds)
    settings = source.settings(options)
    return source, shares, settings, source.plan(settings, options, shares, kinds)


def in_order(plans: dict[str, list]) -> list[tuple[str, list]]:
    return [(split, plans[split]) for split in PLANNING_ORDER if split in plans]


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


def code_digest() -> str:
    """Of the code and the words that examples are made from: two shards with the same one go together."""
    here = Path(__file__).resolve().parent
    files = [
        f for folder in (here, here.parent / "clarifyvlm") for f in folder.rglob("*") if f.suffix in (".py", ".yaml")
    ]
    content = sorted(f"{f.relative_to(here.parent).as_posix()} {file_digest(f)}" for f in files)
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]


def finish(options: Options, source, settings, shares: dict, run) -> int:
    """Audit, card and record of what was written. 3 where the audit fails and may."""
    from clarifyvlm.jsonl import write_text_atomic
    from folder.audit import audit, collect, outcome, tell
    from folder.card import write_card

    stats = collect(run.output, SPLITS)
    findings = None
    if options.audit != "off":
        findings = audit(stats, {f"{s.type}:{s.strategy}": share for s, share in shares.items()}, options.seed)
        write_text_atomic(run.output / "audit.json", json.dumps(findings, indent=2) + "\n")
    write_card(run.output, stats, findings, _command(options), source.about(settings), options.seed)
    print(" ".join(f"{split}: {n:,}" for split, n in stats["counts"].items()), f"examples in {options.output_dir}")
    if code := tell(findings, options.audit):
        return code
    run.finish(**stats["counts"], audit=outcome(findings))
    return 0


def _command(options: Options) -> str:
    """The command line that makes this data again: every option that is not its default."""
    parts = ["python dataset_generation/generate.py"]
    for f in fields(options):
        value = getattr(options, f.name)
        if f.name == "output_dir":
            value = Path(value).name  # the card is the same wherever the folder is
        default = f.default_factory() if f.default is MISSING and f.default_factory is not MISSING else f.default
        if f.name in (*FASTER_ONLY, "overwrite") or value == default:
            continue
        parts.append(f"--{f.name} {' '.join(map(str, value)) if isinstance(value, list) else value}")
    return " \\\n    ".join(parts)


def parse_kinds(tokens: list[str]) -> dict[str, float]:
    """["color=40", ...] -> weight per kind of question."""
    from scenes.layout import KINDS

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
