"""Judges: one interface, several judges. GRPO's reward and the report's metrics come from the same call.

    judge = make_judge(JudgeArguments(judge="scene"))
    judge.check()
    verdicts = judge.judge(examples, predictions)  # lists of one length, order kept

A judge that fails on a prediction returns a Verdict with a named `failure` and no criteria; it never raises for one
prediction and never makes up a number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from clarifyvlm import config
from clarifyvlm.config import option
from clarifyvlm.endpoint.arguments import make_endpoint, speed_only, with_flags
from clarifyvlm.errors import UserError
from clarifyvlm.judges.families import family
from clarifyvlm.records import Example, Prediction, Verdict

if TYPE_CHECKING:
    from clarifyvlm.endpoint.usage import Usage


class Judge(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def usage(self) -> "Usage | None":
        """Calls, tokens and cost so far; None where judging costs nothing."""

    @property
    def sees_image(self) -> bool:
        """Known after `check`."""

    def check(self) -> None:
        """Cheap check at start; UserError when the judge cannot work (a server that is down: its URL and model)."""

    def judge(
        self,
        examples: Sequence[Example],
        predictions: Sequence[Prediction],
        on_verdict: Callable[[int, Verdict], None] | None = None,
        deadline_s: float | None = None,
    ) -> list[Verdict]:
        """One verdict per prediction, in order. `on_verdict` gets each with its index as soon as it is there, in any
        order; what it raises ends the call. What has no verdict after `deadline_s` is the failure `timeout`."""


@with_flags("judge")
@dataclass
class JudgeArguments:
    """Which judge, and how to reach it. The same flags in inference/judge.py and tuning_grpo/train.py."""

    judge: Literal["scene", "extract", "openai", "panel"] = option(
        "scene: exact, offline, reads the facts. extract: a language model reads the response, code checks it against "
        "the facts. openai: a model judges by a rubric. panel: several.",
        "scene",
    )
    judge_panel: str | None = option("YAML file of --judge panel: a list `judges` with these flags as keys.", None)
    judge_sees_image: Literal["auto", "yes", "no"] = option(
        "Send the picture beside the facts; auto: if the endpoint takes pictures.", "auto"
    )
    judge_calls: Literal["joint", "per_criterion"] = option(
        "All criteria in one call, or each group of them in its own (four times).", "joint"
    )
    no_judge_cache: bool = option("Ask everything anew, keep nothing.", False)
    if TYPE_CHECKING:  # one of the flags that `with_flags` adds
        judge_model: str | None = None


CHECKED = ("scene", "extract")  # judges by the facts: they need annotations, and a model's taste does not count
SPEED_ONLY = (*speed_only("judge"), "no_judge_cache")  # these change no verdict


def make_judge(args: JudgeArguments, image_root: str | Path | None = None, reverse_criteria: bool = False) -> Judge:
    """The judge that the flags describe. Opens no connection: `judge.check()` does.

    `image_root` is the folder that Example.image is relative to, for judges that see; `reverse_criteria` turns the
    order of an LLM judge's criteria around, for audits.
    """
    if args.judge == "openai":
        return _openai(args, Path(image_root) if image_root else None, reverse_criteria)
    if args.judge == "extract":
        from clarifyvlm.judges.extract import ExtractJudge

        return ExtractJudge(make_endpoint(args, "judge", cache=not args.no_judge_cache))
    if args.judge == "panel":
        from clarifyvlm.judges.panel import PanelJudge

        return PanelJudge([make_judge(member, image_root, reverse_criteria) for member in panel_members(args)])
    from clarifyvlm.judges.scene import SceneJudge

    return SceneJudge()


def panel_members(args: JudgeArguments) -> list[JudgeArguments]:
    """The flags of each member in args.judge_panel. UserError that names the entry that does not fit."""
    if not args.judge_panel:
        raise UserError("--judge panel needs --judge_panel, a YAML file with a list `judges`.")
    content = config.read_yaml(args.judge_panel)
    entries = content.get("judges")
    if set(content) != {"judges"} or not isinstance(entries, list) or len(entries) < 2:
        raise UserError(f"{args.judge_panel}: expected one key, `judges`, with a list of two judges or more.")
    members = []
    for number, entry in enumerate(entries, start=1):
        where = f"{args.judge_panel}, judge {number}"
        if not isinstance(entry, dict) or entry.get("judge") not in ("scene", "extract", "openai"):
            raise UserError(f"{where}: expected keys and values with `judge:` scene, extract or openai.")
        members.append(config.override(args, entry, where))
    return members


def refuse_unannotated(args: JudgeArguments, examples: Sequence[Example], where: str | Path, flag: str = "") -> None:
    """UserError for a judge that reads facts, or a panel with one, where examples of `where` have none. `flag` names
    the judge, where it is not --judge."""
    members = panel_members(args) if args.judge == "panel" else [args]
    unknown = [example.id for example in examples if not example.facts.annotated]
    if unknown and any(member.judge in CHECKED for member in members):
        raise UserError(
            f"{where}: of {len(unknown):,} examples ({unknown[0]}, ...) nothing is known but the question and its "
            f"answers; {flag or f'--judge {args.judge}'} needs facts. Take one that sees the pictures: --judge openai."
        )


def self_preference(args: JudgeArguments, policy: str) -> str | None:
    """A warning where a judge is of the family of `policy`, a checkpoint's path or a model's name: it favors what
    sounds like itself. None where no such judge is known."""
    members = panel_members(args) if args.judge == "panel" else [args]
    names = [member.judge_model for member in members if member.judge == "openai" and member.judge_model]
    related = [name for name in names if family(name) and family(name) == family(policy)]
    if not related:
        return None
    return (
        f"{', '.join(related)} judges {policy}, a model of its own family ({family(policy)}): it may favor what "
        "sounds like itself. Take a judge of another family, or have people label a sample (inference/label.py)."
    )


def _openai(args: JudgeArguments, image_root: Path | None, reverse_criteria: bool) -> Judge:
    from clarifyvlm.judges.openai_api import OpenAIJudge

    return OpenAIJudge(
        make_endpoint(args, "judge", cache=not args.no_judge_cache),
        image_root=image_root,
        sees_image={"auto": None, "yes": True, "no": False}[args.judge_sees_image],
        per_criterion=args.judge_calls == "per_criterion",
        reverse_criteria=reverse_criteria,
    )
