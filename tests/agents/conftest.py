"""Scenes for agents: one made by hand, and real ones with the shipped probe."""

from __future__ import annotations

import numpy as np
import pytest

from agents.planning.bodies import Bodies
from agents.seeing import Eyes, SeenObject, Sighting
from agents.zones import SeenZone
from envs.gap.probe_files import load_probe
from envs.push import PushWorld
from multimodal.language.vocabulary import COLOURS, SHAPES


def seen(name: str, x: float = 0.0, y: float = 0.0) -> SeenObject:
    colour, shape = name.split()
    return SeenObject(colour, shape, (x, y), {each: float(each == shape) for each in SHAPES})


@pytest.fixture
def table() -> Sighting:
    """Two cubes, a ball and a cross; a green and a purple target."""
    objects = (
        seen("red cube", -0.1),
        seen("blue cube", 0.1),
        seen("green ball", 0.0, 0.1),
        seen("yellow cross", 0.05, -0.1),
    )
    bodies = Bodies(
        np.zeros(2), np.zeros((len(COLOURS), 2)), np.zeros(len(COLOURS)), np.zeros((6, 4))
    )
    zones = (SeenZone("green", (0.0, 0.0), 1.0), SeenZone("purple", (0.1, 0.1), 1.0))
    return Sighting(bodies, objects, zones)


@pytest.fixture(scope="session")
def eyes() -> Eyes:
    return Eyes(load_probe("push"))


@pytest.fixture
def world():
    made = PushWorld(objects=[1, 4], max_steps=0, terminate_on_success=False)
    yield made
    made.close()
