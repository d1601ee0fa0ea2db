"""AdamW (Loshchilov and Hutter, ICLR 2019).

In methods.md: AdamW [@loshchilov2019adamw].
"""

import torch
from torch.optim.optimizer import ParamsT


def optimizer(weights: ParamsT, rate: float, decay: float) -> torch.optim.Optimizer:
    """The optimizer at a learning rate, with a weight decay."""
    return torch.optim.AdamW(weights, lr=rate, weight_decay=decay, fused=True)
