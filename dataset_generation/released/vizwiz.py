"""VizWiz: questions of blind people, answerable or not."""

from released.items import Item, answers_of, number, plain

WHAT = "questions of blind people, answerable or not"
COLUMNS = ("question", "answerable")
PICTURE = "image"
ID = ("question_id",)


def items(row: dict) -> list[Item]:
    answers = answers_of(row)
    kind = row.get("answer_type") or "other"
    if not number(row["answerable"], range(2), "answerable"):
        return [Item(row["question"], "abstain", "unanswerable", kind=kind, about={"answers": answers})]
    return [plain(row, answers, kind)]
