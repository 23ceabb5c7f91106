"""Read a response about a scene: free text -> claims, readings that it names, questions that it asks.

`read` splits the text into sentences, finds what is asked of the user (with or without a question mark; a tag
question or a rhetorical one asks nothing), and parses the rest clause by clause: noun phrases with their attributes and
places, "there is ...", "I see no ...", predicates with negation and lists, hidden attributes, and phrases that name
the reading taken ("I take you to mean ..."). It knows words, not facts: judges/finding.py checks what was read.
"""

import re

from clarifyvlm.language.descriptions import STARTS, AskedBack, Description, Response
from clarifyvlm.language.empty import asks_what_is_meant, is_small_talk, is_tautology, strange
from clarifyvlm.language.items import items_of
from clarifyvlm.language.lexicon import Vocabulary
from clarifyvlm.language.normal import CODE, ORDERS, TOKEN, normalize
from clarifyvlm.language.placing import unplaced
from clarifyvlm.language.statements import Statements

MAX_CHARACTERS = 1500  # a longer response is rambling or an attack, not one of the six strategies

_TAG = re.compile(
    r"(?: ,|(?<!the)(?<!far)(?<!upper)(?<!lower)(?<!top)(?<!bottom)(?<!middle)(?<!or)(?<!to)(?<!on)(?<!is)(?<!and))"
    r" (?:right|correct|yes|no|ok|okay)$|(?: ,)? (?:is not it|is it not|are not they|are they not|does it not|"
    r"do not you think|would not you say|is not there|is there not|are not there)$"
)
# A question without its mark.
_UNMARKED = re.compile(
    r"^(?:(?:so|and|but|well|ok|okay|sorry|,|then|first|question|quick|just|loads|of|big|ones|hmm+|h+m|ooh?|uh|um|hi|hello|hey|"
    r"to be sure|to confirm) )*(?:which (?!is|are|was|were|means|makes)|what do you mean|what about|who[s]? |"
    r"whose |do you |did you |"
    r"are you |were you |could you |can you |would you (?!be)|is it |is that |should i |shall i |may i |you "
    r"mean |you on about|"
    r"you talking|(?:what|where) (?:is|are) (?:[a-z]+ ){1,8}you (?:mean|meant|want|need)$)"
)
_RHETORICAL = re.compile(r"^(?:is|are|was|were|does|do) not\b|^(?:is|are) (?:it|they|that|there) not\b")
_ONSET = re.compile(
    r"\b(?:which|what|where|who|whose|how|(?:do|did|could|can|would|will|are) you|(?:should|shall|may|can) i|"
    r"please|tell me|"
    r"is (?:it|the|that|this)|are (?:they|the)|you meant?|(?:would|could|might) (?:that|it|this|the)|(?:was|"
    r"were) (?:it|you))\b"
)
_MEANT = re.compile(r"^((?:the |a |an )?(?!which|what|where|who|do|did)[a-z]+(?: [a-z]+){0,2}) you meant?$")
_CHAT = re.compile(
    r"\b(?:how (?:can|may) i|anything else|(?<!or )(?<!or about )something else|why|does that help|is that "
    r"(?:ok|right|correct|clear)|"
    r"know more|what do "
    r"you think|can i help|need anything|are you sure$|what is (?:this|that|going on)|"
    r"(?:want|like) me to (?:describe (?:the|more|any|all)|list|explain|help|continue|elaborate|tell you more|go on))\b"
)
_REQUEST = re.compile(
    r"(?:^|(?<=, )|(?<=: )|(?<=\bso )|(?<=\band )|(?<=\bbut )|(?<=\bthen ))(?:(?:could|can|would|will) you|"
    r"(?:do|did) you mean|(?:if|once|when|as soon as) you (?:could |can |would )?(?:just )?"
    r"(?:tell me|let me know|specify|clarify|describe|say (?:which|what|where))|"
    r"are you (?:asking|referring|talking)|(?:please |kindly |just )?(?:tell me|let me know|specify|clarify|"
    r"say (?:which|where|what|"
    r"whether|if)|point (?:out|to|it|at)|describe|indicate|choose|pick (?:one|which)|give me|help me|be more|explain|"
    r"elaborate|rephrase|confirm)|please (?!note|see|remember|look|be aware|find|mind)\w+|"
    r"which (?:\w+ ){0,6}(?:do|did|are) you|"
    r"which (?:one|ones|of)\b|what do you mean|where is the (?:\w+ ){0,4}you mean)\b"
)
_NEED = re.compile(
    r"\b(?:(?:need|have|want|like|must|got) (?:to )?(?:know|be told|hear|tell me|say|specify)|(?:not|"
    r"un) ?(?:sure|clear|certain|obvious)|unclear|"
    r"uncertain|(?:do|can|could|would) not (?:know|tell|say|see)|depends on|wonder(?:ing)?|ambiguous)\b"
    r"(?:(?: \w+){0,3}? (?:which|what|who|where|whether|if)\b.*\b(?:you|meant|intended)\b|"
    r"(?: on)? which\b(?! (?:color|size|shape|place))"
    r"(?! is| are)| (?:on )?what you mean)|\b(?:tell me|let me know) (?:which|where)\b|"
    r"\bneed (?:some |a (?:bit|little) )?more (?:information|details?|context|precision|to go on)\b"
)
_HEDGE = re.compile(
    r"\b(?:but|though|maybe|perhaps|probably|possibly|likely|sure|certain|hard|difficult|think|guess|believe|might|may|could)\b"
)
_GUESS = re.compile(r"\b(?:probably|perhaps|likely|guess|i think|believe|my bet|if i had to)\b")
_AGREEMENT = re.compile(r"^(?:yes , )?(?:you are|that is|this is) (?:right|correct|true)$")
# How an assistant begins a sentence that says nothing about the picture ...
_COURTESY = re.compile(
    r"^(?:i (?:hope|went over|took my time|try to be|read slowly|kept looking|did not hurry|am (?:glad|happy|"
    r"sorry|here|always)|"
    r"did my best|have (?:now )?(?:checked|looked|examined|studied|"
    r"thought|read|considered|gone|tried)|(?:looked|checked|tried|examined|appreciate|apologi[sz]e|trust|wish)\b|"
    r"would be (?:glad|happy))|all the best|as always|now then|reading slowly|that is all|(?:best|kind|"
    r"warm) (?:wishes|regards)|cheers|thanks?|thank you|sorry|"
    r"apologies|you are (?:very )?welcome|of course|certainly|sure|absolutely|gladly|hello|hi|dear|no problem|"
    r"here is (?:my|the|an?) (?:answer|reply|response|result)|(?:have|enjoy) (?:an?|the|your) |"
    r"(?:that|this|it) (?:was|is) an? (?:\w+ )?(?:question|one to answer)|(?:good|great|nice|fair) question|"
    r"(?:my|the) (?:answer|reply|response|result) (?:follows|is (?:as follows|below|here))|"
    r"let me (?:know if|look|check|think|see|answer)|please (?:excuse|forgive|bear|let me know if|feel|ask)|feel free|"
    r"do not hesitate|take care|happy to|glad to|if (?:you need|there is anything|anything))\b"
)
# ... unless an item of one of these kinds says something after all ("sorry, I cannot tell its color").
_SAYS = frozenset(("c", "s", "t", "n", "L", "R", "#", "attr", "no", "none", "nothing", "not", "know", "unsure", "hide"))
_TELLS = _SAYS | frozenset(("yes", "nay", "see", "there", "mean", "take", "assume"))
# "When you say 'orange', do you mean ..." says nothing of the picture; no more do offers of further help.
_OF_WORDS = re.compile(r"^(?:by|when you (?:say|write|ask about)|with|saying) [^,]{3,40} , ?$")
_HELP = re.compile(
    r"(?:^| (?:, |but |and |: )+)(?:if you [a-z ]+, )?i (?:can|could|would|will|am)(?: also| be| gladly| "
    r"happily| always)* "
    r"(?:glad|happy|pleased|compare|describe|help|tell you (?:about|more))\b.*$"
)
# Kinds of words with which alone nothing is said of a picture: "that is all from me".
_IDLE = frozenset(("unk", "det", "all", "cop", "prep", "with", "of", "for", "and", "but", "so", "take", "abs", ","))
_CHOOSE = frozenset(("specify", "identify", "name", "indicate", "choose", "pick", "point", "select", "clarify"))
_ENDS = frozenset(".!?;\n")


