"""Kind: replies of endpoints in shapes of their own. A real client, and a server that speaks as the documentation of
hosted and local servers says; every role that a model behind an endpoint plays."""

import asyncio
import json

import pytest
from PIL import Image

from authoring.calls import Asker, ParsedReply, Prompt
from clarifyvlm import chat, users
from clarifyvlm.endpoint.client import Endpoint
from clarifyvlm.errors import UserError
from clarifyvlm.language.layout import after_reasoning
from clarifyvlm.records import Example, Prediction
from judge_server import GOOD, completion, make
from predicting.endpoint_arguments import EndpointArguments
from predicting.endpoint_generator import EndpointGenerator
from small_examples import star_example

EXAMPLE = Example.model_validate(star_example(0, "a.png", "0"))
RETRIES = 0
RESPONSE = "Which star do you mean? Where is it?"


class Scene(ParsedReply):
    objects: list[str]


def judge(server) -> str:
    (verdict,) = make(server, judge_cache_dir=None, judge_max_retries=RETRIES).judge(
        [EXAMPLE], [Prediction(example_id=EXAMPLE.id, text=RESPONSE)]
    )
    return verdict.failure or json.dumps(GOOD)


def user(server) -> str:
    args = users.UserArguments(user="openai", user_model="m", user_base_url=server.url, user_max_retries=RETRIES)
    return users.make_user(args, 2).replies([users.Asked(EXAMPLE, RESPONSE, 0, "helpful", 1)])[0]


def generator(server, max_new_tokens: int = 64) -> EndpointGenerator:
    args = EndpointArguments(endpoint_base_url=server.url, endpoint_max_retries=RETRIES)
    return EndpointGenerator("m", args, concurrency=2, max_new_tokens=max_new_tokens, temperature=0.0, top_p=1.0)


def model(server) -> str:
    (said,) = generator(server)([chat.user_turn("What color?")], [Image.new("RGB", (32, 32))], seed=0)
    return after_reasoning(said.text)


def author(server) -> str:
    endpoint = Endpoint(server.url, "m", role="author", max_retries=RETRIES)
    found, fault = endpoint.run(Asker().ask(endpoint, Prompt("Name what is there.", {"n": 1}, Scene)))
    return json.dumps(found.model_dump()) if found else fault


ROLES = {  # role -> what its model says, in JSON but for the model that is tested, and what comes of it
    judge: (json.dumps(GOOD), json.dumps(GOOD)),
    user: (json.dumps({"asks": True, "reply": "The tall one."}), "The tall one."),
    model: ("It is a {red} star.", "It is a {red} star."),
    author: (json.dumps({"objects": ["dog", "cup"]}), json.dumps({"objects": ["dog", "cup"]})),
}


def error(status: int, body) -> tuple:
    return status, body if isinstance(body, str) else json.dumps(body), {}


def said_as(message: dict, finish: str = "stop", **more) -> tuple:
    return 200, {"choices": [{"index": 0, "message": message, "finish_reason": finish, **more}], "usage": {}}, {}


def streamed(request: dict, text: str) -> tuple:
    deltas = [{"role": "assistant", "content": ""}, *({"content": text[i : i + 7]} for i in range(0, len(text), 7))]
    chunks = [{"choices": [{"index": 0, "delta": d}]} for d in deltas]
    chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": {}}]
    lines = [": ping\n\n"] + [f"data: {json.dumps(c)}\n\n" for c in chunks] + ["data: [DONE]\n\n"]
    return 200, "".join(lines), {"Content-Type": "text/event-stream"}


def stream_only(request: dict, text: str) -> tuple:
    if request.get("stream"):
        return streamed(request, text)
    return error(400, {"error": {"message": "parameter.enable_thinking must be set to false for non-streaming calls"}})


def no_system(status: int, words: str):
    def reply(request: dict, text: str) -> tuple:
        if any(m["role"] == "system" for m in request["messages"]):
            return error(status, {"error": {"message": words}})
        return completion(text)

    return reply


def unknown(*names: str, words: str = "Unsupported parameter: '{}' is not supported with this model."):
    def reply(request: dict, text: str) -> tuple:
        if name := next((n for n in names if n in request), None):
            return error(400, {"error": {"message": words.format(name), "param": name}})
        return completion(text)

    return reply


def thinks_first(request: dict, text: str) -> tuple:
    if request.get("max_tokens", 99) < 40:
        return error(400, {"error": {"message": "max_tokens must be greater than thinking.budget_tokens"}})
    return completion(text)


