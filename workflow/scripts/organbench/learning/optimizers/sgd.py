"""Stochastic gradient descent with Nesterov momentum.

In methods.md: stochastic gradient descent with Nesterov momentum 0.99.
"""

import torch
from torch.optim.optimizer import ParamsT


def optimizer(weights: ParamsT, rate: float, decay: float) -> torch.optim.Optimizer:
    """The optimizer at a learning rate, with a weight decay."""
    return torch.optim.SGD(weights, lr=rate, momentum=0.99, nesterov=True, weight_decay=decay, fused=True)
