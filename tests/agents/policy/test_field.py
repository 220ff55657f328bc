"""Who is judged beside a policy, and what looking costs whom."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from agents.policy.actors import LearnedActor, RandomActor, StillActor
from agents.policy.field_of_policies import TRAINED, chosen, field_of
from agents.policy.policy import Policy
from agents.policy.trials import play_mujoco, unsolved_starts
from agents.policy.worlds import judged_in
from envs.twin import simulator_of
from multimodal.errors import ConfigError
from worldmodel.cli import main
from worldmodel.pipeline import WorldModelPipeline


def test_some_of_a_field_are_chosen_by_name_and_the_policy_always(
    layered_pipeline: WorldModelPipeline, layer_policy: Policy
) -> None:
    field = field_of(layer_policy, None, layered_pipeline)
    assert len(field) > 9
    assert chosen(field, []) is field
    assert list(chosen(field, ["random", "still"])) == [TRAINED, "random", "still"]
    with pytest.raises(ConfigError, match="nobody has such a name"):
        chosen(field, ["champion"])


def test_whoever_acts_blindly_has_no_frame_read(
    layered_pipeline: WorldModelPipeline, layer_policy: Policy
) -> None:
    world = simulator_of(layered_pipeline, {})
    trials = unsolved_starts(world, range(700_000_000, 700_000_002))
    low, high = layer_policy.low, layer_policy.high
    looked: list[int] = []
    reader = layered_pipeline.layer_reader.stem
    handle = reader.register_forward_hook(lambda *_: looked.append(1))
    try:
        for actor in (RandomActor(low, high), StillActor(low, high)):
            outcomes = play_mujoco(actor, layer_policy, world, trials, 3)
            assert outcomes.steps.tolist() == [3] * len(trials)
        assert not looked
        play_mujoco(LearnedActor(layer_policy), layer_policy, world, trials[:1], 3)
        assert len(looked) == 3
    finally:
        handle.remove()
        world.close()


def test_the_simulator_is_made_as_it_was_recorded_or_as_one_asks() -> None:
    shipped = WorldModelPipeline.from_pretrained("push")
    recorded, asked = simulator_of(shipped), simulator_of(shipped, {"objects": 2})
    present = []
    for world in (recorded, asked):
        counts = set()
        for seed in range(12):
            _, info = world.reset(seed=seed)
            counts.add(int(info["state"]["object_present"].sum()))
        present.append(counts)
        world.close()
    assert present[0] == {1, 2, 3, 4}
    assert present[1] == {2}


def test_null_stands_for_the_options_of_the_recordings_and_lists_are_taken() -> None:
    shipped = WorldModelPipeline.from_pretrained("push")
    recorded = judged_in(OmegaConf.create({"judged_in": None}), shipped)
    assert recorded
    assert recorded == shipped.config.world_options
    asked = OmegaConf.create({"judged_in": {"objects": [1, 2]}})
    assert json.loads(json.dumps(judged_in(asked, shipped))) == {"objects": [1, 2]}
    with pytest.raises(ConfigError, match="judged_in=5"):
        judged_in(OmegaConf.create({"judged_in": 5}), shipped)


def test_some_are_judged_in_a_world_with_options_by_the_command(
    world_model: Path, policy: Policy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy.save_pretrained(tmp_path / "policy")
    words = ["policy", "evaluate", f"policy={tmp_path / 'policy'}", f"out={tmp_path / 'judged'}"]
    words += [f"world.options.checkpoint={world_model}", "episodes=2", "seeds=1", "steps=2"]
    words += ["duel=0", "bench_seconds=0", "resamples=20", "only=[still]"]
    assert main([*words, "+judged_in.objects=[2,3]"]) == 0
    report = json.loads((tmp_path / "judged" / "report.json").read_text())
    assert list(report["trials"]) == [TRAINED, "still"]
    assert main([*words, "+judged_in.thing=1"]) == 2
    assert "thing" in capsys.readouterr().err
