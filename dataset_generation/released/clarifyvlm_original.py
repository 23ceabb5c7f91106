from released.items import Benchmark, Item, choice

BENCHMARK = Benchmark(
    name="the original ClarifyVLM",
    what="the student project's own questions on Flickr8k",
    home="https://github.com/Ahn-Jeongmin/DL_Final_Project_ABL",
    license="not stated",
    seen="released rows (tuning_grpo/dataset)",
    becomes="ambig `clarify` with its question back; unambig `answer`",
    silent="type, level, readings of what is ambiguous",
    columns={"image": (), "level": (), "question": (), "answer": ()},
    pictures=("image",),
    required=("question", "level", "answer"),
)


def items(row: dict) -> list[Item]:
    question, said = row["question"], str(row["answer"])
    if choice(row["level"], {"ambig": True, "unambig": False}, "level"):
        return [Item(question, "clarify", reference=said, about={"ambiguous": True})]
    about = {"ambiguous": False, "references": [said]}
    return [Item(question, "answer", "none", readings=[(question, said)], reference=said, about=about)]
