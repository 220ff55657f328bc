"""The command that a report names composes the configuration that the report was made with."""

import shlex

import pytest

from worldmodel.configuration import composed
from worldmodel.typed_command import typed_command


@pytest.mark.parametrize(
    ("verb", "overrides"),
    [
        ("gap", []),
        ("gap", ["world=reacher", "episodes=3", "horizons=[1,4]"]),
        ("gap", ["world=reacher", "world.size_px=128", "+world.options.camera=track"]),
        ("gap", ["world.options.objects=[1,4]", "twin_perturbation=1e-5", "probe=none"]),
        ("gap", ["~world.options.reward", "checkpoint='runs/a b/pipeline'"]),
        ("gap", ["checkpoint=2024"]),
        ("gap", ["checkpoint='2024'"]),
        ("gap", ['checkpoint="/data/run-1/it\'s"']),
        ("demo", ["horizon=16", "baseline_horizon=4", "seed=7"]),
        ("record", ["world=half_cheetah", "steps=50"]),
        ("record", ["world.id=Reacher-v5", "+world.options.note='true'"]),
        ("train", ["size=tiny", "recipe=refined", "size.dynamics.width=96", "from_run=null"]),
        ("train", ["recipe.stages=[{steps:1,frames:4,unroll:true}]"]),
    ],
)
def test_what_is_typed_composes_the_same_again(verb, overrides):
    cfg = composed(verb, overrides)
    program, name, *words = shlex.split(typed_command(verb, cfg))
    assert (program, name) == ("worldmodel", verb)
    assert composed(verb, words) == cfg


def test_only_what_differs_is_named_and_what_is_always_to_be():
    cfg = composed("gap", ["episodes=3", "out=runs/x", "compute=cpu"])
    assert typed_command("gap", cfg) == "worldmodel gap episodes=3"
    command = typed_command("gap", cfg, always=("checkpoint", "seed"))
    assert command == "worldmodel gap seed=0 checkpoint=push episodes=3"


def test_a_world_is_named_by_its_option_where_that_is_shorter():
    assert typed_command("gap", composed("gap", ["world=pusher"])) == "worldmodel gap world=pusher"
