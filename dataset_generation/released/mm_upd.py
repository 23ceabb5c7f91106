import re

from released.items import Benchmark, Item, blank

UNSOLVABLE = ("aad", "iasd", "ivqd")
BENCHMARK = Benchmark(
    name="MM-UPD",
    what="multiple choice, solvable and made unsolvable",
    home="https://huggingface.co/datasets/MM-UPD/MM-UPD",
    license="not known here",
    seen="code that reads it (AtsuMiyai/UPD, lmms-eval)",
    becomes="standard `answer`; upd `correct`, its kind (aad, iasd, ivqd) from the name of the file or configuration; "
    "both of a pair; the options stand below the question",
    silent="level, references of what is unsolvable without an option for it",
    columns={
        "index": (),
        "image": (),
        "question": (),
        "hint": (),
        **{letter: () for letter in "ABCDEF"},
        "answer": (),
        "type": (),
        "masked_answer": (),
    },
    pictures=("image",),
    key=("index", "type"),
    required=("question", "type"),
)


def items(row: dict) -> list[Item]:
    options = {letter: str(row[letter]) for letter in "ABCDEF" if not _none(row.get(letter))}
    hint = [] if _none(row.get("hint")) else [str(row["hint"])]
    question = "\n".join([*hint, row["question"], *(f"{letter}. {text}" for letter, text in options.items())])
    pair = None if blank(row.get("index")) else str(row["index"])  # both versions have it: for the dual score
    about = {"pair": pair, "category": row.get("category")}
    type_, answer = str(row["type"]).strip().lower(), row.get("answer")
    if type_ not in ("standard", "upd", *UNSOLVABLE):
        raise ValueError(f"type is {row['type']!r}: standard, upd, {', '.join(UNSOLVABLE)} was expected")
    if type_ != "standard":
        kind = type_ if type_ in UNSOLVABLE else _kind(row)
        return [Item(question, "correct", "premise", reference=options.get(answer, ""), kind=kind, about=about)]
    if answer not in options:
        raise ValueError(f"answer is {answer!r}, which is none of its options {', '.join(options)}")
    gold = options[answer]
    about["accepted"] = [f"{answer}. {gold}", answer, gold]
    item = Item(question, "answer", readings=[(row["question"], gold)], reference=gold, kind=_kind(row), about=about)
    return [item]


def _kind(row: dict) -> str:
    """aad, iasd or ivqd, from the file's or the configuration's name; "upd" where neither says it."""
    found = re.findall(r"(?:mm_?|\b|_)(aad|iasd|ivqd)(?:\b|_)", row["configuration"].lower())
    return found[-1] if found else "upd"


def _none(value) -> bool:
    """An option or hint that is not there, as pandas writes it, too."""
    return blank(value) or str(value).strip().lower() in ("nan", "none")
