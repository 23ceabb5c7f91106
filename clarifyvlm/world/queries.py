"""What a question asks, apart from its words: a kind ("color") and a referring expression ("the red star").

A `Query` is evaluated against facts: which objects fit, and what the answer is for each. The generator, the base's
pretraining and the tests share it; the words come from `clarifyvlm/world/phrasings.yaml`.
"""

from dataclasses import dataclass

from clarifyvlm.records import Facts, Object
from clarifyvlm.world.places import SIDES, at

KINDS = ("color", "shape", "size", "position", "count", "existence")
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
VAGUE_SIZES = {"large": "big", "small": "small"}  # what a person says

# A misspelling -> the words it could be. Each is one slip (a key, a letter more or less, two words run together)
# away from all of them.
MISSPELLINGS = {
    "gred": ("green", "red"),
    "bluple": ("blue", "purple"),
    "yorange": ("yellow", "orange"),
    "pirple": ("pink", "purple"),
    "bluown": ("blue", "brown"),
    "greblue": ("green", "blue"),
    "stare": ("star", "square"),
    "squircle": ("square", "circle"),
    "trircle": ("triangle", "circle"),
    "striangle": ("star", "triangle"),
}


@dataclass(frozen=True)
class Query:
    """`kind` of what is asked, and the expression: every given attribute must fit. `word` is a misspelling."""

    kind: str
    name: str | None = None
    color: str | None = None
    size: str | None = None
    side: str | None = None
    place: str | None = None
    word: str | None = None
    # What it is set beside: "is there a red object further to the left", "the same color as the circle"
    other_name: str | None = None
    other_color: str | None = None
    direction: str | None = None

    @property
    def form(self) -> str:
        """Where the expression may get several readings from: an ambiguity type, or `place` (one cell, one object)."""
        if self.kind == "attribute":
            return "attribute"
        if self.word:
            return "lexical"
        if self.side:
            return "spatial"
        if self.place:
            return "place"
        return "vague" if self.size and not (self.name or self.color) else "referential"

    def fits(self, o: Object) -> bool:
        """Whether `o` visibly is what the expression says. What is hidden does not fit."""
        if self.word and not (o.name in MISSPELLINGS[self.word] or o.color in MISSPELLINGS[self.word]):
            return False
        return (
            self.name in (None, o.name)
            and self.color in (None, o.color)
            and self.size in (None, o.size)
            and self.place in (None, o.place)
            and (self.side is None or o.place in SIDES[self.side])
        )

    def matches(self, facts: Facts) -> list[Object]:
        return [o for o in facts.objects if self.fits(o)]

    def noun_phrase(self, plural: bool = False) -> str:
        """ "red star", "big objects", "object on the left", "gred object": without an article."""
        words = [VAGUE_SIZES[self.size]] if self.size else []
        noun = self.name or "object"
        if self.word:
            if self.misspells == "name":
                noun = self.word
            else:
                words.append(self.word)
        if self.color:
            words.append(self.color)
        words.append(noun + (("es" if noun.endswith(("s", "x")) else "s") if plural else ""))
        if self.side or self.place:
            words.append(at(self.side or self.place))
        return " ".join(words)

    @property
    def misspells(self) -> str:
        """The attribute that the misspelt word stands for: "color" or "name"."""
        from clarifyvlm.world.scenes import COLORS

        return "color" if MISSPELLINGS[self.word][0] in COLORS else "name"

    def answer_for(self, o: Object) -> str | None:
        """The answer if `o` is meant; None where the picture hides it. Not for count and existence."""
        attribute = {"color": "color", "shape": "name", "size": "size", "position": "place"}[self.kind]
        return None if attribute in o.hidden else getattr(o, attribute)

    def answer_over(self, facts: Facts) -> str | None:
        """The answer to a count or existence question; None where a hidden attribute could change it."""
        fitting = len(self.matches(facts))
        uncertain = sum(self.could_fit(o) for o in facts.objects)
        if self.kind == "existence":
            return "yes" if fitting else None if uncertain else "no"
        return None if uncertain else NUMBERS[fitting]

    def could_fit(self, o: Object) -> bool:
        """Whether `o` does not visibly fit, but would if its hidden attributes were right."""
        if not o.hidden or self.fits(o):
            return False
        return Query(
            self.kind,
            None if "name" in o.hidden else self.name,
            None if "color" in o.hidden else self.color,
            self.size,
            self.side,
            self.place,
            None if self.word and self.misspells in o.hidden else self.word,
        ).fits(o)
