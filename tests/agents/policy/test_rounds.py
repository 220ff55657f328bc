"""From offline to online: recording with a policy, training the model on, the gap where it goes."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from agents.policy.collecting import Amount, collected
from agents.policy.duel import duel_figures
from agents.policy.policy import Policy
from agents.policy.recording_policy import PolicyBehaviour
from agents.policy.rivals import PixelPush, StatePush, rival_figures, successes_of
from agents.policy.round_judge import TRIAL_SEED, RoundJudge, round_trials
from agents.policy.rounds import FIRST_SEED, again_learned, anew_learned, collected_round
from agents.policy.trials import Outcomes, Trial, unsolved_starts
from agents.policy.whereabouts import gaps_of, ways_of
from agents.policy.worlds import lanes_of
from envs.episode_recorder import Recording
from envs.push import PushWorld
from multimodal.errors import ConfigError
from multimodal.flat import FlatEpisodes
from multimodal.store import EpisodeStore
from worldmodel.pipeline import WorldModelPipeline
from worldmodel.runs import RunDirectory


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    world = PushWorld()
    try:
        return unsolved_starts(world, range(500_000_000, 500_000_003))
    finally:
        world.close()


def again(episodes: int = 0) -> DictConfig:
    wanted = {"motion_steps": 2, "batch_size": 4, "learning_rate": 1e-3, "unroll": [[0.0, 3]]}
    wanted |= {"steps": 5, "episodes": episodes}
    return OmegaConf.create({"seed": 0, "resume": "auto", "again": wanted})


def test_a_policy_records_episodes_that_the_model_is_trained_on(
    layered_pipeline: WorldModelPipeline, layer_policy: Policy, flat: FlatEpisodes, tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path)
    made = collected_round(again(episodes=4), run, layer_policy, layered_pipeline, 2)
    assert len(made.starts) == 5
    assert bool((np.abs(made.actions) <= 1).all())
    store = EpisodeStore.open(tmp_path / "round-2", "data")
    recording = Recording(**store.metadata["recording"])
    assert json.loads(recording.options) == layered_pipeline.config.world_options
    more = Amount(episodes=5)
    collected(store, recording, more, lambda _, seed: PolicyBehaviour(layer_policy, seed))
    store.commit()
    grown = FlatEpisodes.open(store)
    assert len(grown.starts) == 6
    assert np.array_equal(grown.actions[: len(made.actions)], made.actions)
    learned = again_learned(again(), tmp_path / "round", layered_pipeline, [flat, grown])
    before, after = layered_pipeline.motion.state_dict(), learned.motion.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    loaded = WorldModelPipeline.from_pretrained(tmp_path / "round" / "pipeline")
    assert torch.equal(loaded.motion.head.weight, learned.motion.head.weight)
    assert loaded.config.world == layered_pipeline.config.world
    with pytest.raises(ConfigError, match="rounds=1"):
        again_learned(again(), tmp_path / "no", layered_pipeline.without_layers(), [flat])


def test_a_recording_policy_follows_its_seed_and_wanders(layer_policy: Policy) -> None:
    world = PushWorld()
    ways = []
    for seed in (1, 1, 2):
        world.reset(seed=3)
        behaviour = PolicyBehaviour(layer_policy, seed, wander=1.0)
        ways.append(np.stack([behaviour.act(world) for _ in range(8)]))
    world.close()
    assert np.array_equal(ways[0], ways[1])
    assert not np.array_equal(ways[0], ways[2])


def test_a_motion_learned_anew_knows_nothing_but_the_recordings(
    layered_pipeline: WorldModelPipeline, flat: FlatEpisodes, tmp_path: Path
) -> None:
    cfg = again()
    cfg.anew = cfg.again
    learned = anew_learned(cfg, tmp_path / "a", layered_pipeline, flat)
    other = copy.deepcopy(layered_pipeline.motion)
    for weight in other.parameters():
        weight.data.add_(1.0)
    elsewhere = WorldModelPipeline(
        layered_pipeline.tokenizer,
        layered_pipeline.dynamics,
        layered_pipeline.scheduler,
        layered_pipeline.layer_reader,
        other,
        world="worldmodel/Push-v0",
    )
    same = anew_learned(cfg, tmp_path / "b", elsewhere, flat)
    for name, weight in learned.motion.state_dict().items():
        assert torch.equal(weight, same.motion.state_dict()[name]), name
    assert learned.motion.solid, "bodies that touch in the recordings are solid"
    assert not layered_pipeline.motion.solid
    with pytest.raises(ConfigError, match="anew"):
        anew_learned(cfg, tmp_path / "no", layered_pipeline.without_layers(), flat)


def test_the_gap_is_measured_on_held_out_ways_of_the_policy_itself(
    layered_pipeline: WorldModelPipeline, layer_policy: Policy, trials: list[Trial]
) -> None:
    world = PushWorld(max_steps=0)
    ways = ways_of(layer_policy, world, trials, 4)
    world.close()
    assert [len(way.actions) for way in ways] == [4, 4, 4]
    adrift = copy.deepcopy(layered_pipeline.motion)
    adrift.head.bias.data[0] = 0.5
    worse = WorldModelPipeline(
        layered_pipeline.tokenizer,
        layered_pipeline.dynamics,
        layered_pipeline.scheduler,
        layered_pipeline.layer_reader,
        adrift,
        world="worldmodel/Push-v0",
    )
    judge = RoundJudge(trials, steps=4)
    assert judge.figures() == {}
    for model in (worse, layered_pipeline):
        judge.judge(layer_policy, model)
    figures = judge.figures()
    for number, model in enumerate((worse, layered_pipeline), 1):
        gaps = gaps_of(lanes_of(model, layer_policy), ways)
        assert gaps.steps.tolist() == [4, 4, 4]
        mean = gaps.total_m.sum() / 12
        assert figures[f"round_{number}_gap_m"] == pytest.approx(mean)
        assert figures[f"round_{number}_gap_last_m"] == pytest.approx(mean)
        median = np.median(gaps.total_m / 4)
        assert figures[f"round_{number}_gap_last_median_m"] == pytest.approx(median)
    assert figures["round_2_gap_before_m"] == pytest.approx(figures["round_1_gap_m"])
    share = figures["round_2_gap_last_m"] / figures["round_1_gap_last_m"]
    assert figures["gap_last_over_first"] == pytest.approx(share)
    assert share < 0.5
    assert figures["round_2_success"] == 0


def test_rounds_are_judged_from_starts_that_no_round_records(
    layered_pipeline: WorldModelPipeline,
) -> None:
    cfg = OmegaConf.create({"again": {"trials": 3}})
    seeds = [trial.seed for trial in round_trials(cfg, layered_pipeline)]
    assert 0 < len(seeds) <= 3
    assert all(TRIAL_SEED <= seed < FIRST_SEED for seed in seeds)


def test_rivals_see_the_true_state_and_are_judged_at_equal_frames_and_minutes(
    trials: list[Trial],
) -> None:
    pytest.importorskip("stable_baselines3")
    env = StatePush(max_steps=3)
    seen, _ = env.reset(seed=trials[0].seed)
    assert env.observation_space.contains(seen)
    _, reward, ended, truncated, info = env.step(np.zeros(2, np.float32))
    assert (ended, truncated, info["success"]) == (False, False, False)
    assert reward < 0
    env.close()
    found = rival_figures(["ppo", "sac"], trials, 3, 64, 1e-6, 1.0, {}, rollout=64)
    assert found["ppo_frames"] == found["sac_frames"] == 64
    assert found["success_ppo_same_frames"] == found["success_ppo_same_minutes"]
    assert found["success_sac_low"] <= found["success_sac"] <= found["success_sac_high"]


@pytest.mark.slow
def test_rivals_of_pixels_see_what_is_drawn_and_what_is_wanted(trials: list[Trial]) -> None:
    pytest.importorskip("stable_baselines3")
    env = PixelPush(max_steps=3)
    seen, _ = env.reset(seed=trials[0].seed)
    assert env.observation_space.contains(seen)
    assert np.array_equal(seen["frame"], trials[0].frame)
    assert np.array_equal(seen["goal"], trials[0].goal)
    env.close()
    # SAC learns from its hundredth step on.
    found = rival_figures(["ppo_pixels", "sac_pixels"], trials, 3, 128, 1e-6, 1.0, {}, rollout=128)
    assert found["ppo_pixels_frames"] == found["sac_pixels_frames"] == 128
    assert found["sac_pixels_minutes"] > 0
    late = rival_figures(["sac"], trials, 3, 10_000, 1e-6, 1e-6, {})
    assert "success_sac_same_frames" not in late, "what is not reached is left out"


def test_a_rival_that_breaks_off_leaves_no_simulator_open(trials: list[Trial]) -> None:
    class Breaks:
        def predict(self, seen: object, deterministic: bool) -> None:
            raise ArithmeticError

    closed: list[bool] = []

    class Counted(StatePush):
        def close(self) -> None:
            super().close()
            closed.append(True)

    with pytest.raises(ArithmeticError):
        successes_of(Breaks(), Counted, trials)
    assert closed == [True]


def test_a_duel_counts_the_difference_on_each_start() -> None:
    def outcomes(*success: int) -> Outcomes:
        count = len(success)
        return Outcomes(np.array(success, bool), np.zeros(count), np.ones(count, np.int64))

    found = duel_figures(outcomes(1, 1, 1, 0), outcomes(1, 0, 1, 0), 500)
    assert found["success_over_cloning"] == 0.25
    assert found["success_cloning"] == 0.5
    assert found["duel_trials"] == 4
    assert found["gain_over_cloning"] == 0
    assert found["success_over_cloning_low"] == 0
    same = duel_figures(outcomes(1, 0), outcomes(1, 0), 500)
    assert same["success_over_cloning_low"] == same["success_over_cloning_high"] == 0
