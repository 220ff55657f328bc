import subprocess
import sys
import time

import pytest
import torch

from multimodal.errors import ConfigError
from worldmodel import device
from worldmodel.device import choose_compute, measure_matmul_gflops


def test_the_choice_is_made_once_and_costs_nothing_afterwards():
    first = choose_compute("cpu")
    started_s = time.perf_counter()
    assert choose_compute("cpu") is first
    assert time.perf_counter() - started_s < 0.01


def test_choosing_takes_at_most_half_a_second_of_processor_time():
    device._choose.cache_clear()
    started_s = time.process_time()
    choose_compute("cpu")
    assert time.process_time() - started_s < 0.5 * torch.get_num_threads() + 0.2


def test_the_reason_names_device_dtype_and_the_measurement():
    compute = choose_compute("cpu")
    assert compute.reason.startswith(f"cpu in {str(compute.dtype).removeprefix('torch.')}: ")
    assert "GFLOP/s in float32" in compute.reason
    assert "\n" not in compute.reason


def test_the_faster_dtype_wins_on_a_cpu():
    compute = choose_compute("cpu")
    cpu = torch.device("cpu")
    wide = measure_matmul_gflops(cpu, torch.float32, 128, 0.05)
    narrow = measure_matmul_gflops(cpu, torch.bfloat16, 128, 0.05)
    if max(wide, narrow) > 4 * min(wide, narrow):
        assert compute.dtype == (torch.float32 if wide > narrow else torch.bfloat16)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_override_is_honoured(dtype):
    compute = choose_compute(f"cpu/{dtype}")
    assert compute.device == torch.device("cpu")
    assert compute.dtype == getattr(torch, dtype)
    assert "asked for" in compute.reason


def test_the_environment_variable_decides_where_no_argument_is_given(monkeypatch):
    monkeypatch.setenv("WORLDMODEL_COMPUTE", "cpu/float32")
    assert choose_compute() is choose_compute("cpu/float32")


@pytest.mark.parametrize("asked", ["gpu", "float31", "cpu/fp64", "meta"])
def test_an_unknown_device_or_dtype_is_a_config_error(asked):
    with pytest.raises(ConfigError, match="expected auto, cpu, cuda"):
        choose_compute(asked)


@pytest.mark.skipif(torch.cuda.is_available(), reason="only where there is no GPU")
def test_cuda_asked_for_where_there_is_none_is_a_config_error():
    with pytest.raises(ConfigError, match="sees 0 CUDA devices"):
        choose_compute("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_taken_where_there_is_one():
    assert choose_compute("auto").device.type == "cuda"


def test_choosing_leaves_the_random_numbers_as_they_were():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    device._choose.cache_clear()
    choose_compute("cpu")
    assert torch.equal(torch.rand(4), expected)


def test_the_measured_peak_is_a_throughput_this_machine_reaches_again():
    peak = choose_compute("cpu/float32").peak_gflops
    again = measure_matmul_gflops(torch.device("cpu"), torch.float32, 512, 0.1)
    assert 0.1 < peak / again < 10


def test_importing_the_module_does_not_import_the_worlds():
    program = "import sys, worldmodel.device; sys.exit('mujoco' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
