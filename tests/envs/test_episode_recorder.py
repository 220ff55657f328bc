"""Worlds that recordings are made in."""

import json
from dataclasses import replace

from envs.episode_recorder import Recording


def test_recordings_that_differ_in_seed_and_length_share_one_world():
    options = json.dumps({"max_steps": 0})
    first = Recording("worldmodel/Push-v0", 32, options, steps=4, seed=0)
    world = first.make_world()
    assert replace(first, steps=7, seed=1_000_000).make_world() is world
    assert replace(first, size_px=64).make_world() is not world
    world.close()
