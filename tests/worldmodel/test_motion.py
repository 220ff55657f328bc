"""Motion of sprites: symmetries, what absent slots may do, and that it learns to push."""

import math

import pytest
import torch

from multimodal.errors import ConfigError
from worldmodel.motion import Bodies, Motion
from worldmodel.objectives.motion import MotionObjective


def awake(seed: int = 0, width: int = 32) -> Motion:
    """A motion whose weights are random, the zeroed ones too."""
    generator = torch.Generator().manual_seed(seed)
    motion = Motion(2, width=width).eval()
    with torch.no_grad():
        for parameter in motion.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return motion


def some_bodies(motion: Motion, batch: int = 3, slots: int = 4, seed: int = 1) -> Bodies:
    generator = torch.Generator().manual_seed(seed)
    pose = torch.rand(batch, slots, 3, generator=generator) * torch.tensor([64.0, 64.0, 6.0])
    shift = torch.randn(batch, slots, 3, generator=generator)
    sprites = torch.rand(batch, slots, 4, 24, 24, generator=generator)
    driven = torch.zeros(batch, slots, dtype=torch.bool)
    driven[:, 0] = True
    present = torch.ones(batch, slots, dtype=torch.bool)
    return Bodies(pose, shift, motion.look(sprites), driven, present)


@torch.no_grad()
def test_the_order_of_slots_does_not_matter():
    motion = awake()
    bodies = some_bodies(motion)
    action = torch.tensor([[0.5, -1.0]]).expand(3, -1)
    order = torch.tensor([2, 0, 3, 1])
    said = motion(bodies, action)
    again = motion(Bodies(*(value[:, order] for value in bodies[:5])), action)
    assert torch.allclose(again.mean, said.mean[:, order], atol=1e-5)
    assert torch.allclose(again.moves, said.moves[:, order], atol=1e-5)


@torch.no_grad()
def test_an_absent_slot_changes_nothing_for_the_others():
    motion = awake()
    bodies = some_bodies(motion)
    present = bodies.present.clone()
    present[:, 3] = False
    pose = bodies.pose.clone()
    pose[:, 3] = 7.0
    action = torch.zeros(3, 2)
    one = motion(bodies._replace(present=present), action).mean[:, :3]
    other = motion(bodies._replace(present=present, pose=pose), action).mean[:, :3]
    assert torch.equal(one, other)
    assert not torch.allclose(motion(bodies, action).mean[:, :3], one)


@torch.no_grad()
def test_the_turn_counts_modulo_a_full_circle():
    motion = awake()
    bodies = some_bodies(motion)
    turned = bodies._replace(pose=bodies.pose + torch.tensor([0.0, 0.0, 2 * math.pi]))
    action = torch.ones(3, 2)
    assert torch.allclose(motion(bodies, action).mean, motion(turned, action).mean, atol=1e-4)


def test_it_learns_that_a_pusher_moves_what_it_meets():
    """A made-up world: the driven disc goes 2 px along the action, and shoves what is near."""
    torch.manual_seed(0)
    motion = Motion(2, width=48, look=4)
    objective = MotionObjective(motion, [(0, 1)], steps=400, misread_px=0.0)
    optimiser = torch.optim.AdamW(objective.motion.parameters(), 3e-3)

    def batch(count: int) -> dict[str, torch.Tensor]:
        action = torch.rand(count, 1, 2) * 2 - 1
        angle = torch.rand(count) * 2 * math.pi
        gap = 3 + 7 * torch.rand(count)
        pusher = 24 + 16 * torch.rand(count, 2)
        other = pusher + gap[:, None] * torch.stack([angle.cos(), angle.sin()], -1)
        way = 2 * action[:, 0] * torch.tensor([1.0, -1.0])
        near = (gap < 6).float()[:, None]
        start = torch.stack([pusher, other], 1)
        end = torch.stack([pusher + way, other + way * near], 1)
        pose = torch.cat([torch.stack([start, end], 1), torch.zeros(count, 2, 2, 1)], -1)
        driven = torch.tensor([True, False]).expand(count, -1)
        present = torch.ones(count, 2, dtype=torch.bool)
        sprites = torch.zeros(count, 2, 4, 24, 24)
        return {
            "pose": pose,
            "before": pose[:, 0],
            "actions": action,
            "present": present,
            "driven": driven,
            "sprites": sprites,
            "reach": torch.full((count, 2, 32), 2.5),
        }

    before = objective.eval()(**batch(256))
    objective.train()
    for step in range(400):
        loss = objective(**batch(64))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        objective.after_step(step + 1)
    after = objective.eval()(**batch(256))
    assert after["loss"] < 0.4 * before["loss"]
    assert after["moved_over_frozen"] < 0.5


def test_roll_outs_grow_longer_with_training():
    objective = MotionObjective(Motion(2, width=16), [(0, 1), (0.5, 4), (0.9, 9)], steps=10)
    lengths = []
    for step in range(10):
        lengths.append(objective.length())
        objective.after_step(step + 1)
    assert lengths == [1] * 5 + [4] * 4 + [9]


def test_a_batch_without_any_body_teaches_nothing():
    objective = MotionObjective(Motion(2, width=16), [(0, 1)], steps=10)
    loss = objective(
        pose=torch.zeros(2, 2, 3, 3),
        before=torch.zeros(2, 3, 3),
        actions=torch.zeros(2, 1, 2),
        present=torch.zeros(2, 3, dtype=torch.bool),
        driven=torch.tensor([True, False, False]).expand(2, -1),
        sprites=torch.zeros(2, 3, 4, 24, 24),
        reach=torch.zeros(2, 3, 32),
    )["loss"]
    assert loss == 0


def test_solid_bodies_have_to_be_told_how_far_they_reach():
    motion = Motion(2, width=16, overlap_px=0.3)
    assert motion.solid
    assert not Motion(2, width=16).solid
    with pytest.raises(ConfigError, match="reach"):
        motion.outlines(some_bodies(motion))


def test_in_training_as_in_a_rollout_solid_bodies_do_not_share_a_place():
    """The driven body is steered through the free one, which nobody taught to give way."""
    ways = {}
    for overlap_px in (None, 0.0):
        objective = MotionObjective(Motion(2, width=16, overlap_px=overlap_px), [(0, 6)], steps=1)
        with torch.no_grad():
            objective.motion.heeds[-1].bias.zero_()
            objective.motion.head.bias[3] = 5.0
            # Two pixels a step to the right.
            objective.motion.obeys.weight[0, 0] = 1 / 8
        start = torch.tensor([[20.0, 32.0, 0.0], [30.0, 32.0, 0.0]])
        end = torch.tensor([[32.0, 32.0, 0.0], [37.0, 32.0, 0.0]])
        share = torch.linspace(0, 1, 7)[:, None, None]
        driven = torch.tensor([[True, False]])
        said = objective.eval()(
            pose=torch.lerp(start, end, share)[None],
            before=start[None],
            actions=torch.tensor([1.0, 0.0]).expand(1, 6, 2),
            present=torch.ones(1, 2, dtype=torch.bool),
            driven=driven,
            sprites=torch.zeros(1, 2, 4, 24, 24),
            reach=torch.full((1, 2, 32), 2.5),
        )
        ways[overlap_px] = said
    assert ways[None]["moved_px"] > 6.5
    assert ways[0.0]["moved_px"] < 0.5
    assert ways[0.0]["driven_px"] < 0.8
