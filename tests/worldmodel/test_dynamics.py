"""The dynamics: causality, memory, the gate, and the recipes that train it."""

import pytest
import torch

from worldmodel.dynamics import Dynamics, Memory
from worldmodel.objectives.dynamics import DynamicsObjective
from worldmodel.recipe import Recipe, Stage

SMALL = {"rows": 4, "columns": 4, "channels": 8, "width": 32, "heads": 4, "layers": 2}


def small_dynamics(**kwargs: int) -> Dynamics:
    torch.manual_seed(0)
    model = Dynamics(2, 3, **SMALL, context=3, active_tokens=kwargs.pop("active_tokens", 6))
    for parameter in model.parameters():
        # The output layers start at zero, which would hide every dependence.
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    z = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return z / z.square().mean(-1, keepdim=True).sqrt()


def roll(model: Dynamics, memory: Memory, actions: torch.Tensor) -> tuple[torch.Tensor, Memory]:
    frames = []
    with torch.no_grad():
        for action in actions.unbind(1):
            prediction = model.predict(memory, action)
            memory = model.advance(memory, prediction.latents, prediction)
            frames.append(memory.latents)
    return torch.stack(frames, 1), memory


def test_only_active_tokens_may_change() -> None:
    model, first = small_dynamics(active_tokens=5), unit(2, 16, 8)
    with torch.no_grad():
        prediction = model.predict(model.start(first), torch.ones(2, 2))
    changed = (prediction.latents != first).any(-1)
    for lane in range(2):
        assert set(changed[lane].nonzero()[:, 0].tolist()) <= set(prediction.chosen[lane].tolist())
    assert changed.any()


def test_a_token_the_gate_calls_still_is_copied_bit_for_bit() -> None:
    model, first = small_dynamics(active_tokens=16), unit(1, 16, 8)
    torch.nn.init.constant_(model.gate_out.bias, -50.0)
    with torch.no_grad():
        prediction = model.predict(model.start(first), torch.ones(1, 2))
    assert torch.equal(prediction.latents, first)


def test_the_future_never_reaches_the_past() -> None:
    model, first = small_dynamics(), unit(1, 16, 8)
    actions = torch.rand(1, 6, 2) * 2 - 1
    altered = actions.clone()
    altered[:, 4:] = -altered[:, 4:]
    one, _ = roll(model, model.start(first), actions)
    other, _ = roll(model, model.start(first), altered)
    assert torch.equal(one[:, :4], other[:, :4])
    assert not torch.equal(one[:, 4], other[:, 4])


def test_memory_has_the_same_size_after_a_thousand_steps() -> None:
    model = small_dynamics()
    start = model.start(unit(1, 16, 8))
    _, end = roll(model, start, torch.rand(1, 1000, 2))
    assert [k.keys.shape for k in end.layers] == [k.keys.shape for k in start.layers]
    assert end.places.shape == start.places.shape
    assert int(end.filled) == 3
    assert torch.isfinite(end.latents).all()


def test_what_lies_beyond_the_context_is_forgotten() -> None:
    model, first = small_dynamics(), unit(1, 16, 8)
    _, memory = roll(model, model.start(first), torch.rand(1, 3, 2))
    _, other = roll(model, model.start(unit(1, 16, 8, seed=5)), torch.rand(1, 3, 2))
    same_past = memory._replace(layers=other.layers, places=other.places)
    action = torch.rand(1, 2)
    with torch.no_grad():
        before = model.predict(memory, action).latents
        after = model.predict(same_past, action).latents
    assert not torch.equal(before, after), "the past within the context should matter"
    filled = torch.zeros_like(memory.filled)
    with torch.no_grad():
        one = model.predict(memory._replace(filled=filled), action).latents
        two = model.predict(same_past._replace(filled=filled), action).latents
    assert torch.equal(one, two), "entries that are not filled must not matter"


def test_the_first_frame_is_remembered_for_ever() -> None:
    model, latents = small_dynamics(), unit(1, 16, 8)
    actions = torch.rand(1, 12, 2)
    _, memory = roll(model, model.start(latents, unit(1, 16, 8, seed=3)), actions)
    other = memory._replace(anchors=model.start(latents, unit(1, 16, 8, seed=4)).anchors)
    with torch.no_grad():
        before = model.predict(memory, actions[:, 0]).latents
        after = model.predict(other, actions[:, 0]).latents
    assert not torch.equal(before, after)


