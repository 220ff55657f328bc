"""What the agent is asked to do: held-out scenes, clear, ambiguous and impossible instructions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from agents.language.steps import AtWall, InZone, Step
from envs.push import PushWorld
from multimodal.language import INSTRUCTION_PHRASES, Scene, SceneObject, instruction
from multimodal.language.vocabulary import COLOURS, SHAPES, WALLS
from multimodal.splits import seeds_of

__all__ = ["Task", "ambiguous", "clear_tasks", "impossible", "swapped", "truth_of"]

# Every fifth task has two steps.
_TWO_STEPS_EVERY: Final = 5
# Away from the seeds that recordings of the data sets begin at.
_FIRST_SEED: Final = 40_000_000
_FAR_M: Final = 0.1
Kind = Literal["clear", "ambiguous", "impossible", "swapped"]


@dataclass(frozen=True)
class Task:
    """One instruction in one scene.

    Attributes:
        seed: of the scene, one of the test split.
        text: the instruction.
        steps: what it means; empty where it cannot be carried out.
        kind: what the right answer is: to act, to ask or to refuse.
    """

    seed: int
    text: str
    steps: tuple[Step, ...]
    kind: Kind = "clear"

    @property
    def max_ticks(self) -> int:
        """Time for it: 20 seconds a step at the world's rate."""
        return 200 * max(1, len(self.steps))


def truth_of(world: PushWorld, seed: int) -> Scene:
    """What a scene truly holds; the world is left there."""
    world.reset(seed=seed)
    return Scene.from_state(world.named_state())


def clear_tasks(world: PushWorld, count: int) -> list[Task]:
    """Tasks in scenes of the test split, in all phrases; every fifth has two steps.

    A place is never the one at which the object is already.
    """
    tasks = []
    for number, seed in enumerate(seeds_of("test", count, _FIRST_SEED)):
        rng = np.random.default_rng(seed)
        scene = truth_of(world, seed)
        double = number % _TWO_STEPS_EVERY == _TWO_STEPS_EVERY - 1 and len(scene.objects) > 1
        order = rng.permutation(len(scene.objects))[: 2 if double else 1]
        steps, parts, taken = [], [], ""
        for index in order:
            step = _step(scene.objects[index], scene, rng, taken)
            taken = step.until.words()
            steps.append(step)
            parts.append(_said(step, int(rng.integers(INSTRUCTION_PHRASES))))
        text = parts[0] if not double else f"first {parts[0]}, then {parts[1]}"
        tasks.append(Task(seed, text, tuple(steps)))
    return tasks


def _step(thing: SceneObject, scene: Scene, rng: np.random.Generator, taken: str) -> Step:
    """A step with an object, to a place where it is not yet and nothing else was put."""
    places: list[InZone | AtWall] = [InZone(zone=zone.colour) for zone in scene.zones]  # type: ignore[arg-type]
    places += [AtWall(wall=wall) for wall in WALLS]  # type: ignore[arg-type]
    steps = [step for place in places if (step := _open(thing, place, scene))]
    free = [step for step in steps if step.until.words() != taken]
    return free[int(rng.integers(len(free)))]


def _open(thing: SceneObject, place: InZone | AtWall, scene: Scene) -> Step | None:
    """The step that brings a thing to a place, None where it begins as good as done."""
    if isinstance(place, InZone):
        far = _far(thing, next(zone for zone in scene.zones if zone.colour == place.zone))
    else:
        far = _far_from(thing, place.wall)
    return Step(colour=thing.colour, shape=thing.shape, until=place) if far else None  # type: ignore[arg-type]


def _far(thing: SceneObject, zone: object) -> bool:
    x, y = getattr(zone, "x_m"), getattr(zone, "y_m")  # noqa: B009
    return float(np.hypot(thing.x_m - x, thing.y_m - y)) > _FAR_M


