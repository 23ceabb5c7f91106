"""A model for the extract judge that says what a test wrote: response -> what was read in it."""

import re

from clarifyvlm.judges import JudgeArguments, extract_schema, make_judge
from judge_server import Server, completion


def scripted(server: Server, readings: dict[str, dict]) -> None:
    """From now on `server` says of each response what `readings` has for it, in the arguments of extract_schema.reply.
    A list is said one after another, the last one for ever."""
    times: dict[str, int] = {}

    def reply(request):
        text = response_in(request)
        said = readings[text]
        if isinstance(said, list):
            times[text] = times.get(text, -1) + 1
            said = said[min(times[text], len(said) - 1)]
        return completion(extract_schema.reply(**said))

    server.reply = reply


def response_in(request: dict) -> str:
    """The response that a request asks about; of a repair, that of its first question; "" of a preflight call."""
    found = re.search(r"<(\w+)>\n(.*)\n</\1>", request["messages"][:2][-1]["content"], re.DOTALL)
    return found[2] if found else ""


def make_extract(server: Server, **changes):
    """An extract judge at `server`, without retries."""
    options = {"judge_timeout_s": 5.0, "judge_max_retries": 0} | changes
    return make_judge(JudgeArguments(judge="extract", judge_base_url=server.url, judge_model="m", **options))
