from released.items import Benchmark, Item, answered, answers_of, blank

BENCHMARK = Benchmark(
    name="VQAv2",
    what="open questions with ten answers each",
    home="https://visualqa.org",
    license="CC BY 4.0 (pictures: COCO's)",
    seen="released columns, and those of lmms-lab/VQAv2",
    becomes="`answer`; the answers are in a second file, `--annotations`, or in the rows",
    silent="type, level",
    columns={
        "question_id": (),
        "image_id": (),
        "question": (),
        "answers": (),
        "multiple_choice_answer": (),
        "answer_type": (),
        "question_type": (),
    },
    pictures=("image", "image_id"),
    key=("question_id",),
    labels=("answers", "multiple_choice_answer"),
    unlabeled="They are in a second file: --annotations v2_mscoco_val2014_annotations.json. The test splits have none.",
)


def items(row: dict) -> list[Item]:
    gold = None if blank(row.get("multiple_choice_answer")) else str(row["multiple_choice_answer"])
    answers = answers_of(row) or ([gold] if gold else [])
    return [answered(row, answers, "other" if blank(row.get("answer_type")) else row["answer_type"], gold)]
