"""Energy that a GPU and the machine's processors use, read from their own counters."""

import re
import threading
from pathlib import Path
from typing import Any

import pynvml

POWERCAP = Path("/sys/class/powercap")
SAMPLE_SECONDS = 10.0  # a server's processor counter can start again from 0 after two minutes of full load


class Meter:
    """Measures the energy used while its `with` block runs.

    What cannot be measured is None, never a guess. The GPU's energy is that of the whole board, whoever uses it. The
    processors' is that of all packages of the machine (RAPL), so of all that runs on it, not of this job alone; memory
    and the rest of the machine are not in it. Linux lets only root read it unless an administrator has changed that.

    Args:
        gpu: the GPU's UUID as CUDA tells it, without NVML's prefix `GPU-`; None measures no GPU.
        powercap: folder of the processors' counters.
    """

    def __init__(self, gpu: str | None = None, *, powercap: Path = POWERCAP) -> None:
        self._gpu, self._powercap = gpu, powercap
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._result: dict[str, float | None] | None = None

    def __enter__(self) -> "Meter":
        self._gpu_before = gpu_joules(self._gpu)
        self._packages = package_counters(self._powercap)
        self._cpu_microjoules = 0
        if self._packages is not None:
            threading.Thread(target=self._sample, daemon=True).start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._result = self.joules()
        self._ended.set()

    def joules(self) -> dict[str, float | None]:
        """Energy in J so far, or, after the block, that of the block, as `gpu_energy_j` and `cpu_energy_j`."""
        if self._result is not None:
            return self._result
        self.update()
        before, now = self._gpu_before, gpu_joules(self._gpu)
        gpu = None if before is None or now is None else now - before
        # A processor uses energy at any time: a counter that stands still, as in some virtual machines, counts nothing.
        cpu = self._cpu_microjoules / 1e6 if self._packages is not None and self._cpu_microjoules else None
        return {"gpu_energy_j": gpu, "cpu_energy_j": cpu}

    def update(self) -> None:
        """Add what the processors used since the last update; by itself every `SAMPLE_SECONDS` within the block."""
        with self._lock:
            before, self._packages = self._packages, package_counters(self._powercap)
            if before is None or self._packages is None or before.keys() != self._packages.keys():
                self._packages = None  # a gap cannot be filled later
                return
            for package, (now, maximum) in self._packages.items():
                used = now - before[package][0]
                self._cpu_microjoules += used if used >= 0 else used + maximum

    def _sample(self) -> None:
        """Update until the block ends."""
        while not self._ended.wait(SAMPLE_SECONDS):
            self.update()


def gpu_joules(uuid: str | None) -> float | None:
    """Energy in J that a GPU has used since its driver was loaded; None where NVML does not tell (older than Volta)."""
    if uuid is None:
        return None
    try:
        pynvml.nvmlInit()
        try:
            # By UUID: NVML counts all GPUs of the machine, CUDA only those of CUDA_VISIBLE_DEVICES.
            handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000  # from mJ
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None


def package_counters(powercap: Path = POWERCAP) -> dict[str, tuple[int, int]] | None:
    """Energy counter of each processor package and the value after which it starts again from 0, in µJ.

    Only packages: `intel-rapl:0:0` and so on are parts of one, and the zone `psys` has all of them in it. AMD's
    processors have the same files.

    Returns:
        None where there is no package, or one that cannot be read.
    """
    try:
        zones = [zone for zone in powercap.iterdir() if re.fullmatch(r"intel-rapl:\d+", zone.name)]
        packages = [zone for zone in zones if (zone / "name").read_text().startswith("package")]
        counters = {
            zone.name: (int((zone / "energy_uj").read_text()), int((zone / "max_energy_range_uj").read_text()))
            for zone in packages
        }
    except (OSError, ValueError):
        return None
    return counters or None
