"""Text of the world without a simulator: scenes drawn at random, and everything said of them.

A text tokeniser is trained on it, and a language model learns from it how the world is spoken of.
The sentences are true of the scenes they were made from; nobody needs to see those.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from multimodal.errors import ConfigError
from multimodal.language.about_print import MOST_BARS, TALLEST_BAR
from multimodal.language.asking import KINDS, ask, caption
from multimodal.language.captions import prompt, scene_prompt
from multimodal.language.instructions import INSTRUCTION_PHRASES, instruction
from multimodal.language.phrasing import HELD_OUT
from multimodal.language.question import CLIP_FRAMES, Question
from multimodal.language.scene import Bar, Scene, SceneObject, Zone
from multimodal.language.vocabulary import (
    COLOURS,
    GLYPHS,
    SHAPES,
    TABLE_HALF_M,
    TRAINING_COMBINATIONS,
    WALLS,
    Split,
)

__all__ = ["random_questions", "random_scene", "sentences"]

_REACH_M = TABLE_HALF_M - 0.04
_MOST_OBJECTS = 4


def random_scene(rng: np.random.Generator, *, split: Split = "train", print_: bool = True) -> Scene:
    """A scene with one to four objects anywhere on the table, half of them with sign and chart.

    Args:
        rng: source of randomness.
        split: "train" shows no held-out combination.
        print_: False never has a sign or a chart.
    """
    number = int(rng.integers(1, _MOST_OBJECTS + 1))
    shapes = {
        colour: [s for s in SHAPES if split != "train" or (colour, s) in TRAINING_COMBINATIONS]
        for colour in COLOURS
    }
    objects = tuple(
        SceneObject(colour, str(rng.choice(shapes[colour])), *_point(rng))
        for colour in (str(each) for each in rng.permutation(COLOURS)[:number])
    )
    zones = tuple(Zone(str(colour), *_point(rng)) for colour in rng.permutation(COLOURS)[:2])
    scene = Scene(objects, zones, _point(rng))
    if not print_ or rng.random() < 0.5:
        return scene
    text = "".join(str(glyph) for glyph in rng.choice(list(GLYPHS), int(rng.integers(2, 5))))
    bars = tuple(
        Bar(str(colour), int(rng.integers(1, TALLEST_BAR + 1)))
        for colour in rng.permutation(COLOURS)[: int(rng.integers(2, MOST_BARS + 1))]
    )
    # Far outside, so that nothing stands on them: a text needs no room on the table.
    outside_m = (9.0, 9.0, 9.1, 9.1)
    return Scene(objects, zones, scene.pusher_m, text, bars, outside_m, outside_m)


def random_questions(
    rng: np.random.Generator, *, split: Split = "train"
) -> Iterator[tuple[Scene, Question]]:
    """Questions of every kind about one random scene that moves, with the scene they end in."""
    before = random_scene(rng, split=split)
    path = [before]
    for _ in range(CLIP_FRAMES + 3):
        path.append(_pushed(path[-1], rng))
    clip, future = path[:CLIP_FRAMES], path[CLIP_FRAMES:]
    for kind in KINDS:
        question = ask(kind, clip, rng, split=split, future=future)
        if question is not None:
            yield clip[-1], question


def sentences(count: int, *, seed: int = 0, split: Split = "train") -> Iterator[str]:
    """Captions, prompts, instructions, and questions with their answers ("question answer").

    Args:
        count: how many.
        seed: the same seed gives the same sentences.
        split: which paraphrases and combinations.

    Raises:
        ConfigError: `count` is negative.
    """
    if count < 0:
        raise ConfigError(f"count is {count}; expected 0 or more.")
    rng = np.random.default_rng([seed, 2])
    made = 0
    while made < count:
        for sentence in _said(rng, split):
            if made == count:
                return
            made += 1
            yield sentence


def _said(rng: np.random.Generator, split: Split) -> Iterator[str]:
    """Everything said of one random scene."""
    scene = random_scene(rng, split=split)
    for complete in (True, False):
        if (spoken := caption(scene, rng, split=split, complete=complete)) is not None:
            yield spoken.text
    yield scene_prompt(scene, rng, split=split)
    thing = scene.objects[0]
    yield prompt(thing.colour, thing.shape)
    zone, wall = str(rng.choice(COLOURS)), str(rng.choice(WALLS))
    to_zone = rng.random() < 0.5
    low = INSTRUCTION_PHRASES - HELD_OUT if split == "held_out" else 0
    high = INSTRUCTION_PHRASES - HELD_OUT if split == "train" else INSTRUCTION_PHRASES
    yield instruction(
        thing.colour,
        thing.shape,
        zone=zone if to_zone else None,
        wall=None if to_zone else wall,
        phrase=int(rng.integers(low, high)),
    )
    for _, question in random_questions(rng, split=split):
        yield f"{question.text} {question.answer}"


def _point(rng: np.random.Generator) -> tuple[float, float]:
    x_m, y_m = rng.uniform(-_REACH_M, _REACH_M, 2)
    return float(x_m), float(y_m)


def _pushed(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene a step later: its first object and the pusher went on."""
    first, *rest = scene.objects
    dx_m, dy_m = rng.uniform(0.005, 0.02, 2)
    moved = SceneObject(first.colour, first.shape, first.x_m + dx_m, first.y_m - dy_m)
    pusher_m = (scene.pusher_m[0] + dx_m, scene.pusher_m[1] - dy_m)
    return Scene(
        (moved, *rest),
        scene.zones,
        pusher_m,
        scene.text,
        scene.bars,
        scene.sign_box_m,
        scene.chart_box_m,
    )
