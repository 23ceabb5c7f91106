"""Judges: one interface, several judges. GRPO's reward and the report's metrics come from the same call.

    judge = make_judge(JudgeArguments(judge="scene"))
    verdicts = judge.judge(examples, predictions)             # lists of one length, order kept
    verdicts = await judge.judge_async(examples, predictions) # the same inside a running event loop

A judge that fails on a prediction returns a Verdict with a named `failure` and no criteria; it never raises for one
prediction and never makes up a number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from clarifyvlm.errors import UserError
from clarifyvlm.records import Example, Prediction, Verdict

if TYPE_CHECKING:
    from clarifyvlm.judges.limits import Usage


class Judge(Protocol):
    name: str
    usage: "Usage | None"  # calls, tokens and cost so far; None where judging costs nothing

    def check(self) -> None:
        """Cheap check at start; UserError when the judge cannot work (a server that is down: its URL and model)."""

    def judge(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[Verdict]: ...

    async def judge_async(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[Verdict]: ...


@dataclass
class JudgeArguments:
    """Which judge, and how to reach it. The same flags in inference/judge.py and tuning_grpo/train.py."""

    judge: Literal["scene", "openai"] = field(
        default="scene",
        metadata={"help": "scene: exact, offline, reads the facts. openai: any OpenAI-compatible endpoint."},
    )
    judge_base_url: str | None = field(
        default=None,
        metadata={"help": "Endpoint of --judge openai, e.g. http://localhost:8000/v1. Else OPENAI_BASE_URL."},
    )
    judge_model: str | None = field(default=None, metadata={"help": "Model name at that endpoint."})
    judge_timeout_s: float = field(default=60.0, metadata={"help": "Deadline of one call with its retries, seconds."})
    judge_max_retries: int = field(default=3, metadata={"help": "Retries on 408/409/429/5xx and lost connections."})
    judge_concurrency: int = field(default=16, metadata={"help": "Calls in flight at once, over all processes."})
    judge_max_tokens: int = field(default=1024, metadata={"help": "Longest verdict, tokens."})
    judge_max_calls: int | None = field(
        default=None, metadata={"help": "Stop, with everything kept, at so many calls."}
    )
    judge_budget_usd: float | None = field(default=None, metadata={"help": "Stop likewise at this cost; needs prices."})
    judge_input_price: float = field(default=0.0, metadata={"help": "USD per million tokens sent."})
    judge_output_price: float = field(default=0.0, metadata={"help": "USD per million tokens received."})
    judge_cache_dir: str | None = field(
        default=None, metadata={"help": "Folder of the replies kept; unset: ~/.cache/clarifyvlm."}
    )
    no_judge_cache: bool = field(default=False, metadata={"help": "Ask everything anew, keep nothing."})


# How fast, how patiently and for how much the judge is asked changes no verdict: a rerun may change these.
SPEED_ONLY = (
    "judge_timeout_s",
    "judge_max_retries",
    "judge_concurrency",
    "judge_max_calls",
    "judge_budget_usd",
    "judge_input_price",
    "judge_output_price",
    "judge_cache_dir",
    "no_judge_cache",
)


def make_judge(args: JudgeArguments) -> Judge:
    """The judge that the flags describe. Opens no connection: `judge.check()` does.

    The openai judge reads its key from OPENAI_API_KEY; a local server needs none.
    """
    if args.judge == "openai":
        from clarifyvlm.judges.cache import ReplyCache, default_folder
        from clarifyvlm.judges.limits import Usage
        from clarifyvlm.judges.openai_api import OpenAIJudge

        if args.judge_budget_usd is not None and not (args.judge_input_price or args.judge_output_price):
            raise UserError("--judge_budget_usd needs --judge_input_price and --judge_output_price (USD per million).")
        return OpenAIJudge(
            base_url=args.judge_base_url,
            model=args.judge_model,
            timeout_s=args.judge_timeout_s,
            max_retries=args.judge_max_retries,
            concurrency=args.judge_concurrency,
            max_tokens=args.judge_max_tokens,
            cache=None if args.no_judge_cache else ReplyCache(args.judge_cache_dir or default_folder()),
            usage=Usage(args.judge_max_calls, args.judge_budget_usd, args.judge_input_price, args.judge_output_price),
        )
    from clarifyvlm.judges.scene import SceneJudge

    return SceneJudge()
