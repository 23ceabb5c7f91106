"""Coordinates in another convention."""

from itertools import product

import pytest

from authoring.boxes import DRAWN, ORDERS, SIZE, UNITS, Convention, convention_of
from clarifyvlm.errors import UserError
from outside_inputs import HEIGHT, WIDTH, coco, generate
from photographs.scene_graphs import Graphs, Picture
from photographs.scene_pictures import check_boxes


@pytest.mark.parametrize("unit, order", product(UNITS, ORDERS))
def test_every_convention_is_found_out(unit, order):
    """Coordinates in another convention: boxes in pixels or with the top first are all in range for thousandths."""
    convention = Convention(unit, order)
    known = [Convention("pixels").read(box, SIZE) for box in DRAWN.values()]
    said = [convention.said(box, SIZE) for box in known]
    assert convention_of(said) == convention
    assert convention_of([[v * 1.02 for v in box] for box in said]) == convention, "a model is not exact"
    for box, again in zip(known, said, strict=True):
        assert convention.read(again, SIZE) == pytest.approx(box, abs=2)


@pytest.mark.parametrize("boxes", [[], [[1, 2, 3]], [[0, 0, 1000, 1000]], [[260, 40, 300, 100], [20, 180, 80, 230]]])
def test_boxes_that_fit_in_no_convention(boxes):
    """Coordinates in another convention: one that is not known is taken for thousandths."""
    assert convention_of(boxes) is None


def test_fractions_in_annotations(tmp_path):
    """Coordinates in another convention: boxes from 0 to 1 are specks of a pixel, and nothing is left to ask about."""

    def change(content):
        for row in content["annotations"]:
            row["bbox"] = [v / side for v, side in zip(row["bbox"], (WIDTH, HEIGHT) * 2, strict=True)]

    with pytest.raises(UserError, match="fractions of a side"):
        generate(coco(tmp_path / "in", [f"{i}.png" for i in range(40)], change), tmp_path / "out")


def test_pictures_that_were_enlarged(tmp_path):
    """Coordinates in another convention: Visual Genome gives no sizes, and in pictures that were made larger since all
    boxes are too far to the top left."""
    graphs = Graphs("g.json", "Visual Genome", {})
    boxes = [(90, 10, 8, 8), (10, 70, 20, 10), (40, 30, 5, 5)]
    pictures = {str(i): Picture([(1, "cup", boxes[i % 3], [])], []) for i in range(12)}
    check_boxes(graphs, {i: (picture, (100, 90)) for i, picture in pictures.items()})
    with pytest.raises(UserError, match="in none of 12 pictures a box reaches beyond 49% .* enlarged"):
        check_boxes(graphs, {i: (picture, (200, 180)) for i, picture in pictures.items()})
