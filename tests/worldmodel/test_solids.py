"""Bodies that cannot share a place: outlines as they are read, and where they make room."""

import math

import pytest
import torch
from torch import Tensor

from worldmodel.solids import Outlines, keep_apart, overlaps_px, reaches

RIGHT, DOWN, LEFT, UP = 0, 8, 16, 24


def square_sprite(half_px: float, cut: Tensor) -> Tensor:
    """A square around `cut`, as the reader would have cut it out, (1, 1, 4, 24, 24)."""
    corner = cut.round() - 12
    centre = cut - corner
    place = torch.arange(24) + 0.5
    inside_x = (half_px + 0.5 - (place - centre[0]).abs()).clamp(0, 1)
    inside_y = (half_px + 0.5 - (place - centre[1]).abs()).clamp(0, 1)
    opacity = inside_y[:, None] * inside_x[None, :]
    return torch.stack([opacity] * 4)[None, None]


def discs(*radii: float, driven: int | None = None, overlap_px: float = 0.0) -> Outlines:
    reach = torch.tensor(radii)[None, :, None].expand(-1, -1, 32)
    pulled = torch.zeros(1, len(radii), dtype=torch.bool)
    if driven is not None:
        pulled[0, driven] = True
    return Outlines(reach, pulled, torch.ones_like(pulled), overlap_px, 1.0, 64.0)


def poses(*places: tuple[float, float]) -> Tensor:
    return torch.tensor([[*place, 0.0] for place in places])[None]


@pytest.mark.parametrize("cut", [(30.0, 20.0), (30.5, 20.5), (29.7, 20.2)])
def test_an_outline_reaches_as_far_as_the_sprite(cut):
    at = torch.tensor(cut)
    reach = reaches(square_sprite(4.0, at), at[None, None])[0, 0]
    assert reach[[RIGHT, DOWN, LEFT, UP]].tolist() == pytest.approx([4.0] * 4, abs=0.6)
    assert reach[RIGHT + 4] == pytest.approx(4 * math.sqrt(2), abs=0.8)


def test_what_touches_nothing_stays_to_the_last_bit():
    pose = poses((20.3, 20.7), (40.1, 20.9)) + 1 / 3
    assert torch.equal(keep_apart(discs(4.0, 4.0), pose), pose)


def test_two_free_bodies_give_way_by_half_and_a_driven_one_not_at_all():
    pose = poses((30.0, 30.0), (36.0, 30.0))
    both = keep_apart(discs(4.0, 4.0), pose)[0, :, :2]
    assert both.tolist() == [pytest.approx([29.0, 30.0]), pytest.approx([37.0, 30.0])]
    one = keep_apart(discs(4.0, 4.0, driven=0), pose)[0, :, :2]
    assert one.tolist() == [pytest.approx([30.0, 30.0]), pytest.approx([38.0, 30.0])]


def test_what_an_edge_holds_stops_what_pushes_it():
    pose = poses((56.0, 30.0), (60.0, 30.0))
    apart = keep_apart(discs(3.0, 4.0, driven=0), pose)[0, :, :2]
    assert apart.tolist() == [pytest.approx([52.0, 30.0]), pytest.approx([59.0, 30.0])]


def test_a_face_pushes_along_its_normal():
    """A disc that meets a square's side off its middle goes straight away from the side."""
    at = torch.tensor([30.0, 30.0])
    square = reaches(square_sprite(5.0, at), at[None, None])
    outlines = discs(5.0, 3.0, driven=0)
    outlines = outlines._replace(reach=torch.cat([square, outlines.reach[:, 1:]], 1))
    apart = keep_apart(outlines, poses((30.0, 30.0), (37.0, 32.0)))[0, 1]
    assert apart[0] == pytest.approx(38.0, abs=0.6)
    assert apart[1] == pytest.approx(32.0, abs=0.3)


def test_turned_bodies_are_met_where_they_reach_after_the_turn():
    reach = torch.full((1, 2, 32), 2.0)
    reach[0, 0, RIGHT - 2 :] = reach[0, 0, : RIGHT + 3] = 6.0
    outlines = discs(2.0, 2.0, driven=0)._replace(reach=reach)
    pose = poses((30.0, 30.0), (37.0, 30.0))
    assert overlaps_px(outlines, pose) > 0.5
    # Counter-clockwise by a quarter: what reached right reaches up.
    pose[0, 0, 2] = math.pi / 2
    assert overlaps_px(outlines, pose).tolist() == [] or overlaps_px(outlines, pose) < 0
    above = poses((30.0, 30.0), (30.0, 23.0))
    above[0, 0, 2] = math.pi / 2
    assert overlaps_px(outlines, above) > 0.5


def test_absent_bodies_are_no_obstacle():
    outlines = discs(4.0, 4.0)
    outlines = outlines._replace(present=torch.tensor([[True, False]]))
    pose = poses((30.0, 30.0), (32.0, 30.0))
    assert torch.equal(keep_apart(outlines, pose), pose)


def test_a_lane_is_the_same_alone_and_in_a_batch():
    generator = torch.Generator().manual_seed(0)
    reach = 2 + 3 * torch.rand(16, 5, 32, generator=generator)
    pose = torch.rand(16, 5, 3, generator=generator) * torch.tensor([40.0, 40.0, 6.0]) + 10
    driven = torch.zeros(16, 5, dtype=torch.bool)
    driven[:, 0] = True
    whole = Outlines(reach, driven, torch.ones_like(driven), 0.2, 1.0, 64.0)
    together = keep_apart(whole, pose)
    assert not torch.equal(together, pose)
    for lane in range(16):
        single = whole._replace(
            reach=reach[lane : lane + 1],
            driven=driven[lane : lane + 1],
            present=whole.present[lane : lane + 1],
        )
        assert torch.allclose(
            keep_apart(single, pose[lane : lane + 1])[0], together[lane], atol=1e-4
        )


def test_crowds_come_apart():
    generator = torch.Generator().manual_seed(3)
    outlines = discs(*[3.0] * 4)
    pose = torch.rand(1, 4, 3, generator=generator) * 8 + 28
    deep = overlaps_px(outlines, pose).max()
    for _ in range(6):
        pose = keep_apart(outlines, pose)
    assert deep > 2
    assert overlaps_px(outlines, pose).max() < 0.6
