"""Do the report's 95 % intervals hold the truth in 95 % of data sets? A simulation with known rates.

    python benchmarks/coverage.py            # about ten minutes
    python benchmarks/coverage.py --quick    # half a minute, with a simulation error of 4 points

Two questions a picture; in 40 % of the pictures both are right or both wrong, in the others each is right at the rate.
The baseline of a row is the coverage of the percentiles of the same draws.
"""

from dataclasses import dataclass

from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import run_main
from measure import Row, report

SIZES = (100, 300, 600, 1200, 2000)  # questions
RATES = (0.02, 0.1, 0.3, 0.5, 0.9, 0.98)
TOGETHER = 0.4  # share of the pictures whose two questions are right or wrong together
DRAWS = 400


@dataclass
class Arguments:
    num_sets: int = option("data sets per size and rate", 1500)
    quick: bool = option("100 data sets", False)
    output_dir: str = option("folder for coverage.json", "benchmarks/results")


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)
    sets = min(args.num_sets, 100) if args.quick else args.num_sets
    error = 2.6 * (0.95 * 0.05 / sets) ** 0.5
    rows = []
    for size in SIZES:
        for rate in RATES:
            ours, percentiles = coverage(size // 2, rate, sets)
            ok = 0.93 - error <= ours <= 0.97 + error
            rows.append(
                Row(f"n {size}, rate {rate:g}", round(ours, 3), "share of sets", round(percentiles, 3), None,
                    f"0.93 to 0.97, +- {error:.3f}", ok)
            )  # fmt: skip
    report("coverage", rows, args.output_dir)
    return 0


def coverage(pictures: int, rate: float, sets: int) -> tuple[float, float]:
    """The shares of `sets` data sets whose interval, and whose percentiles, hold `rate`."""

    import numpy as np

    from measures import intervals

    rng = np.random.default_rng(pictures)
    clusters = intervals.Clusters([str(i // 2) for i in range(2 * pictures)])
    ours = percentiles = 0
    for k in range(sets):
        right = rng.uniform(size=(pictures, 2)) < rate
        together = rng.uniform(size=pictures) < TOGETHER
        right[together, 1] = right[together, 0]
        column = right.astype(float).ravel()
        draws = intervals.bootstrap(column[:, None], clusters, seed=k, resamples=DRAWS)[:, 0]
        found = intervals.estimate(column, draws, clusters, is_share=True)
        low, high = np.percentile(draws, [2.5, 97.5])
        ours += found["low"] <= rate <= found["high"]
        percentiles += low <= rate <= high
    return ours / sets, percentiles / sets


if __name__ == "__main__":
    run_main(main)
