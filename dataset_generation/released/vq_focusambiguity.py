from released.items import YES_OR_NO, Benchmark, Item, blank, choice, parsed

BENCHMARK = Benchmark(
    name="VQ-FocusAmbiguity",
    what="questions that may point at several regions, or not",
    home="https://vizwiz.org/tasks-and-datasets/focus-ambiguity-in-visual-questions/",
    license="not known here",
    seen="released columns (test_gt.json)",
    becomes="ambiguous `clarify` (any strategy but answering shows that it was noticed), else `answer`; a reading for "
    "each of the `focus_areas`",
    silent="level, answers, references",
    columns={
        "id": (),
        "file_name": ("image",),
        "question": (),
        "label": ("ambiguous",),
        "set": (),
        "focus_areas": (),
        "masks_id": (),
        "size": (),
        "attributes": (),
    },
    pictures=("image", "file_name"),
    key=("id",),
    labels=("label",),
    unlabeled="train_gt.json, val_gt.json and test_gt.json have them.",
)
AMBIGUOUS = YES_OR_NO | {"ambiguous": True, "unambiguous": False}


def items(row: dict) -> list[Item]:
    """To ask is one way to show that the ambiguity was noticed. What the regions' answers are is not said."""
    ambiguous = choice(row["label"], AMBIGUOUS, "label")
    areas = parsed(row.get("focus_areas"), "focus_areas")
    areas = [] if blank(areas) else areas if isinstance(areas, list | tuple) else [areas]
    readings = []
    for i, area in enumerate(areas, start=1):
        name = f" ({area})" if isinstance(area, str) else ""
        readings.append((f"region {i} of {len(areas)}{name}", None))
    strategy, type_ = ("clarify", "referential") if ambiguous else ("answer", "none")
    return [Item(row["question"], strategy, type_, readings=readings, about={"ambiguous": ambiguous})]
