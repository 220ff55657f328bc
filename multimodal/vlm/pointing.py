"""Which token of a frame a question is about, as the simulator knows it.

Whoever asks for the colour of the leftmost object has to look at that object. A small language
model finds that out by itself only slowly; so where it is certain, training is told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multimodal.clip_data import slot_at
from multimodal.landmarks import BAR_DETAILS
from multimodal.language import Question, Scene
from multimodal.language.about_objects import EXTREMES
from multimodal.language.scene import SceneObject
from multimodal.language.vocabulary import HALF_VIEW_M
from multimodal.vlm.projector import FrameTokens

__all__ = ["Pointing"]


@dataclass(frozen=True, eq=False)
class Pointing:
    """Where the tokens of a frame are that questions are about.

    Attributes:
        frame: the tokens of a frame.
        things: what was cut out of the frame (K, THING); None where nothing is.
    """

    frame: FrameTokens
    things: NDArray[np.float16] | None

    def at(self, question: Question, scene: Scene) -> int | None:
        """The number of the token among those of the frame; None where it is not certain.

        Args:
            question: of any kind.
            scene: what it shows.
        """
        if question.kind == "chart":
            return self._bar(question, scene)
        if question.kind == "nearest":
            return self._anchor(question, scene)
        if question.kind not in ("colour", "shape"):
            return None
        family = question.template.partition("/")[0]
        if question.kind == "colour":
            found = scene.find(question.answer)
        elif family == "shape.at":
            word = next(each for each in EXTREMES if each in question.text)
            axis, sign = EXTREMES[word]
            found = max(scene.objects, key=lambda thing: sign * (thing.x_m, thing.y_m)[axis])
        else:
            found = next(each for each in scene.objects if f"{each.colour} object" in question.text)
        return None if found is None else self._thing(found)

    def slot(self, thing: SceneObject) -> int | None:
        """Which of the things that were cut out an object is; None where none is there."""
        return None if self.things is None else slot_at(thing.x_m, thing.y_m, self.things)

    def _anchor(self, question: Question, scene: Scene) -> int | None:
        """What something is the nearest to."""
        for thing in scene.objects:
            if thing.name in question.text:
                return self._thing(thing)
        for zone in scene.zones:
            if f"{zone.colour} target" in question.text:
                return self._block((zone.x_m, zone.y_m))
        return self._driven()

    def _bar(self, question: Question, scene: Scene) -> int | None:
        """The bar whose height is asked for, or whose colour is the answer."""
        family = question.template.partition("/")[0]
        if not self.frame.details or family not in ("chart.height", "chart.extreme"):
            return None
        named = question.answer if family == "chart.extreme" else question.text
        number = next(k for k, bar in enumerate(scene.bars) if bar.colour in named.split(" "))
        return self.frame.first_detail + BAR_DETAILS[number]

    def _thing(self, thing: SceneObject) -> int | None:
        slot = self.slot(thing)
        return None if slot is None else self.frame.first_thing + slot

    def _driven(self) -> int | None:
        if self.things is None:
            return None
        driven = np.flatnonzero(self.things[:, -2] > 0.5)
        return self.frame.first_thing + int(driven[0]) if len(driven) == 1 else None

    def _block(self, point_m: tuple[float, float]) -> int:
        rows, columns = self.frame.rows, self.frame.columns
        across = (point_m[0] / HALF_VIEW_M + 1) / 2 * columns
        down = (1 - point_m[1] / HALF_VIEW_M) / 2 * rows
        row, column = int(np.clip(down, 0, rows - 1)), int(np.clip(across, 0, columns - 1))
        return row * columns + column
