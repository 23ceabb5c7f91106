from released.items import Benchmark, Item, number

BENCHMARK = Benchmark(
    name="AQuA",
    what="four levels of ambiguity on COCO's photographs",
    home="https://huggingface.co/datasets/jihyoung/AQuA",
    license="CC BY 4.0",
    seen="released columns (the hub's page)",
    becomes="level 0 `answer`, 1 `infer`, 2 `enumerate`, 3 `clarify`",
    silent="readings, answers",
    columns={"image": (), "filename": (), "level": (), "question": (), "answer": ()},
    pictures=("image", "filename", "file_name"),
    key=("id",),
    required=("question", "level"),
)


def items(row: dict) -> list[Item]:
    if str(row["level"]).lower() in ("ambig", "unambig"):
        raise ValueError(f"level is {row['level']!r}, as in the original ClarifyVLM: --benchmark clarifyvlm_original")
    level = number(row["level"], range(4), "level")
    strategy = ("answer", "infer", "enumerate", "clarify")[level]
    return [
        Item(row["question"], strategy, "referential" if level else "none", level, reference=row.get("answer") or "")
    ]
