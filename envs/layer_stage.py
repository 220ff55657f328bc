"""What the training of layers needs from the Push world: rendered layers, recorded poses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs.layer_data import LayerFrames
from envs.layer_truth import focal_px
from envs.push_scene import (
    CAMERA_HEIGHT_M,
    OBJECT_REST_HEIGHT_M,
    PUSHER_HEIGHT_M,
    SHAPES,
    VIEW_DEGREES,
)
from envs.recording import split_of
from worldmodel.pose_clips import Tracks

__all__ = ["body_tracks", "layer_datasets", "metres_of"]

_BALL: Final = SHAPES.index("ball")


def layer_datasets(size_px: int, rendered: int, validation: int) -> tuple[LayerFrames, LayerFrames]:
    """Freshly rendered frames with their layers, of training and of validation scenes.

    Args:
        size_px: side of the frames.
        rendered: frames to learn from.
        validation: frames to be judged on.
    """
    return (
        LayerFrames.rendered(rendered, _seeds("train"), size_px=size_px),
        LayerFrames.rendered(validation, _seeds("validation"), size_px=size_px),
    )


def body_tracks(state: Mapping[str, NDArray[Any]], size_px: int) -> Tracks:
    """Where the camera sees pusher and objects, from recorded named state.

    A ball looks the same however it rolls, so it never turns.

    Args:
        state: arrays of F frames, as `PushWorld.named_state` names them.
        size_px: side of the frames.
    """
    focal = focal_px(VIEW_DEGREES, size_px)
    pusher = np.asarray(state["pusher_position_m"]) * focal / (CAMERA_HEIGHT_M - PUSHER_HEIGHT_M)
    objects = np.asarray(state["object_position_m"]) * focal
    objects = objects / (CAMERA_HEIGHT_M - OBJECT_REST_HEIGHT_M)
    place = size_px / 2 + np.concatenate([pusher[:, None], objects], 1) * (1, -1)
    yaw = np.where(np.asarray(state["object_shape"]) == _BALL, 0, state["object_yaw_rad"])
    turn = np.concatenate([np.zeros((len(yaw), 1)), yaw], 1)
    here = np.asarray(state["object_present"], bool)
    present = np.concatenate([np.ones((len(here), 1), bool), here], 1)
    driven = np.arange(present.shape[1]) == 0
    return Tracks(np.concatenate([place, turn[..., None]], -1).astype(np.float32), present, driven)


def metres_of(place_px: Tensor, driven: Tensor, size_px: int) -> Tensor:
    """Where on the table a body is whose origin the camera sees at a place: undoes `body_tracks`.

    Args:
        place_px: column and row (..., 2).
        driven: whether it is the pusher, which is a little nearer to the camera, bool (...).
        size_px: side of the frame.

    Returns:
        x and y in metres (..., 2).
    """
    focal = focal_px(VIEW_DEGREES, size_px)
    height_m = torch.where(driven, PUSHER_HEIGHT_M, OBJECT_REST_HEIGHT_M)
    upwards = place_px.new_tensor([1.0, -1.0])
    return (place_px - size_px / 2) * upwards * ((CAMERA_HEIGHT_M - height_m) / focal)[..., None]


def _seeds(split: str) -> Iterator[int]:
    """Seeds of a split, far beyond those of any recording and of the probe's."""
    seed = 2**30
    while True:
        seed -= 1
        if split_of(seed) == split:
            yield seed