def read(
    text: str, words: Vocabulary, asked: frozenset[str] = frozenset(), said: frozenset[str] = frozenset()
) -> Response:
    """Everything that `text` claims, names and asks.

    `asked`: the attributes that the question is about, by the names of Description (place is "cells"), "count" or
    "yesno"; `said`: the words of the question; they decide whether "Red?" is a hesitant answer or offers an
    alternative.
    """
    response = Response()
    if len(text) > MAX_CHARACTERS:
        return response
    reader = _Reader(response, words, asked)
    reader.said = said
    reader.verb = next((word for word in ("wearing", "holding", "carrying") if word in said), "")
    for tokens, end in _sentences(text):
        before = len(response.skipped)
        _sentence(reader, tokens, end)
        if not any(kind in _SAYS for kind, _ in items_of(tokens, words)):
            del response.skipped[before:]  # "I went over everything once more": nothing about the picture
    return response


def _sentences(text: str):
    """(tokens, end mark) per sentence. Sentences that hold code or orders to a judge are no prose: left out."""
    for line in text.split("\n"):
        tokens, kept = [], not CODE.search(line)
        for token in TOKEN.findall(normalize(line)):
            if token not in _ENDS:
                tokens.append(token)
                continue
            if tokens and kept and not ORDERS.search(" ".join(tokens)):
                yield tokens, token
            tokens = []
        if tokens and kept and not ORDERS.search(" ".join(tokens)):
            yield tokens, "."


