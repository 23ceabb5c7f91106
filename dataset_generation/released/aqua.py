"""AQuA: four levels of ambiguity on COCO's photographs."""

from released.items import Item, number

WHAT = "four levels of ambiguity on COCO's photographs"
COLUMNS = ("question", "level")
PICTURE = "image"
ID = ("id",)


def items(row: dict) -> list[Item]:
    level = number(row["level"], range(4), "level")
    strategy = ("answer", "infer", "enumerate", "clarify")[level]
    kind = "none" if level == 0 else "referential"
    return [Item(row["question"], strategy, kind, level, reference=row.get("answer") or "")]
