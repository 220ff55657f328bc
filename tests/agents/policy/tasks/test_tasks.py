"""Standard tasks: recorded by budget, learned as compact worlds, acted in through one filter."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FlowMapEulerDiscreteScheduler

from agents.policy.collecting import Amount, collected, opened_store
from agents.policy.imagination import Imagination
from agents.policy.tasks.behaviours import Acting, Exploring
from agents.policy.tasks.lanes import CompactBeginnings, CompactLanes, filtered
from agents.policy.tasks.parts import parts_of
from agents.policy.tasks.playing import Random, Starts, Still, returns_of
from agents.policy.tasks.policy import TaskPolicy
from agents.policy.tasks.quality import world_figures
from agents.policy.tasks.rival import Budget, rival_figures
from agents.policy.tasks.watching import Watcher
from agents.policy.tasks.world import Learned
from envs.episode_recorder import Recording
from envs.mujoco_world import MujocoWorld
from multimodal.episode import SPLITS
from multimodal.errors import CheckpointError, DatasetError
from multimodal.flat import FlatEpisodes
from multimodal.store import EpisodeStore
from worldmodel.cli import main
from worldmodel.compact import CompactDynamics, CompactTokenizer
from worldmodel.configuration import composed
from worldmodel.latents import cached_latents
from worldmodel.pipeline import WorldModelPipeline

RECORDING = Recording("InvertedPendulum-v5", 64, "{}", 12, 0)
BOUND = np.full(1, 3, np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EpisodeStore:
    """Ninety random steps of the pendulum."""
    opened = opened_store(RECORDING, tmp_path_factory.mktemp("task") / "data", "Random steps.")
    assert collected(opened, RECORDING, Amount(steps=90), exploring) == 90
    return opened


def exploring(_: MujocoWorld, seed: int) -> Exploring:
    return Exploring(-BOUND, BOUND, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def world() -> WorldModelPipeline:
    """An untrained compact world for it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tokenizer = CompactTokenizer({"latent_channels": 8, "width": 8}, latent_channels=8)
        dynamics = CompactDynamics(1, channels=8, hidden=16, state_dim=4, reward_low=0.0)
        for member in dynamics.nets:
            torch.nn.init.normal_(member[-1].weight, std=0.1)
    return WorldModelPipeline(
        tokenizer,
        dynamics,
        FlowMapEulerDiscreteScheduler(),
        world=RECORDING.world,
        action_low=[-3.0],
        action_high=[3.0],
    )


@pytest.fixture
def policy(world: WorldModelPipeline) -> TaskPolicy:
    torch.manual_seed(0)
    return TaskPolicy.of(world, 16)


def test_a_budget_of_steps_is_kept_to_the_step_and_never_spent_twice(store: EpisodeStore) -> None:
    assert sum(record.steps for record in store.records) == 90
    count = len(store)
    assert collected(store, RECORDING, Amount(steps=90), exploring) == 0
    assert collected(store, RECORDING, Amount(episodes=count), exploring) == 0
    assert len(store) == count
    with pytest.raises(DatasetError, match="another out=DIR"):
        opened_store(Recording("Reacher-v5", 64, "{}", 12, 0), store.path, "Another's.")


def test_exploring_differs_between_episodes_and_stays_within_bounds() -> None:
    strengths = []
    for seed in range(8):
        walk = Exploring(-BOUND, BOUND, np.random.default_rng(seed))
        actions = np.stack([walk.act(None) for _ in range(50)])
        assert np.abs(actions).max() <= 3
        strengths.append(actions.std())
    assert max(strengths) > 2 * min(strengths)


def test_frames_are_filtered_as_the_pipeline_does_it(
    store: EpisodeStore, world: WorldModelPipeline
) -> None:
    flat = FlatEpisodes.open(store)
    latents = cached_latents(world.tokenizer.trunk, flat, store.path / "latents")
    tokens = filtered(world, flat, latents)
    for episode in (0, 2):
        first = int(flat.starts[episode])
        for steps in (0, 3):
            frames = np.array(flat.frames[first : first + steps + 1])
            actions = np.array(flat.actions[first : first + steps])
            state = world.reset(frames, actions)
            torch.testing.assert_close(
                tokens[first + steps], state.memory.latents[0], atol=0.02, rtol=0.02
            )


