"""How fast a learned world steps, where the time goes, and whether a long rollout costs more."""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from envs.stopwatch import count_for
from worldmodel.device import choose_compute
from worldmodel.layered import carry
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.rollout_state import RolloutState

__all__ = [
    "LearnedWorld",
    "LongRollout",
    "count_flops",
    "dynamics_turns",
    "flops_per_step",
    "long_rollout",
    "stage_work",
]

ENV_ID = "worldmodel/Learned-v0"
EARLY_STEP = 100
_TURNS = 200


class LearnedWorld:
    """The learned environments of one checkpoint, opened once for each number of lanes.

    Args:
        checkpoint: a shipped name or a folder.
        batches: numbers of environments that are stepped together.
        seed: of resets and random actions.
    """

    def __init__(self, checkpoint: str, batches: Sequence[int], seed: int = 0) -> None:
        self.single = gym.make(ENV_ID, checkpoint=checkpoint)
        self.single.action_space.seed(seed)
        self.first_frame, _ = self.single.reset(seed=seed)
        space = self.single.action_space
        assert isinstance(space, gym.spaces.Box)
        device = choose_compute().device
        self._bounds = tuple(torch.from_numpy(b).to(device) for b in (space.low, space.high))
        self._generator = torch.Generator().manual_seed(seed)
        self.vectors: dict[int, gym.vector.VectorEnv[Any, Any, Any]] = {}
        for lanes in batches:
            vector = gym.make_vec(
                ENV_ID,
                num_envs=lanes,
                vectorization_mode="vector_entry_point",
                checkpoint=checkpoint,
                tensors=True,
            )
            vector.reset(seed=seed)
            self.vectors[lanes] = vector

    def step_single(self) -> int:
        """One step of the single environment, as its user sees it; returns frames."""
        _, _, terminated, truncated, _ = self.single.step(self.single.action_space.sample())
        if terminated or truncated:
            self.single.reset()
        return 1

    def step_vector(self, lanes: int) -> int:
        """One step of the vector environment, resets included; returns frames."""
        self.vectors[lanes].step(self._actions(lanes))
        _finish()
        return lanes

    def _actions(self, lanes: int) -> Tensor:
        """Random actions (B, A) on the model's device."""
        low, high = self._bounds
        shape = (lanes, *low.shape)
        return low + (high - low) * torch.rand(shape, generator=self._generator).to(low.device)

    def turns(self) -> dict[str, Callable[[float], float]]:
        """Everything here for `envs.stopwatch.take_turns`, under its name in `metrics.json`."""
        turns: dict[str, Callable[[float], float]] = {
            "fps_single": partial(count_for, work=self.step_single)
        }
        for lanes in self.vectors:
            work = partial(self.step_vector, lanes)
            turns[f"fps_batched_{lanes}"] = partial(count_for, work=work)
        return turns

    def close(self) -> None:
        """Close all environments."""
        self.single.close()
        for vector in self.vectors.values():
            vector.close()


def flops_per_step(pipeline: WorldModelPipeline, frame: NDArray[np.uint8], lanes: int) -> int:
    """Count the floating-point operations of one step.

    Args:
        pipeline: the model.
        frame: a first frame, uint8 (H, W, 3).
        lanes: B, rollouts that are stepped together.

    Returns:
        Operations of all lanes together: dynamics, heads and decoder.
    """
    state, action = _started(pipeline, frame, lanes)
    return count_flops(partial(pipeline.step, state, action))


@torch.inference_mode()
def count_flops(work: Callable[[], object]) -> int:
    """Count the floating-point operations of matrix products, convolutions and attention."""
    # torch's own table lacks the attention kernel of the CPU.
    formulas = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        work()
    return int(counter.get_total_flops())


def _attention_flops(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: object, **__: object
) -> int:
    """Query times key and weights times value, from the shapes (B, heads, tokens, channels)."""
    batch, heads, tokens, channels = query
    return 2 * batch * heads * tokens * key[-2] * (channels + value[-1])


def stage_work(
    pipeline: WorldModelPipeline, frame: NDArray[np.uint8]
) -> dict[str, Callable[[], int]]:
    """What one rollout does in a step, apart.

    Args:
        pipeline: the model.
        frame: a frame it can start from, uint8 (H, W, 3).

    Returns:
        `encode`, `dynamics` (outcome heads included) and `decode`, and `layers` where the model
        carries them, which then takes the place of the last two; each a function for
        `envs.stopwatch.count_for`.
    """
    plain = pipeline.without_layers()
    state, action = _started(plain, frame, 1)
    frames_BTHWC = torch.from_numpy(frame.copy())[None, None].to(pipeline.device)

    def dynamics() -> None:
        plain.outcome(plain.advance(state, action))

    work: dict[str, Callable[[], int]] = {
        "encode": partial(_timed, pipeline.tokenizer.encode, frames_BTHWC),
        "dynamics": partial(_timed, dynamics),
        "decode": partial(_timed, plain.render, state),
    }
    if pipeline.motion is not None:
        layered = _started(pipeline, frame, 1)[0].layered
        work["layers"] = partial(_timed, carry, pipeline.motion, layered, action)
    return work


