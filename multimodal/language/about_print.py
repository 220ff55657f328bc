"""Questions about what is printed on the table: the text of a sign, the bars of a chart."""

from __future__ import annotations

from typing import Final

import numpy as np

from multimodal.language.phrasing import Family
from multimodal.language.question import NO, YES, YES_NO, Question
from multimodal.language.scene import Bar, Scene
from multimodal.language.vocabulary import COLOURS, GLYPHS, Split

__all__ = ["COVER_M", "MOST_BARS", "TALLEST_BAR", "chart", "reading"]

MOST_BARS: Final = 5
TALLEST_BAR: Final = 5
"""Bars are 1 to 5 marks of the axis high."""
COVER_M: Final = 0.045
"""Print is asked about only while nothing stands so close to it that it may cover some."""

_ORDINALS = ("first", "second", "third", "fourth")
_HEIGHTS = tuple(str(height) for height in range(1, TALLEST_BAR + 1))
_BAR_COUNTS = tuple(str(number) for number in range(2, MOST_BARS + 1))

_SIGN = Family(
    "reading.sign",
    (
        "What does the sign say?",
        "What is written on the sign?",
        "Read the sign.",
        "Which text is on the sign?",
        "What can you read on the sign?",
        "Tell me what the sign says.",
        "What stands on the sign?",
        "What is the text of the sign?",
        "There is a sign on the table. What does it say?",
        "What text can be read on the sign?",
        "Tell me the text of the sign.",
        "Look at the sign. What does it say?",
        "Look at the sign. What is written on it?",
        "Read to me what the sign says.",
        "What text stands on the sign?",
        "Read what is written on the sign.",
        "There is a sign. Tell me what it says.",
        "The sign says what?",
        "Which text does the sign show?",
        "Read the text on the sign.",
        "Look at the sign. Read it.",
        "Read it to me: what does the sign say?",
        "The table has a sign. Read it to me.",
        "Can you read the sign?",
        "Read to me what is written on the sign.",
        "There is a sign. Read what stands on it.",
        "Name the text of the sign.",
        "Say what the sign says.",
        "You see a sign. Read all of it.",
        "Tell me what is written on the sign.",
        "There is a sign on the table. Read it.",
    ),
)
_SYMBOL = Family(
    "reading.symbol",
    (
        "What is the {nth} character on the sign?",
        "Which character comes {nth} on the sign?",
        "Read the {nth} character of the sign.",
        "What is the {nth} character of the text?",
        "Which is the {nth} character on the sign?",
        "Tell me the {nth} character on the sign.",
        "Look at the sign. What is its {nth} character?",
        "What character stands {nth} on the sign?",
        "Name the {nth} character of the sign.",
        "The sign has which {nth} character?",
        "Look at the sign. What is the {nth} character?",
        "Which character is {nth} on the sign?",
        "What stands {nth} on the sign?",
        "Read the {nth} character.",
        "Tell me the {nth} character of the text.",
        "Which character of the sign is {nth}?",
        "Say which character comes {nth}.",
        "What comes {nth} on the sign?",
        "Look at the text of the sign. Which character is {nth}?",
        "There is a sign. Read its {nth} character.",
        "Tell me what the {nth} character is.",
        "Can you read the {nth} character of the sign?",
        "Name what stands {nth} on the sign.",
        "Tell me which character comes {nth} on the sign.",
        "Look at the sign. Read its {nth} character.",
    ),
)
_WHICH_BAR = Family(
    "chart.extreme",
    (
        "Which bar is {extreme}?",
        "What colour is the {extreme} bar?",
        "Which bar of the chart is {extreme}?",
        "What is the colour of the {extreme} bar?",
        "Name the colour of the {extreme} bar.",
        "Tell me which bar is {extreme}.",
        "Look at the chart. Which bar is {extreme}?",
        "Of which colour is the {extreme} bar?",
        "The {extreme} bar of the chart has which colour?",
        "Which of the bars is {extreme}?",
        "Say which colour the {extreme} bar has.",
        "The chart has bars. Which is {extreme}?",
        "There is a chart. Name its {extreme} bar.",
        "Look at the bars. Which is {extreme}?",
        "Tell me the colour of the {extreme} bar.",
        "Look at the chart. What is the colour of its {extreme} bar?",
        "Can you tell which bar is {extreme}?",
        "What colour does the {extreme} bar have?",
        "Tell me what the colour of the {extreme} bar is.",
        "Tell me what colour the {extreme} bar is.",
        "Look at the chart. What colour is the {extreme} bar?",
    ),
)
_BARS = Family(
    "chart.bars",
    (
        "How many bars are there?",
        "How many bars does the chart have?",
        "Count the bars.",
        "What is the number of bars?",
        "How many bars are in the chart?",
        "How many bars can you see?",
        "Tell me how many bars there are.",
        "Count the bars of the chart.",
        "How many bars does the chart show?",
        "Look at the chart. How many bars are there?",
        "Say how many bars the chart has.",
        "There is a chart. How many bars does it have?",
        "Tell me the number of bars.",
        "Look at the bars. How many are there?",
        "Can you count the bars?",
        "What is the total number of bars?",
        "Tell me how many bars the chart has.",
        "Look at the chart. Count the bars.",
    ),
)
_HEIGHT = Family(
    "chart.height",
    (
        "How high is the {colour} bar?",
        "What is the height of the {colour} bar?",
        "How tall is the {colour} bar?",
        "Which height does the {colour} bar have?",
        "What is the value of the {colour} bar?",
        "Tell me the height of the {colour} bar.",
        "Look at the chart. How high is the {colour} bar?",
        "Which value does the {colour} bar have?",
        "Read the value of the {colour} bar.",
        "The {colour} bar has which height?",
        "Say how high the {colour} bar is.",
        "There is a chart. How high is its {colour} bar?",
        "Tell me how high the {colour} bar is.",
        "Look at the {colour} bar. How high is it?",
        "Can you tell how tall the {colour} bar is?",
        "What value does the {colour} bar have?",
        "Tell me which value the {colour} bar has.",
        "Tell me the value of the {colour} bar.",
        "Look at the chart. What is the height of the {colour} bar?",
    ),
)
_COMPARE = Family(
    "chart.compare",
    (
        "Is the {a} bar {relation} than the {b} bar?",
        "Is the {a} bar of the chart {relation} than the {b} one?",
        "Look at the chart. Is the {a} bar {relation} than the {b} bar?",
        "Is it true that the {a} bar is {relation} than the {b} bar?",
        "Would you say that the {a} bar is {relation} than the {b} bar?",
        "Compare the {a} bar with the {b} bar. Is it {relation}?",
        "Do you see that the {a} bar is {relation} than the {b} bar?",
        "The {a} bar is {relation} than the {b} bar. Is that true?",
        "Compared with the {b} bar, is the {a} bar {relation}?",
        "Tell me whether the {a} bar is {relation} than the {b} bar.",
        "Look at the bars. Is the {a} one {relation} than the {b} one?",
        "Tell me: is the {a} bar {relation} than the {b} bar?",
        "Say whether the {a} bar is {relation} than the {b} bar.",
        "There is a chart. Is its {a} bar {relation} than its {b} bar?",
        "Look at the {a} bar. Is it {relation} than the {b} bar?",
        "Look at the chart. Is it true that the {a} bar is {relation} than the {b} one?",
        "Compared with the {b} bar of the chart, is the {a} one {relation}?",
    ),
)


