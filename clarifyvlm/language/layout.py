"""What stands around a response's words: reasoning blocks, answer tags, Markdown, JSON. Out comes plain prose."""

import json
import re

# <think>, <|begin_of_thought|>, ◁think▷ ... The opening tag may be lacking: chat templates put it into the prompt.
_BLOCK = r"(?:think(?:ing)?|thoughts?|reasoning|reflection|analysis|scratchpad|begin_of_thought)"
_REASONING = re.compile(rf"[<◁]\|?{_BLOCK}\|?[>▷].*?[<◁]\|?(?:/|end_of_){_BLOCK[:-1]}|thought)\|?[>▷]", re.S | re.I)
_CLOSED = re.compile(rf"^.*[<◁]\|?(?:/|end_of_){_BLOCK[:-1]}|thought)\|?[>▷]", re.S | re.I)
_OPEN = re.compile(rf"[<◁]\|?{_BLOCK}\|?[>▷].*$", re.S | re.I)
_ANSWER_TAG = re.compile(
    r"<\|?(?:final_?)?(?:answer|response)\|?>(.*?)(?:<\|?/(?:final_?)?(?:answer|response)\|?>|$)", re.S | re.I
)
_TAG = re.compile(r"</?[a-z_|]{1,24}\|?/?>", re.I)
_FENCE = re.compile(r"```\w*")
_MATH = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_BOXED = re.compile(r"\\f?boxed\s*\{([^{}]*)\}")
_MARKER = re.compile(
    r"(?:^|\n|(?<=[.!?]) )[\s>#*_]*(?:(?:the |my )?(?:final |short )?(?:answer|conclusion|verdict)"
    r"|in (?:short|conclusion)|conclusion|so the answer is|therefore)[*_]*\s*(?::|→|=>|\n)[*_]*\s*",
    re.I,
)
_BULLET = re.compile(r"^\s*(?:[-*•‣▪·+–—]\s+|\(?\d{1,2}[.)]\s+|\(?[a-h][.)]\s+|#{1,6}\s*|>\s*)")
_RULE = re.compile(r"^\s*\|?[\s:|=-]*-{2,}[\s:|=-]*$")
_EMPHASIS = re.compile(r"[*`]{1,3}|(?<!\w)_{1,2}(?=\S)|(?<=\S)_{1,2}(?!\w)")
_ARROW = re.compile(r"\s*(?:→|⇒|->|=>|⟶|➜)\s*")
_KEYED = re.compile(r"^([\w*\x27 ]{1,40}) [–—-] (?=[^–—]+$)")  # "* center – circle"
_PAIRED = re.compile(r"\b(\w+(?: \w+)?) [–—-] (\w+)(?=[,;.]|$)")  # "circle – large, square – small"
# Boxes and points in numbers, smileys.
_BOXES = re.compile(
    r"<(box|bbox|quad|point|loc)[^>]*>.*?</\1>|<(?:loc_?)?\d+>|[\[(]{1,2}\s*\d+(?:\.\d+)?(?:\s*,\s*\d+(?:\.\d+)?)+\s*[\])]{1,2}"
    r"|<3|[:;]-?[)(DP](?!\w)",
    re.S,
)
# What none of the rest is looked for without.
_LAID_OUT = re.compile(
    r"[<{\[*_`#|\\\n◁$→⇒⟶➜=]|->|^\W*[-–—+•]|^\(?\w{1,2}[.)]\s|[:;]-?[)(DP]|(?:answer|conclusion|verdict|short|therefore)\W{0,3}:",
    re.I,
)
_LATEX = re.compile(r"\$|\\(?:quad|,|;|\(|\)|\[|\])")
# Keys of a JSON answer: those that hold it, and those that are no part of it.
_HOLDS = ("final_answer", "answer", "answers", "response", "result", "output", "message", "text", "clarifying_question",
          "clarification", "question_to_user", "follow_up", "follow_up_question")  # fmt: skip
