"""ClearVQA: clear questions, and the same made vague."""

from released.items import Item, answers_of

WHAT = "clear questions, and the same made vague"
COLUMNS = ("question", "blurred_question", "gold_answer")
PICTURE = "image"
ID = ("question_id",)


def items(row: dict) -> list[Item]:
    """The clear question, and the blurred one, of which one reading is known: the clear question."""
    clear, gold = row["question"], str(row["gold_answer"])
    about = {"answers": answers_of(row) or [gold]}
    return [
        Item(clear, "answer", "none", 0, [(clear, gold)], gold, version="clear", about=about),
        Item(row["blurred_question"], "clarify", level=3, readings=[(clear, gold)], version="blurred", about=about),
    ]
