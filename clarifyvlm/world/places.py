"""Names for where in a picture something is: a 3 x 3 grid, its rows and its columns."""

PLACES = (
    "top left", "top middle", "top right",
    "middle left", "center", "middle right",
    "bottom left", "bottom middle", "bottom right",
)  # fmt: skip

# A side is a whole row or column of the grid: "on the left" fits three places.
SIDES = {
    "on the left": tuple(p for i, p in enumerate(PLACES) if i % 3 == 0),
    "on the right": tuple(p for i, p in enumerate(PLACES) if i % 3 == 2),
    "at the top": PLACES[:3],
    "at the bottom": PLACES[6:],
}

# The rows and the columns of the grid.
STRIPS = [frozenset(PLACES[i : i + 3]) for i in (0, 3, 6)] + [frozenset(PLACES[i::3]) for i in range(3)]


def place_of(x: float, y: float, width: float, height: float) -> str:
    """The cell that holds the point (x, y), pixels from the top left, in a width x height picture."""
    column = min(2, max(0, int(3 * x / width)))
    row = min(2, max(0, int(3 * y / height)))
    return PLACES[3 * row + column]


def at(place: str) -> str:
    """A place or side with its preposition: "at the top left", "in the center", "on the left"."""
    if place in SIDES:
        return place
    return "in the center" if place == "center" else f"at the {place}"
