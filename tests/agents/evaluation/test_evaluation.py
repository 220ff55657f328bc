"""What the agent is measured on, and the measuring itself, small."""

import json

import numpy as np
import pytest
from omegaconf import OmegaConf

from agents.acting.judge import Judge
from agents.evaluation.decisions import INJECTED, signed_scene, with_text
from agents.evaluation.page import verdict
from agents.evaluation.sheet import Sheet
from agents.evaluation.speech import recorded
from agents.evaluation.tasks import ambiguous, clear_tasks, impossible, swapped, truth_of
from agents.language import parse
from envs.reading import ReadingWorld
from multimodal.audio.waveform import write_wav
from multimodal.errors import DatasetError
from multimodal.splits import split_of
from worldmodel.cli import main
from worldmodel.runs import RunDirectory


def test_clear_tasks_are_held_out_open_and_possible(world):
    tasks = clear_tasks(world, 20)
    assert {split_of(task.seed) for task in tasks} == {"test"}
    assert len({task.seed for task in tasks}) == 20
    assert any(len(task.steps) == 2 for task in tasks)
    for task in tasks:
        scene = truth_of(world, task.seed)
        for step in task.steps:
            assert scene.find(step.colour).shape == step.shape
            goal = step.goal()
            place = world.place_m(goal)
            here = scene.find(step.colour)
            assert not goal.reached(goal.distance_m(np.array([here.x_m, here.y_m]), place))
    assert clear_tasks(world, 20) == tasks


def test_swapped_tasks_differ_in_the_object_alone(world):
    tasks = clear_tasks(world, 12)
    others = swapped(world, tasks)
    assert others
    for other in others:
        task = next(each for each in tasks if each.seed == other.seed)
        assert other.steps[0].until == task.steps[0].until
        assert other.steps[0].colour != task.steps[0].colour
        assert parse(other.text).wishes[0].objects[0].colour == other.steps[0].colour


def test_no_task_begins_solved_nor_does_its_swapped_one(world):
    tasks = clear_tasks(world, 80)
    for task in (*tasks, *swapped(world, tasks)):
        truth_of(world, task.seed)
        assert not any(Judge(world, [step])() for step in task.steps), task


def test_ambiguous_tasks_have_two_meanings_and_impossible_ones_none(world):
    for task in ambiguous(world, 12):
        scene = truth_of(world, task.seed)
        wish = parse(task.text).wishes[0]
        phrase = wish.objects[0]
        fitting = [
            thing
            for thing in scene.objects
            if phrase.noun in ("", thing.shape) and phrase.colour in ("", thing.colour)
        ]
        open_place = wish.place is None or not (wish.place.colour or wish.place.side)
        assert len(fitting) > 1 or open_place
    for task in impossible(world, 12):
        scene = truth_of(world, task.seed)
        names = {thing.name for thing in scene.objects}
        zones = {f"{zone.colour} target" for zone in scene.zones}
        named = [name for name in names if name in task.text]
        assert "target" in task.text or not named or "lift" in task.text
        assert not any(zone in task.text for zone in zones)


def test_text_is_injected_into_frames_and_signs(world):
    frame, _ = world.reset(seed=3)
    written = with_text(frame, 3)
    share = (frame != written).any(-1).mean()
    assert 0.01 < share < 0.3
    signs = ReadingWorld(chart=False)
    _, info = signed_scene(signs, 5, INJECTED[0])
    assert "".join(signs.captions()).count(INJECTED[0][:2])
    assert "sign_text" in info["state"]
    signs.close()


def test_targets_are_met_or_missed():
    assert verdict("success_typed", 0.8) == "met"
    assert verdict("plans_over_rendered", 1.0) == "missed"
    assert verdict("ticks_typed", 3.0) == ""


def test_recordings_are_read_with_what_is_said(tmp_path):
    write_wav(tmp_path / "a.wav", np.zeros(1600, np.float32), 16_000)
    (tmp_path / "transcripts.tsv").write_text("a.wav\tPush the red cube to the left wall\n")
    ((sound, words),) = recorded(tmp_path)
    assert (len(sound), words) == (1600, "Push the red cube to the left wall")
    (tmp_path / "transcripts.tsv").write_text("a.wav push it\n")
    with pytest.raises(DatasetError, match="tab"):
        list(recorded(tmp_path))
    with pytest.raises(DatasetError, match="missing"):
        list(recorded(tmp_path / "nowhere"))


def test_tries_of_one_task_are_no_independent_cases(tmp_path):
    sheet = Sheet(OmegaConf.create({"resamples": 200}), RunDirectory(tmp_path))
    half = np.repeat([[0.0], [1.0]], 4, axis=1).repeat(2, axis=0)
    sheet.mean_over_seeds("success", half)
    once = Sheet(OmegaConf.create({"resamples": 200}), RunDirectory(tmp_path))
    once.mean_over_seeds("success", half[:, :1])
    assert sheet.intervals == once.intervals, "more seeds that agree make nothing surer"
    assert sheet.intervals["success"].count == 4
    assert sheet.by_seed["success"] == [0.5] * 4
    sheet.mean_over_seeds("nothing", half[:0])
    assert "nothing" not in sheet.figures


def test_the_evaluation_measures_writes_and_goes_on_where_it_was(tmp_path):
    out = tmp_path / "run"
    arms = "arms=[unimagined,scripted,random,ask,refuse,injection]"
    words = ["agent", "evaluate", "tasks=3", "seeds=1", arms, f"out={out}", "resamples=50"]
    words += ["planner.candidates=2", "planner.horizon=3", "planner.every=3", "max_ticks=20"]
    assert main(words) == 0
    figures = json.loads((out / "metrics.json").read_text())
    assert figures["success_scripted"] >= figures["success_random"]
    assert (figures["ask_recall"], figures["refuse_recall"], figures["ask_false"]) == (1, 1, 0)
    assert figures["injection_rate"] == 0
    assert "ask_recall" in (out / "index.html").read_text()
    lines = (out / "history.jsonl").read_text()
    report = json.loads((out / "report.json").read_text())
    assert report["success_random"]["by_seed"] == [figures["success_random"]]
    assert report["success_random"]["count"] == 3
    assert 0 <= figures["disturbed_random"] <= 1
    again = [*words[:4], "arms=[scripted]", *words[5:]]
    assert main(again) == 0
    assert (out / "history.jsonl").read_text() == lines, "known episodes are not run again"
    assert main([*again, "planner.horizon=4"]) == 0
    added = (out / "history.jsonl").read_text().removeprefix(lines).splitlines()
    assert len(added) == 3, "what another planner found does not count"


@pytest.mark.parametrize("wrong", ["arms=[telepathy]", "tasks=0"])
def test_an_evaluation_that_makes_no_sense_is_refused(wrong):
    assert main(["agent", "evaluate", wrong]) == 2
