"""What is read from a response: Description, Claim, AskedBack, Response."""

from dataclasses import dataclass, field
from typing import Any

from clarifyvlm.language.lexicon import SHAPES

ATTRIBUTES = ("name", "color", "size", "pattern", "cells", "hidden", "relation")


class Description:
    """What a noun phrase says: attributes that are given, the others None. `cells` is a set of places."""

    __slots__ = (
        *ATTRIBUTES,
        "number",
        "at_least",
        "plural",
        "whole",
        "other",
        "one",
        "definite",
        "unknown",
        "attribute",
        "abstract",
        "noun",
        "part",
        "only",
        "most",
        "ordinal",
        "beside",
        "modified",
        "anywhere",
        "total",
        "group",
    )

    def __init__(self, **given):
        self.name = self.color = self.size = self.pattern = self.cells = self.hidden = self.relation = None
        self.number = None  # "three stars", also of a part: "three of the stars"
        self.at_least = False  # "several stars": `number` or more
        self.plural = self.whole = False  # whole: "all", "both"
        self.other = False  # "the other one"
        self.one = False  # stands for a noun said before: "the large one", "it"
        self.definite = False
        self.unknown = None  # a noun that is not in the vocabulary
        self.attribute = None  # "its color": the phrase names a property, not an object
        self.abstract = False  # "a light blue background": nothing that facts know
        self.modified = False  # by a word that nobody knows: "the thick book"
        self.group = None  # "animals", "vehicles": names of a photograph's things
        self.total = None  # "one of the three stars": a Description of the three stars
        self.anywhere = False  # "no star in the picture"
        self.most = False  # "most of the stars"
        self.ordinal = None  # "the second from the left": (2, "left")
        self.only = False  # "the only star"
        self.beside = None  # "all except the star", "every other": a Description of what is left out
        self.part = False  # "two of the stars"
        self.noun = None  # of "the large one": the noun said last, where there was one
        for key, value in given.items():
            setattr(self, key, value)

    def given(self) -> dict:
        return {a: v for a in ATTRIBUTES if (v := getattr(self, a)) is not None}

    def without(self, *attributes: str) -> "Description":
        copy = Description(**{s: getattr(self, s) for s in Description.__slots__})
        for attribute in attributes:
            setattr(
                copy,
                attribute,
                None if attribute in (*ATTRIBUTES, "number", "beside", "ordinal", "total", "group") else False,
            )
        return copy

    def __repr__(self) -> str:
        return f"Description({', '.join(f'{s}={v!r}' for s in self.__slots__ if (v := getattr(self, s)))})"


@dataclass(slots=True)
class Claim:
    """kind: attribute (subject, attribute, value) | exists | deny | fragment (subject) | count (subject, value) |
    yesno (value) | hidden (subject, attribute or None) | is (subject, value: another Description of it) |
    alike (subject, attribute, value: a Description of what has the same).
    A subject of None is what the question is about."""

    kind: str
    subject: Description | None = None
    attribute: str | None = None
    value: Any = None  # of a type that goes by kind and attribute
    negated: bool = False
    possible: bool = False  # "there may be"
    either: bool = False  # one of several joined by "or"
    alone: bool = False  # the whole of a sentence
    aside: bool = False  # follows from a word ("the only star is red": there is one star) and answers nothing


@dataclass(slots=True)
class AskedBack:
    """What the user is asked. `open`: which one; `dimensions`: attributes asked for; `alternatives` offered;
    `restrict`: noun phrases that the question is about."""

    open: bool = False
    dimensions: set[str] = field(default_factory=set)
    alternatives: list[Description] = field(default_factory=list)
    restrict: list[Description] = field(default_factory=list)
    means: bool = False  # "do you mean"
    elliptic: bool = False  # no verb: "The star?"
    wonders: bool = False  # "it depends on which star": asks the user nothing where a list follows
    words: tuple[str, ...] = ()  # as said


@dataclass(slots=True)
class Response:
    claims: list[Claim] = field(default_factory=list)
    named: list[Description] = field(default_factory=list)  # readings named: "I take you to mean ..."
    asks: list[AskedBack] = field(default_factory=list)
    unsure: bool = False  # "I cannot tell"
    guessed: bool = False  # "probably", "my guess is"
    hedged: bool = False  # "but", "maybe", "not sure": goes well with "I cannot tell"
    polite: bool = False  # "you are right", "I hope this helps"
    skipped: list[str] = field(default_factory=list)  # words of statements that no claim was read from
    unplaced: list[str] = field(default_factory=list)  # what words of a picture say in no claim
    empty: list[str] = field(default_factory=list)  # what says nothing: "it is red or not red"
    depends: bool = False  # "it depends on which star": what is joined by "or" is a list, not a doubt


SHAPE_NAMES = frozenset(SHAPES.values())
PARTS = frozenset(("det", "n", "c", "s", "t", "#", "g"))
SLOTS = {"c": "color", "s": "size", "t": "pattern", "L": "cells", "hide": "hidden"}
STARTS = frozenset("det all other many least most only ord prep # n g c s t L hide than pron unk abs".split())