def _far_from(thing: SceneObject, wall: str) -> bool:
    along = {"left": -thing.x_m, "right": thing.x_m, "top": thing.y_m, "bottom": -thing.y_m}[wall]
    return 0.2 - along > _FAR_M


def _said(step: Step, phrase: int) -> str:
    goal = step.goal()
    zone = None if goal.wall >= 0 else COLOURS[goal.zone_colour]
    wall = WALLS[goal.wall] if goal.wall >= 0 else None
    return instruction(step.colour, step.shape, zone=zone, wall=wall, phrase=phrase)


def swapped(world: PushWorld, tasks: Sequence[Task]) -> list[Task]:
    """For each task with a choice: the same scene and place, another object that is not there yet.

    Args:
        world: to look scenes up in.
        tasks: clear ones; those of two steps are left out, and those in whose scenes nothing else
            could be brought to that place.
    """
    found = []
    for task in tasks:
        if len(task.steps) > 1:
            continue
        scene, old = truth_of(world, task.seed), task.steps[0]
        others = [thing for thing in scene.objects if thing.colour != old.colour]
        new = next((step for thing in others if (step := _open(thing, old.until, scene))), None)
        if new is None:
            continue
        text = task.text.replace(f"{old.colour} {old.shape}", f"{new.colour} {new.shape}")
        found.append(Task(task.seed, text, (new,), "swapped"))
    return found


def ambiguous(world: PushWorld, count: int) -> list[Task]:
    """Instructions that fit more than one thing or place of their scene."""
    tasks: list[Task] = []
    for seed in _seeds():
        scene = truth_of(world, seed)
        rng = np.random.default_rng(seed)
        shapes = [thing.shape for thing in scene.objects]
        twice = sorted({shape for shape in shapes if shapes.count(shape) > 1})
        thing = scene.objects[int(rng.integers(len(scene.objects)))]
        zone, wall = scene.zones[int(rng.integers(2))].colour, WALLS[int(rng.integers(4))]
        texts = [f"push the {thing.name} to the target", f"push the {thing.name}"]
        texts += [f"move the {thing.name} to the wall"]
        if twice:
            texts = [
                f"push the {twice[0]} to the {zone} target",
                f"bring the {twice[0]} to the {wall} wall",
            ]
        elif len(tasks) % 2:
            # Half of the set at least is about which object.
            continue
        tasks.append(Task(seed, texts[int(rng.integers(len(texts)))], (), "ambiguous"))
        if len(tasks) == count:
            break
    return tasks


def impossible(world: PushWorld, count: int) -> list[Task]:
    """Instructions about things that are not there, or that are no pushing."""
    tasks: list[Task] = []
    for seed in _seeds():
        scene = truth_of(world, seed)
        rng = np.random.default_rng(seed)
        here = {thing.colour for thing in scene.objects}
        gone = [colour for colour in COLOURS if colour not in here]
        zones = [c for c in COLOURS if c not in {zone.colour for zone in scene.zones}]
        thing = scene.objects[int(rng.integers(len(scene.objects)))]
        shape = [s for s in SHAPES if s != thing.shape][int(rng.integers(3))]
        wall = WALLS[int(rng.integers(4))]
        texts = (
            f"push the {rng.choice(gone)} {rng.choice(SHAPES)} to the {wall} wall",
            f"push the {thing.colour} {shape} to the {wall} wall",
            f"push the {thing.name} to the {rng.choice(zones)} target",
            f"push the {rng.choice(['pink', 'black', 'white'])} {thing.shape} to the {wall} wall",
            f"lift the {thing.name}",
            f"push the {rng.choice(['banana', 'bottle', 'car'])} to the {wall} wall",
        )
        tasks.append(Task(seed, texts[len(tasks) % len(texts)], (), "impossible"))
        if len(tasks) == count:
            break
    return tasks


def _seeds() -> Iterator[int]:
    """Seeds of the test split, without end."""
    start = 2 * _FIRST_SEED
    while True:
        batch = seeds_of("test", 64, start)
        yield from batch
        start = batch[-1] + 1
