"""How fast MuJoCo steps and renders, each simulation in a process of its own.

Two MuJoCo environments in one process would fight over the current OpenGL context, and several
processes at once are how a recording uses a machine.
"""

import multiprocessing
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import gymnasium as gym

from envs.registration import register
from envs.rendering import opengl_backend
from envs.stopwatch import count_for
from multimodal.errors import WorldModelError

__all__ = ["PUSH", "PUSHER", "Simulator", "together"]

PUSH: tuple[str, dict[str, Any]] = ("worldmodel/Push-v0", {"size_px": 64})
PUSHER: tuple[str, dict[str, Any]] = (
    "Pusher-v5",
    {"render_mode": "rgb_array", "width": 64, "height": 64},
)

_READY_WITHIN_S = 120


class Simulator:
    """A MuJoCo environment in another process, stepped and rendered on command.

    Args:
        environment: Gymnasium id and keyword arguments, such as `PUSH`.
        seed: of resets and random actions.

    Use it in a `with` block; the process ends with the block.
    """

    def __init__(self, environment: tuple[str, dict[str, Any]], seed: int = 0) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, *environment, seed), daemon=True
        )
        self._process.start()
        theirs.close()
        self._receive(_READY_WITHIN_S)

    def start(self, seconds: float) -> None:
        """Let it run for some seconds, and come back at once."""
        self._connection.send(seconds)
        self._seconds = seconds

    def result(self) -> float:
        """Wait for the run that was started; returns frames per second."""
        return float(self._receive(self._seconds + _READY_WITHIN_S))

    def _receive(self, seconds: float) -> Any:
        if not self._connection.poll(seconds):
            raise WorldModelError(
                f"the simulation's process did not answer within {seconds:.0f} s: "
                "run the command again when the machine has less to do"
            )
        try:
            answer = self._connection.recv()
        except (EOFError, ConnectionResetError) as error:
            self._process.join(10)
            raise WorldModelError(
                f"the simulation's process ended with exit code {self._process.exitcode} (killed, "
                "out of memory, or the error printed above): run the command again"
            ) from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.terminate()


def together(simulators: Sequence[Simulator], seconds: float) -> float:
    """Run simulators at the same time; returns the frames per second of all of them together."""
    for simulator in simulators:
        simulator.start(seconds)
    return sum(simulator.result() for simulator in simulators)


def _serve(connection: Connection, env_id: str, options: dict[str, Any], seed: int) -> None:
    """Answer each number of seconds with frames per second until the other side closes."""
    with ExitStack() as stack:
        try:
            work = _frames(env_id, options, seed, stack)
        except Exception as error:  # noqa: BLE001  it is raised on the other side
            connection.send(error)
            return
        connection.send("ready")
        while True:
            try:
                seconds = connection.recv()
            except EOFError:
                return
            connection.send(count_for(seconds, work))


def _frames(env_id: str, options: dict[str, Any], seed: int, stack: ExitStack) -> Callable[[], int]:
    """Make the environment, and return what steps and renders it once."""
    register()
    opengl_backend()
    env = gym.make(env_id, disable_env_checker=True, **options)
    stack.callback(env.close)
    env.action_space.seed(seed)
    env.reset(seed=seed)
    return partial(_step, env, "render_mode" in options)


def _step(env: gym.Env[Any, Any], render: bool) -> int:
    """One frame; our own worlds return it as the observation."""
    _, _, terminated, truncated, _ = env.step(env.action_space.sample())
    if render:
        env.render()
    if terminated or truncated:
        env.reset()
    return 1