def reading(scene: Scene, rng: np.random.Generator, split: Split) -> Question | None:
    """The text of the sign, or one character of it."""
    if not scene.text or _covered(scene, scene.sign_box_m):
        return None
    if rng.random() < 0.6:
        text, template = _SIGN.draw(rng, split)
        return Question("reading", text, scene.text, (), 1, template)
    place = int(rng.integers(len(scene.text)))
    text, template = _SYMBOL.draw(rng, split, nth=_ORDINALS[place])
    return Question("reading", text, scene.text[place], tuple(GLYPHS), 1, template)


def chart(scene: Scene, rng: np.random.Generator, split: Split) -> Question | None:
    """Tallest or lowest bar, how many bars, a bar's height, or two bars compared."""
    if not scene.bars or _covered(scene, scene.chart_box_m):
        return None
    patterns = (_which_bar, _how_many_bars, _how_high, _compared)
    return patterns[int(rng.integers(len(patterns)))](scene.bars, rng, split)


def _which_bar(bars: tuple[Bar, ...], rng: np.random.Generator, split: Split) -> Question | None:
    extreme, sign = (("tallest", 1), ("lowest", -1))[int(rng.integers(2))]
    heights = [sign * bar.height for bar in bars]
    if len(bars) < 2 or heights.count(max(heights)) > 1:
        return None
    answer = bars[heights.index(max(heights))].colour
    text, template = _WHICH_BAR.draw(rng, split, extreme=extreme)
    return Question("chart", text, answer, COLOURS, 1, template)


def _how_many_bars(bars: tuple[Bar, ...], rng: np.random.Generator, split: Split) -> Question:
    text, template = _BARS.draw(rng, split)
    return Question("chart", text, str(len(bars)), _BAR_COUNTS, 1, template)


def _how_high(bars: tuple[Bar, ...], rng: np.random.Generator, split: Split) -> Question:
    bar = bars[int(rng.integers(len(bars)))]
    text, template = _HEIGHT.draw(rng, split, colour=bar.colour)
    return Question("chart", text, str(bar.height), _HEIGHTS, 1, template)


def _compared(bars: tuple[Bar, ...], rng: np.random.Generator, split: Split) -> Question | None:
    first, second = (bars[index] for index in rng.choice(len(bars), 2, replace=False))
    if first.height == second.height:
        return None
    asked = ("taller", "lower")[int(rng.integers(2))]
    right = (first.height > second.height) == (asked == "taller")
    text, template = _COMPARE.draw(rng, split, a=first.colour, b=second.colour, relation=asked)
    return Question("chart", text, YES if right else NO, YES_NO, 1, template)


def _covered(scene: Scene, box_m: tuple[float, float, float, float]) -> bool:
    """Whether the pusher or an object stands on the box or close by."""
    left, bottom, right, top = box_m
    standing = [(thing.x_m, thing.y_m) for thing in scene.objects] + [scene.pusher_m]
    return any(
        left - COVER_M < x_m < right + COVER_M and bottom - COVER_M < y_m < top + COVER_M
        for x_m, y_m in standing
    )
