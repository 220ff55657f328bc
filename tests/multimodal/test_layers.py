"""Layers: taken apart and laid together again."""

import pytest
import torch

from multimodal.errors import FrameError
from multimodal.layers import LayerReader, Layers, composite


def disc(column: float, row: float, radius: float = 4.0, size: int = 64) -> torch.Tensor:
    """Opacity (size, size) of a disc with soft edges."""
    steps = torch.arange(size) + 0.5
    away = ((steps[None] - column) ** 2 + (steps[:, None] - row) ** 2).sqrt()
    return (radius + 0.5 - away).clamp(0, 1)


def bar(size: int = 24) -> torch.Tensor:
    """Opacity of a bar that is longer than high, in the middle of a sprite."""
    sprite = torch.zeros(size, size)
    sprite[10:14, 4:20] = 1
    return sprite


def layers_of(alphas: list[torch.Tensor], pose: list[tuple[float, float]], driven: list[float]):
    """Layers with one white sprite for each opacity on a black plate."""
    sprites = torch.stack([alpha.expand(4, -1, -1) for alpha in alphas])[None]
    centres = torch.tensor([[*place, 0.0] for place in pose])[None]
    present = torch.ones(1, len(alphas), dtype=torch.bool)
    return Layers(
        torch.zeros(1, 3, 64, 64), sprites, centres, torch.tensor([driven]) > 0.5, present
    )


def test_a_sprite_moved_by_whole_pixels_looks_the_same_elsewhere():
    layers = layers_of([bar()], [(20.0, 30.0)], [0.0])
    before = composite(layers, layers.pose)
    after = composite(layers, layers.pose + torch.tensor([7.0, -5.0, 0.0]))
    assert before.sum() > 100
    assert torch.allclose(torch.roll(before, (-5, 7), (2, 3)), after, atol=1e-5)


def test_a_quarter_turn_is_counter_clockwise_and_loses_nothing():
    layers = layers_of([bar()], [(32.0, 32.0)], [0.0])
    turned = composite(layers, layers.pose + torch.tensor([0.0, 0.0, torch.pi / 2]))
    expected = torch.rot90(composite(layers, layers.pose), 1, (2, 3))
    assert torch.allclose(turned, expected, atol=1e-4)


def test_what_is_carried_far_and_back_is_what_it_was():
    layers = layers_of([bar()], [(20.3, 30.8)], [0.0])
    way = torch.tensor([0.37, 0.21, 0.05])
    pose = layers.pose
    for _ in range(50):
        pose = pose + way
    for _ in range(50):
        pose = pose - way
    assert torch.allclose(composite(layers, pose), composite(layers, layers.pose), atol=1e-3)


def test_driven_bodies_lie_on_top():
    sprites = layers_of([bar(), bar()], [(32.0, 32.0)] * 2, [1.0, 0.0])
    red, blue = torch.zeros(4, 24, 24), torch.zeros(4, 24, 24)
    red[0], blue[2] = bar(), bar()
    red[3] = blue[3] = bar()
    layers = sprites._replace(sprites=torch.stack([red, blue])[None])
    shown = composite(layers, layers.pose)[0, :, 32, 32]
    assert shown.tolist() == [1.0, 0.0, 0.0]


def test_a_sprite_beyond_the_edge_is_cut_off_and_comes_back_whole():
    layers = layers_of([bar()], [(32.0, 32.0)], [0.0])
    away = composite(layers, layers.pose + torch.tensor([32.0, 0.0, 0.0]))
    assert 0 < away.sum() < composite(layers, layers.pose).sum()


def test_reading_keeps_every_pixel():
    """Whatever is called a sprite, plate and sprites together are the frame."""
    torch.manual_seed(0)
    reader = LayerReader(width=8).eval()
    frames = torch.randint(256, (3, 64, 64, 3), dtype=torch.uint8)
    layers = reader.read(frames)
    covered = layers.sprites[:, :, 3].sum((1, 2, 3))
    assert layers.plate.shape == (3, 3, 64, 64)
    assert layers.sprites.shape == (3, 6, 4, 24, 24)
    assert (covered >= 0).all()


@pytest.mark.parametrize(
    "frames",
    [torch.zeros(1, 64, 64, 4, dtype=torch.uint8), torch.zeros(1, 64, 64, 3)],
    ids=["four channels", "floats"],
)
def test_malformed_frames_are_refused(frames):
    with pytest.raises(FrameError, match="uint8 frames"):
        LayerReader(width=8).read(frames)


def test_votes_gather_to_bodies():
    """With perfect votes two discs are two sprites, each at its centre and of its size."""

    class Perfect(LayerReader):
        def forward(self, pixels):
            one, two = disc(20, 22), disc(44.5, 40.25)
            opacity = torch.stack([one, two])
            kind = torch.stack([1 - opacity.sum(0), one, two]).clamp(1e-6).log()[None]
            steps = torch.arange(64) + 0.5
            places = torch.stack(torch.broadcast_tensors(steps[None], steps[:, None]))
            centre = torch.where(two > one, torch.tensor([44.5, 40.25]).view(2, 1, 1), 0.0)
            centre = torch.where(one > two, torch.tensor([20.0, 22.0]).view(2, 1, 1), centre)
            said = super().forward(pixels)
            return said._replace(kind=kind, vote=(centre - places)[None], plate=pixels * 0)

    white = (disc(20, 22) + disc(44.5, 40.25)).clamp(0, 1)
    frame = (white[..., None].expand(64, 64, 3) * 255).round().to(torch.uint8)[None]
    layers = Perfect(width=8).eval().read(frame)
    assert layers.present[0].tolist() == [True, True, False, False, False, False]
    found = layers.pose[0, :2, :2]
    found = found[found[:, 0].argsort()]
    assert torch.allclose(found, torch.tensor([[20.0, 22.0], [44.5, 40.25]]), atol=0.05)
    driven = layers.driven[0, :2][layers.pose[0, :2, 0].argsort()]
    assert driven.tolist() == [False, True]
    shown = composite(layers, layers.pose).permute(0, 2, 3, 1)
    assert (shown - frame / 255).abs().max() < 0.02
