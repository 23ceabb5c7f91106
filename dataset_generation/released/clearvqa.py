from released.items import Benchmark, Item, answers_of, blank, choice

CATEGORIES = {"refer": "referential", "intent": "vague", "spell": "lexical"}
BENCHMARK = Benchmark(
    name="ClearVQA",
    what="clear questions, and the same made vague",
    home="https://huggingface.co/datasets/jian0418/ClearVQA",
    license="MIT",
    seen="released columns (val_annotated.jsonl)",
    becomes="two examples: clear `answer`; blurred `clarify`, whose one known reading is the clear question, with "
    "`clarification_question` as reference and a dialogue; refer, intent, spell: referential, vague, lexical",
    silent="level, further readings",
    columns={
        "question_id": (),
        "image": (),
        "question": (),
        "blurred_question": (),
        "gold_answer": (),
        "answers": (),
        "clarification_question": (),
        "ambiguity_category": (),
    },
    pictures=("image",),
    key=("question_id",),
    required=("question", "blurred_question", "gold_answer"),
)


def items(row: dict) -> list[Item]:
    """The clear question, and the blurred one, of which one reading is known: the clear question."""
    clear, gold = row["question"], str(row["gold_answer"])
    about = {"answers": answers_of(row) or [gold]}
    category, asked = row.get("ambiguity_category"), row.get("clarification_question")
    blurred = Item(row["blurred_question"], "clarify", readings=[(clear, gold)], version="blurred", about=about)
    if not blank(category):
        blurred.type = choice(category, CATEGORIES | {name: name for name in CATEGORIES.values()}, "ambiguity_category")
    if not blank(asked):
        blurred.reference, blurred.dialogue = str(asked), (str(asked), f"I mean: {clear}", gold)
    return [
        Item(clear, "answer", "none", readings=[(clear, gold)], reference=gold, version="clear", about=about),
        blurred,
    ]
