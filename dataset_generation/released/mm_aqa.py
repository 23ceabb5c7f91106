from released.items import YES_OR_NO, Benchmark, Item, answered, answers_of, blank, choice, parsed

BENCHMARK = Benchmark(
    name="MM-AQA",
    what="questions made unanswerable by taking evidence away",
    home="https://arxiv.org/abs/2604.14799",
    license="not known here",
    seen="a description (the paper); no released row was at hand, the columns are guesses: `--columns` renames",
    becomes="answerable `answer`, else `abstain`",
    silent="level, references of what is unanswerable",
    columns={
        "id": ("question_id",),
        "image": (),
        "question": (),
        "options": (),
        "answer": ("answers",),
        "answerable": ("is_answerable",),
    },
    pictures=("image", "image_1"),
    key=("id",),
    labels=("answerable",),
    unlabeled="MM-AQA says of every row whether it can be answered.",
)
ANSWERABLE = YES_OR_NO | {"answerable": True, "unanswerable": False}


def items(row: dict) -> list[Item]:
    options = parsed(row.get("options"), "options")
    options = {} if blank(options) else options
    if isinstance(options, list | tuple):
        options = {chr(ord("A") + i): str(text) for i, text in enumerate(options)}
    if not isinstance(options, dict):
        raise ValueError(f"options is {options!r}: a list was expected")
    question = "\n".join([row["question"], *(f"{letter}. {text}" for letter, text in options.items())])
    if not choice(row["answerable"], ANSWERABLE, "answerable"):
        return [Item(question, "abstain", "unanswerable")]
    answers = answers_of(row, "answer")
    item = answered(row, [options.get(answer, answer) for answer in answers])
    item.question = question
    item.about = {
        "accepted": [w for a in answers for w in ((f"{a}. {options[a]}", a, options[a]) if a in options else (a,))]
    }
    return [item]
