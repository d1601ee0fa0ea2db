"""The Dice loss of the study that the CT-ORG comparison redoes.

In methods.md: one minus a Dice score that sums over classes within each voxel and so counts background.
"""

from torch import Tensor

from organbench.learning.losses import _parts


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """1 minus the "Dice" of that study, between 0 and 1; see `metrics.legacy_score`.

    It is summed over classes at each voxel, then averaged over voxels:

        2 * sum_c |p * y| / (sum_c p^2 + sum_c y^2 + 1e-6)
    """
    log_probabilities, reference = _parts.log_probabilities_and_reference(logits, labels)
    probabilities = log_probabilities.exp()
    overlap = (probabilities * reference).abs().sum(1)
    size = probabilities.square().sum(1) + reference.square().sum(1)
    return 1 - (2 * overlap / (size + 1e-6)).mean()
