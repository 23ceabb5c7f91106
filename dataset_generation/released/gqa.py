"""GQA: compositional questions with one answer."""

from released.items import Item, plain

WHAT = "compositional questions with one answer"
COLUMNS = ("question", "answer", "imageId")
PICTURE = "imageId"
ID = ("key",)


def items(row: dict) -> list[Item]:
    kind = (row.get("types") or {}).get("semantic") or "other"
    item = plain(row, [row["answer"]], kind)
    item.reference = row.get("fullAnswer") or item.reference
    return [item]
