"""Losses balanced by the norm of their gradients."""

import pytest
import torch
from torch import nn

from worldmodel.objectives.balance import GradientBalance


def losses(shared, small):
    return {"large": shared.square().sum(), "small": small * (shared - 1).square().sum()}


def pulls(balance, small):
    shared = torch.linspace(-1, 0.5, 8).requires_grad_()
    for _ in range(5):
        total, weights = balance(losses(shared, small), shared)
    return {
        name: float(torch.autograd.grad(w * losses(shared, small)[name], shared)[0].norm())
        for name, w in ((n, weights[f"weight_{n}"]) for n in ("large", "small"))
    }, total


@pytest.mark.parametrize("small", [1e-4, 1.0, 1e3])
def test_every_loss_pulls_alike_whatever_its_scale(small):
    pulled, _ = pulls(GradientBalance(("large", "small")), small)
    assert pulled["small"] == pytest.approx(pulled["large"], rel=1e-3)


def test_shares_say_how_strongly_each_pulls():
    balance = GradientBalance(("large", "small"), {"large": 1.0, "small": 3.0})
    pulled, _ = pulls(balance, 0.01)
    assert pulled["small"] == pytest.approx(3 * pulled["large"], rel=1e-3)


def test_a_loss_may_be_missing_and_validation_measures_nothing():
    balance = GradientBalance(("large", "small"))
    shared = torch.ones(3).requires_grad_()
    balance({"large": shared.square().sum()}, shared)
    assert balance.seen.tolist() == [1, 0]
    before = balance.norms.clone()
    with torch.no_grad():
        total, _ = balance({"large": shared.square().sum()}, shared)
    assert torch.equal(balance.norms, before)
    assert torch.isfinite(total)


def test_the_running_means_are_part_of_the_state():
    balance = GradientBalance(("large", "small"))
    pulls(balance, 0.1)
    again = GradientBalance(("large", "small"))
    again.load_state_dict(balance.state_dict())
    assert torch.equal(again.norms, balance.norms)
    assert torch.equal(again.seen, balance.seen)


def test_a_starved_loss_stalls_without_and_recovers_with_balance():
    def error_after(balance):
        torch.manual_seed(0)
        body, heads = nn.Linear(4, 2), {"large": nn.Linear(2, 1), "small": nn.Linear(2, 1)}
        parameters = [*body.parameters(), *(p for h in heads.values() for p in h.parameters())]
        optimizer = torch.optim.SGD(parameters, 0.02)
        x = torch.randn(64, 4)
        targets = {"large": 10 * x[:, :1], "small": x[:, 1:2]}
        for _ in range(300):
            shared = body(x)
            each = {n: (heads[n](shared) - targets[n]).square().mean() for n in heads}
            each["small"] = 1e-3 * each["small"]
            total = sum(each.values()) if balance is None else balance(each, shared)[0]
            optimizer.zero_grad()
            total.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        return float((heads["small"](body(x)) - targets["small"]).square().mean().detach())

    stalled, recovered = error_after(None), error_after(GradientBalance(("large", "small")))
    assert stalled > 0.5, "hardly better than saying nothing, 1"
    assert recovered < 0.5 * stalled
