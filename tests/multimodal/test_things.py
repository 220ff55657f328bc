"""Things of a frame: parts that do not mix, what is done to one part, how a tower reads them."""

import math

import numpy as np
import pytest
import torch

from envs.push import PushWorld
from multimodal.clip_data import slot_at
from multimodal.eyes import Eyes
from multimodal.glance import GlanceLayout
from multimodal.language import Scene
from multimodal.language.vocabulary import COLOUR_RGB, HALF_VIEW_M
from multimodal.layers import LayerReader
from multimodal.things import SILHOUETTE_PX, THING, Things, blurred, things_of, tinted
from multimodal.tokenizer import VideoTokenizer
from multimodal.tower import VisionTower
from worldmodel.checkpoint import shipped


@pytest.fixture(scope="module")
def reader():
    return LayerReader.from_pretrained(shipped("push") / "layer_reader").eval()


@pytest.fixture(scope="module")
def scenes():
    """Eight frames with two objects, and what they show."""
    world = PushWorld(objects=2)
    seen = []
    for seed in range(700, 708):
        frame, info = world.reset(seed=seed)
        seen.append((frame, Scene.from_state(info["state"])))
    world.close()
    return seen


@pytest.fixture(scope="module")
def things(reader, scenes):
    return things_of(reader, torch.from_numpy(np.stack([frame for frame, _ in scenes])))


def test_every_object_is_cut_out_once_in_its_colour_at_its_place(things, scenes):
    found = Things.of(things)
    assert ((found.present - found.driven).sum((1, 2)) == 2).all()
    for row, (_, scene) in enumerate(scenes):
        slots = [slot_at(each.x_m, each.y_m, things[row].numpy()) for each in scene.objects]
        assert None not in slots
        assert len(set(slots)) == 2
        for slot, each in zip(slots, scene.objects, strict=True):
            seen = found.colour[row, slot]
            apart = {c: float((seen - torch.tensor(rgb)).norm()) for c, rgb in COLOUR_RGB.items()}
            assert min(apart, key=apart.get) == each.colour
            assert found.silhouette[row, slot].shape == (SILHOUETTE_PX, SILHOUETTE_PX)


def test_where_nothing_stands_no_thing_is_found(things):
    assert slot_at(9.0, 9.0, things[0].numpy()) is None


def test_a_tint_changes_the_colour_alone_and_shuns_barred_ones(things):
    torch.manual_seed(0)
    some = things[:, 0].repeat(20, 1)
    barred = torch.tensor([COLOUR_RGB["red"], COLOUR_RGB["purple"]]).expand(len(some), 2, 3)
    before, after = Things.of(some), Things.of(tinted(some, barred))
    assert torch.equal(before.silhouette, after.silhouette)
    assert torch.equal(before.place, after.place)
    assert not torch.allclose(before.colour, after.colour)
    assert float((after.colour[:, None] - barred).norm(dim=-1).min()) > 0.3
    assert float(after.colour.std(0).min()) > 0.1


def test_a_blur_leaves_nothing_of_the_outline(things):
    before, after = Things.of(things[:, 0]), Things.of(blurred(things[:, 0]))
    assert torch.equal(before.colour, after.colour)
    assert float(after.silhouette.std(0).max()) == 0
    assert after.silhouette.sum() > 0


@pytest.fixture(scope="module")
def tower():
    torch.manual_seed(0)
    return VisionTower(GlanceLayout(4, 2, 3), 12, 16, 1, 2, changes=True).eval()


def glance(*things):
    rows = torch.zeros(1, 3, THING)
    for slot, (x_px, colour) in enumerate(things):
        parts = torch.rand(SILHOUETTE_PX**2, generator=torch.Generator().manual_seed(1))
        rest = torch.tensor([*colour, x_px / 32 - 1, 0.0, 0.0, 1.0])
        rows[0, slot] = torch.cat([parts, rest])
    return torch.cat([torch.zeros(1, 8), rows.flatten(1)], 1)


RED, BLUE = (0.9, 0.1, 0.1), (0.1, 0.2, 0.9)


def test_shape_colour_and_place_lie_in_parts_of_their_own(tower):
    here, there, other = (tower(glance(each))[0, 4] for each in ((10, RED), (40, RED), (10, BLUE)))
    part = 4
    assert torch.equal(here[: 2 * part], there[: 2 * part])
    assert not torch.allclose(here[2 * part :], there[2 * part :])
    assert torch.equal(here[:part], other[:part])
    assert torch.equal(here[2 * part :], other[2 * part :])
    assert not torch.allclose(here[part : 2 * part], other[part : 2 * part])


def test_a_thing_is_followed_by_its_colour_whichever_slot_it_was_in(tower):
    before, after = glance((10, RED), (40, BLUE)), glance((42, BLUE), (10, RED))
    swapped = glance((40, BLUE), (10, RED))
    assert torch.equal(tower(after, before), tower(after, swapped))
    still, moved = tower(swapped, before)[0, 4:6], tower(after, before)[0, 4:6]
    torch.testing.assert_close(still[1], moved[1])
    assert torch.equal(tower(swapped, swapped), tower(swapped, before))
    assert not torch.allclose(still[0], moved[0])


def test_what_was_not_there_before_counts_as_still(tower):
    alone, both = glance((10, RED)), glance((10, RED), (40, BLUE))
    nothing = glance()
    assert torch.equal(tower(both, nothing), tower(both, both))
    assert torch.isfinite(tower(alone, both)).all()


def test_a_row_comes_apart_as_it_was_put_together():
    layout = GlanceLayout(4, 2, 3, 8)
    latents, things = torch.randn(2, 4, 2), torch.randn(2, 3, THING)
    frames = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)
    row = layout.row(latents, things, frames)
    assert row.shape == (2, layout.numbers)
    seen = layout.parts(row)
    assert torch.equal(seen.latents, latents)
    assert torch.equal(seen.things, things)
    torch.testing.assert_close(seen.pixels.permute(0, 2, 3, 1) * 255, frames.float())


def test_eyes_without_a_reader_see_no_things():
    eyes = Eyes(VideoTokenizer(latent_channels=8, width=16).eval())
    row = eyes.look(np.zeros((2, 64, 64, 3), np.uint8), 64, GlanceLayout(64, 8))
    assert row.shape == (2, 64 * 8)
    assert eyes.slots == 0
    assert eyes.names["reader"] == ""


def test_places_of_things_are_those_of_the_table(things, scenes):
    for row, (_, scene) in enumerate(scenes):
        for each in scene.objects:
            slot = slot_at(each.x_m, each.y_m, things[row].numpy())
            x, y = Things.of(things).place[row, slot].tolist()
            assert math.dist((x, y), (each.x_m / HALF_VIEW_M, -each.y_m / HALF_VIEW_M)) < 0.06
