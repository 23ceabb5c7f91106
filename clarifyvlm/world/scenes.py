"""The generated world: colored shapes on a 3 x 3 grid, rendered with Pillow from their facts.

A `World` says which shapes, colors, sizes, patterns and backgrounds a preset uses. `place_objects` gives
objects their positions, `render` draws them, anti-aliased, at any size. Everything that a picture shows
is in the `Facts`, and the same Facts always give the same pixels.
"""

import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter

from clarifyvlm.records import Facts, Object
from clarifyvlm.world.places import PLACES

GENERATOR_VERSION = 1

COLORS = {
    "red": (214, 40, 40),
    "orange": (245, 140, 30),
    "yellow": (250, 214, 50),
    "green": (52, 160, 72),
    "blue": (36, 98, 214),
    "purple": (132, 60, 186),
    "pink": (248, 150, 196),
    "brown": (122, 76, 40),
    "black": (34, 34, 38),
    "cyan": (60, 200, 214),
}
NAMES = ("circle", "square", "triangle", "star", "diamond", "heart", "cross", "hexagon")
BLUR = "blur"  # the name of an object whose shape the picture does not show
SIZES = {"small": 0.31, "medium": 0.405, "large": 0.53}  # radius as a share of a grid cell
PATTERNS = ("solid", "striped", "dotted", "checked")
BACKGROUNDS = {
    "white": ((252, 252, 250), (252, 252, 250)),
    "cream": ((253, 246, 227), (247, 236, 208)),
    "sky": ((226, 240, 252), (203, 226, 247)),
    "mint": ((228, 246, 236), (208, 236, 220)),
    "lilac": ((242, 234, 250), (228, 216, 242)),
    "sand": ((240, 232, 220), (226, 214, 198)),
}
WRAPPING = ((176, 178, 182), (128, 131, 137))  # gray paper: base and stripes
JITTER = 0.14  # of a grid cell, each way
MIN_VISIBLE = 0.7  # share of an object that others may not cover
SUPERSAMPLING = 4


@dataclass(frozen=True)
class World:
    """The part of the world that a preset draws from."""

    names: tuple[str, ...] = NAMES
    colors: tuple[str, ...] = tuple(COLORS)
    sizes: tuple[str, ...] = tuple(SIZES)
    patterns: tuple[str, ...] = PATTERNS
    backgrounds: tuple[str, ...] = tuple(BACKGROUNDS)
    min_objects: int = 1
    max_objects: int = 9
    image_size: int = 224  # pixels, square


TINY_WORLD = World(
    names=NAMES[:4],
    colors=tuple(COLORS)[:8],
    sizes=("small", "large"),
    patterns=("solid",),
    max_objects=6,
    image_size=96,
)


def random_object(world: World, rng: random.Random, **fixed) -> dict:
    """Attributes of one object; `fixed` ones are kept (`hidden=["color"]` wraps it, `hidden=["name"]` blurs it)."""
    drawn = {
        "name": rng.choice(world.names),
        "color": rng.choice(world.colors),
        "size": rng.choice(world.sizes),
        "pattern": rng.choice(world.patterns),
        "hidden": [],
    } | fixed
    if "color" in drawn["hidden"]:
        drawn |= {"color": None, "pattern": "wrapped"}
    if "name" in drawn["hidden"]:
        drawn |= {"name": BLUR, "pattern": "solid"}
    return drawn


def place_objects(world: World, rng: random.Random, objects: list[dict]) -> Facts | None:
    """Positions for `objects` (attributes as of `random_object`, `place` optional); None where one is covered too much.

    At most one object stands in a cell of the grid; large neighbors may overlap, later ones in front.
    """
    size = world.image_size
    cell = size / 3
    taken = [o["place"] for o in objects if o.get("place")]
    free = [p for p in PLACES if p not in taken]
    rng.shuffle(free)
    placed = []
    for i, attributes in enumerate(objects):
        place = attributes.get("place") or free.pop()
        row, column = divmod(PLACES.index(place), 3)
        radius = SIZES[attributes["size"]] * cell * rng.uniform(0.95, 1.05)
        x = min(size - radius, max(radius, (column + 0.5 + rng.uniform(-JITTER, JITTER)) * cell))
        y = min(size - radius, max(radius, (row + 0.5 + rng.uniform(-JITTER, JITTER)) * cell))
        placed.append(
            attributes
            | {
                "id": f"o{i + 1}",
                "place": place,
                "box": tuple(round(v, 1) for v in (x - radius, y - radius, x + radius, y + radius)),
                "salience": round((2 * radius / size) ** 2, 4),
            }
        )
    rng.shuffle(placed)  # the drawing order says nothing about the question
    for i, o in enumerate(placed):
        o["id"] = f"o{i + 1}"
    facts = Facts(
        source="scenes",
        width=size,
        height=size,
        background=rng.choice(world.backgrounds),
        objects=[Object(**o) for o in placed],
    )
    return facts if _record_overlaps(facts) else None


