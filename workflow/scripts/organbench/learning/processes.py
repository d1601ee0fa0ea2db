"""One training on several devices: a process for each, started by torchrun's launcher."""

import datetime
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from organbench.core.jobs import TERMINATED
from organbench.learning.sampling import WHOLE, Shard

PATIENCE = datetime.timedelta(hours=24)  # the other processes wait while the first one validates


def launch(function: Callable[[Mapping[str, Any]], None], job: Mapping[str, Any], processes: int) -> None:
    """Call a function in several processes of this machine, and end like the first that fails.

    Args:
        function: a module's own function, so that another process can import it; it calls `joined`.
        job: what it is given; plain values.
        processes: how many.
    """
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # any free port
        max_restarts=0,  # the workflow restarts jobs, and training goes on from its checkpoint
    )
    try:
        elastic_launch(config, function)(job)
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        sys.exit(failure.exitcode if failure.exitcode > 0 else TERMINATED)
    except SignalException:
        sys.exit(TERMINATED)


@contextmanager
def joined(device: torch.device) -> Iterator[Shard]:
    """Work together with the other processes of the launch; gives this one's shard of every batch.

    A process that was not launched works alone.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield WHOLE
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Shard(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