def _sentence(reader: "_Reader", tokens: list[str], end: str) -> None:
    text = " ".join(tokens)
    if len(tokens) > 3 and len(set(tokens)) * 3 <= len(tokens) and _ONSET.match(text):
        return None
    if len({a for a, b in zip(tokens, tokens[1:], strict=False) if a == b and a.isalpha()}) > 2:
        reader.response.empty.append(text)  # "the the star is is red red"
        return None
    if end != "?" and _UNMARKED.search(text):
        end = "?"
    kinds = {kind for kind, _ in items_of(tokens, reader.words)}
    idle = end != "?" and kinds <= _IDLE and not _REQUEST.search(text)
    if idle or _AGREEMENT.search(text) or (end != "?" and _is_courtesy(tokens, reader.words)):
        reader.response.polite = True
        return None
    if end != "?" and is_tautology(text):
        reader.response.empty.append(text)
        return None
    if end != "?" and (helps := _HELP.search(text)):
        text = text[: helps.start()]
        tokens = text.split()
    reader.response.depends |= "depend" in text
    reader.response.guessed |= bool(_GUESS.search(text))
    reader.response.hedged |= bool(_HEDGE.search(text))
    if end == "?":
        if mention := _MEANT.match(text):  # "Star you mean?"
            text = f"you mean {mention.group(1)}"
        tag = _TAG.search(text)
        if tag and tag.start() > 0:
            return reader.statement(text[: tag.start()].split())
        if _RHETORICAL.search(text):
            return reader.rhetorical([t for t in tokens if t != "not"])
        onset = _ONSET.search(text)
        if onset:
            told = _OF_WORDS.sub("", text[: onset.start()]).split()
            if any(kind in _TELLS for kind, _ in items_of(told, reader.words)):
                reader.statement(told)
            if not _CHAT.search(text):
                reader.ask(text[onset.start() :].split())
        elif not _CHAT.search(text):
            reader.elliptic(tokens)
        return None
    if reader.offers(tokens):
        return reader.elliptic(tokens)
    request = _REQUEST.search(text) or _NEED.search(text)
    if not request or len(tokens) == 1:  # the word "clarify" alone asks nothing
        return reader.statement(tokens)
    before, rest = text[: request.start()], text[request.start() :]
    after = ""
    if " : " in rest:  # "It depends on which star: the large one is red ..."
        rest, _, after = rest.partition(" : ")
        if not re.search(r"\b(?:is|are|sits|lies|stands|red|yes|no)\b", after):
            rest, after = f"{rest} : {after}", ""
    if before:
        reader.statement(before.split())
    if not _CHAT.search(rest):
        reader.ask(rest.split(), wonders="depend" in text)
    if after:
        reader.statement(after.split())
    return None


