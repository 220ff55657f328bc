"""Residual vector quantisation."""

import pytest
import torch

from multimodal.audio.rvq import ResidualQuantizer
from multimodal.errors import AudioError


def vectors(batch: int = 8, frames: int = 64, channels: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, frames, channels, generator=torch.Generator().manual_seed(seed))


def started(levels: int = 4, codes: int = 16) -> ResidualQuantizer:
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(6, levels, codes)
    quantizer.start(vectors(16))
    return quantizer.eval()


def test_every_further_level_brings_the_codes_nearer():
    quantizer, latents = started(), vectors(seed=1)
    ids = quantizer(latents).ids
    errors = [(quantizer.decode(ids, k) - latents).square().mean() for k in range(1, 5)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < latents.square().mean()


def test_the_codes_give_the_values_back():
    quantizer = started()
    quantized = quantizer(vectors(seed=1))
    assert quantized.ids.dtype == torch.int64
    assert quantized.ids.shape == (8, 64, 4)
    torch.testing.assert_close(quantizer.decode(quantized.ids), quantized.values)


def test_each_level_takes_the_nearest_code():
    quantizer, latents = started(levels=1), vectors(seed=1)
    distances = torch.cdist(latents, quantizer.codebooks[0].expand(8, -1, -1))
    assert torch.equal(quantizer(latents).ids[..., 0], distances.argmin(-1))


def test_gradients_pass_straight_through_to_the_latents():
    latents = vectors(seed=1).requires_grad_()
    weight = vectors(seed=2)
    (started()(latents).values * weight).sum().backward()
    torch.testing.assert_close(latents.grad, weight)


def test_a_sample_that_stops_early_is_made_of_its_first_levels():
    quantizer, latents = started(), vectors(seed=1)
    used = torch.tensor([1, 2, 3, 4, 1, 2, 3, 4])
    quantized = quantizer(latents, used)
    for sample, levels in enumerate(used.tolist()):
        alone = quantizer.decode(quantized.ids[sample : sample + 1], levels)
        torch.testing.assert_close(quantized.values[sample : sample + 1], alone)


def test_evaluation_learns_nothing():
    quantizer = started()
    before = quantizer.codebooks.clone()
    quantizer(vectors(seed=1))
    assert torch.equal(quantizer.codebooks, before)


def test_training_fits_the_codebooks_to_what_comes():
    quantizer = started()
    moved = [vectors(seed=seed) * 0.5 + 2 for seed in range(60)]
    before = quantizer(moved[0]).commitment
    quantizer.train()
    for latents in moved:
        quantizer(latents)
    assert quantizer.eval()(moved[0]).commitment < 0.3 * before


def test_codes_that_nothing_chooses_come_back_to_life():
    quantizer = started()
    quantizer.codebooks[0, 4:] = 1e3
    quantizer.train()
    for seed in range(400):
        quantizer(vectors(seed=seed))
    assert len(quantizer.eval()(vectors(64)).ids[..., 0].unique()) == 16


def test_a_quantiser_that_was_not_started_starts_on_its_first_batch():
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(6, 4, 16).train()
    quantizer(vectors())
    assert bool(quantizer.ready)
    assert quantizer.eval()(vectors()).commitment < 0.5


def test_the_codebooks_are_part_of_the_state():
    quantizer, again = started(), ResidualQuantizer(6, 4, 16).eval()
    again.load_state_dict(quantizer.state_dict())
    assert torch.equal(again(vectors()).ids, quantizer(vectors()).ids)


@pytest.mark.parametrize(
    ("ids", "levels", "message"),
    [
        (torch.zeros(1, 3, 4), None, "int64"),
        (torch.zeros(3, 4, dtype=torch.long), None, "int64"),
        (torch.zeros(1, 3, 5, dtype=torch.long), None, "has 4 levels"),
        (torch.zeros(1, 3, 2, dtype=torch.long), 3, "1 to 2 levels"),
        (torch.zeros(1, 3, 2, dtype=torch.long), 0, "1 to 2 levels"),
        (torch.full((1, 3, 4), 16), None, r"lie in \[0, 16\)"),
        (torch.full((1, 3, 4), -1), None, r"lie in \[0, 16\)"),
    ],
)
def test_ids_that_are_not_its_own_are_refused(ids, levels, message):
    with pytest.raises(AudioError, match=message):
        started().decode(ids, levels)
