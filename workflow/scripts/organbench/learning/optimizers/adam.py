"""Adam (Kingma and Ba, ICLR 2015).

In methods.md: Adam [@kingma2015adam].
"""

from collections.abc import Iterable

import torch
from torch import nn


def optimizer(weights: Iterable[nn.Parameter], rate: float, decay: float) -> torch.optim.Optimizer:
    """The optimizer at a learning rate, with a weight decay."""
    return torch.optim.Adam(weights, lr=rate, weight_decay=decay, fused=True)
