"""Returns, distributions, and that improvement improves."""

import copy

import numpy as np
import pytest
import torch

from agents.policy.beginnings import FreshBeginnings
from agents.policy.heads import BINS, ActionHead, ReturnHead, entropy, kl_divergence, log_prob
from agents.policy.imagination import Imagination, Imagined
from agents.policy.improvement import Improver, Settings
from agents.policy.policy import Policy
from agents.policy.returns import ReturnScale, lambda_returns
from agents.policy.starts import PushStarts
from agents.policy.worlds import lanes_of
from multimodal.errors import ConfigError
from multimodal.flat import FlatEpisodes
from worldmodel.pipeline import WorldModelPipeline


def test_lambda_returns_are_monte_carlo_at_one_and_one_step_at_zero() -> None:
    rewards = torch.tensor([[1.0], [2.0], [3.0]])
    values = torch.tensor([[9.0], [5.0], [7.0], [10.0]])
    going = torch.ones(3, 1)
    far = lambda_returns(rewards, going, values, 0.5, 1.0)
    assert far[0, 0] == pytest.approx(1 + 0.5 * 2 + 0.25 * 3 + 0.125 * 10)
    near = lambda_returns(rewards, going, values, 0.5, 0.0)
    assert near[:, 0].tolist() == pytest.approx([1 + 2.5, 2 + 3.5, 3 + 5.0])


def test_nothing_after_an_end_counts() -> None:
    rewards = torch.tensor([[1.0], [2.0], [3.0]])
    going = torch.tensor([[1.0], [0.0], [1.0]])
    returns = lambda_returns(rewards, going, torch.full((4, 1), 100.0), 1.0, 1.0)
    assert returns[:, 0].tolist() == [3.0, 2.0, 103.0]


def test_the_scale_is_the_spread_of_returns_and_never_tiny() -> None:
    scale = ReturnScale()
    assert scale.update(torch.linspace(0, 10, 101)) == pytest.approx(9.0, abs=0.01)
    assert ReturnScale().update(torch.zeros(10)) == 0.5


def test_entropy_and_divergence_of_action_heads_are_exact() -> None:
    uniform = torch.full((3, 2, BINS), 1 / BINS).log()
    assert torch.allclose(entropy(uniform), torch.full((3,), 2 * float(np.log(BINS))))
    head = ActionHead(8, 2)
    torch.nn.init.normal_(head.out.weight)
    mine = head(torch.randn(3, 8))
    assert torch.allclose(kl_divergence(mine, mine), torch.zeros(3))
    assert bool((kl_divergence(mine, uniform) > 0).all())
    index = torch.zeros(3, 2, dtype=torch.long)
    assert torch.allclose(log_prob(uniform, index), torch.full((3,), -2 * float(np.log(BINS))))


@pytest.mark.parametrize("value", [-40.0, -3.0, 0.0, 1.0, 25.0])
def test_a_return_head_learns_any_size_of_return(value: float) -> None:
    torch.manual_seed(0)
    head = ReturnHead(4)
    optimizer = torch.optim.Adam(head.parameters(), 0.2)
    hidden = torch.ones(1, 4)
    for _ in range(80):
        optimizer.zero_grad()
        head.loss(head(hidden), torch.tensor([value])).mean().backward()
        optimizer.step()
    assert float(head.expect(head(hidden))[0]) == pytest.approx(value, abs=0.05 * abs(value) + 0.1)


def bandit(policy: Policy, generator: torch.Generator) -> Imagined:
    """Rollouts whose reward is the first number of the action."""
    features = torch.zeros(5, 64, policy.view.feature_dim)
    log_probs = policy.log_probs(features[0])
    index = torch.stack(
        [
            torch.multinomial(log_probs.exp().flatten(0, 1), 1, generator=generator).view(64, 2)
            for _ in range(4)
        ]
    )
    chance = torch.stack([log_prob(log_probs, part) for part in index])
    rewards = policy.action.actions(index)[..., 0]
    ends, doubt = torch.ones(4, 64, dtype=torch.bool), torch.zeros(4, 64)
    return Imagined(features, index, chance.detach(), rewards, ends, doubt)


def test_improvement_finds_the_better_action_and_a_strong_prior_forbids_it(policy: Policy) -> None:
    found = {}
    for weight in (0.0, 50.0):
        learner = copy.deepcopy(policy).requires_grad_(True)
        settings = Settings(prior=weight, learning_rate=3e-3, entropy=0.0, minibatch=128)
        improver = Improver(learner, copy.deepcopy(policy), settings)
        generator = torch.Generator().manual_seed(0)
        for _ in range(15):
            improver.improve(bandit(learner, generator), generator)
        features = torch.zeros(1, learner.view.feature_dim)
        found[weight] = float(learner.action.mean(learner.log_probs(features))[0, 0])
    assert found[0.0] > 0.6
    assert found[50.0] < 0.3


def test_rewards_that_are_not_finite_are_refused(policy: Policy) -> None:
    generator = torch.Generator().manual_seed(0)
    batch = bandit(policy, generator)
    broken = batch._replace(rewards=torch.full_like(batch.rewards, torch.nan))
    improver = Improver(copy.deepcopy(policy).requires_grad_(True), None, Settings())
    with pytest.raises(ConfigError, match=r"not finite.*reward head"):
        improver.improve(broken, generator)


def test_starts_are_unsolved_and_name_an_object_of_the_scene(flat: FlatEpisodes) -> None:
    start = PushStarts(flat).draw(40, np.random.default_rng(0))
    assert start.frames.shape == (40, 1, 64, 64, 3)
    assert bool((start.goals[:, :6].sum(1) == 1).all())
    assert bool((start.goals[:, 6:].sum(1) == 1).all())


def test_imagined_lanes_go_on_from_round_to_round_and_begin_anew(
    flat: FlatEpisodes, policy: Policy, tiny_pipeline: WorldModelPipeline
) -> None:
    lanes = lanes_of(tiny_pipeline, policy)
    imagination = Imagination(lanes, FreshBeginnings(lanes, PushStarts(flat)), 6, longest=5)
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    first = imagination.roll(policy, 3, rng, generator)
    assert first.features.shape[:2] == (4, 6)
    assert first.bins.shape == (3, 6, 2)
    second = imagination.roll(policy, 3, rng, generator)
    assert torch.equal(first.features[-1], second.features[0])
    third = imagination.roll(policy, 3, rng, generator)
    # All lanes are six steps old by now, which is more than five.
    assert not torch.equal(second.features[-1], third.features[0])
