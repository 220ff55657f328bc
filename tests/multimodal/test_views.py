"""Ways to afford a high resolution: how many tokens are read, and whether they say enough."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal.errors import ConfigError
from multimodal.views import FullView, PerceiverView, PyramidView, RaggedView, fitted

SIZE = {"depth": 1, "heads": 2, "grid": 4, "early": 2}


@pytest.fixture(scope="module")
def frames():
    return torch.rand(2, 64, 64, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("view", "tokens"),
    [
        (FullView(8, **SIZE), 16),
        (RaggedView(4, 8, **SIZE), 4),
        (RaggedView(99, 8, **SIZE), 16),
        (PyramidView(8, **SIZE), 8),
        (PerceiverView(4, 8, **SIZE), 4),
    ],
)
def test_each_way_reads_so_many_tokens(view, tokens, frames):
    assert view(frames).tokens.shape == (2, tokens, 8)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 300))
@settings(max_examples=50, deadline=None)
def test_a_fitted_size_keeps_the_budget_and_never_grows(rows, columns, budget):
    height, width = fitted(16 * rows, 16 * columns, 16, budget)
    assert height % 16 == width % 16 == 0
    assert height // 16 * (width // 16) <= budget
    assert 16 <= height <= 16 * rows
    assert 16 <= width <= 16 * columns


def test_a_budget_that_is_enough_leaves_the_image_alone():
    assert fitted(96, 160, 16, 60) == (96, 160)
    with pytest.raises(ConfigError):
        fitted(96, 160, 16, 0)


def test_images_of_different_sizes_in_a_batch_are_what_they_are_alone():
    torch.manual_seed(0)
    view = RaggedView(12, 8, **SIZE).eval()
    images = [torch.rand(64, 32, 3), torch.rand(32, 96, 3), torch.rand(128, 128, 3)]
    with torch.no_grad():
        together = view(images)
        for k, image in enumerate(images):
            alone = view(image[None]).tokens[0]
            assert torch.allclose(together.tokens[k, : len(alone)], alone, atol=1e-5)
            assert together.hidden[k].sum() == together.tokens.shape[1] - len(alone)


def test_a_pyramid_sees_detail_in_the_part_where_it_is(frames):
    torch.manual_seed(0)
    view = PyramidView(8, **SIZE).eval()
    changed = frames.clone()
    changed[:, 32:, 32:] = 1 - changed[:, 32:, 32:]
    with torch.no_grad():
        moved = (view(frames).tokens != view(changed).tokens).any(-1)[0]
    # The whole changes everywhere, of the four parts only the one at the lower right.
    assert moved.tolist() == [True] * 4 + [False, False, False, True]


def test_latents_of_a_perceiver_differ_and_follow_the_image(frames):
    torch.manual_seed(0)
    seen = PerceiverView(4, 8, **SIZE)(frames).tokens
    assert not torch.allclose(seen[0], seen[1])
    assert not torch.allclose(seen[0, 0], seen[0, 1])
