"""A report to look at: figures with their intervals, and pictures with what was said of them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from io import BytesIO
from pathlib import Path

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from multimodal.atomic import atomic_write_bytes

__all__ = ["Example", "write_page"]

_SIDE_PX = 192


@dataclass(frozen=True, eq=False)
class Example:
    """Frames uint8 (T, H, W, 3), what was asked of them, the right answer and the one given."""

    frames: NDArray[np.uint8]
    question: str
    right: str
    answer: str


def write_page(
    folder: Path,
    title: str,
    figures: Mapping[str, Mapping[str, float]],
    examples: Sequence[Example],
) -> Path:
    """Write `index.html` with everything inside.

    Args:
        folder: the run's folder.
        title: of the page.
        figures: name to value, low, high and count.
        examples: what to show, wrong answers among them.

    Returns:
        The page's path.
    """
    template = resources.files("worldmodel.evaluation").joinpath("picture_page.html")
    shown = [
        {
            "pictures": [_png(frame) for frame in example.frames],
            "question": example.question,
            "right": example.right,
            "answer": example.answer,
            "well": example.answer == example.right,
        }
        for example in examples
    ]
    page = jinja2.Template(template.read_text(encoding="utf-8"), autoescape=True).render(
        title=title, figures=figures, examples=shown
    )
    atomic_write_bytes(folder / "index.html", page.encode())
    return folder / "index.html"


def _png(frame: NDArray[np.uint8]) -> str:
    image = Image.fromarray(frame)
    scale = max(1, _SIDE_PX // image.width)
    enlarged = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    buffer = BytesIO()
    enlarged.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
