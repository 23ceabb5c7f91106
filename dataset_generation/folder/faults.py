"""Errors of many lines, pictures or rows at once."""

from clarifyvlm.errors import UserError

MAX_LISTED = 10


def listed(problem: str, offenders: list[str], hint: str = "") -> UserError:
    """An error that names the first ten offenders; `problem` says how many there are, `hint` what to do."""
    more = [f"  ... and {len(offenders) - MAX_LISTED} more"] if len(offenders) > MAX_LISTED else []
    lines = [problem, *(f"  {offender}" for offender in offenders[:MAX_LISTED]), *more]
    return UserError("\n".join([*lines, hint] if hint else lines))