def short_context(request: dict, text: str) -> tuple:
    asked = request.get("max_tokens", 0)
    if asked > 40:
        return error(400, f'{{"object": "error", "message": "max_tokens: {asked} > 40, which is the most"}}')
    return completion(text)


THOUGHT = '<think>Is it {a}, or {"used_strategy": "answer"}? {</think>\n'
SHAPES = {
    "parts": lambda r, text: said_as(
        {"content": [{"type": "text", "text": text[:9]}, {"type": "text", "text": text[9:]}]}
    ),
    "parts with a thought": lambda r, text: said_as(
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm {"}]},
                {"type": "text", "text": text},
            ]
        }
    ),
    "a think block with braces": lambda r, text: completion(THOUGHT + text),
    "a think block whose opening tag the template wrote": lambda r, text: completion(
        THOUGHT.removeprefix("<think>") + text
    ),
    "all of it taken for reasoning": lambda r, text: said_as({"content": None, "reasoning": text}),
    "reasoning beside it": lambda r, text: said_as({"content": text, "reasoning_content": "Red {or blue}?"}),
    "a tool call": lambda r, text: said_as(
        {"content": None, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": text}}]},
        "tool_calls",
    ),
    "a stream that nobody asked for": streamed,
    "streams only": stream_only,
    "no system role, a hosted Gemma": no_system(400, "Developer instruction is not enabled for models/gemma-3"),
    "no system role, a chat template": no_system(500, "Jinja Exception: System role not supported"),
    "no JSON schema": unknown("response_format", words="This {} type is unavailable now"),
    "max_completion_tokens, its own temperature": unknown("max_tokens", "temperature"),
    "neither seed nor logprobs nor top_p": unknown(
        "top_p", "logprobs", "seed", words="{}: Extra inputs are not permitted"
    ),
    "one of temperature and top_p": lambda r, text: (
        error(400, {"message": "temperature and top_p cannot both be specified"})
        if {"temperature", "top_p"} <= r.keys()
        else completion(text)
    ),
    "more tokens than the probe's": thinks_first,
    "a short context": short_context,
    "a byte order mark": lambda r, text: (200, "\ufeff" + json.dumps(completion(text)[1]), {}),
    "no counts": lambda r, text: (
        200,
        completion(text)[1] | {"usage": {"prompt_tokens": "9", "completion_tokens": None}},
        {},
    ),
    "null log-probabilities": lambda r, text: said_as(
        {"content": text}, logprobs={"content": [{"token": "It", "logprob": None}, {"token": "x"}]}
    ),
}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.__name__)
@pytest.mark.parametrize("shape", SHAPES)
def test_shape(server, role, shape):
    """Fault: what a model rightly says in another shape counts as no reply, or as an endpoint that does not answer."""
    text, expected = ROLES[role]
    server.reply = lambda request: SHAPES[shape](request, text)
    assert role(server) == expected


def chunks(*said, last: str = "data: [DONE]\n\n") -> tuple:
    parts = [c if isinstance(c, dict) else {"choices": [{"index": 0, "delta": {"content": c}}]} for c in said]
    lines = "".join(f"data: {json.dumps(part, ensure_ascii=False)}\n\n" for part in parts)
    return 200, lines + last, {"Content-Type": "text/event-stream"}


