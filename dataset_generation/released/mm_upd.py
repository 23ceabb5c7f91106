"""MM-UPD: multiple choice, solvable and made unsolvable."""

from released.items import Item

WHAT = "multiple choice, solvable and made unsolvable"
COLUMNS = ("question", "answer", "type")
PICTURE = "image"
ID = ("index", "type")


def items(row: dict) -> list[Item]:
    options = {letter: str(row[letter]) for letter in "ABCD" if row.get(letter) not in (None, "", "nan")}
    lines = [row.get("hint") or "", row["question"], *(f"{letter}. {text}" for letter, text in options.items())]
    question = "\n".join(line for line in lines if line and line != "nan")
    pair = None if row.get("index") is None else str(row["index"])  # both versions have it: for the dual score
    about = {"pair": pair, "category": row.get("category")}
    if row["type"] != "standard":
        if row["type"] not in ("aad", "iasd", "ivqd"):
            raise ValueError(f"type is {row['type']!r}: standard, aad, iasd or ivqd was expected")
        return [Item(question, "correct", "premise", kind=row["type"], about=about)]
    if row["answer"] not in options:
        raise ValueError(f"answer is {row['answer']!r}, which is none of its options {', '.join(options)}")
    gold = options[row["answer"]]
    about["accepted"] = [f"{row['answer']}. {gold}", row["answer"], gold]
    return [Item(question, "answer", "none", 0, [(row["question"], gold)], gold, "standard", about=about)]
