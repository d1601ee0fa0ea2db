"""The device a job computes on, its precision, and what makes it repeat itself to the last bit."""

import functools
import os
import platform
import resource
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import nn

from organbench.core.errors import InputError
from organbench.hardware import energy, locks

DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def prepare(*, threads: int, gpus: int, rank: int = 0) -> torch.device:
    """Choose the device and make computing on it repeatable.

    Where this process sees more GPUs than it was granted, as on a workstation, it locks a free one until it ends and
    waits while all are taken. Where it sees no more than that, a scheduler such as SLURM has given it a GPU of its own:
    it takes the first, which every such job may know as 0, so that a lock would only get in the way of the others.

    Args:
        threads: CPU threads of the job; another number may change the last bits of a sum.
        gpus: GPUs the workflow granted; 0 keeps to the CPU even where there is one.
        rank: which of the granted GPUs, for one of several processes of a job.

    Returns:
        A CUDA device where one is granted and there, the CPU otherwise.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    if gpus < 1 or not torch.cuda.is_available():
        return torch.device("cpu")
    names = visible_gpus()
    index = rank if len(names) <= gpus else _lasting_lock(names)[0]
    if index:
        torch.cuda.set_device(index)  # else pinned memory would take memory of the first GPU, which is another job's
    return torch.device("cuda", index)


def reserve(gpus: int) -> int:
    """Lock as many GPUs as the workflow granted for this process and those it starts, which then see only these.

    Returns:
        How many processes can compute: one a GPU, and one where there is none.
    """
    if gpus < 1 or not torch.cuda.is_available():
        return 1
    names = list(visible_gpus())
    if len(names) > gpus > 1:
        mine: list[str] = []
        while len(mine) < gpus:
            rest = tuple(name for name in names if name not in mine)
            mine.append(rest[_lasting_lock(rest)[0]])
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
    return min(gpus, len(names))


def visible_gpus() -> tuple[str, ...]:
    """What the machine calls the GPUs that CUDA shows to this process, in CUDA's order: indices or UUIDs."""
    count = torch.cuda.device_count()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = map(str, range(count)) if chosen is None else (name.strip() for name in chosen.split(","))
    return tuple(names)[:count]  # CUDA ignores what follows an entry that it does not know


@functools.cache
def _lasting_lock(gpu_names: tuple[str, ...]) -> tuple[int, FileLock]:
    """Lock one of the GPUs for as long as the process lives: the cache keeps the lock."""
    return locks.acquire(gpu_names)


def energy_meter(device: torch.device) -> energy.Meter:
    """A meter of the energy that the device and the machine's processors use within its `with` block."""
    cuda = device.type == "cuda"
    return energy.Meter(str(torch.cuda.get_device_properties(device).uuid) if cuda else None)


def native_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself; where it is emulated it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def precision(wanted: str, device: torch.device) -> str:
    """The precision a job computes in: `auto` is bf16 where the device has it, else fp32.

    Raises:
        InputError: fp16 on a CPU.
    """
    if wanted == "auto":
        return "bf16" if native_bf16(device) else "fp32"
    if wanted == "fp16" and device.type == "cpu":
        raise InputError("config, training.precision: fp16 needs a GPU, and the job runs on a CPU; use auto")
    return wanted


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Mixed precision for a forward pass."""
    dtype = DTYPES[precision]
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def memory_format(dims: int) -> torch.memory_format:
    """Channels last, which convolutions are fastest in."""
    return torch.channels_last if dims == 2 else torch.channels_last_3d


def place(network: nn.Module, device: torch.device, dims: int) -> nn.Module:
    """Move a network to a device, in its memory format."""
    placed: nn.Module = network.to(device).to(memory_format=memory_format(dims))  # type: ignore[call-overload]
    return placed


def describe(device: torch.device) -> dict[str, Any]:
    """Device and versions, as `cost.json` holds them."""
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else cpu_name(),
        "device_type": device.type,
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),  # else of a class that a checkpoint cannot hold
            "numpy": np.__version__,
            "cuda": torch.version.cuda if cuda else None,
            "cudnn": torch.backends.cudnn.version() if cuda else None,
        },
    }


def cpu_name() -> str:
    """The processor's name as the system tells it."""
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def peak_memory(device: torch.device) -> dict[str, float | None]:
    """Most memory this process has held so far, in MiB: host, and GPU (None without one)."""
    factor = 1024 if platform.system() == "Linux" else 1024**2  # kilobytes, but bytes on macOS
    gpu = torch.cuda.max_memory_allocated(device) / 1024**2 if device.type == "cuda" else None
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / factor
    return {"peak_host_mib": round(host, 1), "peak_gpu_mib": gpu if gpu is None else round(gpu, 1)}
