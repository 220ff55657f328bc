"""What is gathered from a module that FSDP2 has sharded lets another go on with the same bits."""

import copy

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from tests.worldmodel import toy_training as toy
from worldmodel.training.sharding import (
    gather_moments,
    gather_parameters,
    load_moments,
    load_parameters,
)


class Sharded:
    """The toy objective, shared module included, and its optimizer over two processes."""

    def __init__(self):
        self.objective = toy.Regression(noise=0.0, dropout=0.0)
        fully_shard(self.objective, mesh=init_device_mesh("cpu", (2,)))
        trained = [p for p in self.objective.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=0.1)

    def step(self, seed):
        points = toy.Points(8, seed)
        batch = torch.utils.data.default_collate([points[index] for index in range(8)])
        self.objective(**batch)["loss"].backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def whole(self):
        return [p.full_tensor().tolist() for p in self.objective.parameters()]


def go_on_from_what_was_gathered():
    torch.distributed.init_process_group("gloo")
    first, second = Sharded(), Sharded()
    for seed in range(3):
        first.step(seed)
    whole = [gather_parameters(first.objective), *gather_moments(first.objective, first.optimizer)]
    # The first process alone has it. A run reads it from files, which alias nothing.
    torch.distributed.broadcast_object_list(whole)
    parameters, moments, groups = copy.deepcopy(whole)
    load_parameters(second.objective, parameters)
    load_moments(second.objective, second.optimizer, moments, groups)
    first.step(3)
    second.step(3)
    results = first.whole(), second.whole()
    torch.distributed.destroy_process_group()
    return results


@pytest.mark.slow
def test_a_sharded_run_goes_on_from_what_was_gathered_with_the_same_bits(tmp_path):
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=tmp_path.name,
        max_restarts=0,
        start_method="fork",
        monitor_interval=0.05,
    )
    went_on, loaded = elastic_launch(config, go_on_from_what_was_gathered)()[0]
    assert len(went_on) == 8
    assert went_on == loaded
