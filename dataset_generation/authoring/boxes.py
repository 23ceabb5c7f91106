"""How a vision model gives boxes: asked for thousandths, some answer in pixels, in fractions, or with the top first.

All of these may be in range, so that nothing but a picture of which the boxes are known tells them apart.
"""

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from photographs.boxes import overlap

if TYPE_CHECKING:
    from PIL.Image import Image

SCALE = 1000  # boxes are asked for in thousandths of the picture's sides
SIZE = (512, 320)  # of the drawn picture, whose sides are no thousandths
DRAWN = {  # color -> (left, top, right, bottom) in pixels
    "red": (32, 40, 160, 120),
    "blue": (304, 184, 480, 296),
    "green": (360, 24, 448, 104),
}
LARGE = 2  # times as large it is drawn once more for a model that answers in pixels, as large as pictures are sent
FITS = 0.5  # intersection over union from which a box is that of a drawn thing
FEWEST = 2  # drawn things whose boxes must fit
UNITS, ORDERS = ("thousandths", "pixels", "fractions"), ("left first", "top first", "width and height")


@dataclass(frozen=True)
class Convention:
    unit: str = "thousandths"
    order: str = "left first"

    def __str__(self) -> str:
        return f"{self.unit}, {self.order}"

    @property
    def words(self) -> str:
        """What a box is, for a prompt."""
        numbers = {
            "left first": "[left, top, right, bottom]",
            "top first": "[top, left, bottom, right]",
            "width and height": "[left, top, width, height]",
        }
        of = {"thousandths": "thousandths of its width and height", "pixels": "its pixels",
              "fractions": "fractions of its width and height"}  # fmt: skip
        return f"{numbers[self.order]} in {of[self.unit]}"

    def read(self, box: list[float], size: tuple[int, int]) -> list[float]:
        """A box that the model gave for a picture of `size` pixels, as left, top, right, bottom in thousandths."""
        if len(box) != 4:
            return box
        a, b, c, d = box
        if self.order == "top first":
            a, b, c, d = b, a, d, c
        elif self.order == "width and height":
            c, d = a + c, b + d
        return [v * f for v, f in zip((a, b, c, d), self._factors(size) * 2, strict=True)]

    def said(self, box: list[float], size: tuple[int, int]) -> list[float]:
        """`read` undone: a box as the model would give it."""
        a, b, c, d = (v / f for v, f in zip(box, self._factors(size) * 2, strict=True))
        if self.order == "top first":
            a, b, c, d = b, a, d, c
        elif self.order == "width and height":
            c, d = c - a, d - b
        return [round(v, 3) if self.unit == "fractions" else round(v) for v in (a, b, c, d)]

    def _factors(self, size: tuple[int, int]) -> tuple[float, float]:
        if self.unit == "pixels":
            return SCALE / size[0], SCALE / size[1]
        return (1, 1) if self.unit == "thousandths" else (SCALE, SCALE)


def drawn(scale: int = 1) -> "Image":
    """The picture of which the boxes are known, so many times as large."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (SIZE[0] * scale, SIZE[1] * scale), "white")
    draw = ImageDraw.Draw(picture)
    for color, box in DRAWN.items():
        draw.rectangle([v * scale for v in box], fill=color)
    return picture


def convention_of(boxes: list[list[float]]) -> Convention | None:
    """The convention in which these boxes are those of the drawn things; None where they are so in none."""
    best = max((Convention(*both) for both in product(UNITS, ORDERS)), key=lambda c: fit(c, boxes))
    return best if fit(best, boxes) else None


def fit(convention: Convention, boxes: list[list[float]], scale: int = 1) -> float:
    """How well these boxes are those of the drawn things; 0 where they are not."""
    known = [Convention("pixels").read(box, SIZE) for box in DRAWN.values()]
    size = SIZE[0] * scale, SIZE[1] * scale
    read = [found for box in boxes if len(found := convention.read(box, size)) == 4 and _has_area(found)]
    fits = [max((overlap(k, box) for box in read), default=0.0) for k in known]
    return sum(fits) if sum(f >= FITS for f in fits) >= FEWEST else 0.0


def _has_area(box: list[float]) -> bool:
    return box[0] < box[2] and box[1] < box[3]
