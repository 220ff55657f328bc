"""Lanes over the poses of layers: a step moves bodies, and no picture is drawn or read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from agents.policy.layer_eyes import LayerEyes, Tied, turned
from agents.policy.sight import Sight
from agents.policy.starts import Start
from envs.layer_stage import metres_of
from multimodal.atomic import atomic_path
from multimodal.errors import CheckpointError
from multimodal.layers import Layers
from worldmodel.layered import follow
from worldmodel.motion import Bodies, Motion
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.solids import at_edge, reaches

__all__ = ["PoseLanes", "PoseState"]

# How far a centre may have been read from where it is, pixels and radians.
_MISREAD = (0.3, 0.3, 0.03)
# What lies so near an edge leans on it, and slides along it when it goes further than this a step.
_LEANS_PX, _SLID_PX = 0.5, 0.15


@dataclass(frozen=True)
class PoseState:
    """B rollouts at one instant; K slots, C colours.

    Attributes:
        pose: column, row and turn of each body (B, K, 3).
        shift: how it came there in the last step (B, K, 3).
        look: what the motion made of its sprite (B, K, E).
        driven: whether the actions themselves move it, bool (B, K).
        present: bool (B, K).
        reach: how far its sprite reaches in each direction (B, K, D).
        sight: what was seen at the beginning, as vectors (B, S).
        slots: the slot of each colour's object, int64 (B, C).
        pusher: the pusher's slot, int64 (B,).
        step: steps made so far, int64 (B,).
        rough: whether edges of the frame hold what is pushed along them, bool (B,); the whole
            rollout is held for that step, the pusher, too.
    """

    pose: Tensor
    shift: Tensor
    look: Tensor
    driven: Tensor
    present: Tensor
    reach: Tensor
    sight: Tensor
    slots: Tensor
    pusher: Tensor
    step: Tensor
    rough: Tensor

    @property
    def batch_size(self) -> int:
        """B."""
        return len(self.step)

    @property
    def bodies(self) -> Bodies:
        """As the motion takes them."""
        return Bodies(self.pose, self.shift, self.look, self.driven, self.present, self.reach)

    def arrays(self) -> dict[str, Tensor]:
        """The state as named tensors whose first axis is the lane."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def select(self, lanes: Sequence[int] | Tensor) -> PoseState:
        """Some lanes, in the order given."""
        index = torch.as_tensor(lanes, dtype=torch.long, device=self.step.device)
        return PoseState(**{name: value[index] for name, value in self.arrays().items()})

    @classmethod
    def concatenate(cls, states: Sequence[PoseState]) -> PoseState:
        """The lanes of several, one after the other."""
        parts = [state.arrays() for state in states]
        return cls(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})

    def to(self, device: torch.device) -> PoseState:
        """The same on a device."""
        return PoseState(**{name: value.to(device) for name, value in self.arrays().items()})

    def save(self, path: Path) -> None:
        """Write the state as safetensors, but for `rough`, which each rollout draws anew."""
        with atomic_path(path) as hidden:
            whole = {name: value.contiguous() for name, value in self.arrays().items()}
            save_file({name: whole[name] for name in _KEPT}, str(hidden))

    @classmethod
    def load(cls, path: Path) -> PoseState:
        """Read what `save` wrote; no edge is rough.

        Raises:
            CheckpointError: the file is of something else.
        """
        found = load_file(str(path))
        missing = set(_KEPT) - found.keys()
        if missing:
            raise CheckpointError(f"{path} lacks {', '.join(sorted(missing))}; delete the file.")
        smooth = torch.zeros_like(found["step"], dtype=torch.bool)
        return cls(**{name: found[name] for name in _KEPT}, rough=smooth)


_KEPT = tuple(field.name for field in fields(PoseState) if field.name != "rough")


