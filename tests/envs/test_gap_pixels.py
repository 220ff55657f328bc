"""Pixel measures."""

import math

import numpy as np
import pytest

from envs.gap.pixels import PSNR_CEILING_DB, physics_iq, psnr_db, ssim
from multimodal.errors import FrameError


@pytest.fixture
def video():
    return np.random.default_rng(0).integers(0, 200, (2, 3, 32, 32, 3), np.uint8)


def test_psnr_is_that_of_the_definition(video):
    made = video + 10
    assert psnr_db(made, video) == pytest.approx(
        np.full((2, 3), 20 * math.log10(255 / 10)), abs=1e-3
    )


def test_equal_frames_count_at_the_ceiling(video):
    assert (psnr_db(video, video) == PSNR_CEILING_DB).all()


def test_each_frame_is_measured_by_itself(video):
    made = video.copy()
    made[1, 2] += 50
    measured = psnr_db(made, video)
    assert (measured < PSNR_CEILING_DB).sum() == 1
    assert measured[1, 2] < 20


def test_ssim_falls_with_structure_not_with_one_grey_level(video):
    noise = np.random.default_rng(1).integers(0, 200, video.shape, np.uint8)
    assert ssim(video + 1, video).min() > 0.99
    assert ssim(noise, video).max() < 0.2


def test_videos_of_other_lengths_or_dtypes_are_refused(video):
    with pytest.raises(FrameError, match="same steps"):
        psnr_db(video[:, :2], video)
    with pytest.raises(FrameError, match="float32"):
        psnr_db(video.astype(np.float32), video)


def test_physics_iq_tells_the_right_motion_from_the_wrong_one():
    first = np.zeros((1, 16, 16, 3), np.uint8)
    truth, wrong = (np.zeros((1, 4, 16, 16, 3), np.uint8) for _ in range(2))
    for step in range(4):
        truth[0, step, 2:5, step : step + 3] = 255
        wrong[0, step, 11:14, step : step + 3] = 255
    assert physics_iq(truth, truth, truth, first)[0] == 100
    assert physics_iq(wrong, truth, truth, first)[0] == 0
