"""The critic: it learns to tell made frames, and teaches the model and not itself to look real."""

import torch

from worldmodel.objectives.realism import Critic

ROWS, COLUMNS, CHANNELS = 4, 4, 8
EVERYWHERE = torch.ones(32, ROWS * COLUMNS, dtype=torch.bool)
FIRST = torch.randn(32, ROWS * COLUMNS, CHANNELS, generator=torch.Generator().manual_seed(2))


def frames(blur: float) -> torch.Tensor:
    """Two kinds of token in a random pattern; blurred ones lie between the two."""
    kinds = torch.randn(2, CHANNELS, generator=torch.Generator().manual_seed(1))
    pattern = torch.randint(0, 2, (32, ROWS * COLUMNS))
    mixed = blur * kinds.mean(0) + (1 - blur) * kinds[pattern]
    return mixed


def trained_critic() -> Critic:
    torch.manual_seed(0)
    critic = Critic(CHANNELS, ROWS, COLUMNS, width=16)
    optimizer = torch.optim.Adam(critic.parameters(), 3e-3)
    for _ in range(150):
        verdict = critic.compare(frames(0.0), frames(0.8), FIRST, EVERYWHERE)
        optimizer.zero_grad()
        verdict.critic.backward()
        optimizer.step()
    return critic


def test_it_learns_to_tell_blurred_frames_from_sharp_ones() -> None:
    verdict = trained_critic().compare(frames(0.0), frames(0.8), FIRST, EVERYWHERE)
    assert verdict.accuracy > 0.9


def test_its_verdict_makes_a_blurred_frame_sharper() -> None:
    critic = trained_critic()
    blurred = frames(0.8)
    made = blurred.clone().requires_grad_()
    optimizer = torch.optim.Adam([made], 0.05)
    for _ in range(40):
        verdict = critic.compare(blurred, made, FIRST, EVERYWHERE)
        optimizer.zero_grad()
        verdict.realism.backward()
        optimizer.step()
    assert critic(made, FIRST).mean() > critic(blurred, FIRST).mean() + 1


def test_each_loss_trains_its_own_side_alone() -> None:
    critic = Critic(CHANNELS, ROWS, COLUMNS, width=16)
    made = frames(0.8).requires_grad_()
    verdict = critic.compare(frames(0.0), made, FIRST, EVERYWHERE)
    verdict.realism.backward()
    assert made.grad is not None
    assert made.grad.abs().sum() > 0
    assert all(p.grad is None for p in critic.parameters())
    made.grad = None
    verdict.critic.backward()
    assert made.grad is None
    assert all(p.grad is not None for p in critic.parameters())


def test_places_that_do_not_matter_do_not_count() -> None:
    critic = Critic(CHANNELS, ROWS, COLUMNS, width=16)
    made = frames(0.8).requires_grad_()
    nowhere = torch.zeros_like(EVERYWHERE)
    verdict = critic.compare(frames(0.0), made, FIRST, nowhere)
    assert verdict.critic == 0
    assert verdict.realism == 0
    assert verdict.accuracy == 0


def test_it_learns_that_nothing_vanishes() -> None:
    """Each scene has one to four marks anywhere; in made frames one of them is missing."""
    torch.manual_seed(0)
    critic = Critic(CHANNELS, ROWS, COLUMNS, width=16)
    optimizer = torch.optim.Adam(critic.parameters(), 3e-3)

    def marked(counts: torch.Tensor) -> torch.Tensor:
        order = torch.rand(32, ROWS * COLUMNS).argsort(1).argsort(1)
        return (order < counts[:, None]).float().unsqueeze(-1).expand(-1, -1, CHANNELS)

    accuracies = []
    for _ in range(400):
        counts = torch.randint(1, 5, (32,))
        verdict = critic.compare(marked(counts), marked(counts - 1), marked(counts), EVERYWHERE)
        optimizer.zero_grad()
        verdict.critic.backward()
        optimizer.step()
        accuracies.append(float(verdict.accuracy))
    assert sum(accuracies[-20:]) / 20 > 0.85
