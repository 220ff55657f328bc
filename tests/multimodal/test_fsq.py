"""Grouped finite scalar quantisation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multimodal import fsq


@given(levels=st.integers(2, 9), groups=st.sampled_from([1, 2, 4]), seed=st.integers(0, 1000))
def test_codes_survive_the_way_to_latents_and_back(levels: int, groups: int, seed: int) -> None:
    size = levels ** (8 // groups)
    ids = torch.randint(size, (3, 5, groups), generator=torch.Generator().manual_seed(seed))
    latents = fsq.dequantize(ids, levels, 8)
    assert torch.equal(fsq.quantize(latents, levels, groups), ids)


def test_quantising_moves_no_value_by_more_than_half_a_cell() -> None:
    latents = torch.rand(4, 10, 8) * 5 - 2.5
    back = fsq.dequantize(fsq.quantize(latents, 7, 4), 7, 8)
    assert (back - latents).abs().max() <= 2.5 / 6 + 1e-5


def test_the_gradient_passes_straight_through() -> None:
    latents = torch.randn(2, 3, 8, requires_grad=True)
    rounded = fsq.quantize_through(latents, 7)
    rounded.sum().backward()
    assert torch.equal(latents.grad, torch.ones_like(latents))
    expected = fsq.dequantize(fsq.quantize(latents.detach(), 7, 2), 7, 8)
    assert rounded.detach().numpy() == pytest.approx(expected.numpy(), abs=1e-5)
