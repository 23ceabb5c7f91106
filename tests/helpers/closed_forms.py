"""Statistics computed another way than the project does, to compare with."""

from scipy import optimize, stats


def share_interval(share: float, trials: float, pictures: int) -> tuple[float, float]:
    """The rates that a t test on a share of `trials` does not reject at 5 %, by search (Wilson's interval)."""
    t = stats.t.ppf(0.975, pictures - 1)

    def far(rate: float) -> float:
        return (share - rate) ** 2 - t**2 * rate * (1 - rate) / trials

    low = 0.0 if share == 0 else optimize.brentq(far, 0, min(share, 1 - 1e-9), xtol=1e-14)
    return low, 1.0 if share == 1 else optimize.brentq(far, max(share, 1e-9), 1, xtol=1e-14)
