"""VQAv2: open questions with ten answers each."""

from released.items import Item, answers_of, plain

WHAT = "open questions with ten answers each"
COLUMNS = ("question", "answers")
PICTURE = "image_id"
ID = ("question_id",)


def items(row: dict) -> list[Item]:
    return [plain(row, answers_of(row), row.get("answer_type") or "other", row.get("multiple_choice_answer"))]
