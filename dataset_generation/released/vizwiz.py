from released.items import YES_OR_NO, Benchmark, Item, answered, answers_of, blank, choice, most_common

NO_ANSWER = ("unanswerable", "unsuitable", "unsuitable image")  # what people said where they could not answer
BENCHMARK = Benchmark(
    name="VizWiz",
    what="questions of blind people, answerable or not",
    home="https://vizwiz.org/tasks-and-datasets/vqa/",
    license="CC BY 4.0",
    seen="released columns (val.json), and those of lmms-lab/VizWiz-VQA",
    becomes='`answer`, or `abstain`; "unanswerable" and "unsuitable" are no answers, but stay among the ten',
    silent="type of what can be answered, level, references of what cannot",
    columns={
        "question_id": (),
        "image": (),
        "question": (),
        "answers": (),
        "answer_type": ("category",),
        "answerable": (),
    },
    pictures=("image",),
    key=("question_id",),
    labels=("answers", "answerable"),
    unlabeled="VizWiz keeps the labels of its test split back: take val.json (or train.json).",
)


def items(row: dict) -> list[Item]:
    given = answers_of(row)
    answers = [answer for answer in given if answer.lower().strip(" .") not in NO_ANSWER]
    kind = "other" if blank(row.get("answer_type")) else row["answer_type"]
    if blank(row.get("answerable")):  # the hub's rows say it by the category, older ones by the answers alone
        answerable = kind != "unanswerable" and bool(given) and most_common(given).lower().strip(" .") not in NO_ANSWER
    else:
        answerable = choice(row["answerable"], YES_OR_NO, "answerable")
    if answerable and not given:
        return []
    about = {"answers": given}
    if not answerable or not answers:
        return [Item(row["question"], "abstain", "unanswerable", kind=kind, about=about)]
    item = answered(row, answers, kind)
    item.about = about
    return [item]
