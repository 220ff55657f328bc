"""Truth, learned and their difference side by side, as video and as a contact sheet."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from multimodal.atomic import atomic_path

__all__ = ["VideoFormat", "contact_sheet", "side_by_side_frames", "video_format", "write_video"]

Frames = NDArray[np.uint8]

_BACKGROUND = (17, 20, 26)
_TEXT = (224, 228, 235)
_DIM = (138, 147, 162)
_HEADER_PX = 34
_GAP_PX = 8
_PANEL_PX = 256
_DIFFERENCE_GAIN = 2


class VideoFormat(NamedTuple):
    """A codec that browsers play, and the file it goes into.

    Attributes:
        codec: FFmpeg's name of the encoder.
        container: FFmpeg's name of the file format.
        mime: type for a page.
        options: of the encoder.
    """

    codec: str
    container: str
    mime: str
    options: dict[str, str]


_FORMATS = (
    VideoFormat("libx264", "mp4", "video/mp4", {"crf": "20", "preset": "veryfast"}),
    VideoFormat("libvpx-vp9", "webm", "video/webm", {"crf": "32", "b": "0", "cpu-used": "6"}),
)


def video_format() -> VideoFormat:
    """H.264 where this build of PyAV has it, else VP9; every browser plays both."""
    return next((f for f in _FORMATS if f.codec in av.codecs_available), _FORMATS[-1])


def side_by_side_frames(
    truth: Frames, learned: Frames, step_s: float, steps: Sequence[int]
) -> Iterator[Frames]:
    """Draw truth | learned | difference, with a step counter.

    Args:
        truth: uint8 (T+1, H, W, 3), from step 0 on.
        learned: the same shape.
        step_s: seconds per step.
        steps: which steps to draw.

    Yields:
        uint8 (h, w, 3) with even sides.
    """
    canvas = _empty_canvas()
    for step in steps:
        real, made = truth[step], learned[step]
        change = np.abs(real.astype(np.int16) - made.astype(np.int16)) * _DIFFERENCE_GAIN
        panels = (real, made, np.minimum(change, 255).astype(np.uint8))
        image = canvas.copy()
        for index, panel in enumerate(panels):
            image.paste(_enlarged(panel), (_left(index), _HEADER_PX))
        text = f"step {step} · {step * step_s:.1f} s"
        draw = ImageDraw.Draw(image)
        draw.text((image.width - _GAP_PX, 10), text, _TEXT, _font(15), anchor="ra")
        yield np.asarray(image)


def _empty_canvas() -> Image.Image:
    width = 3 * _PANEL_PX + 4 * _GAP_PX
    canvas = Image.new("RGB", (width, _HEADER_PX + _PANEL_PX + _GAP_PX), _BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for index, label in enumerate(("MuJoCo", "learned", "difference")):
        draw.text((_left(index), 10), label, _DIM, _font(15))
    return canvas


def _left(index: int) -> int:
    return _GAP_PX + index * (_PANEL_PX + _GAP_PX)


def _enlarged(frame: Frames) -> Image.Image:
    return Image.fromarray(frame).resize((_PANEL_PX, _PANEL_PX), Image.Resampling.NEAREST)


@cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def write_video(path: Path, frames: Iterator[Frames], fps: int) -> Path:
    """Encode frames as `video_format` says.

    Args:
        path: file without the right suffix yet; it is replaced.
        frames: uint8 (h, w, 3) each, with even sides.
        fps: frames per second.

    Returns:
        The file written, whole or not at all.

    Raises:
        DiskFullError: the disk is full.
    """
    chosen = video_format()
    target = path.with_suffix(f".{chosen.container}")
    with (
        atomic_path(target) as temporary,
        av.open(
            str(temporary), "w", format=chosen.container, options=_container_options(chosen)
        ) as container,
    ):
        stream: Any = container.add_stream(chosen.codec, rate=Fraction(fps), options=chosen.options)
        stream.pix_fmt = "yuv420p"
        for index, frame in enumerate(frames):
            if index == 0:
                stream.height, stream.width = frame.shape[:2]
                stream.codec_context.thread_count = 2
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return target


def _container_options(chosen: VideoFormat) -> dict[str, str]:
    # The index first, so that a page can play before it has read everything.
    return {"movflags": "+faststart"} if chosen.container == "mp4" else {}


def contact_sheet(
    truth: Frames, learned: Frames, seeds: Sequence[int], steps: Sequence[int], scale: int = 2
) -> bytes:
    """Draw chosen steps of several episodes, truth above learned, as PNG bytes.

    Args:
        truth: uint8 (E, S, H, W, 3), the chosen steps.
        learned: the same shape.
        seeds: of the episodes, for the labels.
        steps: numbers of the chosen steps, for the labels.
        scale: enlargement.
    """
    height, width = (side * scale for side in truth.shape[2:4])
    margin, header, gap = 74, 24, 4
    pair = 2 * height + gap + 10
    sheet = Image.new(
        "RGB", (margin + len(steps) * (width + gap), header + len(seeds) * pair), _BACKGROUND
    )
    draw = ImageDraw.Draw(sheet)
    for column, step in enumerate(steps):
        left = margin + column * (width + gap)
        draw.text((left, 5), f"step {step}", _DIM, _font(13))
        for row in range(len(seeds)):
            top = header + row * pair
            for video, offset in ((truth, 0), (learned, height + gap)):
                tile = Image.fromarray(video[row, column])
                tile = tile.resize((width, height), Image.Resampling.NEAREST)
                sheet.paste(tile, (left, top + offset))
    for row, seed in enumerate(seeds):
        top = header + row * pair
        draw.text((6, top + 4), f"seed {seed}", _TEXT, _font(13))
        draw.text((6, top + 24), "MuJoCo", _DIM, _font(13))
        draw.text((6, top + height + gap + 4), "learned", _DIM, _font(13))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
