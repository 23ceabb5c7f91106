from released.items import Benchmark, Item, answered, choice

BENCHMARK = Benchmark(
    name="POPE",
    what="whether a thing is in the picture",
    home="https://github.com/AoiDragon/POPE",
    license="MIT",
    seen="released rows (coco_pope_adversarial.json), and the columns of lmms-lab/POPE",
    becomes="`answer`, yes or no",
    silent="type, level",
    columns={"question_id": (), "image": (), "text": ("question",), "label": ("answer",), "category": ()},
    pictures=("image", "image_source", "image_id"),
    key=("category", "question_id"),
    required=("text",),
    labels=("label",),
    unlabeled="coco_pope_random.json, _popular.json and _adversarial.json have them.",
)


def items(row: dict) -> list[Item]:
    gold = choice(row["label"], {"yes": "yes", "no": "no"}, "label")
    return [answered(row | {"question": row["text"]}, [gold], "existence")]
