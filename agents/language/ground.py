"""What was said against what is seen: steps, a question, or a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from agents.language.parse import Parsed, Phrase
from agents.language.steps import AtWall, InZone, Step
from agents.protocol import Ask, Refuse, Stop
from agents.seeing import SeenObject, Sighting

__all__ = ["Grounded", "ground"]

Grounded: TypeAlias = tuple[Step, ...] | Ask | Refuse | Stop

# A shape is doubted only where the eyes are rather sure that it is another.
_DOUBT: Final = 0.15
# "The left cube" has to lie this much further left than the next one.
_APART_M: Final = 0.02


def ground(parsed: Parsed, sighting: Sighting) -> Grounded:
    """Find what an instruction names among what is seen.

    Args:
        parsed: from `parse`.
        sighting: of the present frame.

    Returns:
        The steps; or `Ask` where more than one thing or place could be meant, naming them;
        `Refuse` where something is not there; `Stop` where it says so.
    """
    if parsed.stop:
        return Stop("I was told to stop.")
    if parsed.ask:
        return Ask(parsed.ask, parsed.choices)
    if parsed.refuse:
        return Refuse(parsed.refuse)
    steps: list[Step] = []
    for wish in parsed.wishes:
        if not wish.objects:
            names = tuple(f"the {thing.name}" for thing in sighting.objects)
            return Ask(f"Which object shall I push? I see {_listed(names)}.", names)
        things: list[SeenObject] = []
        for phrase in wish.objects:
            found = _things(phrase, sighting)
            if isinstance(found, Ask | Refuse):
                return found
            things += found
        until = _place(wish.place, sighting, things)
        if isinstance(until, Ask | Refuse):
            return until
        steps += [Step.model_validate(_step(thing, until)) for thing in things]
    return tuple(steps)


def _step(thing: SeenObject, until: InZone | AtWall) -> dict[str, object]:
    return {"colour": thing.colour, "shape": thing.shape, "until": until}


def _things(phrase: Phrase, sighting: Sighting) -> list[SeenObject] | Ask | Refuse:
    """The objects that a phrase names."""
    seen = tuple(f"the {thing.name}" for thing in sighting.objects)
    if phrase.strange:
        return _strange(phrase, sighting)
    fitting = [thing for thing in sighting.objects if _fits(phrase, thing)]
    if not fitting:
        other = sighting.object(phrase.colour) if phrase.colour else None
        if other is not None:
            return Refuse(
                f"There is no {phrase.colour} {phrase.noun}: the {phrase.colour} object is a "
                f"{other.shape}."
            )
        return Refuse(f"I see no {_called(phrase)}; I see {_listed(seen)}.")
    if phrase.side and len(fitting) > 1:
        fitting = _furthest(fitting, phrase.side)
    if len(fitting) > 1 and not phrase.every:
        names = tuple(f"the {thing.name}" for thing in fitting)
        return Ask(f"Which one do you mean: {' or '.join(names)}?", names)
    return fitting


def _strange(phrase: Phrase, sighting: Sighting) -> Ask | Refuse:
    """A name with a word in it that means nothing here, or with two colours."""
    seen = tuple(f"the {thing.name}" for thing in sighting.objects)
    fitting = [thing for thing in sighting.objects if phrase.noun and _fits(phrase, thing)]
    if phrase.colour and fitting and not set(phrase.strange) <= _colours():
        return Ask(
            f"I do not know {' '.join(phrase.strange)!r}. Do you mean the {fitting[0].name}?",
            tuple(f"the {thing.name}" for thing in fitting),
        )
    if set(phrase.strange) <= _colours() and phrase.colour:
        both = (phrase.colour, *phrase.strange)
        return Ask(
            f"A thing has one colour, not {' and '.join(both)}. Which one do you mean?", seen
        )
    return Refuse(f"I see no {_called(phrase)}; I see {_listed(seen)}.")


def _colours() -> set[str]:
    from multimodal.language.vocabulary import COLOURS

    return set(COLOURS)


def _fits(phrase: Phrase, thing: SeenObject) -> bool:
    shape = not phrase.noun or thing.shape == phrase.noun or thing.shapes[phrase.noun] > _DOUBT
    return shape and phrase.colour in ("", thing.colour)


def _furthest(things: Sequence[SeenObject], side: str) -> list[SeenObject]:
    """The one furthest to a side, or all where that is not clear."""
    axis, sign = {"left": (0, -1), "right": (0, 1), "top": (1, 1), "bottom": (1, -1)}[side]
    ordered = sorted(things, key=lambda thing: -sign * thing.position_m[axis])
    lead = sign * (ordered[0].position_m[axis] - ordered[1].position_m[axis])
    return ordered[:1] if lead > _APART_M else list(things)


def _place(
    phrase: Phrase | None, sighting: Sighting, things: Sequence[SeenObject]
) -> InZone | AtWall | Ask | Refuse:
    """The place that a phrase names."""
    targets = tuple(f"the {zone.colour} target" for zone in sighting.zones)
    walls = tuple(f"the {wall} wall" for wall in ("left", "right", "top", "bottom"))
    if phrase is None:
        name = things[0].name if len(things) == 1 else "objects"
        choices = (*targets, *walls)
        return Ask(f"Where shall I push the {name}: {' or '.join(choices)}?", choices)
    if phrase.strange:
        if phrase.kind == "wall" and phrase.side:
            return Ask(f"Which wall do you mean: {' or '.join(walls)}?", walls)
        return Refuse(f"I see no {_called(phrase)}; there are {_listed((*targets, *walls))}.")
    if phrase.kind == "wall":
        if phrase.side:
            return AtWall.model_validate({"wall": phrase.side})
        return Ask(f"Which wall do you mean: {' or '.join(walls)}?", walls)
    if phrase.colour:
        if sighting.zone(phrase.colour) is None:
            return Refuse(f"I see no {phrase.colour} target; I see {_listed(targets)}.")
        return InZone.model_validate({"zone": phrase.colour})
    if len(sighting.zones) == 1:
        return InZone.model_validate({"zone": sighting.zones[0].colour})
    if not targets:
        return Refuse("I see no target on this table.")
    return Ask(f"Which target do you mean: {' or '.join(targets)}?", targets)


def _called(phrase: Phrase) -> str:
    return phrase.text.removeprefix("the ") or phrase.noun or "such thing"


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "nothing"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
