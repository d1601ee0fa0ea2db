"""Cross-entropy.

In methods.md: cross-entropy.
"""

from torch import Tensor

from organbench.learning.losses import _parts


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy in nats, averaged over all voxels of the batch; 0 or more."""
    return _parts.cross_entropy(*_parts.log_probabilities_and_reference(logits, labels))
