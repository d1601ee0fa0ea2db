"""Adam (Kingma and Ba, ICLR 2015).

In methods.md: Adam [@kingma2015adam].
"""

import torch
from torch.optim.optimizer import ParamsT


def optimizer(weights: ParamsT, rate: float, decay: float) -> torch.optim.Optimizer:
    """The optimizer at a learning rate, with a weight decay."""
    return torch.optim.Adam(weights, lr=rate, weight_decay=decay, fused=True)
