"""Episodes of the whole agent in MuJoCo: done, asked, stopped, given up, traced and replayed."""

import json
import threading

import numpy as np
import pytest

from agents.acting import AgentSettings, PlanningAgent, Trace, carry_out, replay
from agents.acting.judge import Judge
from agents.acting.trace import read_trace
from agents.planning import CrossEntropy, LearnedModel, SimulatedModel
from agents.planning.unimagined import FirstProposal
from agents.protocol import Act, Ask, Observation, Refuse, Stop
from multimodal.errors import DatasetError, FrameError
from worldmodel.pipeline import WorldModelPipeline

SEED = 500_001


@pytest.fixture
def hasty(eyes):
    """An agent that imagines nothing, which is quick."""
    return PlanningAgent(eyes, None, FirstProposal())


def test_an_agent_that_imagines_in_the_learned_model_pushes_the_object_there(eyes, world):
    start = world.reset(seed=SEED)
    model = LearnedModel(WorldModelPipeline.from_pretrained("push"), eyes.probe)
    planner = CrossEntropy(candidates=6, horizon=8, every=8)
    agent = PlanningAgent(eyes, model, planner)
    outcome = carry_out(world, agent, world.goal.instruction(), start, max_ticks=80)
    assert outcome.status == "done"
    assert outcome.success
    assert len(outcome.timing_ms["plan"]) > 1
    assert outcome.frames.shape == (outcome.ticks + 1, 64, 64, 3)


def test_two_steps_come_true_one_after_the_other(eyes, world, hasty):
    start = world.reset(seed=500_006)
    first, second = (thing.name for thing in eyes.look(start[0]).objects[:2])
    text = f"first push the {first} to the left wall, then the {second} to the top wall"
    steps = hasty.understand(text, start[0])
    outcome = carry_out(world, hasty, text, start, max_ticks=300, judge=Judge(world, steps))
    assert outcome.status == "done"
    assert outcome.success
    assert [step.words() for step in hasty.steps] == [
        f"push the {first} to the left wall", f"push the {second} to the top wall"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "status", "kind"),
    [
        ("", "asked", Ask),
        ("push the banana to the left wall", "refused", Refuse),
        ("halt", "stopped", Stop),
    ],
)
def test_what_is_not_done_leaves_the_world_alone(world, hasty, text, status, kind, tmp_path):
    start = world.reset(seed=SEED)
    before = world.save_state().arrays["integration"]
    with Trace(tmp_path) as trace:
        outcome = carry_out(world, hasty, text, start, trace=trace)
    assert (outcome.status, outcome.ticks) == (status, 0)
    assert isinstance(outcome.decision, kind)
    assert np.array_equal(world.save_state().arrays["integration"], before)
    last = read_trace(tmp_path)[-1]
    assert (last["event"], last["status"], last["message"]) == ("end", status, outcome.message)


def test_stop_is_honoured_within_one_tick_and_the_pusher_comes_to_rest(world, hasty):
    class StopsAfter(threading.Event):
        asked = 0

        def is_set(self):
            self.asked += 1
            return self.asked > 5

    start = world.reset(seed=SEED)
    stop = StopsAfter()
    outcome = carry_out(world, hasty, world.goal.instruction(), start, stop=stop)
    assert outcome.status == "stopped"
    assert outcome.ticks == 5
    assert np.abs(world.named_state()["pusher_velocity_m_s"]).max() < 0.02


def test_what_comes_true_while_the_world_comes_to_rest_counts(world, hasty):
    start = world.reset(seed=SEED)
    asked = []

    def judge():
        asked.append(world.named_state()["pusher_velocity_m_s"])
        return len(asked) > 4

    outcome = carry_out(world, hasty, world.goal.instruction(), start, max_ticks=3, judge=judge)
    assert (outcome.ticks, outcome.success, len(asked)) == (3, True, 5)
    assert np.abs(asked[-1]).max() < 0.02 < np.abs(asked[-2]).max()


def test_a_trace_holds_every_stage_and_replays_bit_for_bit(world, hasty, tmp_path):
    start = world.reset(seed=SEED)
    with Trace(tmp_path) as trace:
        trace.note("start", seed=SEED)
        outcome = carry_out(world, hasty, world.goal.instruction(), start, trace=trace)
    events = read_trace(tmp_path)
    ticks = [event for event in events if event["event"] == "tick"]
    assert len(ticks) == outcome.ticks
    assert {"look", "tick", "act"} <= set(ticks[0]["timing_ms"])
    assert [e["event"] for e in events[:3]] == ["start", "understood", "planned"]
    assert events[-1]["event"] == "end"
    assert replay(tmp_path, world) == (outcome.ticks, outcome.ticks + 1)
    wrong = dict(ticks[0], action=[-value for value in ticks[0]["action"]])
    lines = [json.dumps(wrong if event == ticks[0] else event) for event in events]
    (tmp_path / "trace.jsonl").write_text("\n".join(lines))
    assert replay(tmp_path, world).equal < outcome.ticks + 1


def test_a_broken_episode_leaves_a_whole_trace(world, hasty, tmp_path):
    frame, info = world.reset(seed=SEED)
    with pytest.raises(FrameError), Trace(tmp_path) as trace:
        carry_out(world, hasty, "push it", (frame[..., :1], info), trace=trace)
    last = read_trace(tmp_path)[-1]
    assert last["status"] == "broken_off"
    assert "FrameError" in last["why"]
    with pytest.raises(DatasetError, match=r"trace\.jsonl"):
        read_trace(tmp_path / "nowhere")


def test_an_agent_whose_plans_bring_nothing_widens_the_search_and_gives_up(eyes, world):
    class Idle(FirstProposal):
        widened = ()

        def widen(self, attempt):
            super().widen(attempt)
            self.widened = (*self.widened, attempt)

        def plan(self, model, cost, before, done):
            plan = super().plan(model, cost, before, done)
            plan.actions[:] = 0
            return plan

    start = world.reset(seed=SEED)
    idle = Idle()
    agent = PlanningAgent(eyes, None, idle, AgentSettings(commit=2, patience=2, attempts=3))
    outcome = carry_out(world, agent, world.goal.instruction(), start, max_ticks=100)
    assert outcome.status == "gave_up"
    assert outcome.ticks < 20
    assert idle.widened[-2:] == (1, 2)


def test_a_surprise_makes_a_new_plan(eyes, world):
    start = world.reset(seed=SEED)
    planner = CrossEntropy(candidates=2, horizon=6, every=1)
    settings = AgentSettings(commit=6)
    agent = PlanningAgent(eyes, SimulatedModel(world, eyes.probe), planner, settings)
    text = world.goal.instruction()
    assert isinstance(agent.act(Observation(start[0], text, 0)), Act)
    # Somebody carries the pusher off.
    world.data.qpos[:2] = [-0.1, 0.15]
    world.step(np.zeros(2, np.float32))
    agent.act(Observation(world.render(), text, 1))
    planned = [event for event in agent.events if event["event"] == "planned"]
    assert len(planned) == 1
    assert planned[0]["why"].startswith("surprise")
