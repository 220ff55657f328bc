"""Few-step sampling with the diffusers scheduler."""

import pytest
import torch
from diffusers import FlowMapEulerDiscreteScheduler

from worldmodel.dynamics import Dynamics
from worldmodel.sampler import next_frame


@pytest.fixture
def dynamics() -> Dynamics:
    torch.manual_seed(0)
    model = Dynamics(1, rows=2, columns=2, channels=4, width=16, heads=2, kv_heads=1, layers=2)
    torch.nn.init.normal_(model.head.weight, std=0.3)
    torch.nn.init.constant_(model.gate_out.bias, 5.0)
    return model.eval()


def test_one_step_from_the_last_frame_is_one_prediction(dynamics: Dynamics) -> None:
    memory, action = dynamics.start(torch.randn(2, 4, 4)), torch.rand(2, 1)
    sampled = next_frame(dynamics, memory, action, FlowMapEulerDiscreteScheduler())
    assert torch.equal(sampled.latents, dynamics.predict(memory, action).latents)


@pytest.mark.parametrize("steps", [2, 4])
def test_the_last_of_several_steps_starts_nearer_to_the_next_frame(
    dynamics: Dynamics, steps: int
) -> None:
    """With a fixed end point x the candidate before the last step is (source + (k-1) x) / k."""
    memory, action = dynamics.start(torch.randn(1, 4, 4)), torch.rand(1, 1)
    seen: list[torch.Tensor] = []
    predict = dynamics.predict
    end = predict(memory, action)

    def recorded(memory, action, candidate=None, level=None, span=None, noise=None):  # noqa: ANN
        seen.append(candidate)
        return end

    dynamics.predict = recorded  # type: ignore[method-assign]
    next_frame(dynamics, memory, action, FlowMapEulerDiscreteScheduler(), steps)
    expected = (memory.latents + (steps - 1) * end.latents) / steps
    assert len(seen) == steps
    assert torch.allclose(seen[-1], expected, atol=1e-5)


def test_a_flow_from_noise_starts_where_it_is_told(dynamics: Dynamics) -> None:
    memory, action = dynamics.start(torch.randn(1, 4, 4)), torch.rand(1, 1)
    scheduler, start = FlowMapEulerDiscreteScheduler(), torch.randn(1, 4, 4)
    one, other = (
        next_frame(dynamics, memory, action, scheduler, 3, "noise", start=start) for _ in range(2)
    )
    assert torch.equal(one.latents, other.latents)
    third = next_frame(dynamics, memory, action, scheduler, 3, "noise", start=start + 1)
    assert not torch.equal(one.latents, third.latents)


def test_gradients_flow_through_the_last_step(dynamics: Dynamics) -> None:
    memory = dynamics.start(torch.randn(1, 4, 4))
    sampled = next_frame(dynamics, memory, torch.rand(1, 1), FlowMapEulerDiscreteScheduler(), 3)
    sampled.latents.square().sum().backward()
    assert dynamics.head.weight.grad is not None