_NAMES = ("interpretation", "reading", "assumption", "assumed", "target", "referent", "object", "subject", "meaning",
          "interpreted_as", "assumed_object", "target_object", "resolved_to", "selected")  # fmt: skip
_SAYS = (*_NAMES, "note", "reason", "because", "explanation",
         "comment", "evidence", "details", "error", "warning")  # fmt: skip
_IS_THERE = ("exists", "exist", "found", "present", "exists_in_image", "in_image", "detected", "object_found")
_PROPERTIES = (("size",), ("pattern",), ("color", "colour"), ("shape", "name", "type"),
               ("position", "location", "place"))  # fmt: skip
_AXES = (("row", "vertical", "y"), ("column", "horizontal", "x", "col"))
_LEAVES = ("confidence", "score", "probability", "status", "type", "id", "reasoning", "thought", "thoughts", "thinking",
           "question", "query", "certainty", "image",
           "strategy", "used_strategy", "strategy_right", "grounded", "answer_right", "overconfident", "over_asked",
           "complete",
           "question_value", "verdict", "grade", "criteria", "rating", "label")  # fmt: skip


def after_reasoning(text: str) -> str:
    """The response without its reasoning blocks; "" where a block is not closed and nothing stands before it."""
    text = _REASONING.sub(" ", text)
    text = _CLOSED.sub("", text)
    return _OPEN.sub("", text).strip()


def plain(text: str) -> tuple[str, str]:
    """(what is said before the answer, the answer) as prose, a line for each item of a list; where no mark such as
    `Answer:` or \\boxed{} tells the answer, all of it is the answer."""
    if not _LAID_OUT.search(text):
        return "", text
    text = after_reasoning(text)
    if tagged := _ANSWER_TAG.findall(text):
        text = tagged[-1] if tagged[-1].strip() else ""
    if (content := _json(text)) is not None:
        return content
    text = _LATEX.sub(" ", _MATH.sub(r"\1", _BOXES.sub(" ", text)))
    boxed = _BOXED.findall(text)
    text = _TAG.sub(" ", _FENCE.sub("", _BOXED.sub(r"\1", text)))
    before = ""
    if marks := list(_MARKER.finditer(text)):
        before, text = text[: marks[-1].start()], text[marks[-1].end() :]
    elif boxed and text.rstrip(" .\n").endswith(boxed[-1].strip()):
        head = text.rstrip(" .\n")[: -len(boxed[-1].strip())]
        line = max(head.rfind("\n"), *(head.rfind(mark + " ") for mark in ".!?"))
        if not head[line + 1 :].strip(" *_:"):  # a sentence that ends in it stays whole
            before, text = head, boxed[-1]
    return _lines(before), _lines(text)


def _lines(text: str) -> str:
    """Without bullets, emphasis, headings and tables."""
    lines, header = [], None
    raw = text.split("\n")
    for number, line in enumerate(raw):
        if _RULE.match(line):
            continue
        if line.count("|") >= 2 or (line.count("|") == 1 and header):
            cells = [cell.strip(" *_`") for cell in line.strip().strip("|").split("|")]
            if number + 1 < len(raw) and _RULE.match(raw[number + 1]):
                header = cells
                continue
            lines.append(_row(cells, header))
            continue
        header = None
        bullet = _BULLET.match(line)
        line = _ARROW.sub(": ", _KEYED.sub(r"\1: ", line[bullet.end() :]) if bullet else line)
        if len(_PAIRED.findall(line)) > 1:
            line = _PAIRED.sub(r"\1: \2", line)
        lines.append(_EMPHASIS.sub("", line))
    return "\n".join(line for line in lines if line.strip())


def _row(cells: list[str], header: list[str] | None) -> str:
    """ "| star | top left | red |" as "star, top left: red"."""
    cells = [cell for cell in cells if cell and not cell.isdigit() and cell not in ("-", "—", "–")]
    return f"{', '.join(cells[:-1])}: {cells[-1]}" if len(cells) > 1 else "".join(cells)


