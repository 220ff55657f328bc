"""From an instruction to phrases: what shall be pushed, and where to, step by step.

A grammar of the table's own language, not a language model: what it does with a sentence can be
read here, and nothing in a picture can talk to it. `agents.backends` has language models that fill
in the same steps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from agents.language.words import Word, tagged

__all__ = ["LONGEST", "Parsed", "Phrase", "Wish", "parse"]

LONGEST: Final = 600
_EXAMPLE: Final = 'for example "push the red cube to the green target"'
_THEN: Final = re.compile(
    r"[;.!?\n]+|,?\s*\b(?:and then|and after that|after that|and afterwards|afterwards|then|"
    r"next|finally|lastly|secondly|thirdly|second|third)\b,?"
)


@dataclass(frozen=True)
class Phrase:
    """A thing or a place as it was named.

    Attributes:
        kind: "object", "zone" or "wall".
        colour: its colour, "" when not said.
        noun: the shape of an object, "" when not said.
        side: "left", "right", "top" or "bottom", "" when not said.
        every: whether all such things are meant.
        strange: words before the noun that mean nothing here.
        text: as it was said.
    """

    kind: str
    colour: str = ""
    noun: str = ""
    side: str = ""
    every: bool = False
    strange: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class Wish:
    """One clause: things to one place. What was not said is empty or None."""

    objects: tuple[Phrase, ...]
    place: Phrase | None


@dataclass(frozen=True)
class Parsed:
    """An instruction as wishes in the order in which they shall come true.

    Attributes:
        wishes: what to do.
        stop: whether it says to stop.
        ask: a question back, where it cannot be understood as it stands.
        choices: answers to that question.
        refuse: why it cannot be carried out whatever the table looks like.
    """

    wishes: tuple[Wish, ...] = ()
    stop: bool = False
    ask: str = ""
    choices: tuple[str, ...] = ()
    refuse: str = ""

    @property
    def can_be_seen(self) -> bool:
        """Whether there are tables on which it could be carried out."""
        phrases = [phrase for wish in self.wishes for phrase in wish.objects]
        phrases += [wish.place for wish in self.wishes if wish.place is not None]
        return bool(phrases) and not any(phrase.strange for phrase in phrases)


@dataclass
class _Clause:
    """What is collected of one clause."""

    phrases: list[Phrase] = field(default_factory=list)
    places_at: int = -1
    verb: bool = False


def parse(text: str) -> Parsed:
    """Understand an instruction, without looking.

    Args:
        text: one or several steps in English. Anything is answered: nonsense by a question.
    """
    lowered = re.sub(r"[’`´]", "'", text.lower()).strip()
    words = _words(lowered)
    if not words:
        return Parsed(ask=f"I heard no instruction. What shall I do, {_EXAMPLE}?")
    if len(text) > LONGEST:
        return Parsed(
            ask=f"That is too long for me ({len(text):,} characters, the most is {LONGEST}). "
            "What shall I do first?"
        )
    kinds = [word.kind for word in words]
    if "stop" in kinds and not {"colour", "shape", "zone", "wall"} & set(kinds):
        return Parsed(stop=True)
    if problem := _unfit(words):
        return problem
    wishes: list[Wish] = []
    for clause in _clauses(lowered):
        parts = _and_parts(_words(clause))
        for part, tokens in enumerate(parts):
            answer = _wish(tokens, wishes[-1] if wishes else None)
            if isinstance(answer, Parsed):
                return answer
            if answer is None:
                continue
            if part and (problem := _contradiction(wishes[-1:], answer)):
                return problem
            wishes.append(answer)
    if not wishes:
        return Parsed(ask=f"I did not understand {text.strip()!r}. Say it like this: {_EXAMPLE}.")
    return Parsed(tuple(wishes))


def _words(text: str) -> list[Word]:
    return [tagged(word) for word in re.findall(r"[^\W_]+(?:['-][^\W_]+)*", text)]


def _unfit(words: Sequence[Word]) -> Parsed | None:
    """What can be said of the whole sentence: another language, a ban, an act beyond pushing."""
    kinds = [word.kind for word in words]
    strange = [word.text for word in words if word.kind == "unknown"]
    if len(strange) >= 2 and len(strange) >= 0.4 * len(words):
        return Parsed(
            ask=f"I understand English about this table only, and not {', '.join(strange[:4])!r}. "
            f"What shall I do, {_EXAMPLE}?"
        )
    if "negation" in kinds:
        return Parsed(
            ask="That says what not to do. Which object shall I push, and where to?",
        )
    if "cannot" in kinds:
        verb = next(word.text for word in words if word.kind == "cannot")
        if "verb" not in kinds[: kinds.index("cannot")]:
            return Parsed(refuse=f"I cannot {verb} things, I can only push them about the table.")
    return None


def _clauses(text: str) -> list[str]:
    """Clauses in the order in which they shall be done."""
    ordered: list[str] = []
    for sentence in _THEN.split(text):
        match = re.fullmatch(r"\s*(after|before|once)\b(.+?),(.+)", sentence)
        if match:
            word, one, other = match.groups()
            ordered += [other, one] if word == "before" else [one, other]
            continue
        match = re.fullmatch(r"(.+?)\b(after|before)\b(.+)", sentence)
        if match:
            one, word, other = match.groups()
            ordered += [one, other] if word == "before" else [other, one]
            continue
        ordered.append(sentence)
    return [clause for clause in ordered if clause.strip(" ,")]


def _and_parts(words: list[Word]) -> list[list[Word]]:
    """A clause cut where an "and" joins two wishes rather than two things."""
    parts: list[list[Word]] = [[]]
    for index, word in enumerate(words):
        if word.text == "and" and _begins_wish(words[index + 1 :]) and _has_place(parts[-1]):
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _begins_wish(words: Sequence[Word]) -> bool:
    kinds = [word.kind for word in words]
    named = any(kind in ("shape", "generic", "pronoun", "none") for kind in kinds)
    return "verb" in kinds[:3] or (named and _has_place(words))


def _has_place(words: Sequence[Word]) -> bool:
    return any(word.kind in ("zone", "wall", "side") for word in words)


def _wish(words: Sequence[Word], before: Wish | None) -> Wish | Parsed | None:
    """One clause as a wish; None where it says nothing, a `Parsed` where it cannot be followed."""
    clause = _collected(words)
    objects = [phrase for phrase in clause.phrases if phrase.kind == "object"]
    places = [phrase for phrase in clause.phrases if phrase.kind in ("zone", "wall")]
    again = any(word.kind == "pronoun" for word in words)
    if not objects and before is not None and (again or (places and not clause.verb) or places):
        objects = list(before.objects[-1:])
    if not objects and not places and not again:
        strange = [word.text for word in words if word.kind in ("unknown", "none")]
        if strange and clause.verb:
            return Parsed(refuse=f"I know of no {' '.join(strange)} on this table.")
        if clause.verb or strange:
            return Parsed(ask=f"Which object shall I push, and where to? Say it {_EXAMPLE}.")
        return None
    if 0 <= clause.places_at < len(objects):
        goal = objects[clause.places_at]
        return Parsed(
            refuse=f"I push things to targets and walls, not to {goal.text or 'another thing'}."
        )
    if len({(place.kind, place.colour, place.side) for place in places}) > 1:
        named = [place.text for place in places]
        return Parsed(
            ask=f"It cannot be in two places at once: {' or '.join(named)}?", choices=tuple(named)
        )
    return Wish(tuple(objects), places[0] if places else None)


def _collected(words: Sequence[Word]) -> _Clause:
    """Phrases of a clause: adjectives up to a noun, and whether a place is asked for."""
    clause = _Clause()
    current = Phrase("object")
    said: list[str] = []
    to_place = False

    def close(kind: str, noun: str = "", plural: bool = False) -> None:
        nonlocal current, said
        text = " ".join(["the", *said])
        every = current.every or plural
        clause.phrases.append(replace(current, kind=kind, noun=noun, every=every, text=text))
        if kind == "object" and to_place and clause.places_at < 0:
            count = sum(phrase.kind == "object" for phrase in clause.phrases)
            clause.places_at = count - 1 if count > 1 else -1
        current, said = Phrase("object"), []

    for index, word in enumerate(words):
        following = words[index + 1].kind if index + 1 < len(words) else ""
        if word.kind == "verb":
            clause.verb = True
        elif word.kind == "preposition":
            if current.colour and not to_place:
                close("object")
            to_place = True
        elif word.kind == "colour":
            if current.colour and current.colour != word.value:
                current = replace(current, strange=(*current.strange, word.text))
            current = replace(current, colour=current.colour or word.value)
            said.append(word.text)
        elif word.kind == "side":
            if current.side and current.side != word.value:
                current = replace(current, strange=(*current.strange, word.text))
            current = replace(current, side=current.side or word.value)
            said.append(word.text)
            if to_place and following not in ("wall", "zone", "shape", "generic", "colour", "side"):
                said.append("wall")
                close("wall")
        elif word.kind == "all":
            current = replace(current, every=True)
            if word.text == "everything":
                said.append(word.text)
                close("object")
        elif word.kind in ("shape", "generic"):
            said.append(word.text)
            close("object", word.value if word.kind == "shape" else "", word.plural)
        elif word.kind in ("zone", "wall"):
            said.append(word.text)
            close(word.kind)
        elif word.kind in ("unknown", "none"):
            current = replace(current, strange=(*current.strange, word.text))
            said.append(word.text)
            if following in ("preposition", "") or (to_place and following == ""):
                close("object")
    if current.colour or current.side:
        close("zone" if to_place and current.colour else "wall" if to_place else "object")
    return clause


def _contradiction(before: Sequence[Wish], wish: Wish) -> Parsed | None:
    """Two places for one thing, joined by "and" rather than "then"."""
    for other in before:
        same = {(o.colour, o.noun) for o in other.objects} & {
            (o.colour, o.noun) for o in wish.objects
        }
        if same and other.place and wish.place and _spot(other.place) != _spot(wish.place):
            named = (other.place.text, wish.place.text)
            return Parsed(
                ask=f"It cannot be in two places at once: {named[0]} or {named[1]}?", choices=named
            )
    return None


def _spot(place: Phrase) -> tuple[str, str, str]:
    return place.kind, place.colour, place.side
