"""Who plays the trials changes nothing: this process, several, or ray."""

import json
from pathlib import Path

import pytest

from agents.policy.crew import hired
from agents.policy.policy import Policy
from multimodal.errors import ConfigError, DatasetError
from worldmodel.cli import main


def judged(model: Path, policy: Path, out: Path, workers: str) -> dict[str, object]:
    """Everything that depends on the trials, of a small evaluation."""
    words = [f"policy={policy}", f"out={out}", f"world.options.checkpoint={model}"]
    words += ["episodes=1", "seeds=2", "steps=3", "resamples=20", "bench_seconds=0"]
    assert main(["policy", "evaluate", *words, f"workers={workers}"]) == 0
    trials = json.loads((out / "report.json").read_text())["trials"]
    return {"trials": trials, "figures": json.loads((out / "metrics.json").read_text())}


@pytest.fixture
def saved(policy: Policy, tmp_path: Path) -> Path:
    policy.save_pretrained(tmp_path / "policy")
    return tmp_path / "policy"


@pytest.mark.slow
def test_processes_find_what_one_process_finds(
    world_model: Path, saved: Path, tmp_path: Path
) -> None:
    alone = judged(world_model, saved, tmp_path / "one", "1")
    assert judged(world_model, saved, tmp_path / "two", "2") == alone
    assert len(alone["trials"]["trained"]["mujoco"]["gain"]) == 2


@pytest.mark.slow
def test_ray_finds_what_one_process_finds(world_model: Path, saved: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    alone = judged(world_model, saved, tmp_path / "one", "1")
    assert judged(world_model, saved, tmp_path / "ray", "ray") == alone
    with hired("ray") as crew, pytest.raises(DatasetError, match="second job"):
        crew.begin(refuse, [2])[0]()


def refuse(job: int) -> int:
    if job == 2:
        raise DatasetError("the second job has no data")
    return 10 * job


def test_results_come_in_order_and_errors_come_through() -> None:
    with hired("1") as crew:
        results = crew.begin(refuse, [3, 1, 2])
        assert [result() for result in results[:2]] == [30, 10]
        with pytest.raises(DatasetError, match="second job"):
            results[2]()


@pytest.mark.parametrize("workers", ["0", "-1", "many"])
def test_who_cannot_be_hired_is_refused(workers: str) -> None:
    with pytest.raises(ConfigError, match="'ray'"), hired(workers):
        pass