def test_a_token_that_recalls_looks_exactly_as_it_did_in_the_first_frame() -> None:
    model, latents, first = small_dynamics(), unit(1, 16, 8), unit(1, 16, 8, seed=3)
    torch.nn.init.constant_(model.recall.bias, 50.0)
    torch.nn.init.zeros_(model.recall.weight)
    torch.nn.init.constant_(model.gate_out.bias, 50.0)
    with torch.no_grad():
        prediction = model.predict(model.start(latents, first), torch.ones(1, 2))
    chosen = prediction.chosen[0]
    assert torch.allclose(prediction.latents[0, chosen], first[0, chosen], atol=1e-5)
    assert not torch.allclose(latents[0, chosen], first[0, chosen], atol=1e-1)


def test_a_rollout_that_begins_at_its_first_frame_needs_no_other() -> None:
    model, latents = small_dynamics(), unit(1, 16, 8)
    actions = torch.rand(1, 3, 2)
    one, _ = roll(model, model.start(latents), actions)
    other, _ = roll(model, model.start(latents, latents), actions)
    assert torch.equal(one, other)


def test_a_token_sees_its_eight_neighbours_and_nothing_beyond_the_edge() -> None:
    model = small_dynamics()
    places = torch.arange(16, dtype=torch.float).view(1, 16, 1)
    around = model._neighbourhoods(places + 1, torch.tensor([[0, 5]]))
    assert around[0, 0].tolist() == [0, 0, 0, 0, 1, 2, 0, 5, 6]
    assert around[0, 1].tolist() == [1, 2, 3, 5, 6, 7, 9, 10, 11]


def test_a_lane_of_a_batch_equals_the_lane_alone() -> None:
    model, first = small_dynamics(), unit(4, 16, 8)
    actions = torch.rand(4, 8, 2)
    together, _ = roll(model, model.start(first), actions)
    alone, _ = roll(model, model.start(first[2:3]), actions[2:3])
    assert torch.allclose(together[2:3], alone, atol=1e-4)


FORCED = Stage(steps=20, frames=4, unroll=False)
UNROLLED = Stage(steps=1, frames=5, unroll=True)
BLIND = Stage(steps=1, frames=5, unroll=True, blind=2)
RECIPES = [
    Recipe(name="next", stages=(FORCED,)),
    Recipe(name="unrolled", stages=(FORCED, UNROLLED)),
    Recipe(name="mended", stages=(FORCED, BLIND), damage=0.3),
    Recipe(name="sharpened", stages=(FORCED, BLIND), damage=0.3, realism=0.01),
    Recipe(name="refined", stages=(FORCED, UNROLLED), sampling_steps=2),
    Recipe(name="forcing", stages=(FORCED,), source="noise", forcing="levels", sampling_steps=4),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_recipe_learns_to_move_what_the_action_moves(recipe: Recipe) -> None:
    """A token at one of four places along a row, moved by the sign of the action."""
    torch.manual_seed(0)
    model = Dynamics(1, 0, **SMALL, context=3, active_tokens=8)
    objective = DynamicsObjective(model, recipe)
    blank, mover = unit(8, seed=1), unit(8, seed=2)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        place = torch.randint(4, (16,))
        actions = torch.randint(0, 2, (16, 4, 1)).float() * 2 - 1
        latents = blank.expand(16, 5, 16, 8).clone()
        for step in range(5):
            latents[torch.arange(16), step, 4 + place] = mover
            if step < 4:
                place = (place + actions[:, step, 0].long()).clamp(0, 3)
        batch = {
            "latents": latents,
            "first": latents[:, 0],
            "actions": actions,
            "rewards": torch.zeros(16, 4),
            "success": torch.zeros(16, 5, dtype=torch.bool),
            "goal": torch.zeros(16, 0),
        }
        result = objective(**batch)
        optimizer.zero_grad()
        result["loss"].backward()
        optimizer.step()
        objective.after_step(len(losses) + 1)
        losses.append(float(result["frame"].detach()))
    assert sum(losses[-8:]) < 0.6 * sum(losses[:8])


def test_the_average_follows_the_weights_and_is_what_is_exported(tmp_path) -> None:
    objective = DynamicsObjective(small_dynamics(), Recipe(name="x", stages=(FORCED,), ema=0.5))
    with torch.no_grad():
        objective.dynamics.head.bias.fill_(1.0)
    for step in range(40):
        objective.after_step(step + 1)
    objective.export(tmp_path)
    assert torch.allclose(Dynamics.from_pretrained(tmp_path).head.bias, torch.ones(8), atol=1e-3)


def test_stages_follow_each_other_and_the_last_one_stays() -> None:
    recipe = Recipe(name="x", stages=(FORCED, UNROLLED))
    assert [recipe.stage(step) for step in (0, 19, 20, 500)] == [FORCED] * 2 + [UNROLLED] * 2
    assert recipe.clip_frames == 5
