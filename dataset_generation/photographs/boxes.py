"""What boxes tell: how much each stands out in its picture, how far two are one."""

import math

from clarifyvlm.errors import UserError


def salience_weights(options) -> tuple[float, float]:
    """(of area, of centrality). UserError where both are 0."""
    weights = options.salience_area_weight, options.salience_centrality_weight
    if not sum(weights):
        raise UserError("salience_area_weight, salience_centrality_weight: one of them must be above 0")
    return weights


def salience(box, width: float, height: float, area_weight: float, centrality_weight: float) -> float:
    """AQuA's: weight x share of the area + weight x centrality (1 in the picture's center, 0 in a corner). > 0."""
    x0, y0, x1, y1 = box
    share = (x1 - x0) * (y1 - y0) / (width * height)
    away = math.hypot((x0 + x1) / 2 / width - 0.5, (y0 + y1) / 2 / height - 0.5) / math.hypot(0.5, 0.5)
    return round(max(1e-4, area_weight * share + centrality_weight * (1 - away)), 4)


def overlap(a, b) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1), 0..1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def turned(box, orientation: int, width: float, height: float) -> tuple:
    """A box (x, y, w, h) of the pixels as stored, `width` x `height`, as one of the picture that EXIF turns them to."""
    x, y, w, h = box
    across, down = width - x - w, height - y - h  # from the other side
    return {
        2: (across, y, w, h),
        3: (across, down, w, h),
        4: (x, down, w, h),
        5: (y, x, h, w),
        6: (down, x, h, w),
        7: (down, across, h, w),
        8: (y, across, h, w),
    }.get(orientation, (x, y, w, h))
