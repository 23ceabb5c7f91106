from released.items import Benchmark, Item, answered, answers_of, blank, parsed

BENCHMARK = Benchmark(
    name="GQA",
    what="compositional questions with one answer",
    home="https://cs.stanford.edu/people/dorarad/gqa/",
    license="CC BY 4.0",
    seen="released columns",
    becomes="`answer`; `fullAnswer` is the reference",
    silent="type, level",
    columns={"imageId": ("image_id",), "question": (), "answer": (), "fullAnswer": ("full_answer",), "types": ()},
    pictures=("image", "imageId"),
    key=("key", "id", "question_id"),
    labels=("answer",),
    unlabeled="GQA's test and challenge splits have no public answers: take val_balanced_questions.json or "
    "testdev_balanced_questions.json.",
)


def items(row: dict) -> list[Item]:
    types = parsed(row.get("types"), "types")
    kind = types.get("semantic") if isinstance(types, dict) else None
    for flat in ("types.semantic", "types_semantic"):  # of rows made flat
        kind = row[flat] if blank(kind) and flat in row else kind
    answers = answers_of(row, "answer")
    item = answered(row, answers, "other" if blank(kind) else kind)
    item.reference = item.reference if blank(row.get("fullAnswer")) else row["fullAnswer"]
    return [item]
