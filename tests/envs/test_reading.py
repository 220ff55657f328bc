"""The Reading table: what is printed can be read off the frame, and is saved and restored."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs.behaviours import make_behaviour
from envs.episode_recorder import record_episode
from envs.glyphs import COLUMNS, ROWS, glyph_cells
from envs.mujoco_world import WorldState
from envs.push import PushWorld
from envs.push_scene import COLOUR_RGB
from envs.reading import ReadingWorld
from envs.reading_scene import PIXEL_M
from multimodal.errors import ConfigError, StateError
from multimodal.language import Scene, ask
from multimodal.language.vocabulary import GLYPHS, HALF_VIEW_M

SEEDS = range(40)


@pytest.fixture(scope="module")
def world():
    world = ReadingWorld()
    yield world
    world.close()


@pytest.fixture(scope="module")
def other():
    world = ReadingWorld()
    yield world
    world.close()


def _pixel(x_m: float, y_m: float) -> tuple[int, int]:
    """Row and column of a place on the table in a frame of 64 pixels."""
    return int((HALF_VIEW_M - y_m) / PIXEL_M), int((x_m + HALF_VIEW_M) / PIXEL_M)


def _read_sign(frame: np.ndarray, box_m: np.ndarray) -> str:
    """The text that the pixels show: each cell of two by two pixels is dark or light."""
    top, left = _pixel(box_m[0] + PIXEL_M / 2, box_m[3] - PIXEL_M / 2)
    right = _pixel(box_m[2] + PIXEL_M / 2, 0)[1]
    dark = frame.mean(axis=2) < 128
    text = ""
    for start in range(left + 2, right - 2, 2 * (COLUMNS + 1)):
        cells = dark[top + 2 : top + 2 + 2 * ROWS, start : start + 2 * COLUMNS]
        shares = cells.reshape(ROWS, 2, COLUMNS, 2).mean(axis=(1, 3))
        assert set(np.unique(shares)) <= {0.0, 1.0}, "a cell is neither ink nor paper"
        matches = [g for g in GLYPHS if np.array_equal(glyph_cells(g), shares == 1)]
        assert len(matches) == 1
        text += matches[0]
    return text


def _read_chart(frame: np.ndarray, box_m: np.ndarray) -> list[tuple[str, int]]:
    """Colour and height of the bars that the pixels show, from left to right."""
    top, left = _pixel(box_m[0] + PIXEL_M / 2, box_m[3] - PIXEL_M / 2)
    bottom, right = _pixel(box_m[2] - PIXEL_M / 2, box_m[1] + PIXEL_M / 2)
    area = frame[top : bottom + 1, left : right + 1].astype(float)
    coloured = area.max(axis=2) - area.min(axis=2) > 60
    bars = []
    edges = np.diff(coloured.any(axis=0).astype(int), prepend=0, append=0)
    for start, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        column = area[:, start:end][coloured[:, start:end]].mean(axis=0) / 255
        colour = min(COLOUR_RGB, key=lambda name: np.abs(column - COLOUR_RGB[name]).sum())
        bars.append((colour, round(coloured[:, start:end].sum() / (end - start) / 4)))
    return bars


@pytest.mark.parametrize("options", [{}, {"size_px": 128}, {"chart": False, "objects": 2}])
@pytest.mark.filterwarnings("error")
def test_gymnasium_finds_nothing_to_complain_about(options):
    env = gym.make("worldmodel/Reading-v0", **options)
    check_env(env.unwrapped)
    env.close()


def test_every_character_differs_from_every_other_in_three_cells_or_more():
    cells = [glyph_cells(character) for character in GLYPHS]
    apart = [(a ^ b).sum() for i, a in enumerate(cells) for b in cells[:i]]
    assert min(apart) >= 3


def test_the_pixels_of_every_sign_read_what_the_state_says(world):
    seen = set()
    for seed in SEEDS:
        frame, info = world.reset(seed=seed)
        scene = Scene.from_state(info["state"])
        if scene.text:
            assert _read_sign(frame, info["state"]["sign_box_m"]) == scene.text
            seen |= {len(scene.text)}
    assert seen == {2, 3, 4}


def test_the_pixels_of_every_chart_show_what_the_state_says(world):
    seen = set()
    for seed in SEEDS:
        frame, info = world.reset(seed=seed)
        scene = Scene.from_state(info["state"])
        if scene.bars:
            shown = _read_chart(frame, info["state"]["chart_box_m"])
            assert shown == [(bar.colour, bar.height) for bar in scene.bars]
            seen |= {len(scene.bars)}
    assert seen == {2, 3, 4, 5}


def test_scenes_have_a_sign_a_chart_or_both(world):
    kinds = set()
    for seed in SEEDS:
        _, info = world.reset(seed=seed)
        scene = Scene.from_state(info["state"])
        kinds.add((bool(scene.text), bool(scene.bars)))
    assert kinds == {(True, False), (False, True), (True, True)}


def test_nothing_lies_on_the_print_when_an_episode_begins(world):
    rng = np.random.default_rng(0)
    for seed in SEEDS:
        _, info = world.reset(seed=seed)
        scene = Scene.from_state(info["state"])
        assert scene.text == "" or ask("reading", [scene], rng, split="any") is not None
        # Of a chart some patterns have no answer; one of many tries has.
        tries = [ask("chart", [scene], rng, split="any") for _ in range(12)]
        assert scene.bars == () or any(tries)


def test_only_a_sign_or_only_a_chart_when_asked_for():
    for options, has in [({"chart": False}, "sign_text"), ({"sign": False}, "bar_colour")]:
        world = ReadingWorld(**options)
        for seed in range(8):
            _, info = world.reset(seed=seed)
            state = info["state"]
            shown = {name for name in ("sign_text", "bar_colour") if (state[name] >= 0).any()}
            assert shown == {has}
        world.close()


def test_the_same_seed_gives_the_same_print(world, other):
    for seed in (1, 2, 3):
        one, two = world.reset(seed=seed), other.reset(seed=seed)
        assert np.array_equal(one[0], two[0])
        assert world.captions() == other.captions()


def test_a_restored_world_goes_on_bit_for_bit(world, other):
    rng = np.random.default_rng(0)
    for seed in range(6):
        world.reset(seed=seed)
        for _ in range(3):
            world.step(rng.uniform(-1, 1, 2).astype(np.float32))
        saved = world.save_state()
        other.reset(seed=seed + 100)
        other.restore_state(saved)
        assert np.array_equal(world.render(), other.render())
        for _ in range(5):
            action = rng.uniform(-1, 1, 2).astype(np.float32)
            one, two = world.step(action), other.step(action)
            assert np.array_equal(one[0], two[0])
            for name, value in one[4]["state"].items():
                assert np.array_equal(value, two[4]["state"][name])
        assert np.array_equal(world.reset()[0], other.reset()[0])


def test_a_state_without_its_print_is_refused(world):
    world.reset(seed=0)
    saved = world.save_state()
    arrays = {name: array for name, array in saved.arrays.items() if name != "sign_text"}
    with pytest.raises(StateError, match="sign_text"):
        world.restore_state(WorldState(saved.kind, arrays))
    with pytest.raises(StateError, match="sign_text has shape"):
        world.restore_state(WorldState(saved.kind, {**saved.arrays, "sign_text": np.zeros(3, int)}))


def test_a_state_of_the_push_table_is_refused(world):
    push = PushWorld(objects=1)
    push.reset(seed=0)
    with pytest.raises(StateError, match="'push' world"):
        world.restore_state(push.save_state())
    push.close()


def test_print_does_not_stop_the_pusher(world):
    for seed in range(200):
        _, info = world.reset(seed=seed)
        left, _, right, top = info["state"]["sign_box_m"]
        x, y = info["state"]["pusher_position_m"]
        if left < x < right and y > top:
            break
    for _ in range(20):
        _, _, _, _, info = world.step(np.array([0, -1], np.float32))
    assert info["state"]["pusher_position_m"][1] < y - 0.1
    assert not any(
        c.first in ("sign", "chart") or c.second in ("sign", "chart") for c in world.contacts()
    )


def test_print_is_named_in_the_segmentation(world):
    labels = set()
    for seed in range(10):
        world.reset(seed=seed)
        names = world.segmentation_labels
        labels |= {names[geom] for geom in np.unique(world.segmentation()) if geom >= 0}
    assert {"sign", "chart", "table", "pusher"} <= labels


def test_an_episode_of_it_is_recorded_with_its_print():
    world = ReadingWorld(terminate_on_success=False)
    episode = record_episode(world, seed=3, steps=4)
    behaviour = make_behaviour(world, np.random.default_rng(0))
    assert world.action_space.contains(behaviour.act(world))
    world.close()
    first, last = (Scene.from_state(episode.state, row) for row in (0, 4))
    assert (first.text, first.bars) == (last.text, last.bars)
    assert any("sign" in text or "chart" in text for text in episode.captions)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sign": False, "chart": False}, "nothing to read"),
        ({"objects": 3}, "room for 2"),
        ({"objects": 0}, "1 to 4"),
    ],
)
def test_options_that_cannot_be_are_refused(options, says):
    with pytest.raises(ConfigError, match=says):
        ReadingWorld(**options)
