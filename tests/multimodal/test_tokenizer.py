"""The video tokeniser: shapes, locality, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch

from multimodal.errors import FrameError
from multimodal.tokenizer import VideoTokenizer, frames_tensor, to_uint8


@pytest.fixture(scope="module")
def tokenizer() -> VideoTokenizer:
    torch.manual_seed(0)
    return VideoTokenizer(latent_channels=8, width=16, fsq_groups=2).eval()


def random_clip(batch: int, steps: int, size_px: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (batch, steps, size_px, size_px, 3)
    return torch.randint(256, shape, dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("size_px", [64, 128])
def test_a_clip_becomes_one_token_for_each_patch_and_a_clip_again(
    tokenizer: VideoTokenizer, size_px: int
) -> None:
    clip = random_clip(2, 3, size_px)
    latents = tokenizer.encode(clip)
    assert latents.shape == (2, 3, (size_px // 8) ** 2, 8)
    assert tokenizer.decode(latents).shape == clip.shape


def test_a_still_is_a_clip_of_one_frame(tokenizer: VideoTokenizer) -> None:
    clip = random_clip(1, 4, 64)
    whole = tokenizer.encode(clip)
    still = tokenizer.encode(clip[:, 2:3])
    assert torch.allclose(whole[:, 2:3], still, atol=1e-6)


def test_latents_change_only_where_pixels_change(tokenizer: VideoTokenizer) -> None:
    clip = random_clip(1, 1, 64)
    altered = clip.clone()
    altered[0, 0, 20, 44] = 255 - altered[0, 0, 20, 44]
    change = (tokenizer.encode(clip) - tokenizer.encode(altered)).abs().amax(-1)[0, 0]
    assert change.argmax() == 2 * 8 + 5
    assert int((change > 1e-5).sum()) == 1


def test_latents_have_unit_rms(tokenizer: VideoTokenizer) -> None:
    rms = tokenizer.encode(random_clip(2, 2, 64)).square().mean(-1).sqrt()
    assert rms.min() > 0.99
    assert rms.max() < 1.01


def test_the_discrete_exit_gives_codes_that_decode(tokenizer: VideoTokenizer) -> None:
    ids = tokenizer.quantize(tokenizer.encode(random_clip(1, 2, 64)))
    assert ids.shape == (1, 2, 64, 2)
    assert ids.min() >= 0
    assert ids.max() < 7**4
    assert tokenizer.decode(tokenizer.dequantize(ids)).shape == (1, 2, 64, 64, 3)


def test_saving_and_loading_keeps_every_weight(tokenizer: VideoTokenizer, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    again = VideoTokenizer.from_pretrained(tmp_path)
    clip = random_clip(1, 1, 64)
    assert torch.equal(tokenizer.encode(clip), again.encode(clip))


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (np.zeros((1, 1, 3, 64, 64), np.uint8), "channels come first"),
        (np.zeros((1, 1, 64, 64), np.uint8), "(..., H, W, 3)"),
        (np.zeros((1, 1, 60, 64, 3), np.uint8), "multiples of 8"),
        (np.zeros((1, 1, 64, 64, 3), np.int32), "uint8 or float"),
        (np.full((1, 1, 64, 64, 3), 255.0, np.float32), "[0, 1]"),
        (np.full((1, 1, 64, 64, 3), np.nan, np.float32), "finite"),
    ],
)
def test_malformed_frames_are_refused_with_a_reason(
    tokenizer: VideoTokenizer, frames: np.ndarray, said: str
) -> None:
    with pytest.raises(FrameError) as caught:
        tokenizer.encode(frames)
    assert said in str(caught.value)


def test_a_frame_of_another_size_is_refused_by_name_of_both_sizes() -> None:
    with pytest.raises(FrameError, match="64x64 px, got 72x72"):
        frames_tensor(np.zeros((72, 72, 3), np.uint8), 64)


def test_floats_become_bytes_by_rounding_and_clipping() -> None:
    made = to_uint8(torch.tensor([-0.5, 0.0, 0.5, 1.0, 2.0]))
    assert made.tolist() == [0, 0, 128, 255, 255]
