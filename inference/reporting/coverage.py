"""What the report says of responses that the judge did not understand, and of reasoning blocks."""

from clarifyvlm.judges.coverage import MIN_COVERAGE, OTHER_JUDGES
from measures.judged import title


def notes(models: dict[str, dict]) -> list[str]:
    """Sentences on models (those of metrics.json) of which too little was understood, or that think aloud."""
    found = []
    for name, row in models.items():
        share = row["coverage"]
        if share["value"] is not None and share["value"] < MIN_COVERAGE:
            found.append(
                f"{title(name)}: the judge understood {100 * share['value']:.1f} % of {share['n']:,} responses, less "
                f"than the {100 * MIN_COVERAGE:g} % needed for its numbers to stand for the model. {OTHER_JUDGES}."
            )
        if row["unknown"]:
            counts = ", ".join(f"{criterion} {count:,}" for criterion, count in row["unknown"].items())
            found.append(f"{title(name)}: responses with a criterion that the judge cannot tell, left out: {counts}.")
        if count := row["with_reasoning"]:
            found.append(
                f"{title(name)}: {count:,} of {row['examples']:,} responses have a reasoning block; what follows it is "
                "judged. The predictions keep the whole response."
            )
    return found


def all_understood(models: dict[str, dict]) -> bool:
    return all(row["coverage"]["value"] in (None, 1) and not row["unknown"] for row in models.values())
