"""AdamW (Loshchilov and Hutter, ICLR 2019).

In methods.md: AdamW [@loshchilov2019adamw].
"""

from collections.abc import Iterable

import torch
from torch import nn


def optimizer(weights: Iterable[nn.Parameter], rate: float, decay: float) -> torch.optim.Optimizer:
    """The optimizer at a learning rate, with a weight decay."""
    return torch.optim.AdamW(weights, lr=rate, weight_decay=decay, fused=True)
