"""What programs that a job starts see of the machine."""

import torch

from organbench.hardware.devices import visible_gpus


def environment(device: torch.device) -> dict[str, str]:
    """Variables that show a program the device of this process, and no GPU of another job."""
    return {"CUDA_VISIBLE_DEVICES": "" if device.type == "cpu" else visible_gpus()[device.index or 0]}