def _is_courtesy(tokens: list[str], words: Vocabulary) -> bool:
    opening = _COURTESY.match(" ".join(tokens))
    if not opening:
        return False
    rest = " ".join(tokens)[opening.end() :].split()  # "I have checked": no pattern of an object
    return not any(kind in _SAYS for kind, _ in items_of(rest, words))


class _Reader(Statements):
    """Parses sentences into its `response`."""

    def ask(self, tokens: list[str], wonders: bool = False, elliptic: bool = False) -> None:
        self.load(tokens)
        ask, i = AskedBack(wonders=wonders, words=tuple(tokens)), 0
        has_or = any(k == "or" for k, _ in self.items)
        means = any(k == "mean" for k, _ in self.items) or tokens[1:2] == ["about"]  # "what about the red one"
        after_which = False
        ask.open = not _CHOOSE.isdisjoint(tokens)
        while i < self.n:
            k, v = self.items[i]
            if k == "rel":
                following = self.kind(i + 1)
                if v == "where":
                    ask.dimensions.add("cells")
                elif v == "how":
                    if following == "s":
                        ask.dimensions.add("size")
                        i += 1
                    elif following == "many":
                        ask.dimensions.add("count")
                        i += 1
                elif v in ("which", "what", "who", "whose") and following != "attr":
                    aux = v == "what" and following == "cop"
                    ask.open = ask.open or v in ("which", "who") or (means and not aux)
                    if aux and not means and self.kind(i + 2) != "attr" and self.kind(i + 3) != "attr":
                        ask.dimensions.add("name")
                    after_which = v in ("which", "whose")
                    i += 1
                    continue
            elif k == "attr":
                ask.dimensions.add("cells" if v == "place" else v)
            elif k == "unk" and after_which and v != "s":  # "whose hat?"
                ask.restrict.append(Description(unknown=v, definite=True))
            elif k in ("pron", "mean", "of", "cop"):
                after_which = after_which and k == "of"
                i += 1
                continue
            elif k in STARTS and (found := self.noun_phrase(i)):
                d, i = found
                plain = not d.given() and not d.unknown
                if after_which or not (has_or or (means and not ask.open)):
                    if not plain or d.number is not None:
                        d.definite = d.definite or after_which
                        ask.restrict.append(d)
                elif not plain or d.other:
                    ask.alternatives += _apart(d)
                after_which = False
                continue
            i += 1
        ask.means = means
        if not _CHOOSE.isdisjoint(tokens) and not ask.restrict and not any(k == "rel" for k, _ in self.items):
            ask.open = False  # "please clarify": what?
        if _is_about_fact(tokens) and not ask.open:  # "Is it red?"
            ask.alternatives += [d for d in ask.restrict if d.one and d not in ask.alternatives]
        ask.elliptic = elliptic
        if self._asks_something(ask):
            self.response.asks.append(ask)
            if ask.means and len(ask.alternatives) == 1 and ask.alternatives[0].definite:
                self.subject = ask.alternatives[0]  # "Do you mean the red star? It is large."
        else:
            self.response.skipped.append(" ".join(tokens))

    def _asks_something(self, ask: AskedBack) -> bool:
        """Whether a question is one about what is meant: not "who drew it?", "are you ready?"."""
        tokens = list(ask.words)
        content = ask.open or ask.dimensions or ask.alternatives or ask.restrict
        if is_small_talk(tokens) or not (content or (asks_what_is_meant(tokens) and not ask.elliptic)):
            return False
        return ask.means or len(ask.alternatives) > 1 or self.said.issuperset(strange(self.items))

    def elliptic(self, tokens: list[str]) -> None:
        """A question without question word: "The large one?" offers a reading, "Red?" answers with a rising voice."""
        self.load(tokens)
        if self.said.issuperset(tokens) and all(k == "unk" for k, _ in self.items):
            return  # "Gred?"
        found = self.noun_phrase(0)
        values = found and found[1] == self.n and set(found[0].given()) & self.asked
        if (values or any(k == "cop" for k, _ in self.items)) and not any(k == "or" for k, _ in self.items):
            self.statement(tokens)
        elif self.items and any(k in STARTS for k, _ in self.items):
            self.echoed = found[0] if found and found[0].name and found[1] == self.n else None
            self.ask(["you", "mean", *tokens], elliptic=True)

    def offers(self, tokens: list[str]) -> bool:
        """ "The left one or the right one", without its question mark: nothing that was asked for."""
        if "or" not in tokens:
            return False
        self.load(tokens)
        i, offered = int(self.kind(0) == "so"), []
        while found := (self.noun_phrase(i) if self.kind(i) in STARTS else None):
            offered.append(found[0])
            i = found[1]
            while self.kind(i) in (",", "or"):
                i += 1
        return (
            i >= self.n and len(offered) > 1 and not any(set(d.given()) & self.asked or not d.given() for d in offered)
        )

    def rhetorical(self, tokens: list[str]) -> None:
        """ "Isn't it red?" (tokens without "not"): read as "it is red"."""
        verb, rest = tokens[0], tokens[1:]
        self.load(rest)
        if rest[:1] == ["there"]:
            return self.statement(["there", verb, *rest[1:]])
        found = self.noun_phrase(0)
        words = 1 if rest[:1] and rest[0] in ("it", "they", "that") else 2
        if found and found[1] < self.n:
            while words < len(rest) and len(items_of(rest[:words], self.words)) < found[1]:
                words += 1
        return self.statement([*rest[:words], verb, *rest[words:]])

    def statement(self, tokens: list[str]) -> None:
        self.load(tokens)
        response, items = self.response, list(self.items)
        self.scope, self.side, self.beside, self.kind_of = None, None, None, None
        self.excused = set()
        before, named = len(response.claims), len(response.named)
        self.parse()
        if self.scope and all(claim.kind == "yesno" for claim in response.claims[before:]):
            self.add("fragment", Description(cells=self.scope, one=True), alone=True)
        told = [item for i, item in enumerate(items) if i not in self.excused]
        response.unplaced += unplaced(told, response.claims[before:], response.named[named:], self.said, self.words)


def _apart(d: Description) -> list[Description]:
    """ "the green or red one" offers two."""
    for attribute, value in d.given().items():
        if isinstance(value, tuple) and attribute in ("color", "pattern", "name"):
            parts = [d.without() for _ in value]
            for part, word in zip(parts, value, strict=True):
                setattr(part, attribute, word)
            return parts
    return [d]


def _is_about_fact(tokens: list[str]) -> bool:
    return tokens[0] in ("is", "are", "would", "could", "was")