_VERDICT = re.compile(r"strategy|_claims?$|criteri|verdict|^grade|^score|^grounded|states_")


def _json(text: str) -> tuple[str, str] | None:
    """(what is said beside the answer, the answer) of a JSON response; None where it is none."""
    body = _FENCE.sub("", text).strip()
    if not (body.startswith(("{", "[")) and body.endswith(("}", "]"))):
        return None
    try:
        content = json.loads(body)
    except ValueError:
        try:
            content = json.loads(body.replace("'", '"'))
        except ValueError:
            return None
    if not isinstance(content, dict):
        return "", _spoken(content)
    low = {str(key).lower(): value for key, value in content.items()}
    if any(_VERDICT.search(key) for key in low):
        return None  # {"used_strategy": "clarify", "states_answer": true} speaks to a judge
    kind = str(low.get("action", low.get("type", ""))).lower()
    unclear = any(low.get(key) is True for key in ("ambiguous", "is_ambiguous", "needs_clarification", "unclear"))
    if low.get("question") and (unclear or re.search("ask|clarif", kind)):
        return "", _spoken(low["question"])  # {"action": "ask_user", "question": "Which star?"}
    beside = [_spoken(low[key]) for key in low if key in _SAYS and low[key]]
    held = [_spoken(low[key]) for key in low if key in _HOLDS and low[key] not in (None, "", [], {})]
    if held:
        named = [f"I take you to mean {_spoken(low[k])}" for k in _NAMES if low.get(k)]
        said = [_spoken(low[k]) for k in low if k in _SAYS and k not in _NAMES and low[k]]
        return "\n".join(said), "\n".join([*named, *held])
    if any(key in low for key in _HOLDS):  # {"answer": null, "reason": ...}
        return "", "\n".join(beside)
    if any(low.get(key) is False for key in _IS_THERE):  # {"exists": false}
        return "", "\n".join(beside) or "There is none."
    if described := _described(low):
        return "", described
    rest = {key: value for key, value in content.items() if str(key).lower() not in (*_LEAVES, *_SAYS)}
    return "", "\n".join([*beside, _spoken(rest)] if rest else beside)


def _described(low: dict) -> str | None:
    """{"shape": "heart", "color": "pink", "location": "center"} as "pink heart in the center"."""
    down, across = (next((low[key] for key in keys if key in low), "") for keys in _AXES)
    if isinstance(down, str) and isinstance(across, str) and down and across and len(low) == 2:
        return f"{down} {across}"  # {"row": "top", "column": "left"}
    parts = [next((low[key] for key in keys if key in low), "") for keys in _PROPERTIES]
    texts = all(isinstance(value, str) and len(value.split()) < 4 for value in low.values())
    if not texts or not parts[-1] or sum(map(bool, parts)) < 2 or len(low) > sum(map(bool, parts)):
        return None
    return " ".join(part for part in (*parts[:-2], parts[-2] or "object") if part) + f" at the {parts[-1]}"


def _spoken(value, name: str = "") -> str:
    """A JSON value in words: {"star": "red"} as "star: red"."""
    if isinstance(value, dict):
        return "\n".join(_spoken(part, f"{name} {_words(key)}".strip()) for key, part in value.items())
    if isinstance(value, list):
        if value and all(isinstance(part, dict) for part in value):
            rows = [[_words(cell) for key, cell in part.items() if str(key).lower() not in _LEAVES] for part in value]
            return "\n".join(_row(row, None) for row in rows)
        return ("\n" if name else ", ").join(_spoken(part, name) for part in value)
    if value is None or isinstance(value, bool):  # 1 is no "yes"
        words = {True: "yes", False: "no", None: ""}[value]
    else:
        words = _words(value)
    return f"{name}: {words}" if name and words else words


def _words(value) -> str:
    return str(value).replace("_", " ").strip()