def test_a_watcher_sees_what_the_filter_sees(
    store: EpisodeStore, world: WorldModelPipeline, policy: TaskPolicy
) -> None:
    simulator = RECORDING.make_world()
    frame, info = simulator.reset(seed=5)
    watcher = Watcher(world, policy)
    frames, actions = [frame], [watcher.begin(frame, info)]
    for _ in range(3):
        frame, *_, info = simulator.step(actions[-1])
        frames.append(frame)
        actions.append(watcher.go_on(frame, info))
    state = world.reset(np.stack(frames), np.stack(actions[:-1]))
    expected = policy.act(state.memory.latents)[0].numpy()
    np.testing.assert_allclose(actions[-1], expected, atol=1e-4)
    assert abs(float(actions[-1][0])) <= 3


def test_a_policy_records_its_own_episodes(
    tmp_path: Path, world: WorldModelPipeline, policy: TaskPolicy
) -> None:
    store = opened_store(RECORDING, tmp_path / "data", "A policy's own.")
    generator = torch.Generator().manual_seed(0)

    def acts(_: MujocoWorld, seed: int) -> Acting:
        return Acting(Watcher(world, policy, generator, 0.5))

    collected(store, RECORDING, Amount(steps=10), acts)
    actions = np.concatenate([episode.actions for episode in store])
    assert len(actions) == 10
    assert len(np.unique(actions)) > 1


def test_policies_are_imagined_from_any_recorded_moment(
    store: EpisodeStore, world: WorldModelPipeline, policy: TaskPolicy
) -> None:
    flat = FlatEpisodes.open(store)
    tokens = torch.randn(len(flat.frames), 3, 8)
    beginnings = CompactBeginnings(tokens, flat, world.context, fresh=1.0)
    state, goals = beginnings.draw(20, np.random.default_rng(0))
    begun = tokens[torch.from_numpy(flat.starts[flat.episodes("train")])]
    drawn = state.memory.latents
    assert bool((drawn[:, None] == begun[None]).flatten(2).all(-1).any(1).all())
    assert goals.shape == (20, 0)
    lanes = CompactLanes(world, policy.view)
    anywhere = CompactBeginnings(tokens, flat, world.context)
    imagination = Imagination(lanes, anywhere, 6, 5, doubt=1.0)
    generator = torch.Generator().manual_seed(0)
    batch = imagination.roll(policy, 4, np.random.default_rng(0), generator)
    assert batch.features.shape == (5, 6, policy.view.feature_dim)
    assert bool((batch.doubt > 0).all())


def test_episodes_too_short_to_go_on_blindly_are_judged_where_they_are_watched(
    store: EpisodeStore, world: WorldModelPipeline
) -> None:
    flat = copy.copy(FlatEpisodes.open(store))
    latents = cached_latents(world.tokenizer.trunk, flat, store.path / "latents")
    learned = Learned(world, flat, latents, filtered(world, flat, latents))
    object.__setattr__(flat, "splits", np.full_like(flat.splits, SPLITS.index("validation")))
    longest = int(np.diff(flat.starts).max()) - 1
    short = world_figures(learned, horizon=longest)
    assert "state_r2" in short
    assert not any("blind" in name or "psnr" in name for name in short)
    assert "psnr_2" in world_figures(learned, horizon=2)
    object.__setattr__(flat, "splits", np.full_like(flat.splits, SPLITS.index("train")))
    assert world_figures(learned) == {}


def test_a_policy_is_saved_and_refuses_another_world(
    tmp_path: Path,
    world: WorldModelPipeline,
    policy: TaskPolicy,
    tiny_pipeline: WorldModelPipeline,
) -> None:
    policy.save_pretrained(tmp_path / "policy")
    latents = world.reset(np.zeros((1, 64, 64, 3), np.uint8)).memory.latents
    again = TaskPolicy.from_pretrained(tmp_path / "policy", world)
    assert torch.equal(again.act(latents), policy.act(latents))
    with pytest.raises(CheckpointError, match="compact worlds"):
        TaskPolicy.from_pretrained(tmp_path / "policy", tiny_pipeline)
    with pytest.raises(CheckpointError, match="attach"):
        TaskPolicy.from_pretrained(tmp_path / "policy").act(latents)


def test_the_same_starts_give_the_same_returns() -> None:
    simulator = RECORDING.make_world()
    wild = [returns_of(Random(-BOUND, BOUND, 3), simulator, (1, 2), 30) for _ in range(2)]
    assert np.array_equal(*wild)
    assert returns_of(Still(-BOUND, BOUND), simulator, (1,), 3).tolist() == [3.0]


