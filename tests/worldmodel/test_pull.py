"""Gradients at a shared tensor, brought to their shares."""

import pytest
import torch

from worldmodel.objectives.pull import GradientPull

SHARES = {"pixels": 0.6, "vlm": 0.2}


def sent_back(pull, scale, head, steps=1):
    """Gradients at a shared tensor of two losses, the second's through a head, and the head's."""
    for _ in range(steps):
        shared = torch.ones(4, 3, requires_grad=True)
        parts = {name: pull(shared, name) for name in SHARES}
        for part in parts.values():
            part.retain_grad()
        own = torch.full((3,), head, requires_grad=True)
        (parts["pixels"].sum() + scale * (parts["vlm"] * own).sum()).backward()
    return shared.grad, own.grad


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_a_loss_pulls_by_its_share_whatever_its_scale_and_its_head_learns_as_it_would(scale):
    gradient, own = sent_back(GradientPull(SHARES), scale, 0.5, steps=2)
    # At the second step both were measured: what pixels send back is one everywhere, and a third of
    # that comes on top.
    torch.testing.assert_close(gradient, torch.full((4, 3), 1 + 0.2 / 0.6))
    torch.testing.assert_close(own, torch.full((3,), 4 * scale))


def test_a_gradient_that_vanishes_is_not_measured_as_infinite():
    pull = GradientPull(SHARES)
    gradient, own = sent_back(pull, 0.0, 0.5)
    assert torch.isfinite(gradient).all()
    assert torch.isfinite(own).all()
    assert pull.factors["vlm"] == 1


def test_means_are_part_of_the_state_and_nothing_is_measured_without_gradients():
    pull, again = GradientPull(SHARES), GradientPull(SHARES)
    sent_back(pull, 3.0, 0.5, steps=4)
    again.load_state_dict(pull.state_dict())
    assert again.factors == pull.factors
    assert pull.factors["vlm"] == pytest.approx(0.2 / 0.6 / 1.5, rel=1e-4)
    with torch.no_grad():
        pull(torch.ones(2), "vlm")
    assert torch.equal(pull.seen, again.seen)
