"""What annotations say in other types than they should: converters write numbers and truth values as text."""

import math
from collections.abc import Iterable
from contextlib import suppress

TRUTHS = {"0": False, "1": True, "false": False, "true": True, "no": False, "yes": True, "": False}


def number(value) -> float | int:
    """A finite number, also from text. ValueError for what is none."""
    if isinstance(value, str):
        value = float(value) if not value.strip().lstrip("+-").isdecimal() else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return value


def box_of(values: Iterable) -> tuple:
    """A box with its numbers that are text as numbers; as it is where one of them is none, for a check to say so."""
    values = tuple(values)
    with suppress(ValueError):
        return tuple(number(v) if isinstance(v, str) else v for v in values)
    return values


def whole(value) -> int:
    """A number of pixels. ValueError for what is none, and for 0 and less."""
    found = number(value)
    if found != int(found) or found < 1:
        raise ValueError(f"{value!r} is no number of pixels")
    return int(found)


def truth(value) -> bool:
    """0, 1, true, false, also as text; nothing is false. ValueError for anything else."""
    if value is None or value in (0, 1):
        return bool(value)
    found = TRUTHS.get(str(value).strip().lower().removesuffix(".0"))
    if found is None:
        raise ValueError(f"{value!r} is neither true nor false")
    return found


def identity(value):
    """An id, the same for 12, "12" and 12.0."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and str(int(value)) == value:
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value
