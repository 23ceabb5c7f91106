from released.items import YES_OR_NO, Benchmark, Item, answered, answers_of, blank, choice, parsed

BENCHMARK = Benchmark(
    name="UNK-VQA",
    what="questions of VQAv2, some made unanswerable",
    home="https://github.com/guoyang9/UNK-VQA",
    license="not stated",
    seen="a description with one row (the repository's page)",
    becomes="answerable `answer`, else `abstain`; how it was altered is its kind",
    silent="level, references of what is unanswerable",
    columns={"question_id": (), "image_name": (), "question": (), "answerability": (), "alter_type": (), "misc": ()},
    pictures=("image", "image_name"),
    key=("question_id",),
    labels=("answerability",),
    unlabeled="annt_train.json, annt_val.json and annt_test.json have them.",
)


def items(row: dict) -> list[Item]:
    said = parsed(row["answerability"], "answerability")
    if not isinstance(said, dict) or "binary" not in said:
        raise ValueError(f"answerability is {said!r}: an object with `binary` was expected")
    kind = "other" if blank(row.get("alter_type")) else str(row["alter_type"])
    if not choice(said["binary"], YES_OR_NO, "answerability.binary"):
        return [Item(row["question"], "abstain", "unanswerable", kind=kind)]
    answers = answers_of({"answerability.other": said.get("other")}, "answerability.other")
    return [answered(row, answers, kind)]
