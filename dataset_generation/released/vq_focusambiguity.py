"""VQ-FocusAmbiguity: questions that may point at several regions, or not."""

from released.items import Item

WHAT = "questions that may point at several regions, or not"
COLUMNS = ("question", "ambiguous")
PICTURE = "image"
ID = ()


def items(row: dict) -> list[Item]:
    """Ambiguous or not is all that it says of the question: to ask is one way to show that it was noticed."""
    ambiguous = str(row["ambiguous"]).strip().lower()
    if ambiguous not in ("0", "1", "false", "true", "ambiguous", "unambiguous", "no", "yes"):
        raise ValueError(f"ambiguous is {row['ambiguous']!r}: true or false was expected")
    if ambiguous in ("1", "true", "ambiguous", "yes"):
        return [Item(row["question"], "clarify", about={"ambiguous": True})]
    return [Item(row["question"], "answer", "none", about={"ambiguous": False})]
