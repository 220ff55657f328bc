"""Which device and number format the models run in, chosen once by measurement, with the reason."""

import os
import time
from dataclasses import dataclass
from functools import cache

import torch

from multimodal.errors import ConfigError

__all__ = ["Compute", "choose_compute", "measure_matmul_gflops", "refuse_format"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ENVIRONMENT_VARIABLE = "WORLDMODEL_COMPUTE"

# bfloat16 costs accuracy, so it has to earn its place by more than the noise of a shared machine.
_WORTH_A_SWITCH = 1.5
_PROBE_BUDGET_S = 0.12
# Without native instructions bfloat16 can be a hundred times slower than float32: a product of this
# side still ends within milliseconds there and tells whether a full-sized probe is worth its time.
_PROBE_SIDE_SMALL = 96
_PROBE_SIDE = 512


@dataclass(frozen=True)
class Compute:
    """The device and dtype of this process.

    Attributes:
        device: where models and rollouts live.
        dtype: the format of matrix products; parameters that need it stay in float32.
        reason: one printable line: what was chosen, and what was measured or asked for.
        peak_gflops: measured throughput of a square matrix product in this dtype, GFLOP/s.
    """

    device: torch.device
    dtype: torch.dtype
    reason: str
    peak_gflops: float


def choose_compute(preferred: str | None = None) -> Compute:
    """Choose device and dtype once per process; later calls give the same answer at no cost.

    CUDA is taken where there is one. On a CPU the throughput of a float32 and of a bfloat16 matrix
    product is measured (half a second at most), as only some CPUs have instructions for bfloat16.

    Args:
        preferred: `auto`, a device (`cpu`, `cuda:1`), a dtype (`float32`), or both
            (`cpu/bfloat16`). None reads the environment variable WORLDMODEL_COMPUTE, which worker
            processes inherit.

    Returns:
        The choice, with the reason for it.

    Raises:
        ConfigError: the device or dtype is unknown, or is not there on this machine.
    """
    if preferred is None:
        preferred = os.environ.get(ENVIRONMENT_VARIABLE) or "auto"
    return _choose(preferred.strip().lower())


@cache
def _choose(preferred: str) -> Compute:
    device, dtype = _parse(preferred)
    if device is None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if dtype is not None:
        gflops = _probe(device, dtype)
        reason = f"asked for by {preferred!r}; {_name(dtype)} measured at {gflops:.0f} GFLOP/s"
    elif device.type == "cpu":
        dtype, gflops, reason = _fastest_on_cpu()
    else:
        dtype, gflops, reason = _fastest_on_accelerator(device)
    return Compute(device, dtype, f"{device} in {_name(dtype)}: {reason}", gflops)


def _parse(preferred: str) -> tuple[torch.device | None, torch.dtype | None]:
    """Split a preference into its device and dtype, each None where it is left open."""
    device: torch.device | None = None
    dtype: torch.dtype | None = None
    for part in preferred.split("/"):
        if part in DTYPES:
            dtype = DTYPES[part]
        elif part != "auto":
            device = _device(part)
    return device, dtype


def _device(name: str) -> torch.device:
    expected = f"auto, cpu, cuda, cuda:N, {', '.join(DTYPES)}, or both as in cpu/float32"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(
            f"compute={name!r} is neither a device nor a dtype; expected {expected}"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"compute={name!r} was asked for, but torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA devices here: use compute=cpu or compute=auto"
        )
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"compute={name!r} is not supported; expected {expected}")
    return device


def _fastest_on_cpu() -> tuple[torch.dtype, float, str]:
    """Compare float32 with bfloat16; the small product guards against a slow bfloat16."""
    cpu = torch.device("cpu")
    wide = _probe(cpu, torch.float32)
    wide_small = measure_matmul_gflops(cpu, torch.float32, _PROBE_SIDE_SMALL, 0.02)
    narrow = measure_matmul_gflops(cpu, torch.bfloat16, _PROBE_SIDE_SMALL, 0.02)
    if narrow > wide_small / 4:
        narrow = _probe(cpu, torch.bfloat16)
    figures = (
        f"measured {wide:.0f} GFLOP/s in float32 and {narrow:.3g} in bfloat16 "
        f"on {torch.get_num_threads()} threads"
    )
    if narrow > _WORTH_A_SWITCH * wide:
        return torch.bfloat16, narrow, f"bfloat16 is faster here, {figures}"
    return torch.float32, wide, f"bfloat16 is not faster here, {figures}"


def _fastest_on_accelerator(device: torch.device) -> tuple[torch.dtype, float, str]:
    name = torch.cuda.get_device_name(device)
    native = torch.cuda.get_device_capability(device) >= (8, 0)
    dtype = torch.bfloat16 if native else torch.float32
    gflops = _probe(device, dtype)
    why = "has bfloat16 tensor cores" if native else "has no bfloat16 tensor cores"
    return dtype, gflops, f"{name} {why}, measured {gflops:.0f} GFLOP/s"


def _probe(device: torch.device, dtype: torch.dtype) -> float:
    side = _PROBE_SIDE if device.type == "cpu" else 4096
    return measure_matmul_gflops(device, dtype, side, _PROBE_BUDGET_S)


def measure_matmul_gflops(
    device: torch.device, dtype: torch.dtype, side: int = 1024, budget_s: float = 0.5
) -> float:
    """Measure the best throughput of a square matrix product.

    Args:
        device: where to multiply.
        dtype: format of both factors.
        side: rows and columns of each factor.
        budget_s: stop repeating after this time; three products are always timed, as the first
            also pays for compiling the kernel.

    Returns:
        GFLOP/s of the fastest repetition: the machine may be shared, and the peak is what it can
        do when left alone.
    """
    # Drawn without torch's global generator, whose state belongs to whoever seeded it.
    factor = torch.full((side, side), 0.5, device=device, dtype=dtype)
    best_s = float("inf")
    deadline_s = time.perf_counter() + budget_s
    with torch.inference_mode():
        for done in range(1, 1001):
            started_s = time.perf_counter()
            torch.mm(factor, factor)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            ended_s = time.perf_counter()
            best_s = min(best_s, ended_s - started_s)
            if ended_s > deadline_s and done >= 3:
                break
    return 2 * side**3 / best_s / 1e9


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def refuse_format(*asked: object) -> None:
    """Refuse weights of another format: places on the table, carried in less, would go astray.

    Raises:
        ConfigError: a number format was asked for, and it is not float32.
    """
    others = [kind for kind in asked if isinstance(kind, torch.dtype) and kind != torch.float32]
    if others:
        raise ConfigError(
            f"The pipeline's weights stay in float32, not {others[0]}. For faster products run it "
            "inside torch.autocast(device, torch.bfloat16), or set compute=cpu/bfloat16 (or the "
            "environment variable WORLDMODEL_COMPUTE), which does so."
        )
