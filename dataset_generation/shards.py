"""Put the shards of a data set together: the files are those that one run without --shard would have written.

Reads the folders that `generate.py --shard i/n` wrote, all n of them, made with the same settings and code. Writes a
data folder with its card; pictures are hard links where the disk allows it, so that they take no room twice.

    python dataset_generation/generate.py --config CONFIG --shard 1/2 --output_dir runs/big/shard-1
    python dataset_generation/generate.py --config CONFIG --shard 2/2 --output_dir runs/big/shard-2
    python dataset_generation/shards.py --shards runs/big/shard-1 runs/big/shard-2 --output_dir runs/big/data
"""

import json
import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Literal

from clarifyvlm.config import REDO, option, parse_args
from clarifyvlm.errors import UserError, run_main
from folder.faults import listed

# arguments in which shards may differ
OWN = ("output_dir", "shard", "num_workers", "audit", "overwrite", "redo")
SHAPING = ("clarifyvlm", "python", "pillow")  # whose versions shape the pictures and the draws


@dataclass
class Options:
    shards: list[str] = option("folders that generate.py --shard i/n wrote, in any order")
    output_dir: str = option("folder to write to")
    audit: Literal["fail", "warn", "off"] = option(
        "fail: exit code 3 when the data give the strategy away; warn: only say so", "fail"
    )
    overwrite: bool = option("delete what an earlier run left in output_dir", False)
    redo: bool = option(REDO, False)


@dataclass
class Shard:
    folder: Path
    number: int
    of: int
    args: dict
    inputs: list[str]  # hashes
    versions: dict
    code: str | None  # hash


def main(argv: list[str] | None = None) -> int:
    (options,) = parse_args([Options], argv, description=__doc__)
    from clarifyvlm.run_record import RunRecord
    from folder.write import assemble, keep
    from generating.options import Options as Generation
    from generating.plan import finish_folder, planned

    shards = read_shards([Path(s) for s in options.shards])
    args = {k: v for k, v in shards[0].args.items() if k not in (*OWN, "pictures")}
    generation = Generation(**args, output_dir=options.output_dir, audit=options.audit)
    plan = planned(generation)
    _check_inputs(shards[0], plan.inputs)
    with RunRecord.start(
        options.output_dir,
        "dataset_generation/shards.py",
        asdict(options),
        inputs=[shard.folder / "run.json" for shard in shards],
        ignore=("audit",),
    ) as run:
        if run.complete:
            print(f"{options.output_dir} is complete; nothing to do")
            return 0
        seen: set[bytes] = set()
        for split, jobs in plan.jobs.items():
            if keep(split, run.output, seen) is None:
                built = _built(shards, split, jobs, run.output)
                assemble(plan.build, plan.settings, split, jobs, run.output, seen, built)
        check_merged(run.output, plan.jobs)
        return finish_folder(generation, plan, run)


# --- which shards --------------------------------------------------------------------------------------------------


def read_shards(folders: list[Path]) -> list[Shard]:
    """The shards in order. UserError that lists what is missing, there twice, incomplete or made in another way."""
    shards, faults = [], []
    for folder in folders:
        try:
            shards.append(_read_shard(folder))
        except UserError as error:
            faults.append(str(error))
    if faults:
        raise listed(f"{len(faults)} shards that cannot be used", faults)
    shards.sort(key=lambda s: s.number)
    first = shards[0]
    for shard in shards[1:]:
        faults += [f"{shard.folder}: {what}, unlike {first.folder}" for what in _differences(first, shard)]
    if faults:
        raise listed(f"{len(faults)} differences between shards", faults)
    by_number = Counter(s.number for s in shards)
    faults = [
        f"{number}/{first.of} is there {n} times: {', '.join(str(s.folder) for s in shards if s.number == number)}"
        for number, n in by_number.items()
        if n > 1
    ]
    faults += [
        f"{number}/{first.of} is missing; generate.py --shard {number}/{first.of} makes it"
        for number in range(1, first.of + 1)
        if number not in by_number
    ]
    if faults:
        raise listed(f"{len(faults)} shards are not the {first.of} that are needed, each once", faults)
    _check_code(first)
    return shards


