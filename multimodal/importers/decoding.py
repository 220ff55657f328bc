"""Video files as arrays of square RGB frames."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from multimodal.errors import DatasetError

__all__ = ["decode_video", "square"]


def decode_video(
    path: Path, size_px: int | None, start_s: float = 0.0, count: int | None = None
) -> NDArray[np.uint8]:
    """Decode a video, or a stretch of it.

    Args:
        path: any file FFmpeg reads.
        size_px: side of the frames, cut square from the middle and scaled; None leaves them alone.
        start_s: time of the first frame, in seconds.
        count: how many frames; all that follow when None.

    Returns:
        uint8 (F,H,W,3), RGB.

    Raises:
        DatasetError: the file is missing, is no video, or has fewer frames than asked for.
    """
    frames: list[NDArray[np.uint8]] = []
    try:
        for frame in _decoded(path, start_s):
            if len(frames) == count:
                break
            frames.append(frame if size_px is None else square(frame, size_px))
    except (av.FFmpegError, OSError, IndexError) as error:
        raise DatasetError(
            f"{path} cannot be decoded ({error}); replace the file or take it out of the folder."
        ) from error
    if not frames or (count is not None and len(frames) < count):
        raise DatasetError(
            f"{path} has {len(frames)} frames from {start_s:.3f} s on, {count or 'some'} were "
            "expected; the video is cut short or does not belong to its data."
        )
    return np.stack(frames)


def square(frame: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """Cut the largest square from the middle of a frame (H,W,3) and scale it to `size_px`."""
    height, width, _ = frame.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = frame[top : top + side, left : left + side]
    if side == size_px:
        return np.ascontiguousarray(cut)
    scaled = Image.fromarray(cut).resize((size_px, size_px), Image.Resampling.BILINEAR)
    return np.asarray(scaled, np.uint8)


def _decoded(path: Path, start_s: float) -> Iterator[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        # Half a frame early, because times in files are rounded.
        first_s = start_s - 0.5 / float(stream.average_rate or 30)
        if start_s > 0 and stream.time_base is not None:
            container.seek(int(first_s / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            if frame.time is None or frame.time >= first_s:
                yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
