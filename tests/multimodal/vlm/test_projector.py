"""The projector: parts of things that do not mix, details asked for, tokens that look around."""

import pytest
import torch

from multimodal.vlm.projector import Projector


def test_no_part_of_a_thing_drowns_the_others_whatever_its_size():
    torch.manual_seed(0)
    projector = Projector(12, 16, (2, 1), 16).eval()
    features = torch.randn(1, 18, 12)
    larger = features.clone()
    larger[:, 16:, :4] *= 50
    torch.testing.assert_close(projector(features), projector(larger), atol=1e-3, rtol=1e-2)
    assert projector(features).shape == (1, 8 + 2, 16)
    sizes = projector(features).square().mean(-1).sqrt()
    torch.testing.assert_close(sizes, torch.full_like(sizes, 0.1), atol=1e-3, rtol=1e-2)


@pytest.fixture
def together():
    torch.manual_seed(0)
    projector = Projector(12, 16, (2, 1), 16, details=3, exchanges=1).eval()
    torch.nn.init.normal_(projector.exchange.tell.weight, 0, 0.2)
    return projector


def test_before_it_has_learnt_anything_an_exchange_leaves_tokens_as_they_are():
    torch.manual_seed(0)
    projector = Projector(12, 16, (2, 1), 16, exchanges=2).eval()
    features = torch.randn(2, 18, 12)
    looked = projector(features)
    projector.exchange = None
    assert torch.equal(looked, projector(features))


def test_details_come_after_the_things_and_each_asks_for_itself(together):
    features = torch.randn(2, 18, 12)
    tokens = together(features)
    assert tokens.shape == (2, 8 + 2 + 3, 16)
    together.exchange = None
    alone = together(features)
    assert not torch.allclose(alone[:, -1], alone[:, -2])
    elsewhere = features.clone()
    elsewhere[:, 16:] = torch.randn(2, 2, 12)
    # Details are read off the grid, whatever things there are.
    torch.testing.assert_close(together(elsewhere)[:, -3:], alone[:, -3:])


def test_a_token_hears_of_the_others_and_of_no_other_frame(together):
    features = torch.randn(2, 18, 12)
    other = features.clone()
    other[0, 16] = torch.randn(12)
    before, after = together(features), together(other)
    assert not torch.allclose(before[0, 9], after[0, 9])
    torch.testing.assert_close(before[1], after[1])


def test_a_token_learns_in_an_exchange_from_the_others_only(together):
    seen = torch.zeros(1, 4, 16)
    seen[0, 2] = torch.randn(16)
    values = []
    together.exchange.encoder.layers[0].self_attn.register_forward_hook(
        lambda _module, _inputs, out: values.append(out[0])
    )
    together.exchange(seen)
    # Three tokens are the same, so that the third alone attends to nothing but those.
    attended = values[0][0]
    torch.testing.assert_close(attended[0], attended[1])
    assert not torch.allclose(attended[0], attended[2])