def test_sac_is_trained_once_and_plays_the_starts(tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3")
    simulator, path = RECORDING.make_world(), tmp_path / "sac.json"
    asked = (RECORDING.world, {}, Budget(110, 0), simulator, Starts((1, 2), 20), path)
    found = rival_figures(*asked)
    assert len(found["returns"]) == 2
    assert all(0 < value <= 20 for value in found["returns"])
    assert rival_figures(*asked)["seconds"] == found["seconds"]


WORDS = [
    "experiment=inverted_pendulum",
    "experiment.frames=[60,40]",
    "experiment.episode_steps=20",
    "experiment.evaluation_steps=10",
    "experiment.world_steps=[3,2]",
    "experiment.world_batch=4",
    "experiment.policy_rounds=[2,1]",
    "experiment.lanes=4",
    "experiment.horizon=3",
    "experiment.trunk.steps=2",
    "experiment.trunk.batch_size=4",
    "experiment.rival=false",
    "episodes=2",
]


@pytest.mark.slow
def test_one_command_records_learns_and_judges_and_goes_on_where_it_was(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert main(["policy", "train", *WORDS, f"out={out}"]) == 0
    figures = json.loads((out / "metrics.json").read_text())
    wanted = {"inverted_pendulum_return", "inverted_pendulum_return_random", "train_minutes"}
    assert wanted <= figures.keys()
    assert figures["real_frames"] == 100
    assert figures["imagined_steps"] == 36
    history = (out / "history.jsonl").read_text()
    # As if the last policy had not been finished.
    (out / "policy-1" / "manifest.json").unlink()
    assert main(["policy", "train", *WORDS, f"out={out}"]) == 0
    assert (out / "history.jsonl").read_text() == history, "what was done is not done again"
    assert main(["policy", "train", *WORDS, f"out={out}", "experiment.horizon=4"]) == 2
    again = json.loads((out / "metrics.json").read_text())
    assert again["inverted_pendulum_return"] == figures["inverted_pendulum_return"]
    judged = tmp_path / "judged"
    assert main(["policy", "evaluate", *WORDS, f"from_run={out}", f"out={judged}"]) == 0
    found = json.loads((judged / "metrics.json").read_text())
    assert found["inverted_pendulum_return"] == figures["inverted_pendulum_return"]


@pytest.mark.parametrize("name", ["inverted_pendulum", "reacher"])
def test_the_budgets_of_every_experiment_fit_together(name: str) -> None:
    cfg = composed("policy", [f"experiment={name}"])
    parts = parts_of(cfg)
    rounds = len(cfg.experiment.frames)
    assert {f"policy-{number}" for number in range(rounds)} <= parts.keys()
    assert f"policy-{rounds}" not in parts


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["experiment.world_steps=[3]"], "one for each round"),
        (["experiment.world_steps=[3,0]"], "experiment.world_steps[1]=0; expected a whole"),
        (["experiment.policy_rounds=[2,-1]"], "experiment.policy_rounds[1]=-1; expected a whole"),
        (["experiment.frames=[0,40]"], "experiment.frames[0]=0; expected a whole number from 1"),
        (["experiment.frames=[60,-1]"], "experiment.frames[1]=-1; expected a whole number from 0"),
        (["experiment.episode_steps=1"], "2 or more"),
        (["experiment.env_id=Nowhere-v5"], "Nowhere"),
        (["mode=evaluate"], "from_run=DIR"),
        (["seed=200"], "0 to 199"),
    ],
)
def test_what_makes_no_sense_is_refused(
    wrong: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["policy", *WORDS, f"out={tmp_path / 'run'}", *wrong]
    assert main(words) == 2
    assert said in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "run" / "data").exists(), "before anything is recorded"


def test_a_trunk_that_is_nowhere_is_said_before_anything_is_recorded_or_noted(
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    words = ["policy", "train", *WORDS, f"out={out}"]
    assert main([*words, f"experiment.trunk.initial={tmp_path / 'nowhere'}"]) == 1
    assert not (out / "data").exists()
    assert not (out / "made_with.json").exists()


def test_fewer_rounds_than_a_run_has_are_told_by_their_own_figures(
    tmp_path: Path, world: WorldModelPipeline, policy: TaskPolicy
) -> None:
    out = tmp_path / "run"
    world.save_pretrained(out / "world-0")
    policy.save_pretrained(out / "policy-0")
    (out / "rounds.json").write_text(json.dumps([{"psnr_2": 10.0}, {"psnr_2": 20.0}]))
    fewer = ["experiment.frames=[60]", "experiment.world_steps=[3]", "experiment.policy_rounds=[2]"]
    assert main(["policy", "train", *WORDS, *fewer, f"out={out}"]) == 0
    figures = json.loads((out / "metrics.json").read_text())
    assert figures["psnr_2"] == 10.0
    assert figures["real_frames"] == 60
    assert figures["train_minutes_rounds"] == 2, "minutes are those of the whole run"
