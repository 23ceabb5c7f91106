from collections.abc import Iterator

from clarifyvlm.strategies import MAX_LISTED_READINGS
from released.items import Benchmark, Item, answers_of, blank, most_common

BENCHMARK = Benchmark(
    name="AmbiguousVQA",
    what="questions of VQAv2 that people meant differently, with a rewording for each meaning",
    home="https://github.com/esteng/ambiguous_vqa",
    license="MIT (questions: CC BY 4.0)",
    seen="released rows (dataset/dev, dataset/test)",
    becomes="one example for each picture and question, a reading for each rewording: one `answer`, two or three "
    "`enumerate`, more `clarify`; `--annotations` as for vqav2",
    silent="type, level, references for several readings",
    columns={"question_id": (), "image_id": (), "question": (), "new_question": (), "answers": ()},
    pictures=("image", "image_id"),
    key=("question_id",),
    required=("question", "rows"),
    labels=("answers",),
    unlabeled="They are in a second file: --annotations annotations.json.",
)


def merged(rows: Iterator[dict]) -> Iterator[dict]:
    """The rows of one picture and question as one row."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row.get("image_id"), row.get("question")), []).append(row)
    for (_, question), group in groups.items():
        first = group[0]
        yield {
            "question": question,
            "question_id": str(first.get("question_id")).rsplit("_", 1)[0],
            **{name: first[name] for name in ("image", "image_id") if name in first},
            "answers": [r["answers"] for r in group if not blank(r.get("answers"))],
            "rows": group,
        }


def items(row: dict) -> list[Item]:
    meant: dict[str, list[str]] = {}
    for each in row["rows"]:
        meaning = each.get("new_question")
        meant.setdefault(row["question"] if blank(meaning) else meaning, []).extend(answers_of(each))
    readings = [(words, most_common(answers) if answers else None) for words, answers in meant.items()]
    answers = {answer for _, answer in readings}
    if len(readings) == 1 or (len(answers) == 1 and None not in answers):
        gold = readings[0][1]
        if gold is None:
            raise ValueError("answers is empty")
        about = {"answers": [answer for given in meant.values() for answer in given]}
        return [Item(row["question"], "answer", readings=readings, reference=gold, about=about)]
    strategy = "enumerate" if len(readings) <= MAX_LISTED_READINGS else "clarify"
    return [Item(row["question"], strategy, readings=readings, about={"ambiguous": True})]
