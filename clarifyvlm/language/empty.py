"""What says nothing: statements that exclude no value, and questions that are not about what is meant."""

import re

_TAUTOLOGY = re.compile(
    # "it is red or not red", "possibly red, possibly not"
    r"\b(?:or|possibly|maybe|perhaps) (?:(?:it|they) (?:is|are) )?not(?: (?!there|here|visible|shown|present|in)\w+)?$"
    # "red or something else", "red, or it could be anything"
    r"|\bor (?:it (?:is|could|may|might) (?:be )?(?:called )?)?(?:something|anything|some other|any other)\b"
    # "if the star is red, then it is red"
    r"|\bif (?:\w+ ){1,4}?is (?:not )?(\w+) (?:, )?(?:then )?(?:, )?(?:then )?(?:it|that) is (?:not )?\1\b"
    # "it is red if it is red", "the star looks the way the star looks"
    r"|\bis (\w+) if (?:it|that|the \w+) is \2\b|\b(the \w+|it) (?:is|looks|has|does)\b.* \3 (?:is|looks|has|does)$"
    # "it has the color that a thing of that color would have"
    r"|\b(?:has|shows) (?:exactly |just )?the (\w+) that .*\b(?:has|have|shows?)$"
    # "it has the color shown in the picture"
    r"|\b(?:has|is) (?:exactly |just )?the \w+ (?:shown|seen|visible|depicted) in the (?:picture|image)$"
    # "the heart is itself", "the heart you mean is the heart you ask about"
    r"|\b(?:is|are) (?:it|them)sel(?:f|ves)$"
    r"|\b(?:is|are) the \w+ (?:that )?you (?:are asking|asked|ask) about$"
    # "it has a color"
    r"|\b(?:has|have) (?:an?|its|their) (?:visible |certain |clear |definite |own )?"
    r"(?:color|shape|size|place|position|pattern)$"
    # "the same color as itself", "it is not red unless it is"
    r"|\bas (?:it|them)sel(?:f|ves)\b|\bunless (?:it|they) (?:is|are)\b|\bthe (?:wrong|correct) one$"
    r"|\bis the right one$|^(?:[a-z ]+: )?the right one$"
)
# ... but not where it says what cannot be told, and why.
_UNSURE = re.compile(r"\b(?:whether|(?:can|could|do|does) not|say|tell|know|determine|blur\w*|wrap\w*|hidden)\b")

# Words of a question that ask somebody what they mean, or what to do ...
_ASKING = frozenset(
    "describe specify clarify narrow rephrase elaborate explain point detail details context information "
    "specific precise more identify name indicate choose pick select mean meant refer referring talking "
    "interested intend intended mind which whose".split()
)
# ... and words that a question about the picture may have beside those of the vocabulary.
_AROUND = frozenset(
    "first start begin starting compare comparing include check focus want wanted wants need look search help "
    "locate hear write type spell spelled typed wrote supposed thinking curious before care further confirm "
    "let be exact clear we hand saying perhaps using use somewhere someone by does call interest interests "
    "yours".split()
)
_PLAIN = _ASKING | _AROUND
# What a user likes, thinks or wants of life is not what they mean.
_SMALL_TALK = re.compile(
    r"\byou (?:like|love|prefer|suppose|think|guess|enjoy|wish|rather)\b(?! (?:me|to|us)\b)|\bfavou?rites?\b"
    r"|\b(?:like|love) (?:it |them )?(?:best|most|more|better)\b|\bwhich of (?:us|you)\b|^who$"
    r"|\bwould you (?:rather|prefer|wish)\b|\bwho (?:wants|are you|am i|cares)\b"
    r"|\b(?:now|sooner) or (?:a little |a bit )?later\b|\bhow to spell\b"
    r"|\bhave you ever\b|\bbe without\b|\bis (?:it|that) (?:all right|ok|okay|fine)\b"
)


def is_tautology(text: str) -> bool:
    """ "It is red or not red": a sentence (normalized) that is true of every picture."""
    return bool(_TAUTOLOGY.search(text)) and not _UNSURE.search(text)


def is_small_talk(tokens: list[str]) -> bool:
    """ "Which one do you like best?", "Who?" """
    return bool(_SMALL_TALK.search(" ".join(tokens)))


def asks_what_is_meant(tokens: list[str]) -> bool:
    """ "Could you be more specific?": a question without a word of the picture in it that asks for one nevertheless."""
    return not _ASKING.isdisjoint(tokens)


def strange(items: list[tuple]) -> list[str]:
    """The words that nobody needs to speak of a picture: "which star would you *hang* on your *wall*?" """
    nouns = ("n", "g")  # of "a gaudy star", the star is what counts
    odd = [i for i, (kind, word) in enumerate(items) if kind == "unk" and word not in _PLAIN]
    odd = [i for i in odd if not i or items[i - 1] not in (("rel", "which"), ("rel", "whose"))]  # "whose hat?"
    return [items[i][1] for i in odd if i + 1 == len(items) or items[i + 1][0] not in nouns]
