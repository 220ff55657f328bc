"""`worldmodel policy train experiment=...`: record, learn the world, learn in it, and again."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from agents.policy.collecting import Acts, Amount, collected, opened_store
from agents.policy.dreaming import Dream, train_in_imagination
from agents.policy.imagination import Imagination
from agents.policy.improvement import Improver, Settings
from agents.policy.made_with import note_settings, require_same
from agents.policy.minutes import Minutes
from agents.policy.tasks.behaviours import Acting, Exploring
from agents.policy.tasks.evaluation import FIRST_SEED, task_figures
from agents.policy.tasks.lanes import CompactBeginnings, CompactLanes
from agents.policy.tasks.parts import parts_of
from agents.policy.tasks.policy import TaskPolicy
from agents.policy.tasks.quality import world_figures
from agents.policy.tasks.watching import Watcher
from agents.policy.tasks.world import Learned, learned_trunk, learned_world
from envs.behaviours import Behaviour
from envs.episode_recorder import Recording
from envs.mujoco_world import MujocoWorld
from multimodal.errors import ConfigError
from multimodal.flat import FlatEpisodes
from multimodal.store import EpisodeStore
from multimodal.tokenizer import VideoTokenizer
from worldmodel.checkpoint import MANIFEST
from worldmodel.durable import atomic_directory
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.readers import trunk_folder
from worldmodel.runs import RunDirectory
from worldmodel.training.record import environment_record, shown_command

__all__ = ["evaluate_task", "recording_of", "train_task"]

Bounds = tuple[NDArray[np.float32], NDArray[np.float32]]
Actors = tuple[WorldModelPipeline, TaskPolicy]
_FIGURES = "rounds.json"
# Episodes of a seed begin so many seeds after those of the one before.
_EPISODES = 1_000_000


def train_task(cfg: DictConfig, run: RunDirectory) -> dict[str, float]:
    """Solve a Gymnasium MuJoCo environment from pixels, and say what that cost.

    Every round records with the policy of the round before (the first one at random), trains the
    world further on all recordings, and the policy further in that world. What is done stays
    done: an interrupted run goes on where it was.

    Args:
        cfg: the composed configuration of `policy`.
        run: where everything is written.

    Returns:
        The figures of `metrics.json`.

    Raises:
        ConfigError: budgets that do not fit together, rewards that are not finite, or a run that
            was begun with other settings.
    """
    rounds = _Rounds.begun(cfg, run)
    acting: Actors | None = None
    for number in range(len(cfg.experiment.frames)):
        acting = rounds.take(number, acting)
    assert acting is not None
    _keep(acting, run.path)
    run.write_json("training.json", _record(cfg, rounds.minutes))
    return rounds.result() | task_figures(cfg, run, *acting, rounds.recording)


@dataclass
class _Rounds:
    """The rounds of a run and what they share.

    Attributes:
        cfg: the composed configuration of `policy`.
        run: where everything is written.
        recording: what is recorded.
        store: of all rounds.
        minutes: what the stages took, over all resumes.
        figures: of the rounds that are done, the run's further ones included.
    """

    cfg: DictConfig
    run: RunDirectory
    recording: Recording
    store: EpisodeStore
    minutes: Minutes
    figures: list[dict[str, float]]
    _parts: dict[str, dict[str, Any]]
    _trunk: VideoTokenizer | None = None

    @classmethod
    def begun(cls, cfg: DictConfig, run: RunDirectory) -> _Rounds:
        """Open a run after all that can be told to be wrong was told."""
        parts = parts_of(cfg)
        for part, settings in parts.items():
            require_same(run, part, settings)
        # What is misnamed shall be said before anything is recorded.
        trunk_folder(cfg.experiment.trunk.initial)
        recording = recording_of(cfg)
        told = (
            f"Episodes of {recording.world}, seen from a fixed camera, with state: random at "
            "first, then by policies trained on what came before."
        )
        store = opened_store(recording, run.path / "data", told)
        return cls(cfg, run, recording, store, Minutes(run), _figures_so_far(run), parts)

    def take(self, number: int, acting: Actors | None) -> Actors:
        """Record, learn and dream, or open what a round that is done left behind.

        Args:
            number: of the round.
            acting: world and policy of the round before; None acts at random.

        Returns:
            World and policy of this round.
        """
        cfg, run, task = self.cfg, self.run, self.cfg.experiment
        if _is_done(run, self.figures, number):
            return _opened_round(run, number)
        for part in ("trunk", f"world-{number}"):
            note_settings(run, part, self._parts[part])
        bounds = self._bounds()
        amount = Amount(steps=int(sum(task.frames[: number + 1])))
        with self.minutes.during("recording"):
            collected(self.store, self.recording, amount, _acts(bounds, acting))
        flat = FlatEpisodes.open(self.store)
        trunk = self._taught_trunk(flat)
        with self.minutes.during("world"):
            given = (trunk, flat, self.recording, bounds, task, number, cfg.seed, run.path)
            learned = learned_world(*given)
        self.figures[number:] = [world_figures(learned)]
        Console().print(f"round {number}: {_shown(self.figures[-1])}", highlight=False)
        note_settings(run, f"policy-{number}", self._parts[f"policy-{number}"])
        with self.minutes.during("policy"):
            policy = _improved(cfg, run, learned, acting[1] if acting else None, number)
        run.write_json(_FIGURES, self.figures)
        return learned.pipeline, policy

    def result(self) -> dict[str, float]:
        """Figures of the rounds that were asked for: the run may have more.

        Minutes are those of the whole run: `train_minutes_rounds` says how many rounds that is.
        """
        asked = self.cfg.experiment.frames
        figures = {**self.figures[len(asked) - 1], **self.minutes.figures(), **_imagined(self.cfg)}
        figures["train_minutes_rounds"] = float(len(self.figures))
        return figures | {"real_frames": float(sum(asked))}

    def _taught_trunk(self, flat: FlatEpisodes) -> VideoTokenizer:
        if self._trunk is None:
            cfg = self.cfg
            with self.minutes.during("trunk"):
                folder = self.run.path / "trunk"
                self._trunk = learned_trunk(flat, cfg.experiment.trunk, cfg.seed, folder)
        return self._trunk

    def _bounds(self) -> Bounds:
        space = self.recording.make_world().action_space
        assert isinstance(space, Box)
        return space.low.astype(np.float32), space.high.astype(np.float32)


def _figures_so_far(run: RunDirectory) -> list[dict[str, float]]:
    """Of the rounds that are done."""
    path = run.path / _FIGURES
    figures: list[dict[str, float]] = json.loads(path.read_text()) if path.is_file() else []
    return figures


def _is_done(run: RunDirectory, figures: list[dict[str, float]], number: int) -> bool:
    parts = (run.path / f"world-{number}", run.path / f"policy-{number}")
    return number < len(figures) and all((part / MANIFEST).is_file() for part in parts)


def _opened_round(run: RunDirectory, number: int) -> Actors:
    """World and policy of a round that is done."""
    world = WorldModelPipeline.from_pretrained(run.path / f"world-{number}")
    return world, TaskPolicy.from_pretrained(run.path / f"policy-{number}", world)


def evaluate_task(cfg: DictConfig, run: RunDirectory) -> dict[str, float]:
    """Judge the policy of a run in MuJoCo again, as `train_task` does at its end.

    Args:
        cfg: the composed configuration of `policy`; `from_run` names the run.
        run: where everything is written.

    Raises:
        ConfigError: no run is named.
        CheckpointError: world or policy are missing or damaged.
    """
    if cfg.from_run is None:
        raise ConfigError(
            "Name the run whose policy shall be judged: from_run=DIR, which holds world/ and "
            "policy/ once `worldmodel policy train experiment=... out=DIR` is done."
        )
    world = WorldModelPipeline.from_pretrained(Path(cfg.from_run) / "world")
    policy = TaskPolicy.from_pretrained(Path(cfg.from_run) / "policy", world)
    return task_figures(cfg, run, world, policy, recording_of(cfg))


def recording_of(cfg: DictConfig) -> Recording:
    """What is recorded for an experiment.

    Raises:
        ConfigError: the episode's length or the seed is out of range.
    """
    task = cfg.experiment
    if not 0 <= cfg.seed < FIRST_SEED // _EPISODES:
        raise ConfigError(
            f"seed={cfg.seed}; expected 0 to {FIRST_SEED // _EPISODES - 1}: others would record "
            "the starts that policies are judged on."
        )
    if task.episode_steps < 2:
        raise ConfigError(f"experiment.episode_steps={task.episode_steps}; expected 2 or more.")
    options = OmegaConf.to_container(task.options, resolve=True)
    return Recording(
        world=task.env_id,
        size_px=task.size_px,
        options=json.dumps(options, sort_keys=True),
        steps=task.episode_steps,
        seed=cfg.seed * _EPISODES,
    )


def _acts(bounds: Bounds, acting: Actors | None) -> Acts:
    def make(world: MujocoWorld, seed: int) -> Behaviour:
        rng = np.random.default_rng([seed, 1])
        if acting is None:
            return Exploring(*bounds, rng)
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        wild = float(rng.choice([0.0, 0.1, 0.4]))
        return Acting(Watcher(*acting, generator, wild))

    return make


def _improved(
    cfg: DictConfig, run: RunDirectory, learned: Learned, before: TaskPolicy | None, number: int
) -> TaskPolicy:
    """Train the policy of a round in imagination, or take it where that is done."""
    task, target = cfg.experiment, run.path / f"policy-{number}"
    if (target / MANIFEST).is_file():
        return TaskPolicy.from_pretrained(target, learned.pipeline)
    torch.manual_seed(cfg.seed)
    policy = TaskPolicy.of(learned.pipeline, task.policy_width)
    if before is not None:
        policy.load_state_dict(before.state_dict())
    else:
        policy.view.fit(learned.tokens)
    policy.requires_grad_(True)
    wanted = OmegaConf.to_container(task.improvement, resolve=True)
    settings = Settings(**cast(dict[str, Any], wanted))
    prior = None
    if before is not None and settings.prior > 0:
        prior = copy.deepcopy(policy).requires_grad_(False)
    improver = Improver(policy, prior, settings)
    imagination = Imagination(
        CompactLanes(learned.pipeline, policy.view),
        CompactBeginnings(learned.tokens, learned.flat, learned.pipeline.context, task.fresh),
        task.lanes,
        task.longest,
        doubt=task.doubt,
    )
    rounds = int(task.policy_rounds[number])
    dream = Dream(
        rounds,
        task.horizon,
        warmup=min(3, rounds - 1),
        seed=cfg.seed + number,
        save_every=max(1, rounds // 4),
        final_rate=task.final_rate,
    )

    def report(line: dict[str, float]) -> None:
        run.log({"stage": number, **line})
        if int(line["round"]) % cfg.log_every == 0:
            Console().print(
                f"round {number}, {int(line['round'])}/{rounds}  reward {line['reward']:.3f}  "
                f"entropy {line['entropy']:.2f}  {line['steps_per_s']:,.0f} steps/s",
                highlight=False,
            )

    folder = run.path / f"imagination-{number}"
    train_in_imagination(improver, imagination, dream, folder, report)
    policy.eval().requires_grad_(False)
    with atomic_directory(target) as hidden:
        policy.save_pretrained(hidden)
    return policy


def _keep(acting: Actors, out: Path) -> None:
    """The last world and policy under names without numbers."""
    world, policy = acting
    with atomic_directory(out / "world") as hidden:
        world.save_pretrained(hidden)
    with atomic_directory(out / "policy") as hidden:
        policy.save_pretrained(hidden)


def _imagined(cfg: DictConfig) -> dict[str, float]:
    task = cfg.experiment
    return {"imagined_steps": float(sum(task.policy_rounds) * task.lanes * task.horizon)}


def _shown(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in figures.items())


def _record(cfg: DictConfig, minutes: Minutes) -> dict[str, Any]:
    return {
        "command": shown_command(),
        "seconds": minutes.seconds,
        "config": OmegaConf.to_container(cfg, resolve=True),
        **environment_record(),
    }
