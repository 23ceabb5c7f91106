"""A data folder as parquet files with the pictures in them, which `datasets.load_dataset` reads, and back; or as rows
that TRL, LLaMA-Factory or ms-swift train on.

Reads the splits of <data_dir> and their pictures, writes <output_dir>/data/*.parquet,
README.md (a dataset card with the header that the hub reads) and contact_sheet.png. With --import_dir in place of
--data_dir, such a folder becomes a data folder again. With --format trl, llamafactory or swift it writes SFT rows and,
where the trainer has GRPO, its prompts, as that trainer reads them (exporting/trainers.py says which files).

    python dataset_generation/export.py --data_dir runs/tiny/data --output_dir runs/tiny/hub
    python dataset_generation/export.py --data_dir runs/tiny/data --output_dir runs/tiny/trl --format trl
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from clarifyvlm.config import REDO, option, parse_args
from clarifyvlm.errors import UserError, run_main
from exporting import trainers
from exporting.examples import short, with_pictures
from folder.shares import SPLITS, split_files
from released.parquet_rows import features, to_example, to_row

ROW_GROUP_ROWS, ROW_GROUP_BYTES = 1000, 32 * 2**20  # what is held in memory
ARROW_BYTES = b"clarifyvlm.arrow_bytes"  # metadata of a file: its size in memory


@dataclass
class Options:
    output_dir: str = option("folder to write to")
    data_dir: str | None = option("data folder, as generate.py writes it", None)
    import_dir: str | None = option("folder with parquet files, to be a data folder", None)
    format: Literal["parquet", "trl", "llamafactory", "swift"] = option("what reads it", "parquet")
    pretty_name: str = option("the data set's name on its card", "ClarifyVLM")
    max_shard_mb: int = option("megabytes of pictures and text per parquet file", 500, min=1)
    overwrite: bool = option("delete what an earlier run left in output_dir", False)
    redo: bool = option(REDO, False)


def main(argv: list[str] | None = None) -> int:
    (options,) = parse_args([Options], argv, description=__doc__)
    if bool(options.data_dir) == bool(options.import_dir):
        raise UserError("give --data_dir (to parquet) or --import_dir (from parquet), one of them")
    if options.import_dir and options.format != "parquet":
        raise UserError(f"--format {options.format} is for --data_dir; --import_dir reads parquet files")

    from clarifyvlm.run_record import RunRecord

    folder = Path(options.data_dir or options.import_dir)
    inputs = _inputs(folder) if options.data_dir else sum(parquet_files(folder).values(), [])
    stage = "dataset_generation/export.py"
    with RunRecord.start(options.output_dir, stage, asdict(options), inputs) as run:
        if run.complete:
            print(f"{options.output_dir} is complete; nothing to do")
            return 0
        if options.import_dir:
            counts = import_rows(folder, run.output)
        elif options.format != "parquet":
            counts = trainers.export(folder, run.output, options.format)
        else:
            counts = export(folder, run.output, options.pretty_name, options.max_shard_mb * 10**6)
        run.finish(**counts)
    what = "examples" if options.format == "parquet" else "rows"
    print(" ".join(f"{name}: {n:,}" for name, n in counts.items()), f"{what} in {options.output_dir}")
    return 0


def _inputs(folder: Path) -> list[Path]:
    """The JSONL files of a data folder that is complete. UserError where it is not."""
    found = list(split_files(folder).values())
    if not any(path.stat().st_size for path in found):
        raise UserError(f"no examples in {folder}: {', '.join(path.name for path in found)} are empty")
    record = folder / "run.json"
    if record.is_file() and json.loads(record.read_text(encoding="utf-8")).get("status") != "complete":
        raise UserError(
            f"{folder} is not complete: its run was interrupted, or its audit failed ({record}). Run the command that "
            "makes it again, with `--audit warn` if the audit may fail."
        )
    return found


# --- to parquet ----------------------------------------------------------------------------------------------------


def export(data_dir: Path, output: Path, pretty_name: str, shard_bytes: int) -> dict[str, int]:
    """Write the parquet files, the card and the contact sheet; split -> examples. An empty split is left out."""
    from folder.card import write_hub_card
    from folder.pictures import write_bytes

    seen: set[bytes] = set()
    for split in split_files(data_dir):
        _write_split(data_dir, split, output / "data", shard_bytes, seen)
    files = parquet_files(output)
    sheet = data_dir / "contact_sheet.png"
    if sheet.is_file():
        write_bytes(output / sheet.name, sheet.read_bytes())
    card = data_dir / "README.md"
    about = card.read_text(encoding="utf-8") if card.is_file() else ""
    described = {split: describe(paths) for split, paths in files.items()}
    write_hub_card(output, pretty_name, features(), described, about, sheet.is_file())
    return {split: d["examples"] for split, d in described.items()}


def parquet_files(folder: Path) -> dict[str, list[Path]]:
    """split -> its files in order, of the splits that are complete. UserError where there is none in <folder>/data."""
    found: dict[str, dict[int, Path]] = {}
    for path in sorted((folder / "data").glob("*.parquet")):
        named = re.fullmatch(r"(\w+)-(\d{5})-of-(\d{5})", path.stem)
        if named and named[1] in SPLITS:
            found.setdefault(named[1], {})[int(named[2])] = path
    complete = {s: [found[s][i] for i in sorted(found[s])] for s in SPLITS if s in found}
    complete = {s: paths for s, paths in complete.items() if len(paths) == int(paths[0].stem[-5:])}
    missing = [s for s in found if s not in complete]
    if missing or not complete:
        raise UserError(
            f"{folder / 'data'}: parquet files of {', '.join(missing) or 'every split'} are missing. "
            "`python dataset_generation/export.py --data_dir ...` makes them."
        )
    return complete


def _write_split(data_dir: Path, split: str, folder: Path, shard_bytes: int, seen: set[bytes]) -> None:
    """Files <split>-<i>-of-<n>.parquet that are all there or none; kept where an earlier run completed them.

    `seen`: see `with_pictures`.
    """
    from folder.write import stream

    done = sorted(folder.glob(f"{split}-*.parquet"))
    if done and len(done) == int(done[0].stem[-5:]):
        print(f"{split}: complete, kept")
        seen.update(short(example.id) for _, example in stream(data_dir / f"{split}.jsonl"))
        return
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in (*done, *folder.glob(f".{split}-*.tmp")):
        leftover.unlink()
    written = _Shards(folder, split, shard_bytes)
    try:
        for example, picture in with_pictures(data_dir, split, seen):
            written.add(to_row(example, picture))
    except UserError:
        written.discard()
        raise
    written.finish()


class _Shards:
    """Rows into one parquet file after the other, a row group at a time, under temporary names until `finish`."""

    def __init__(self, folder: Path, split: str, shard_bytes: int):
        self.folder, self.split, self.shard_bytes = folder, split, shard_bytes
        self.schema = features().arrow_schema
        self.rows: list[dict] = []
        self.pending = self.in_shard = 0  # bytes in `rows`; bytes in the file that is open
        self.arrow_bytes = 0  # the same once it is loaded
        self.paths: list[Path] = []
        self.file = self.writer = None

    def add(self, row: dict) -> None:
        size = len(row["image"]["bytes"]) + 2000  # the text of a record: 1.5 to 3 kB
        if self.rows and self.in_shard + self.pending + size > self.shard_bytes:
            self._flush()
            self._close()
        self.rows.append(row)
        self.pending += size
        if len(self.rows) >= ROW_GROUP_ROWS or self.pending >= ROW_GROUP_BYTES:
            self._flush()

    def finish(self) -> None:
        if self.rows:
            self._flush()
        self._close()
        for i, path in enumerate(self.paths):
            os.replace(path, self.folder / f"{self.split}-{i:05d}-of-{len(self.paths):05d}.parquet")

    def discard(self) -> None:
        self._close()
        for path in self.paths:
            path.unlink()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self.writer is None:
            self.paths.append(self.folder / f".{self.split}-{len(self.paths):05d}.tmp")
            self.file = open(self.paths[-1], "wb")  # noqa: SIM115 (closed by _close)
            self.writer = pq.ParquetWriter(self.file, self.schema)
        table = pa.Table.from_pylist(self.rows, schema=self.schema)
        self.writer.write_table(table, row_group_size=len(self.rows))
        self.in_shard += self.pending
        self.arrow_bytes += table.nbytes
        self.rows, self.pending = [], 0

    def _close(self) -> None:
        if self.writer is not None:
            self.writer.add_key_value_metadata({ARROW_BYTES: str(self.arrow_bytes)})
            self.writer.close()
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
        self.file = self.writer = None
        self.in_shard = self.arrow_bytes = 0


def describe(paths: list[Path]) -> dict:
    """What the card says of a split: examples, bytes (in memory), file_bytes, licenses (license or None -> rows)."""
    import pyarrow.parquet as pq

    described = {"examples": 0, "bytes": 0, "file_bytes": 0, "licenses": Counter()}
    for path in paths:
        with pq.ParquetFile(path) as file:
            described["examples"] += file.metadata.num_rows
            described["bytes"] += int(file.metadata.metadata[ARROW_BYTES])
            for batch in file.iter_batches(columns=["provenance.license"]):
                described["licenses"].update(r["license"] for r in batch.column("provenance").to_pylist())
        described["file_bytes"] += path.stat().st_size
    return described


# --- from parquet --------------------------------------------------------------------------------------------------


def import_rows(folder: Path, output: Path) -> dict[str, int]:
    """Write the JSONL files and pictures that `export` read; split -> examples.

    UserError for a picture whose name leads out of `output` or whose content is not what the record says.
    """
    from clarifyvlm.jsonl import write_atomic

    files = parquet_files(folder)
    return {s: write_atomic(output / f"{s}.jsonl", _imported(paths, output)) for s, paths in files.items()}


def _imported(paths: list[Path], output: Path) -> Iterator["Example"]:  # noqa: F821
    import pyarrow.parquet as pq

    from folder.pictures import write_bytes

    for path in paths:
        with pq.ParquetFile(path) as file:
            if missing := set(features()) - set(file.schema_arrow.names):
                raise UserError(f"{path} has no column {', '.join(sorted(missing))}: export.py did not write it")
            for batch in file.iter_batches(batch_size=100):
                for row in batch.to_pylist():
                    example, content = to_example(row), row["image"]["bytes"]
                    target = output / example.image
                    if not target.resolve().is_relative_to(output.resolve()):
                        raise UserError(
                            f"{path}: id {example.id!r}: image_path {example.image!r} leads out of {output}"
                        )
                    if example.image_sha256 and sha256(content).hexdigest() != example.image_sha256:
                        raise UserError(f"{path}: id {example.id!r}: the picture is not the record's (image_sha256)")
                    if not target.exists():
                        write_bytes(target, content)
                    elif target.read_bytes() != content:
                        raise UserError(f"{path}: id {example.id!r}: another row has another picture {example.image}")
                    yield example


if __name__ == "__main__":
    run_main(main)
