"""From a configuration to a world, eyes, a model to imagine with, a planner and an agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

import gymnasium as gym
from omegaconf import DictConfig, ListConfig, OmegaConf

from agents.acting.planning_agent import AgentSettings, PlanningAgent, Understand, understood
from agents.planning.learned import LearnedModel
from agents.planning.planners import CrossEntropy, PathIntegral
from agents.planning.simulated import SimulatedModel
from agents.planning.unimagined import FirstProposal
from agents.seeing import Eyes
from envs.gap.probe import StateProbe
from envs.gap.probe_files import load_probe
from envs.mujoco_world import MujocoWorld
from envs.registration import register
from multimodal.errors import ConfigError
from worldmodel.device import choose_compute
from worldmodel.pipeline import WorldModelPipeline

__all__ = ["Parts", "make_planner", "make_world", "opened"]

IMAGINE = ("learned", "mujoco", "none")
_QUICK: Final = {"candidates": 4, "horizon": 6, "iterations": 1, "every": 6}


@dataclass(frozen=True)
class Parts:
    """What agents are put together from; loaded once and shared."""

    probe: StateProbe
    pipeline: WorldModelPipeline | None

    def agent(
        self,
        cfg: DictConfig,
        world: gym.Env[Any, Any],
        imagine: str,
        seed: int = 0,
        understand: Understand = understood,
    ) -> PlanningAgent:
        """An agent that imagines in the learned model, in MuJoCo, or not at all.

        Args:
            cfg: the verb's configuration.
            world: where it will act; MuJoCo planning needs it.
            imagine: one of `IMAGINE`.
            seed: of the planner's draws.
            understand: from words and a sighting to steps.

        Raises:
            ConfigError: an unknown kind, or MuJoCo planning in a learned world.
        """
        settings = AgentSettings(commit=int(cfg.commit))
        eyes = Eyes(self.probe)
        if imagine == "none":
            first = FirstProposal(int(cfg.commit), seed)
            return PlanningAgent(eyes, None, first, settings, understand)
        planner, model = make_planner(cfg, seed), self._model(imagine, world)
        quick = make_planner(OmegaConf.merge(cfg, {"planner": _QUICK}), seed)
        return PlanningAgent(eyes, model, planner, settings, understand, quick)

    def _model(self, imagine: str, world: gym.Env[Any, Any]) -> LearnedModel | SimulatedModel:
        if imagine == "learned" and self.pipeline is not None:
            return LearnedModel(self.pipeline, self.probe)
        if imagine != "mujoco":
            raise ConfigError(f"imagine={imagine} is unknown: expected one of {', '.join(IMAGINE)}")
        if not isinstance(world.unwrapped, MujocoWorld):
            raise ConfigError("imagine=mujoco needs world=mujoco: a learned world has no simulator")
        return SimulatedModel(world.unwrapped, self.probe)


def opened(cfg: DictConfig) -> Parts:
    """Load the world model and the probe.

    Raises:
        CheckpointError: one of them is missing or altered.
    """
    device = choose_compute().device
    pipeline = WorldModelPipeline.from_pretrained(str(cfg.checkpoint)).to(device)
    return Parts(load_probe(str(cfg.checkpoint), str(cfg.probe)).to(device), pipeline)


def make_world(cfg: DictConfig, pipeline: WorldModelPipeline | None = None) -> gym.Env[Any, Any]:
    """The world to act in.

    Args:
        cfg: the verb's configuration; `cfg.world` names it.
        pipeline: the world model, shared with a learned world.
    """
    register()
    options = cast(dict[str, Any], OmegaConf.to_container(cfg.world.options, resolve=True))
    options["max_steps"] = 0
    if "Learned" in str(cfg.world.id):
        options["checkpoint"] = pipeline or str(cfg.checkpoint)
    else:
        options["size_px"] = int(cfg.world.size_px)
    return gym.make(str(cfg.world.id), disable_env_checker=True, **options)


def make_planner(cfg: DictConfig | ListConfig, seed: int = 0) -> CrossEntropy | PathIntegral:
    """The planner that `cfg.planner` describes.

    Raises:
        ConfigError: unknown method, or a number out of range.
    """
    values = cast(dict[str, Any], OmegaConf.to_container(cfg.planner, resolve=True))
    name, elites = values.pop("name"), values.pop("elites")
    temperature_m = values.pop("temperature_m")
    if name == "icem":
        return CrossEntropy(**values, elites=elites, seed=seed)
    if name == "mppi":
        return PathIntegral(**values, temperature_m=temperature_m, seed=seed)
    raise ConfigError(f"planner.name={name} is unknown: expected icem or mppi")