class PoseLanes:
    """Lanes of a world model with layers.

    Args:
        pipeline: the world model.
        eyes: say once for each beginning which body is what.
    """

    def __init__(self, pipeline: WorldModelPipeline, eyes: LayerEyes) -> None:
        self.pipeline, self.eyes = pipeline, eyes
        self._motion: Motion = pipeline.motion
        self._low, self._span = (
            torch.from_numpy(pipeline.action_low).to(self.device),
            torch.from_numpy(pipeline.action_high - pipeline.action_low).to(self.device),
        )

    @property
    def device(self) -> torch.device:
        """Where everything lies."""
        return self.pipeline.device

    @torch.no_grad()
    def begin(self, start: Start, seed: int = 0) -> PoseState:
        """Rollouts at frames; goals change nothing in what moves."""
        return self.of(self.pipeline.layer_reader.read(start.frames[:, -1]))

    @torch.no_grad()
    def of(self, layers: Layers) -> PoseState:
        """Rollouts at layers that were read off frames, all bodies at rest."""
        tied: Tied = self.eyes.tied(layers)
        return PoseState(
            pose=layers.pose.clone(),
            shift=torch.zeros_like(layers.pose),
            look=self._motion.look(layers.sprites),
            driven=layers.driven,
            present=layers.present,
            reach=reaches(layers.sprites, layers.pose[..., :2]),
            sight=tied.sight.vector(),
            slots=tied.slots,
            pusher=tied.pusher,
            step=torch.zeros_like(tied.pusher),
            rough=torch.zeros_like(tied.pusher, dtype=torch.bool),
        )

    @torch.no_grad()
    def advance(self, state: PoseState, actions: Tensor) -> PoseState:
        """One step by actions (B, A) inside the world's bounds."""
        moved = follow(self._motion, state.bodies, self._scaled(actions), self._size)
        pose, shift = moved.pose, moved.shift
        if bool(state.rough.any()):
            held = (self._jammed(state, moved) & state.rough)[:, None, None]
            pose, shift = torch.where(held, state.pose, pose), shift.masked_fill(held, 0.0)
        return PoseState(**{**state.arrays(), "pose": pose, "shift": shift, "step": state.step + 1})

    def _jammed(self, state: PoseState, moved: Bodies) -> Tensor:
        """Whether something was pushed along an edge that it leant on before and after: (B,)."""
        if not self._motion.solid:
            return torch.zeros_like(state.rough)
        outlines = self._motion.outlines(state.bodies)
        leant = at_edge(outlines, state.pose, _LEANS_PX) & at_edge(outlines, moved.pose, _LEANS_PX)
        slid = moved.shift[..., :2].norm(dim=-1) > _SLID_PX
        return (leant & slid).any(1)

    @torch.no_grad()
    def seen(self, state: PoseState) -> Tensor:
        """What is seen, as vectors (B, S): what was seen at first, where it is by now."""
        first = Sight.from_vector(state.sight)
        place_m = metres_of(state.pose[..., :2], state.driven, self._size[0])
        wide = state.slots[..., None].expand(-1, -1, 2)
        return Sight(
            pusher_m=place_m[torch.arange(len(place_m), device=place_m.device), state.pusher],
            objects_m=place_m.gather(1, wide),
            object_present=first.object_present,
            zones_m=first.zones_m,
            zone_present=first.zone_present,
            looks=turned(first.looks, state.pose[..., 2].gather(1, state.slots)),
        ).vector()

    @torch.no_grad()
    def doubt(self, state: PoseState, actions: Tensor) -> Tensor:
        """How far bodies would part, had they been read a little elsewhere: pixels, (B,).

        Two guesses of the next step, from poses shifted by as much as a reading can be off. Where
        the model is sure of what happens both shift alike; where it is not, they part.
        """
        scale = state.pose.new_tensor(_MISREAD)
        guesses = []
        for sign in (1, -1):
            # The same way for every lane and call: which lanes are doubted shall not be chance.
            way = scale * sign * self._ways(state.pose.shape[1]).to(state.pose)
            bodies = state.bodies._replace(pose=state.pose + way)
            guesses.append(follow(self._motion, bodies, self._scaled(actions), self._size).shift)
        free = (state.present & ~state.driven)[..., None]
        return ((guesses[0] - guesses[1])[..., :2] * free).norm(dim=-1).amax(1)

    @staticmethod
    def _ways(slots: int) -> Tensor:
        """Directions in which slots are misread (K, 3), each another one."""
        angle = torch.arange(slots) * 2.4
        return torch.stack([angle.cos(), angle.sin(), (2 * angle).cos()], -1)

    @property
    def _size(self) -> tuple[int, int]:
        return self.pipeline.frame_shape[:2]

    def _scaled(self, actions: Tensor) -> Tensor:
        return ((actions - self._low) / self._span * 2 - 1).clamp(-1, 1)
