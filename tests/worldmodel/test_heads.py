"""Reward and termination heads."""

import pytest
import torch

from worldmodel.heads import OutcomeHead, symexp, symlog, two_hot


def test_symexp_undoes_symlog() -> None:
    x = torch.linspace(-20, 20, 101)
    assert torch.allclose(symexp(symlog(x)), x, atol=1e-4)


def test_two_hot_keeps_the_mean_and_uses_two_neighbouring_bins() -> None:
    bins = torch.linspace(-3, 3, 13)
    x = torch.tensor([-3.0, -0.31, 0.0, 1.7, 3.0])
    weights = two_hot(x, bins)
    assert torch.allclose((weights * bins).sum(-1), x, atol=1e-6)
    assert torch.allclose(weights.sum(-1), torch.ones(5))
    assert int((weights > 0).sum(-1).max()) <= 2


def test_the_head_learns_a_reward_that_depends_on_the_goal() -> None:
    torch.manual_seed(0)
    head = OutcomeHead(channels=4, tokens=6, goal_dim=2, width=32)
    latents, pick = torch.randn(256, 6, 4), torch.randint(2, (256,))
    goal = torch.nn.functional.one_hot(pick, 2).float()
    reward = torch.where(pick == 0, -2.0, 1.0)
    ended = (pick == 1).float()
    optimizer = torch.optim.Adam(head.parameters(), 3e-3)
    for _ in range(120):
        loss = head.loss(head(latents, goal), reward, ended)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    logits, end = head(latents, goal)
    assert (head.expect(logits) - reward).abs().mean() < 0.15
    assert ((end > 0) == (pick == 1)).float().mean() > 0.95


def test_a_head_without_goals_accepts_an_empty_goal() -> None:
    head = OutcomeHead(channels=4, tokens=6, goal_dim=0, width=32)
    logits, end = head(torch.randn(3, 6, 4), torch.zeros(3, 0))
    assert logits.shape == (3, 65)
    assert end.shape == (3,)


def test_values_beyond_the_bins_go_to_the_outermost() -> None:
    bins = torch.linspace(-1, 1, 5)
    weights = two_hot(torch.tensor([-9.0, 9.0]), bins)
    assert weights[0].tolist() == pytest.approx([1, 0, 0, 0, 0])
    assert weights[1].tolist() == pytest.approx([0, 0, 0, 0, 1])
