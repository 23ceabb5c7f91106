"""The picture files of scene graphs: which is whose, and whether its boxes lie in it."""

from dataclasses import replace
from pathlib import Path

from clarifyvlm.errors import UserError
from folder.faults import listed
from folder.names import Names, refuse_doubtful
from folder.pictures import Header
from photographs.boxes import turned
from photographs.scene_graphs import MAX_SLIPS, Graphs, Picture, clipped

SUFFIXES = (".jpg", ".jpeg", ".png")
FEWEST_TO_REACH, REACH = 10, 0.75  # of so many pictures, some box comes nearer to the right or the bottom


def files_of(graphs: Graphs, image_dir: str | Path) -> dict[str, str]:
    """File relative to `image_dir` -> picture id: <id>.jpg or .png, in the folder or in one of its folders (Visual
    Genome comes in two). UserError that lists the pictures that are not there, and ids that two pictures have."""
    image_dir = Path(image_dir)
    names = Names(image_dir, suffixes=SUFFIXES)
    found = {i: names.find_stem(i) for i in graphs.pictures}
    gone = [i for i, files in found.items() if not files]
    if gone:
        raise listed(
            f"{len(gone)} of {len(graphs.pictures)} pictures of {graphs.path} are not in {image_dir}",
            [f"{image_dir / i}.jpg: no such picture" for i in gone],
            "Fetch them, or leave them out of the scene graphs.",
        )
    refuse_doubtful(graphs.path, {i: files for i, files in found.items() if len(files) > 1})
    return {files[0]: i for i, files in found.items()}


def upright(picture: Picture, header: Header) -> Picture:
    """A picture whose boxes are of the pixels as stored, with boxes of the one that is seen."""
    if header.orientation == 1:
        return picture
    rows = [(id, raw, turned(box, header.orientation, *header.stored), of) for id, raw, box, of in picture.objects]
    return replace(picture, objects=rows, size=header.size)


def check_boxes(graphs: Graphs, pictures: dict[str, tuple[Picture, tuple[int, int]]]) -> None:
    """UserError where more than 5 % of the boxes of pictures (id -> picture, size) are mostly outside: another size
    was annotated."""
    if any(p.objects for p, _ in pictures.values()) and all(
        max(o[2]) <= 1 for p, _ in pictures.values() for o in p.objects
    ):
        raise UserError(f"{graphs.path}: all boxes are within 0 to 1: fractions of a side. Boxes are in pixels.")
    boxes = [(i, o, size) for i, (picture, size) in pictures.items() for o in picture.objects]
    outside = [
        f"picture {i}: object {o[0]!r}: {', '.join(f'{v:g}' for v in o[2])} in {size[0]} x {size[1]}"
        for i, o, size in boxes
        if clipped(o[2], *size) is None
    ]
    if len(outside) > MAX_SLIPS * len(boxes):
        raise listed(
            f"{graphs.path}: {len(outside)} of {len(boxes)} boxes have no area inside their picture, or less than half "
            "of it (x, y, w, h)",
            outside,
            "Boxes are in pixels of the picture as annotated: were the pictures resized?",
        )
    bare = [(picture, size) for picture, size in pictures.values() if picture.size is None and picture.objects]
    reach = [max((o[2][i] + o[2][i + 2]) / size[i] for p, size in bare for o in p.objects) for i in (0, 1) if bare]
    if len(bare) >= FEWEST_TO_REACH and max(reach) < REACH:
        raise UserError(
            f"{graphs.path}: in none of {len(bare)} pictures a box reaches beyond {max(reach):.0%} of the sides. Boxes "
            "are in pixels of the picture as annotated: were the pictures enlarged?"
        )
