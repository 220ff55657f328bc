"""Patches: exact counts at any size, and learned positions that stretch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal.errors import ConfigError, FrameError
from multimodal.patches import PatchEmbedding, patch_grid


@pytest.fixture(scope="module")
def embed():
    torch.manual_seed(0)
    return PatchEmbedding(width=8)


@pytest.mark.parametrize(("side", "tokens"), [(224, 196), (1024, 4096), (16, 1)])
def test_an_image_has_exactly_so_many_tokens(embed, side, tokens):
    assert embed(torch.zeros(1, side, side, 3, dtype=torch.uint8)).shape == (1, tokens, 8)


@pytest.mark.parametrize(("side", "tokens"), [(224, 196), (1024, 4096)])
def test_early_convolutions_leave_the_counts_as_they_are(side, tokens):
    assert PatchEmbedding(8, early=3)(torch.zeros(1, side, side, 3)).shape == (1, tokens, 8)


@given(st.integers(1, 12), st.integers(1, 12))
@settings(max_examples=15, deadline=None)
def test_any_whole_number_of_patches_works(rows, columns):
    torch.manual_seed(0)
    tokens = PatchEmbedding(8)(torch.zeros(1, 16 * rows, 16 * columns, 3))
    assert tokens.shape == (1, rows * columns, 8)
    assert patch_grid(16 * rows, 16 * columns, 16) == (rows, columns)


def test_a_patch_changes_its_own_token_alone(embed):
    frame = torch.zeros(1, 64, 48, 3)
    other = frame.clone()
    other[0, 16:32, 32:48] = 1.0
    changed = (embed(frame) != embed(other)).any(-1)[0]
    assert changed.nonzero().flatten().tolist() == [1 * 3 + 2]


def test_positions_are_the_learned_ones_at_the_learned_size(embed):
    assert torch.equal(embed.positions_for(14, 14), embed.positions[0].flatten(1).T)


def test_stretched_positions_keep_their_order_in_space(embed):
    ramp = PatchEmbedding(1, grid=4)
    ramp.positions.data[0, 0] = torch.arange(4.0)[:, None].expand(4, 4)
    stretched = ramp.positions_for(8, 3).view(8, 3)
    assert (stretched.diff(dim=0) >= -1e-6).all()
    assert torch.allclose(stretched, stretched[:, :1].expand(8, 3))


@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1, 3), (1, 224, 220, 3), (1, 16, 16, 1), (1, 16, 16, 5), (16, 16, 3), (1, 8208, 16, 3)],
)
def test_images_that_are_no_whole_patches_are_refused(embed, shape):
    with pytest.raises(FrameError):
        embed(torch.zeros(1).expand(shape))


def test_a_patch_that_cannot_be_halved_is_refused():
    with pytest.raises(ConfigError):
        PatchEmbedding(8, patch_px=12, early=3)
