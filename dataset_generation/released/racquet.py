import re

from released.items import Benchmark, Item

BENCHMARK = Benchmark(
    name="RAcQUEt",
    what="questions that several things in the picture fit",
    home="https://zenodo.org/records/17658707",
    license="MIT",
    seen="released rows (racquet_bias.jsonl)",
    becomes="`clarify`, as every one is ambiguous (any strategy but answering shows that it was noticed)",
    silent="level, readings, answers, references",
    columns={"id": (), "image_url": (), "question": (), "question_idx": ()},
    pictures=("image", "image_url"),
    key=("subset", "id"),
)


def items(row: dict) -> list[Item]:
    subset = re.search(r"general|bias", row["configuration"].lower())
    about = {"ambiguous": True, "subset": subset and subset[0]}
    return [Item(row["question"], "clarify", "referential", about=about)]
