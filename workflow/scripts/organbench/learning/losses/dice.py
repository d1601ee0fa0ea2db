"""Soft Dice, as batch Dice.

In methods.md: soft Dice loss [@milletari2016vnet].
"""

from torch import Tensor

from organbench.learning.losses import _parts


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Soft Dice loss, after Milletari et al., "V-Net", 3DV 2016, as batch Dice.

    The Dice of the whole batch, taken as one volume, is per organ, that is per class but the background,

        2 * sum(p * y) / (sum(p^2) + sum(y^2))

    with p the probability and y the reference of each voxel. The loss is the mean over all organs of 1 minus that, and
    of 0 for an organ that no patch of the batch shows, so that each weighs the same whichever others are there.

    The squares are the paper's. They keep the pull towards a small organ alive while it is hardly predicted at all.

    Pooling over the batch asks of an organ that fills few patches only to be right where it is. An organ that is not
    shown is left to cross-entropy: any Dice of it would hang on the last falsely predicted voxel, and its gradient, a
    thousand times that of an organ that is shown, teaches a network never to predict rare organs.

    It lies between 0 and 1.
    """
    log_probabilities, reference = _parts.log_probabilities_and_reference(logits, labels)
    return _parts.soft_dice(log_probabilities.exp(), reference)