def _record_overlaps(facts: Facts) -> bool:
    """Fill `overlaps` and `visible_share`; False where too little of an object can be seen."""
    objects = facts.objects
    for i, below in enumerate(objects):
        covering = []
        for above in objects[i + 1 :]:
            (ax, ay, ar), (bx, by, br) = _circle(above), _circle(below)
            if math.hypot(ax - bx, ay - by) < ar + br and _touch(above, below):
                covering.append(above)
        if not covering:
            continue
        own = _mask(below, facts)
        left = own.copy()
        for above in covering:
            left.paste(0, mask=_mask(above, facts))
            below.overlaps.append(above.id)
            above.overlaps.append(below.id)
        below.visible_share = round(left.histogram()[255] / own.histogram()[255], 2)
        if below.visible_share < MIN_VISIBLE:
            return False
    return True


def _touch(a: Object, b: Object) -> bool:
    """Whether the drawn outlines share a pixel (boxes first: cheap)."""
    return a.box[0] < b.box[2] and b.box[0] < a.box[2] and a.box[1] < b.box[3] and b.box[1] < a.box[3]


def _circle(o: Object) -> tuple[float, float, float]:
    x0, y0, x1, y1 = o.box
    return (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2


def _mask(o: Object, facts: Facts) -> Image.Image:
    """255 where `o` is drawn, at the picture's size."""
    mask = Image.new("L", (facts.width, facts.height), 0)
    _fill(ImageDraw.Draw(mask), o, 1.0, 255)
    return mask


# --- drawing


def outline(name: str, x: float, y: float, r: float) -> list[tuple[float, float]]:
    """The polygon of a shape of radius r (pixels) about (x, y)."""

    def ring(n, start, radii=(1.0,)):
        angles = ((start + i / n) * 2 * math.pi for i in range(n))
        return [
            (x + r * radii[i % len(radii)] * math.cos(a), y + r * radii[i % len(radii)] * math.sin(a))
            for i, a in enumerate(angles)
        ]

    match name:
        case "square":
            s = 0.86 * r
            return [(x - s, y - s), (x + s, y - s), (x + s, y + s), (x - s, y + s)]
        case "triangle":
            return [(px, py + 0.14 * r) for px, py in ring(3, -0.25, (1.08,))]
        case "star":
            return ring(10, -0.25, (1.08, 0.46))
        case "diamond":
            return [(x, y - r), (x + 0.72 * r, y), (x, y + r), (x - 0.72 * r, y)]
        case "hexagon":
            return ring(6, 0.0)
        case "cross":
            a, b = 0.36 * r, 0.96 * r
            quarter = [(-a, -a), (-a, -b), (a, -b)]
            turned = [[(dx, dy), (-dy, dx), (-dx, -dy), (dy, -dx)] for dx, dy in quarter]
            return [(x + turned[j][i][0], y + turned[j][i][1]) for i in range(4) for j in range(3)]
        case "heart":
            points = []
            for i in range(48):
                t = 2 * math.pi * i / 48
                hx = 16 * math.sin(t) ** 3
                hy = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
                points.append((x + r * hx / 16.5, y - r * (hy + 2.5) / 16.5))
            return points
    return ring(48, 0.0)  # circle, and what is behind a blur


def _fill(draw: ImageDraw.ImageDraw, o: Object, scale: float, color) -> None:
    x, y, r = _circle(o)
    draw.polygon([(px * scale, py * scale) for px, py in outline(o.name, x, y, r)], fill=color)


def render(facts: Facts, size: int | None = None) -> Image.Image:
    """The picture of a scene, RGB, `size` x `size` pixels (default: the size that the facts are in)."""
    size = size or facts.width
    canvas = _background(facts.background, size * SUPERSAMPLING)
    scale = size * SUPERSAMPLING / facts.width
    for o in facts.objects:
        if o.name == BLUR:
            _draw_blur(canvas, o, scale)
        else:
            _draw_shape(canvas, o, scale)
    return canvas.reduce(SUPERSAMPLING)


def _background(name: str, size: int) -> Image.Image:
    top, bottom = BACKGROUNDS[name]
    if top == bottom:
        return Image.new("RGB", (size, size), top)
    column = Image.new("RGB", (1, 2))
    column.putdata([top, bottom])
    return column.resize((1, size), Image.Resampling.BILINEAR).resize((size, size), Image.Resampling.NEAREST)


def _shade(color, factor: float):
    return tuple(int(c * factor) for c in color)


def _draw_shape(canvas: Image.Image, o: Object, scale: float) -> None:
    """A shape with a darker rim; patterns are drawn through the shape's mask."""
    x, y, r = (v * scale for v in _circle(o))
    points = outline(o.name, x, y, r)
    base, second = WRAPPING if o.pattern == "wrapped" else (COLORS[o.color], None)
    rim = _shade(base, 0.72)
    width = max(1, round(0.09 * r))
    draw = ImageDraw.Draw(canvas)
    if o.pattern == "solid":
        draw.polygon(points, fill=base)
    else:
        left, top, side = int(x - 1.2 * r), int(y - 1.2 * r), int(2.4 * r)
        mask = Image.new("L", (side, side), 0)
        ImageDraw.Draw(mask).polygon([(px - left, py - top) for px, py in points], fill=255)
        canvas.paste(_pattern(o.pattern, side, r, base, second), (left, top), mask)
    draw.line([*points, points[0], points[1]], fill=rim, width=width, joint="curve")


def _pattern(pattern: str, side: int, r: float, base, second) -> Image.Image:
    """A side x side tile in `base`, patterned in white (in `second` for wrapping paper)."""
    tile = Image.new("RGB", (side, side), base)
    draw = ImageDraw.Draw(tile)
    white = (255, 255, 255)
    if pattern == "striped":
        step = 0.42 * r
        for i in range(int(side / step) + 1):
            draw.rectangle([0, i * step, side, i * step + 0.42 * step], fill=white)
    elif pattern == "dotted":
        step, dot = 0.5 * r, 0.13 * r
        for i in range(int(side / step) + 2):
            for j in range(int(side / step) + 2):
                cx, cy = i * step + (j % 2) * step / 2, j * step
                draw.ellipse([cx - dot, cy - dot, cx + dot, cy + dot], fill=white)
    elif pattern == "checked":
        step = 0.4 * r
        for i in range(int(side / step) + 1):
            for j in range(i % 2, int(side / step) + 1, 2):
                draw.rectangle([i * step, j * step, (i + 1) * step, (j + 1) * step], fill=white)
    elif pattern == "wrapped":
        step = 0.5 * r
        for i in range(int(2 * side / step) + 1):
            draw.line([(i * step, 0), (i * step - side, side)], fill=second, width=max(1, round(0.16 * r)))
    return tile


def _draw_blur(canvas: Image.Image, o: Object, scale: float) -> None:
    """A soft blob: the color shows, the shape does not."""
    x, y, r = (v * scale for v in _circle(o))
    side = int(2.6 * r)
    small = max(24, side // 8)  # a blur has no detail: make it small, then enlarge
    alpha = Image.new("L", (small, small), 0)
    m, k = small / 2, 0.62 * small / 2.6
    ImageDraw.Draw(alpha).ellipse([m - k, m - k, m + k, m + k], fill=255)
    alpha = alpha.filter(ImageFilter.GaussianBlur(0.24 * small / 2.6)).resize((side, side), Image.Resampling.BICUBIC)
    canvas.paste(COLORS[o.color], (int(x - side / 2), int(y - side / 2)), alpha)