BROKEN = {  # a reply that broke off, under status 200
    "an error in a stream": lambda text: chunks(text[:5], {"error": {"message": "upstream died", "code": 502}}),
    "a stream without end": lambda text: chunks(text[:5], last=""),
    "an error as the reason of its end": lambda text: said_as({"content": text[:5]}, "error"),
    "an error beside it": lambda text: (200, completion(text[:5])[1] | {"error": {"message": "died"}}, {}),
}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.__name__)
@pytest.mark.parametrize("broken", BROKEN)
def test_a_reply_that_broke_off_is_asked_for_again(server, monkeypatch, role, broken):
    """Fault: half a response is taken for all of it, is judged, and is kept for every rerun."""
    text, expected = ROLES[role]
    monkeypatch.setattr("clarifyvlm.endpoint.client.FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(f"{__name__}.RETRIES", 1)
    halves = iter([True])
    server.reply = lambda request: (
        BROKEN[broken](text) if "Say ok." not in json.dumps(request) and next(halves, False) else completion(text)
    )
    assert role(server) == expected
    assert next(halves, None) is None, "none of the replies was broken"


def test_a_line_separator_in_a_stream(server):
    """Fault: U+2028, which JSON need not escape, is taken for the end of a line of the stream."""
    server.reply = lambda request: chunks("It is\u2028red.", "")
    assert model(server) == "It is\u2028red."


@pytest.mark.parametrize("role", [judge, user], ids=lambda role: role.__name__)
@pytest.mark.parametrize("around", ["Here it is:\n```json\n{}\n```\nIn {{short}}, so.", "{}\n{{}}", "So: {} "])
def test_json_between_sentences(server, role, around):
    """Fault: braces in a sentence, or a comma after the last value, and there is no JSON."""
    text, expected = ROLES[role]
    spoilt = text[:-1] + ",\n}"
    server.reply = lambda request: completion(around.replace("{}", spoilt, 1).replace("{{", "{").replace("}}", "}"))
    assert role(server) == expected


def test_a_reply_that_is_all_reasoning_is_said(server, capsys):
    """Fault: a reasoning model whose tokens are spent before it answers has an empty response, and nothing says why."""
    server.reply = lambda r: said_as({"content": None, "reasoning_content": "Let me see ..."}, "length")
    assert model(server) == ""
    assert "--max_new_tokens" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, "Your input was flagged"),
        (403, "<html>Blocked</html>"),
        (400, "prompt triggering the content management policy"),
    ],
)
def test_one_input_is_refused(server, capsys, status, words):
    """Fault: one flagged input ends the run of every role, and every rerun; or it counts as a wrong key."""
    server.reply = lambda r: error(status, {"message": words}) if len(json.dumps(r)) > 300 else completion("ok")
    assert judge(server) == "refused"
    assert model(server) == ""
    assert user(server) == f"I mean {EXAMPLE.ambiguity.readings[0].expression}."
    assert author(server) == "no reply (refused)"
    assert words in capsys.readouterr().err


def test_a_key_that_is_not_allowed_this_ends_the_run(server):
    """Fault: 403 of everything taken for a filter of each input."""
    server.reply = lambda r: error(403, {"error": {"message": "no access to this model"}})
    with pytest.raises(UserError, match="no access to this model.*OPENAI_API_KEY"):
        judge(server)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "the picture is too small"}}, "the picture is too small"),
        ({"detail": [{"loc": ["body"], "msg": "field required: image"}]}, "field required: image"),
        ({"object": "error", "message": "no slot left"}, "no slot left"),
        ({"error": "model 'x' is not loaded"}, "model 'x' is not loaded"),
        (
            {"error": {"message": "Provider returned error", "metadata": {"raw": "quota of Tuesday"}}},
            "quota of Tuesday",
        ),
        ("<html><head><title>t</title></head><body>The gate is shut</body></html>", "The gate is shut"),
        ("half an emoji \\ud83d", "half an emoji"),
    ],
)
def test_the_servers_own_words(server, capsys, body, said):
    """Fault: a failure whose message hides what the server said, so that nobody can mend it."""
    server.reply = lambda r: error(418, body)
    assert judge(server) == "http_418"
    assert said in capsys.readouterr().err
    with pytest.raises(UserError, match=r"418"):
        model(server)


@pytest.mark.parametrize("to", ["https://example.invalid/v1/chat/completions", "/other/v1/chat/completions"])
def test_a_redirect_names_the_new_address(server, to):
    """Fault: a 301 turns the call into a GET, and the message speaks of a method that is not allowed."""
    server.reply = lambda r: (301, "", {"Location": to})
    where = to.removesuffix("/chat/completions") if "example" in to else server.url.replace("/v1", "/other/v1")
    with pytest.raises(UserError, match=f"moved .* to {where}:"):
        model(server)


def test_a_page_is_no_model(server):
    """Fault: an address that answers everything with its web page passes the check at the start."""
    server.reply = lambda r: (200, "<html>Welcome</html>", {"Content-Type": "text/html"})
    with pytest.raises(UserError, match="does not speak OpenAI's chat completions"):
        model(server)


def test_many_at_once_learn_the_same(server, capsys):
    """Fault: calls that left together are lost to what the first one of them finds out, or it is said once for each."""
    text, _ = ROLES[author]
    server.reply = lambda request: SHAPES["max_completion_tokens, its own temperature"](request, text)
    endpoint = Endpoint(server.url, "m", role="author", max_retries=0)

    async def ask(asker):
        return await asyncio.gather(*(asker.ask(endpoint, Prompt("Name it.", {"n": n}, Scene)) for n in range(12)))

    assert all(fault is None for _, fault in endpoint.run(ask(Asker())))
    assert capsys.readouterr().err.count("max_completion_tokens is sent instead") == 1