def dynamics_turns(
    pipeline: WorldModelPipeline, frame: NDArray[np.uint8], batches: Sequence[int]
) -> dict[str, Callable[[float], float]]:
    """Batched stepping of the dynamics alone, for `envs.stopwatch.take_turns`.

    Args:
        pipeline: the model.
        frame: a frame it can start from, uint8 (H, W, 3).
        batches: numbers of rollouts that are stepped together.

    Returns:
        `dynamics_batched_N` for each number N, which counts frames.
    """
    plain = pipeline.without_layers()

    def turn(lanes: int) -> Callable[[float], float]:
        state, action = _started(plain, frame, lanes)
        return partial(count_for, work=lambda: lanes * _timed(plain.step, state, action))

    return {f"dynamics_batched_{lanes}": turn(lanes) for lanes in batches}


@torch.inference_mode()
def _timed(function: Callable[..., object], *arguments: object) -> int:
    function(*arguments)
    _finish()
    return 1


def _finish() -> None:
    """Wait for what was queued on a GPU, or its time would be charged to what comes next."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _started(
    pipeline: WorldModelPipeline, frame: NDArray[np.uint8], lanes: int
) -> tuple[RolloutState, Tensor]:
    """A rollout of `lanes` lanes from one frame, with its whole memory filled, and an action."""
    frames_BTHWC = np.broadcast_to(frame, (lanes, 1, *frame.shape)).copy()
    state = pipeline.reset(frames_BTHWC, seed=0)
    action = torch.zeros(lanes, pipeline.action_dim, device=pipeline.device)
    for _ in range(pipeline.context):
        state = pipeline.step(state, action).state
    return state, action


@dataclass(frozen=True)
class LongRollout:
    """What a step costs early and late in one rollout.

    Attributes:
        early: the early step, 100 unless the rollout is shorter.
        late: the late step.
        early_ms: median time of a step from the early state.
        late_ms: median time of a step from the late state, measured in turn with the early one.
        early_rss_mb: resident memory at the early step.
        late_rss_mb: resident memory at the late step.
        seconds: time of the whole rollout.
    """

    early: int
    late: int
    early_ms: float
    late_ms: float
    early_rss_mb: float
    late_rss_mb: float
    seconds: float

    @property
    def step_time_ratio(self) -> float:
        """Late over early step time."""
        return self.late_ms / self.early_ms

    @property
    def rss_ratio(self) -> float:
        """Late over early resident memory."""
        return self.late_rss_mb / self.early_rss_mb


def long_rollout(
    pipeline: WorldModelPipeline,
    frame: NDArray[np.uint8],
    steps: int,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> LongRollout:
    """Roll out for very long, and compare step 100 with the last.

    A rollout of 10,000 steps takes minutes, in which the machine's own speed drifts by more than
    what is looked for. So the states of both steps are kept, and stepped in turn at the end.

    Args:
        pipeline: the model.
        frame: the first frame, uint8 (H, W, 3).
        steps: the late step.
        seed: of the random actions and the model's noise.
        progress: called after every step with its number.

    Returns:
        Time and memory at both steps.
    """
    early = min(EARLY_STEP, max(1, steps // 2))
    generator = torch.Generator().manual_seed(seed)
    low, high = (torch.as_tensor(bound) for bound in (pipeline.action_low, pipeline.action_high))
    state = pipeline.reset(frame[None, None], seed=seed)
    early_state, early_rss_mb = state, 0.0
    started_s = time.perf_counter()
    for step in range(1, steps + 1):
        action = low + (high - low) * torch.rand(1, pipeline.action_dim, generator=generator)
        state = pipeline.step(state, action.to(pipeline.device)).state
        if step == early:
            early_state, early_rss_mb = state, _rss_mb()
        if progress is not None:
            progress(step)
    seconds = time.perf_counter() - started_s
    late_rss_mb = _rss_mb()
    early_ms, late_ms = _step_ms(pipeline, [early_state, state])
    return LongRollout(early, steps, early_ms, late_ms, early_rss_mb, late_rss_mb, seconds)


def _step_ms(pipeline: WorldModelPipeline, states: Sequence[RolloutState]) -> list[float]:
    """Median time of one step from each state, taken in turn; odd turns go backwards."""
    action = torch.zeros(1, pipeline.action_dim, device=pipeline.device)
    times_ms: list[list[float]] = [[] for _ in states]
    for turn in range(_TURNS):
        order = range(len(states)) if turn % 2 == 0 else reversed(range(len(states)))
        for index in order:
            started_s = time.perf_counter()
            pipeline.step(states[index], action)
            _finish()
            times_ms[index].append(1e3 * (time.perf_counter() - started_s))
    return [statistics.median(times) for times in times_ms]


def _rss_mb() -> float:
    """Resident memory of this process after what is garbage was collected."""
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6