def _read_shard(folder: Path) -> Shard:
    path = folder / "run.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        args, stage = record["args"], record["stage"]
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{folder} has no run.json: generate.py --shard i/n did not write it") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not readable as a run record ({error})") from None
    if stage != "dataset_generation/generate.py" or not args.get("shard"):
        raise UserError(f"{folder} is no shard: it was not made with generate.py --shard i/n")
    lacking = [name for name in record.get("files", []) if not (folder / name).exists()]
    if record.get("status") != "complete" or lacking:
        what = f"{', '.join(lacking)} is gone" if lacking else "its run was interrupted"
        raise UserError(f"{folder} is not complete ({what}); run its command again: --shard {args['shard']}")
    from generating.plan import file_digest, parse_shard

    digests = record["counts"]["sha256"]
    changed = [
        f"{split}.jsonl" for split, digest in digests.items() if file_digest(folder / f"{split}.jsonl") != digest
    ]
    if changed:
        raise UserError(
            f"{folder}: {', '.join(changed)} is not what was written there (changed, or torn on its way). Copy the "
            f"shard anew, or make it again: --shard {args['shard']} --output_dir {folder} --overwrite"
        )
    inputs = [i["sha256"] for i in record["inputs"]]
    code = record.get("code", {}).get("bytes")
    return Shard(folder, *parse_shard(args["shard"]), args, inputs, record["versions"], code)


def _differences(a: Shard, b: Shard) -> list[str]:
    """How `b` was made otherwise than `a`."""
    found = [f"of {b.of} shards, not {a.of}"] if a.of != b.of else []
    paths = ("coco_annotations", "scene_graphs", "image_dir")  # compared by content: _check_inputs, picture hashes
    names = sorted((set(a.args) | set(b.args)) - {*OWN, *paths, "config"})
    found += [f"{n} {b.args.get(n)}, not {a.args.get(n)}" for n in names if a.args.get(n) != b.args.get(n)]
    if a.code != b.code:
        found.append("made by other code (files of dataset_generation/ or clarifyvlm/ differ)")
    for package in SHAPING:
        ours, theirs = a.versions.get(package), b.versions.get(package)
        found += [f"{package} {theirs}, not {ours}"] if ours != theirs else []
    if a.inputs != b.inputs:
        found.append("made from other input files (their content differs)")
    return found


def _check_code(shard: Shard) -> None:
    """Pictures that two splits show are drawn anew here: with the code that drew the others."""
    from clarifyvlm.run_record import code_bytes, versions
    from generating.plan import MAKING

    here = versions()
    others = [f"{p} {shard.versions.get(p)}, here {here[p]}" for p in SHAPING if shard.versions.get(p) != here[p]]
    if shard.code != code_bytes(MAKING):
        others.insert(0, "files of dataset_generation/ or clarifyvlm/ were changed since")
    if others:
        raise UserError(
            f"{shard.folder} was made by other code than this: {'; '.join(others)}. Merge with the code and versions "
            "that made the shards (`commit` and `versions` in their run.json), or make the shards again."
        )


def _check_inputs(shard: Shard, inputs: list[str]) -> None:
    from clarifyvlm.run_record import hash_input

    for path, digest in zip(inputs, shard.inputs, strict=True):
        if hash_input(path) != digest:
            raise UserError(
                f"{path} is not there, or not the file that {shard.folder} was made from. Run this from the folder in "
                "which the shards were made, with the same files."
            )


# --- merge ---------------------------------------------------------------------------------------------------------


