"""What the report shows of judge_audit.json, the file of inference/audit_judge.py."""

from pathlib import Path

from pydantic import BaseModel, FiniteFloat, ValidationError

from clarifyvlm.errors import UserError

# What the natural responses are, for a reader of the report.
WRITTEN_BY = (
    "The constructed responses, like the references, are worded by this project; the natural ones were written and "
    "labeled by language-model agents, all but one of whom had not seen the judge, in nine styles, a fifth of them "
    "(blind) on other examples that nobody looks at while working on a judge."
)
SHOWN = 10  # disagreements and passed canaries of an audit


class Estimate(BaseModel):
    value: FiniteFloat | None
    low: FiniteFloat | None
    high: FiniteFloat | None
    n: int


class Agreement(BaseModel):
    n: int
    accuracy: Estimate | None = None
    kappa: Estimate | None = None
    ac2: Estimate | None = None
    confusion: dict[str, dict[str, int]] = {}


class Fault(BaseModel):
    n: int
    all_right: FiniteFloat


class Canary(BaseModel):
    example_id: str
    text: str


class Canaries(BaseModel):
    tried: int
    failures: int = 0
    passed: list[Canary]


class Effect(BaseModel):
    what: str = ""
    n: int
    failures: int = 0
    flips: dict[str, Estimate] = {}
    reward_shift: Estimate | None = None


class Differs(BaseModel):
    label: str | FiniteFloat | None
    judge: str | FiniteFloat | None


class Disagreement(BaseModel):
    example_id: str
    question: str
    fault: str
    text: str
    differs: dict[str, Differs]


class Wording(BaseModel):
    understood: Estimate
    all_met: Estimate
    used_strategy: Estimate
    grounded: Estimate
    ungrounded_paid: Estimate


class Natural(BaseModel):
    """What auditing/wordings.py found."""

    responses: int
    all: Wording
    styles: dict[str, Wording]
    files: dict[str, Wording]
    criteria: dict[str, Agreement] = {}
    facts_alone: bool = False


class Audit(BaseModel):
    judge: str
    criteria: dict[str, Agreement]
    data: str | None = None
    labels: str | None = None
    responses: int | None = None
    judge_failures: dict[str, int] = {}
    faults: dict[str, Fault] = {}
    natural: Natural | None = None
    canaries: Canaries | None = None
    effects: dict[str, Effect] = {}
    warnings: list[str] = []
    disagreements: list[Disagreement] = []


def read(path: str | Path) -> dict:
    """The parts of a judge_audit.json that the report shows; what an older file lacks is empty or None.

    Of disagreements and passed canaries the first SHOWN, with "disagreements_n" and "passed_n" for how many there are.
    UserError for a file that is no audit.
    """
    try:
        audit = Audit.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        made_by = "`python inference/audit_judge.py` makes it."
        raise UserError(f"--judge_audit {path}: {error.strerror or error}. {made_by}") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise UserError(
            f"--judge_audit {path}: this is no judge_audit.json of inference/audit_judge.py "
            f"({where + ': ' if where else ''}{problem['msg']})."
        ) from None
    content = audit.model_dump() | {"disagreements_n": len(audit.disagreements)}
    content["disagreements"] = content["disagreements"][:SHOWN]
    if audit.canaries:
        content["canaries"] |= {"passed_n": len(audit.canaries.passed), "passed": content["canaries"]["passed"][:SHOWN]}
    return content
