"""Dice plus cross-entropy.

In methods.md: the sum of soft Dice loss [@milletari2016vnet] and cross-entropy.
"""

from torch import Tensor

from organbench.learning.losses import _parts


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum of `dice` and `ce`, the loss of nnU-Net (Isensee et al., Nature Methods 2021); 0 or more."""
    log_probabilities, reference = _parts.log_probabilities_and_reference(logits, labels)
    return _parts.soft_dice(log_probabilities.exp(), reference) + _parts.cross_entropy(log_probabilities, reference)
