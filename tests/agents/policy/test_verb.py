"""`worldmodel policy train` and `worldmodel policy evaluate`, from command to files."""

import json
from pathlib import Path

import pytest

from agents.policy import Policy
from agents.policy.card import pack_policy
from worldmodel.cli import main

SMALL = [
    "eyes.steps=2",
    "eyes.batch_size=8",
    "cloning.steps=2",
    "cloning.batch_size=16",
    "imagination.lanes=4",
    "imagination.horizon=2",
    "imagination.kept=2",
    "imagination.save_every=1",
    "width=32",
    "eyes_width=8",
    "log_every=1",
]


def train(model: Path, data: Path, out: Path, *words: str) -> int:
    learned = f"world.options.checkpoint={model}"
    where = [f"data={data}", f"out={out}", learned]
    return main(["policy", "train", *where, *SMALL, *words])


@pytest.mark.slow
def test_train_resume_and_evaluate(world_model: Path, recording: Path, tmp_path: Path) -> None:
    out, judged = tmp_path / "run", tmp_path / "judged"
    assert train(world_model, recording, out, "imagination.rounds=2") == 0
    assert train(world_model, recording, out, "imagination.rounds=4") == 0
    rounds = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [line["round"] for line in rounds if "round" in line] == [1, 2, 3, 4]
    assert train(world_model, recording, out, "imagination.discount=0.9") == 2
    figures = json.loads((out / "metrics.json").read_text())
    assert figures["train_minutes"] > 0
    assert Policy.from_pretrained(out / "policy", trunk=None).action_dim == 2
    words = [f"policy={out / 'policy'}", f"from_run={out}", f"out={judged}"]
    words += [f"world.options.checkpoint={world_model}", "episodes=2", "seeds=2", "steps=3"]
    assert main(["policy", "evaluate", *words, "bench_seconds=0"]) == 0
    measured = json.loads((judged / "metrics.json").read_text())
    names = {"success_mujoco", "success_over_cloning", "success_random", "success_scripted"}
    names |= {"rank_mmrv", "return_gap", "train_minutes", "optimism_bias"}
    assert names <= measured.keys()
    assert measured["policies"] >= 12
    report = json.loads((judged / "report.json").read_text())
    assert len(report["policies"]) == measured["policies"]
    assert (judged / "ranking.png").stat().st_size > 10_000
    pack_policy(out, judged, tmp_path / "shipped", "Undertrained.")
    assert Policy.from_pretrained(tmp_path / "shipped", trunk=None).action_dim == 2
    card = (tmp_path / "shipped" / "README.md").read_text()
    assert f"{measured['success_mujoco']:.3g}" in card
    assert "Undertrained." in card


@pytest.mark.slow
def test_rounds_over_layers_write_the_gap_of_each(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    # The shipped reader, as eyes name nothing that an untrained one cuts out.
    words = ["rounds=2", "imagination.rounds=2", "eyes.frames=256", "eyes.steps=200", "steps=4"]
    words += ["again.episodes=4", "again.steps=4", "again.motion_steps=2", "again.batch_size=4"]
    words += ["again.unroll=[[0.0,2]]", "again.trials=2", "again.rounds=2"]
    words += ["anew.motion_steps=2", "anew.batch_size=4", "anew.unroll=[[0.0,1]]"]
    assert train(Path("push"), recording, out, *words) == 0
    figures = json.loads((out / "metrics.json").read_text())
    gaps = {"round_1_gap_m", "round_2_gap_m", "round_2_gap_before_m", "round_2_success"}
    gaps |= {"round_1_gap_last_m_low", "round_2_gap_last_m_high", "gap_last_over_first"}
    # The motion was learned from the recording alone before the first round.
    assert (out / "anew" / "pipeline" / "manifest.json").is_file()
    assert gaps <= figures.keys()
    assert figures["imagined_steps"] == 2 * 2 * 4 * 2
    assert Policy.from_pretrained(out / "policy").config.sees == "layers"
    assert (out / "round-2" / "pipeline" / "manifest.json").is_file()
    # A run that is done is recognised, and nothing is recorded or learned again.
    assert train(Path("push"), recording, out, *words) == 0
    again = json.loads((out / "metrics.json").read_text())
    assert again["imagined_steps"] == figures["imagined_steps"]


def test_mistakes_in_the_command_are_explained(
    world_model: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policy", "train", "world=push", f"out={tmp_path / 'a'}"]) == 2
    assert "world=PushLearned" in capsys.readouterr().err
    assert train(world_model, tmp_path / "none", tmp_path / "b") == 1
    assert "worldmodel record" in capsys.readouterr().err
    assert train(world_model, recording, tmp_path / "e", "sees=layers") == 2
    assert "sees=latents" in capsys.readouterr().err
    for word in ("rounds=2", "anew.motion_steps=5"):
        assert train(world_model, recording, tmp_path / "j", word) == 2
        assert "Use rounds=1 anew.motion_steps=0" in capsys.readouterr().err.replace("\n", " ")
    assert train(world_model, recording, tmp_path / "c", "imagination.rounds=0") == 2
    assert "imagination.rounds=0" in capsys.readouterr().err
    assert main(["policy", "evaluate", "starts_from=7", f"out={tmp_path / 'f'}"]) == 2
    assert "may have been recorded" in capsys.readouterr().err
    assert main(["policy", "evaluate", "starts_from=300000000", f"out={tmp_path / 'g'}"]) == 2
    assert "starts_from=300000000; expected 100000000 to 139999999" in capsys.readouterr().err
    assert main(["policy", "evaluate", "rivals=[dqn]", f"out={tmp_path / 'h'}"]) == 2
    assert "rivals=['dqn']; expected some of ppo, sac, ppo_pixels" in capsys.readouterr().err
    nobodys = [f"from_run={tmp_path}", "rivals=[ppo]", f"out={tmp_path / 'i'}"]
    assert main(["policy", "evaluate", *nobodys]) == 2
    assert "rivals need recorded_frames, train_cpu_minutes" in capsys.readouterr().err
    assert main(["policy", "mode=dance", f"out={tmp_path / 'd'}"]) == 2
    assert "train and evaluate" in capsys.readouterr().err
