"""Several processes agree on the codebooks they learn from different sounds."""

import pytest
import torch
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from multimodal.audio.rvq import ResidualQuantizer


def learn() -> list[float]:
    """Train on this process's own vectors, some of which stop early; a digest of the state."""
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    torch.manual_seed(rank)
    quantizer = ResidualQuantizer(6, 3, 16).train()
    for step in range(40):
        latents = torch.randn(4, 16, 6) + 2 * rank
        # On some steps one process has nothing for the last level.
        used = torch.full((4,), 1 if rank == step % 2 else 3)
        quantizer(latents, used)
        if step == 20:
            quantizer.codebooks[1, 8:] = 1e3
    torch.distributed.destroy_process_group()
    return [float(value.double().sum()) for value in quantizer.state_dict().values()]


@pytest.mark.slow
def test_two_processes_learn_the_same_codebooks(tmp_path):
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=tmp_path.name,
        start_method="fork",
        monitor_interval=0.05,
    )
    digests = elastic_launch(config, learn)()
    assert digests[0] == digests[1]
    assert all(torch.isfinite(torch.tensor(digests[0])))
