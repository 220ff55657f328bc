"""What one recording is: frames, actions, rewards, state and text, checked when it is made."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal.errors import ActionError, DatasetError, FrameError

__all__ = ["SPLITS", "Episode", "check_frames"]

SPLITS = ("train", "validation", "test")


def check_frames(frames: object) -> None:
    """Check that `frames` is RGB video as uint8 (T,H,W,3).

    Raises:
        FrameError: another type, dtype, number of axes or channel order.
    """
    expected = "expected a numpy uint8 array (T,H,W,3) of RGB frames"
    if not isinstance(frames, np.ndarray):
        raise FrameError(f"frames are a {type(frames).__name__}; {expected}.")
    if frames.dtype != np.uint8:
        hint = "multiply by 255 and round" if frames.dtype.kind == "f" else "convert"
        raise FrameError(f"frames are {frames.dtype}; {expected}: {hint} before passing them.")
    if frames.ndim != 4:
        raise FrameError(f"frames have shape {frames.shape}; {expected}.")
    if frames.shape[3] != 3:
        channels_first = frames.shape[1] == 3
        hint = " They look channels-first: use frames.transpose(0, 2, 3, 1)." * channels_first
        raise FrameError(f"frames have shape {frames.shape}; {expected}.{hint}")
    if min(frames.shape) == 0:
        raise FrameError(f"frames have shape {frames.shape}, which holds no pixels; {expected}.")


@dataclass(frozen=True, eq=False)
class Episode:
    """One recording of T steps, hence T+1 frames.

    Attributes:
        frames: uint8 (T+1,H,W,3), RGB.
        actions: float32 (T,A), finite; `actions[t]` leads from frame t to frame t+1.
        rewards: float32 (T,), finite; `rewards[t]` is the reward of `actions[t]`.
        terminations: bool (T,); true only where the episode ended in a terminal state.
        truncations: bool (T,); true only where it was cut off.
        state: privileged state per frame, name → (T+1,...) numeric array; units ride on the names.
        goal: float32 (G,); G may be 0.
        success: bool (T+1,), whether the goal is reached in each frame.
        instruction: the goal in words; may be empty.
        captions: sentences that describe the first frame.
        seed: the seed the episode was made from.
        split: "train", "validation" or "test".
        extra: whatever else belongs to the recording (speech, question-answer pairs), name → numpy
            array or JSON value.

    Raises:
        FrameError: frames of another type, shape or channel order.
        ActionError: actions of another type or shape, or not finite.
        DatasetError: any other part missing, mismatched or not finite.
    """

    frames: NDArray[np.uint8]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminations: NDArray[np.bool_]
    truncations: NDArray[np.bool_]
    state: Mapping[str, NDArray[Any]]
    goal: NDArray[np.float32]
    success: NDArray[np.bool_]
    instruction: str
    captions: tuple[str, ...]
    seed: int
    split: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_frames(self.frames)
        if len(self.frames) < 2:
            raise FrameError("an episode needs at least two frames and one action.")
        self._check_actions()
        steps = len(self.actions)
        for name, dtype, length in (
            ("rewards", np.float32, steps),
            ("terminations", np.bool_, steps),
            ("truncations", np.bool_, steps),
            ("success", np.bool_, steps + 1),
        ):
            self._check_vector(name, np.dtype(dtype), length)
        self._check_vector("goal", np.dtype(np.float32), None)
        self._check_ends()
        self._check_state()
        self._check_labels()

    def __len__(self) -> int:
        """Number of steps T; there is one frame more."""
        return len(self.actions)

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(H, W, 3)."""
        height, width, channels = self.frames.shape[1:]
        return height, width, channels

    def digest(self) -> str:
        """Fingerprint of the whole content: equal episodes have equal digests on any machine."""
        hasher = hashlib.blake2b(digest_size=16)
        plain = {key: value for key, value in self.extra.items() if not _is_array(value)}
        labels = [self.instruction, list(self.captions), self.seed, self.split, plain]
        hasher.update(json.dumps(labels, sort_keys=True).encode())
        for name, array in sorted(self.arrays().items()):
            hasher.update(json.dumps([name, array.dtype.str, array.shape]).encode())
            hasher.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return hasher.hexdigest()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every array of the episode by its path, such as "frames" or "state/pusher_position_m"."""
        names = ("frames", "actions", "rewards", "terminations", "truncations", "success", "goal")
        arrays: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in names}
        arrays |= {f"state/{name}": array for name, array in self.state.items()}
        arrays |= {f"extra/{name}": value for name, value in self.extra.items() if _is_array(value)}
        return arrays

    def _check_actions(self) -> None:
        actions, steps = self.actions, len(self.frames) - 1
        expected = f"expected a finite numpy float32 array ({steps}, A): one action between frames"
        if not isinstance(actions, np.ndarray) or actions.dtype != np.float32:
            kind = getattr(actions, "dtype", type(actions).__name__)
            raise ActionError(f"actions are {kind}; {expected}.")
        if actions.ndim != 2 or len(actions) != steps or actions.shape[1] == 0:
            raise ActionError(f"actions have shape {actions.shape}; {expected}.")
        if not np.isfinite(actions).all():
            step = int(np.argwhere(~np.isfinite(actions))[0, 0])
            raise ActionError(f"actions[{step}] is {actions[step].tolist()}; {expected}.")

    def _check_vector(self, name: str, dtype: np.dtype[Any], length: int | None) -> None:
        value = getattr(self, name)
        expected = f"expected a finite numpy {dtype} array ({'G' if length is None else length},)"
        if not isinstance(value, np.ndarray) or value.dtype != dtype:
            kind = getattr(value, "dtype", type(value).__name__)
            raise DatasetError(f"{name} is {kind}; {expected}.")
        if value.ndim != 1 or (length is not None and len(value) != length):
            raise DatasetError(f"{name} has shape {value.shape}; {expected}.")
        if not np.isfinite(value).all():
            raise DatasetError(f"{name} is not finite everywhere; {expected}.")

    def _check_ends(self) -> None:
        ended = self.terminations | self.truncations
        if ended[:-1].any():
            step = int(np.argmax(ended))
            raise DatasetError(
                f"the episode ends at step {step} of {len(self)}; cut it there or split it in two."
            )

    def _check_state(self) -> None:
        for name, array in self.state.items():
            if not name or "/" in name:
                raise DatasetError(f"state name {name!r} is empty or holds a slash; rename it.")
            if not _is_array(array) or array.dtype.kind not in "biuf" or array.ndim == 0:
                raise DatasetError(f"state {name!r} is no numeric numpy array; convert it.")
            if len(array) != len(self.frames):
                raise DatasetError(
                    f"state {name!r} has {len(array)} rows for {len(self.frames)} frames; "
                    "record one row per frame."
                )

    def _check_labels(self) -> None:
        if self.split not in SPLITS:
            raise DatasetError(f"split is {self.split!r}; expected one of {', '.join(SPLITS)}.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise DatasetError(f"seed is a {type(self.seed).__name__}; expected an int.")
        if not 0 <= self.seed < 2**63:
            raise DatasetError(f"seed is {self.seed}; expected 0 <= seed < 2**63.")
        captions_are_text = isinstance(self.captions, tuple) and all(
            isinstance(caption, str) for caption in self.captions
        )
        if not isinstance(self.instruction, str) or not captions_are_text:
            raise DatasetError("instruction must be a str and captions a tuple of str.")
        if "\0" in self.instruction or len(self.instruction.encode(errors="replace")) > 32_000:
            raise DatasetError("instruction holds a NUL character or over 32 kB; shorten it.")
        for name, value in self.extra.items():
            if not name or "/" in name:
                raise DatasetError(f"extra name {name!r} is empty or holds a slash; rename it.")
            if not _is_array(value):
                _require_json(name, value)
            elif value.dtype.kind not in "biuf":
                raise DatasetError(f"extra {name!r} holds {value.dtype}; only numbers are stored.")


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray)


def _require_json(name: str, value: object) -> None:
    """Accept only values that come back from JSON as they went in."""
    try:
        same = json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"extra {name!r} is neither an array nor a JSON value: {error}"
        ) from error
    if not same:
        raise DatasetError(
            f"extra {name!r} changes in JSON; use lists, str keys and plain numbers."
        )
