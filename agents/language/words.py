"""Words an instruction may use, and what they stand for."""

from __future__ import annotations

import difflib
from typing import Final

from multimodal.language.vocabulary import COLOURS, PLURALS, SHAPES, WALLS

__all__ = [
    "ALL",
    "CANNOT",
    "GENERIC",
    "NEGATIONS",
    "NO_SUCH",
    "PREPOSITIONS",
    "PRONOUNS",
    "SMALL",
    "STOP",
    "VERBS",
    "WALL_NOUNS",
    "ZONE_NOUNS",
    "Word",
    "tagged",
]

_SHAPE_WORDS: Final[dict[str, str]] = {
    **{shape: shape for shape in SHAPES},
    **{plural: shape for shape, plural in PLURALS.items()},
    "box": "cube",
    "boxes": "cube",
    "block": "cube",
    "blocks": "cube",
    "square": "cube",
    "sphere": "ball",
    "spheres": "ball",
    "wedge": "triangle",
    "prism": "triangle",
    "plus": "cross",
}
_PLURAL_WORDS: Final = {*PLURALS.values(), "boxes", "blocks", "spheres", "objects", "things"}
_COLOUR_WORDS: Final[dict[str, str]] = {
    **{colour: colour for colour in COLOURS},
    "crimson": "red",
    "violet": "purple",
}
_SIDES: Final[dict[str, str]] = {
    **{wall: wall for wall in WALLS},
    "upper": "top",
    "lower": "bottom",
    "leftmost": "left",
    "rightmost": "right",
    "topmost": "top",
    "bottommost": "bottom",
    "left-hand": "left",
    "right-hand": "right",
    "north": "top",
    "south": "bottom",
    "west": "left",
    "east": "right",
}
ZONE_NOUNS: Final = {"target", "targets", "zone", "zones", "goal", "circle", "disc", "spot", "area"}
WALL_NOUNS: Final = {"wall", "walls", "edge", "side", "border"}
GENERIC: Final = {"one", "ones", "object", "objects", "thing", "things", "piece", "shape"}
PRONOUNS: Final = {"it", "them"}
ALL: Final = {"all", "every", "each", "both", "everything"}
VERBS: Final = {
    "push", "move", "bring", "put", "slide", "get", "take", "shove", "nudge", "place", "drive",
    "carry", "send", "set", "shift", "guide",
}  # fmt: skip
CANNOT: Final = {
    "lift", "pick", "grab", "throw", "rotate", "turn", "spin", "stack", "paint", "break", "eat",
    "remove", "delete", "cut", "destroy", "flip", "kick", "pull", "drop", "hide", "open", "close",
    "dance", "jump", "sing", "fly", "buy", "melt", "burn", "swallow", "weigh",
}  # fmt: skip
NEGATIONS: Final = {"not", "don't", "dont", "never", "without", "avoid", "except", "no"}
STOP: Final = {"stop", "halt", "freeze", "abort", "cancel", "enough"}
PREPOSITIONS: Final = {
    "to", "onto", "on", "into", "in", "against", "towards", "toward", "at", "near", "by", "inside",
    "until",
}  # fmt: skip
SMALL: Final = {
    "the", "a", "an", "that", "this", "please", "now", "over", "up", "first", "then", "and", "of",
    "is", "all", "way", "there", "you", "could", "can", "would", "kindly", "robot", "i", "want",
    "need", "with", "colored", "coloured", "color", "colour", "table", "your", "just", "go",
    "ahead", "along", "across", "right-away", "let", "us", "let's", "lets", "hand", "again", "so",
    "which", "standing", "lying", "be", "touches", "reaches", "it's", "should", "must", "will",
    "okay", "ok", "hey", "out", "from", "off", "down", "back", "me", "for", "my", "these", "those",
    "to", "make", "sure", "straight", "gently", "slowly", "carefully", "quickly", "like", "wish",
    "have",
}  # fmt: skip
# Named so that they are refused as things that are not there, rather than asked about.
NO_SUCH: Final = {
    "pink", "black", "white", "brown", "grey", "gray", "cyan", "magenta", "turquoise", "golden",
    "silver", "pyramid", "cylinder", "cone", "star", "hexagon", "pentagon", "heart", "ring",
    "tube", "diamond", "car", "cup", "dog", "cat", "banana", "apple", "bottle", "book", "phone",
    "chair", "door", "window", "floor", "ceiling", "moon", "shelf", "basket", "bin", "drawer",
    "duck", "spoon", "fork", "plate", "mug", "key", "keys", "toy", "pen",
}  # fmt: skip

_KINDS: Final[tuple[tuple[str, frozenset[str]], ...]] = tuple(
    (kind, frozenset(words))
    for kind, words in (
        ("colour", set(_COLOUR_WORDS)),
        ("shape", set(_SHAPE_WORDS)),
        ("zone", ZONE_NOUNS),
        ("wall", WALL_NOUNS),
        ("side", set(_SIDES)),
        ("generic", GENERIC),
        ("pronoun", PRONOUNS),
        ("all", ALL),
        ("verb", VERBS),
        ("cannot", CANNOT),
        ("negation", NEGATIONS),
        ("stop", STOP),
        ("preposition", PREPOSITIONS),
        ("small", SMALL),
        ("none", NO_SUCH),
    )
)
_FUZZY: Final = ("colour", "shape", "zone", "wall", "verb", "side")
_CLOSE: Final = 0.8


class Word(tuple[str, str, str]):
    """A word as `kind, value, text`: what sort it is, what it stands for, and as it was said."""

    __slots__ = ()

    @property
    def kind(self) -> str:
        """Sort of word, "unknown" where it is in no list."""
        return self[0]

    @property
    def value(self) -> str:
        """What it stands for: "cube" for "box"."""
        return self[1]

    @property
    def text(self) -> str:
        """As it was said."""
        return self[2]

    @property
    def plural(self) -> bool:
        """Whether several things are meant."""
        return self.text in _PLURAL_WORDS


def tagged(text: str) -> Word:
    """What a lower-case word is; a misspelling counts as the word that it is closest to."""
    for kind, words in _KINDS:
        if text in words:
            return Word((kind, _value(kind, text), text))
    stem = _verb_stem(text)
    if stem:
        return Word((stem[0], stem[1], text))
    known = {word: kind for kind, words in _KINDS if kind in _FUZZY for word in words}
    close = difflib.get_close_matches(text, known, n=1, cutoff=_CLOSE) if len(text) > 2 else []
    if close:
        kind = known[close[0]]
        return Word((kind, _value(kind, close[0]), close[0]))
    return Word(("unknown", text, text))


def _value(kind: str, text: str) -> str:
    table = {"colour": _COLOUR_WORDS, "shape": _SHAPE_WORDS, "side": _SIDES}.get(kind, {})
    return table.get(text, text)


def _verb_stem(text: str) -> tuple[str, str] | None:
    """Pushed, pushes, pushing: a verb all the same."""
    for ending in ("ing", "ed", "es", "s", "d"):
        stem = text.removesuffix(ending)
        for kind, words in (("verb", VERBS), ("cannot", CANNOT)):
            for candidate in (stem, f"{stem}e", stem[:-1]):
                if stem != text and candidate in words:
                    return kind, candidate
    return None