def _built(shards: list[Shard], split: str, jobs: list, output: Path) -> Iterator[list]:
    """What the shards hold of every job, in order: each checked against the plan, its pictures put in their place."""
    from tqdm import tqdm

    from clarifyvlm.jsonl import dumps
    from folder.pictures import signature
    from folder.write import stream
    from generating.plan import part_of

    with tqdm(total=len(jobs), desc=split, unit="group", mininterval=0.5) as bar:
        for shard in shards:
            path = shard.folder / f"{split}.jsonl"
            rows = stream(path)
            for index in part_of(len(jobs), shard.number, shard.of):
                wanted = [(s.type, s.strategy) for s in jobs[index].slots]
                group = list(islice(rows, len(wanted)))
                found = [(e.ambiguity.type, e.strategy) for _, e in group]
                if sorted(found) != sorted(wanted) or any(e.split != split for _, e in group):
                    raise _damaged(shard, path, group[0][0] if group else "its end")
                for image, digest in {e.image: e.image_sha256 for _, e in group}.items():
                    _place(shard, image, digest, output)
                yield [(signature(e), (dumps(e) + "\n").encode()) for _, e in group]
                bar.update()
            if (more := next(rows, None)) is not None:
                raise _damaged(shard, path, more[0])


def _damaged(shard: Shard, path: Path, line) -> UserError:
    return UserError(
        f"{path}:{line}: not what was planned for this shard; lines were changed, lost or added. Make it again: "
        f"generate.py --shard {shard.number}/{shard.of} --output_dir {shard.folder} --overwrite"
    )


def _place(shard: Shard, image: str, digest: str, output: Path) -> None:
    """The picture in the merged folder, if it is the one that was made."""
    from folder.pictures import link

    path = shard.folder / image
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    if sha256(content).hexdigest() != digest:
        raise UserError(
            f"{path} is missing, or not the picture that was made (image_sha256 differs). Copy the shard anew, or make "
            f"it again: generate.py --shard {shard.number}/{shard.of} --output_dir {shard.folder} --overwrite"
        )
    (output / image).unlink(missing_ok=True)  # of an interrupted merge
    link(shard.folder, image, "", output, image)  # was looked at above


def check_merged(output: Path, jobs_of: dict[str, list]) -> None:
    """UserError unless every split has as many examples as planned, no id is there twice, and no picture is in two
    splits. 16 bytes per example are held in memory."""
    import numpy as np

    faults, ids, pictures = [], array("Q"), {}
    for split, jobs in jobs_of.items():
        digests = array("Q")
        with open(output / f"{split}.jsonl", "rb") as file:
            for line in file:
                row = json.loads(line)
                ids.append(_short(row["id"]))
                digests.append(_short(row["image_sha256"]))
        planned = sum(len(job.slots) for job in jobs)
        if len(digests) != planned:
            faults.append(f"{split}: {len(digests)} examples, not {planned}")
        pictures[split] = np.unique(np.frombuffer(digests, dtype=np.uint64))
    names, counts = np.unique(np.frombuffer(ids, dtype=np.uint64), return_counts=True)
    if (counts > 1).any():
        faults += _repeated(output, jobs_of, set(names[counts > 1].tolist()))
    splits = list(pictures)
    for i, a in enumerate(splits):
        for b in splits[i + 1 :]:
            if both := len(np.intersect1d(pictures[a], pictures[b], assume_unique=True)):
                faults.append(f"{both} pictures are in both {a} and {b}")
    if faults:
        raise listed(f"{len(faults)} faults in what was merged into {output}", faults)


def _repeated(output: Path, splits, suspects: set[int]) -> list[str]:
    ids = Counter()
    for split in splits:
        with open(output / f"{split}.jsonl", "rb") as file:
            ids.update(i for i in (json.loads(line)["id"] for line in file) if _short(i) in suspects)
    return [f"id {i!r} is there {n} times" for i, n in ids.items() if n > 1]


def _short(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:8], sys.byteorder)


if __name__ == "__main__":
    run_main(main)
