"""How long a training took is counted over all of its resumes."""

import json
import time

import pytest

from agents.policy.minutes import Minutes
from worldmodel.runs import RunDirectory


def test_a_resumed_run_adds_to_what_its_stages_took(tmp_path):
    run = RunDirectory(tmp_path)
    first = Minutes(run)
    assert first.of("world", lambda: time.sleep(0.02) or "made") == "made"
    with pytest.raises(RuntimeError), first.during("policy"):
        raise RuntimeError("killed")
    again = Minutes(run)
    with again.during("world"):
        time.sleep(0.02)
    assert again.seconds["world"] >= first.seconds["world"] + 0.02
    assert set(json.loads((tmp_path / "seconds.json").read_text())) == {"wall", "cpu"}
    figures = again.figures()
    assert figures["train_minutes"] == pytest.approx(
        figures["world_minutes"] + figures["policy_minutes"]
    )
    assert figures["train_cpu_minutes"] == pytest.approx(sum(again.cpu_seconds.values()) / 60)
