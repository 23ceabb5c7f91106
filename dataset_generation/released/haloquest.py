from released.items import Benchmark, Item, answers_of, choice

TYPES = {
    "false premises": ("correct", "premise"),
    "false premise": ("correct", "premise"),
    "insufficient context": ("abstain", "unanswerable"),
    "visual challenge": ("answer", "unknown"),
    "visual challenges": ("answer", "unknown"),
    "visually challenging": ("answer", "unknown"),
}
BENCHMARK = Benchmark(
    name="HaloQuest",
    what="questions that make models hallucinate",
    home="https://github.com/google/haloquest",
    license="CC BY 4.0 (each picture has its own)",
    seen="released rows (haloquest-eval.csv, haloquest-train.csv)",
    becomes="false premises `correct`, insufficient context `abstain`, visual challenge `answer`; the first of the "
    "responses is the reference",
    silent="level, readings",
    columns={
        "": ("Unnamed: 0", "index", "id"),
        "image_name": (),
        "url": (),
        "image type": ("image_type",),
        "hallucination type": ("hallucination_type",),
        "question": (),
        "groundtruth responses": ("groundtruth_responses",),
        "split": (),
    },
    pictures=("image", "image_name", "url"),
    key=("",),
    required=("question", "hallucination type"),
    labels=("groundtruth responses",),
    unlabeled="haloquest-eval.csv has them.",
)


def items(row: dict) -> list[Item]:
    strategy, type_ = choice(row["hallucination type"], TYPES, "hallucination type")
    given = answers_of(row, "groundtruth responses")
    if len(given) == 1:  # one cell, with semicolons between the responses
        given = [response.strip() for response in given[0].split(";") if response.strip()]
    if not given:
        raise ValueError("groundtruth responses is empty")
    readings = [(row["question"], given[0])] if strategy == "answer" else []
    return [Item(row["question"], strategy, type_, None, readings, given[0], about={"references": given})]
