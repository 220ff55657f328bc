"""What is said of the real worlds, checked against their own state and their pixels."""

import numpy as np
import pytest

from envs.episode_recorder import record_episode
from envs.push import PushWorld
from envs.push_scene import COLOUR_RGB
from envs.reading import ReadingWorld
from multimodal.language import KINDS, Scene, ask, caption
from multimodal.language.vocabulary import HALF_VIEW_M, named_combinations
from tests.multimodal.language import oracle

SEEN, AHEAD = 4, 16


def _rows(state, rows):
    return [{name: array[row] for name, array in state.items()} for row in rows]


@pytest.fixture(scope="module")
def episodes():
    worlds = [
        PushWorld(objects=[1, 4], terminate_on_success=False),
        ReadingWorld(terminate_on_success=False),
    ]
    recorded = [record_episode(world, seed, steps=40) for world in worlds for seed in range(12)]
    for world in worlds:
        world.close()
    return recorded


def test_every_question_about_a_recorded_world_is_answered_as_its_state_says(episodes):
    rng = np.random.default_rng(0)
    asked = dict.fromkeys(KINDS, 0)
    for episode in episodes:
        for start in range(0, len(episode) - SEEN - AHEAD, 4):
            states = _rows(episode.state, range(start, start + SEEN + AHEAD))
            scenes = [Scene.from_state(state) for state in states]
            seen, future = (states[:SEEN], scenes[:SEEN]), (states[SEEN:], scenes[SEEN:])
            for kind in KINDS:
                question = ask(kind, seen[1], rng, split="any", future=future[1])
                if question is not None:
                    asked[kind] += 1
                    right = oracle.answer(kind, question.text, seen[0], future[0])
                    assert question.answer == right, question
    assert min(asked.values()) > 0, asked


def test_pushes_are_asked_about_that_succeed_and_that_fail(episodes):
    rng = np.random.default_rng(0)
    answers = set()
    for episode in episodes:
        for start in range(0, len(episode) - SEEN - AHEAD):
            scenes = [
                Scene.from_state(episode.state, row) for row in range(start, start + SEEN + AHEAD)
            ]
            question = ask("success", scenes[:SEEN], rng, split="any", future=scenes[SEEN:])
            answers |= {question.answer} if question else set()
    assert answers == {"yes", "no"}


def test_a_caption_names_only_colours_that_the_frame_shows_where_it_says(episodes):
    rng = np.random.default_rng(0)
    for episode in episodes:
        scene = Scene.from_state(episode.state, 0)
        for colour, shape in named_combinations(
            caption(scene, rng, split="any", complete=True).text
        ):
            thing = scene.find(colour)
            assert thing.shape == shape
            row, column = (
                int((1 - thing.y_m / HALF_VIEW_M) * 32),
                int((1 + thing.x_m / HALF_VIEW_M) * 32),
            )
            patch = episode.frames[0][row - 1 : row + 2, column - 1 : column + 2] / 255.0
            seen = patch.reshape(-1, 3).mean(axis=0)
            nearest = min(COLOUR_RGB, key=lambda name: np.linalg.norm(seen - COLOUR_RGB[name]))
            assert nearest == colour


def test_a_world_asks_about_its_own_frame():
    world = ReadingWorld(objects=2)
    world.reset(seed=1)
    asked = world.questions(np.random.default_rng(0))
    assert {"count", "shape", "existence"} <= {question.kind for question in asked}
    assert {"reading", "chart"} & {question.kind for question in asked}
    for question in asked:
        assert question.answer == oracle.answer(question.kind, question.text, [world.named_state()])
    world.close()
