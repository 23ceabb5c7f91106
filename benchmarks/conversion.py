"""A released benchmark as examples: rows a second, pictures in the rows (parquet) and in a folder (JSON lines).

    python benchmarks/conversion.py             # 10,000 rows, 2 GB in the folder for temporary files
    python benchmarks/conversion.py --quick     # 1,000 rows

The time is that of the whole command: start, rows, pictures, examples and card. The baseline reads the same rows and
writes their pictures, and does nothing else. The pictures are noise of 640 x 480, as large as photographs of that size.
"""

import io
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import run_main
from measure import report, row, run

WIDTH, HEIGHT = 640, 480
PLAIN = """
import json, pathlib, sys, pyarrow.parquet
source, images, output = map(pathlib.Path, sys.argv[1:])
output.mkdir()
if source.suffix == ".parquet":
    batches = pyarrow.parquet.ParquetFile(source).iter_batches(64)
    pictures = (row["image"].values() for batch in batches for row in batch.to_pylist())
else:
    names = (json.loads(line)["image"] for line in open(source))
    pictures = (((images / name).read_bytes(), name) for name in names)
for content, name in pictures:
    (output / name).write_bytes(content)
"""


@dataclass
class Arguments:
    num_rows: int = option("of each form", 10_000, min=1)
    quick: bool = option("1,000 rows", False)
    output_dir: str = option("folder for conversion.json", "benchmarks/results")


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)
    count, rows = min(args.num_rows, 1000) if args.quick else args.num_rows, []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        invent(folder, count)
        for source, what in (("rows.parquet", "pictures in the rows"), ("rows.jsonl", "pictures in a folder")):
            convert = ["dataset_generation/benchmark.py", "--benchmark", "pope", "--data_file", folder / source]
            convert += ["--output_dir", folder / f"{source}.converted"]
            convert += ["--image_dir", folder / "images"] if source.endswith("jsonl") else []
            seconds, memory = run([sys.executable, *convert])
            plain, _ = run([sys.executable, "-c", PLAIN, folder / source, folder / "images", folder / f"{source}.out"])
            rows.append(row(f"{count} rows, {what}", count / seconds, "rows/s", baseline=count / plain, at_least=500))
            rows.append(row(f"{count} rows, {what}: peak memory", memory, "MiB"))
    report("conversion", rows, args.output_dir)
    return 0


def invent(folder: Path, count: int) -> None:
    """rows.parquet, rows.jsonl and images/, in the form of POPE."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as parquet
    from PIL import Image

    (folder / "images").mkdir()
    noise, found = np.random.default_rng(0), []
    with open(folder / "rows.jsonl", "w") as file:
        for i in range(count):
            coarse = Image.fromarray(noise.integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3), dtype=np.uint8))
            coarse.resize((WIDTH, HEIGHT)).save(content := io.BytesIO(), "JPEG", quality=90)
            fields = {"id": str(i), "question": "Is there a dog in the image?", "answer": "yes", "category": "random"}
            fields |= {"question_id": str(i), "image_source": f"{i}"}
            (folder / "images" / f"{i}.jpg").write_bytes(content.getvalue())
            file.write(json.dumps(fields | {"image": f"{i}.jpg"}) + "\n")
            found.append(fields | {"image": {"bytes": content.getvalue(), "path": f"{i}.jpg"}})
    parquet.write_table(pa.Table.from_pylist(found), folder / "rows.parquet", row_group_size=100)


if __name__ == "__main__":
    run_main(main)
