"""What training minimises: soft Dice, cross-entropy, their sum, and the original project's Dice.

Every loss takes logits and labels, works in float32 whatever the precision of the logits (float64 stays as it is), and
returns one number to minimise. All are made of dense operations whose backward pass is deterministic on CUDA, where
that of `F.cross_entropy` with labels is not.
"""

from collections.abc import Callable

import torch
from torch import Tensor, distributed
from torch.distributed.nn.functional import all_reduce

Loss = Callable[[Tensor, Tensor], Tensor]


def loss(name: str) -> Loss:
    """Find a loss by the name it has in the config.

    Args:
        name: `dice_ce`, `dice`, `ce` or `dice_legacy`.

    Returns:
        A function of logits (batch, class, [z,] y, x) and labels (batch, [z,] y, x), as described there.

    Raises:
        ValueError: if there is no such loss.
    """
    if name not in _LOSSES:
        raise ValueError(f"unknown loss {name!r}; available: {', '.join(_LOSSES)}")
    return _LOSSES[name]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, averaged over all voxels of the batch.

    Args:
        logits: (batch, class, [z,] y, x).
        labels: (batch, [z,] y, x), whole numbers from 0, the background, to class - 1.

    Returns:
        A scalar, 0 or more, in nats.

    Raises:
        ValueError: if the shapes do not fit.
        RuntimeError: if a label is not a class (on a CPU; CUDA reports a device-side assertion).
    """
    return _cross_entropy(*_log_probabilities_and_truth(logits, labels))


def dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Soft Dice loss, after Milletari et al., "V-Net", 3DV 2016, as batch Dice.

    For every organ, that is every class but the background, the Dice of the whole batch taken as one volume is

        2 * sum(p * y) / (sum(p^2) + sum(y^2))

    with p the probability and y the truth of each voxel. The loss is the mean over all organs of 1 minus that, and of 0
    for an organ that no patch of the batch shows, so that each weighs the same whichever others are there.

    The squares are the paper's. They keep the pull towards a small organ alive while it is hardly predicted at all.

    Pooling over the batch asks of an organ that fills few patches only to be right where it is. An organ that is not
    shown is left to cross-entropy: any Dice of it would hang on the last falsely predicted voxel, and its gradient, a
    thousand times that of an organ that is shown, teaches a network never to predict rare organs.

    Args:
        logits: (batch, class, [z,] y, x), 2 classes or more.
        labels: (batch, [z,] y, x), whole numbers from 0, the background, to class - 1.

    Returns:
        A scalar between 0 and 1.

    Raises:
        ValueError: if the shapes do not fit.
        RuntimeError: if a label is not a class (on a CPU; CUDA reports a device-side assertion).
    """
    log_probabilities, truth = _log_probabilities_and_truth(logits, labels)
    return _dice(log_probabilities.exp(), truth)


def dice_ce(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum of `dice` and `cross_entropy`, the loss of nnU-Net (Isensee et al., Nature Methods 2021).

    Args:
        logits: (batch, class, [z,] y, x), 2 classes or more.
        labels: (batch, [z,] y, x), whole numbers from 0, the background, to class - 1.

    Returns:
        A scalar, 0 or more.

    Raises:
        ValueError: if the shapes do not fit.
        RuntimeError: if a label is not a class (on a CPU; CUDA reports a device-side assertion).
    """
    log_probabilities, truth = _log_probabilities_and_truth(logits, labels)
    return _dice(log_probabilities.exp(), truth) + _cross_entropy(log_probabilities, truth)


def dice_legacy(logits: Tensor, labels: Tensor) -> Tensor:
    """The Dice loss of the study that the CT-ORG comparison redoes: 1 minus its "Dice" of the softmax.

    That "Dice" is summed over classes at each voxel, then averaged over voxels, see `metrics.legacy_score`:

        2 * sum_c |p * y| / (sum_c p^2 + sum_c y^2 + 1e-6)

    Args:
        logits: (batch, class, [z,] y, x).
        labels: (batch, [z,] y, x), whole numbers from 0, the background, to class - 1.

    Returns:
        A scalar between 0 and 1.

    Raises:
        ValueError: if the shapes do not fit.
        RuntimeError: if a label is not a class (on a CPU; CUDA reports a device-side assertion).
    """
    log_probabilities, truth = _log_probabilities_and_truth(logits, labels)
    probabilities = log_probabilities.exp()
    overlap = (probabilities * truth).abs().sum(1)
    size = probabilities.square().sum(1) + truth.square().sum(1)
    return 1 - (2 * overlap / (size + 1e-6)).mean()


def _log_probabilities_and_truth(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Log-softmax and one-hot labels, both (batch, class, [z,] y, x) in float32 or float64."""
    if logits.shape[:1] + logits.shape[2:] != labels.shape:
        raise ValueError(f"labels of shape {tuple(labels.shape)} do not fit logits of shape {tuple(logits.shape)}")
    precision = torch.float64 if logits.dtype == torch.float64 else torch.float32
    log_probabilities = logits.log_softmax(1, dtype=precision)
    truth = torch.zeros_like(log_probabilities).scatter_(1, labels.long().unsqueeze(1), 1)
    return log_probabilities, truth


def _cross_entropy(log_probabilities: Tensor, truth: Tensor) -> Tensor:
    voxels = truth.numel() / truth.shape[1]
    return -(log_probabilities * truth).sum() / voxels


def _dice(probabilities: Tensor, truth: Tensor) -> Tensor:
    batch_and_space = [0, *range(2, truth.ndim)]
    sums = [part.sum(batch_and_space)[1:] for part in (probabilities * truth, probabilities.square(), truth)]
    if distributed.is_initialized():  # the batch is that of all processes
        sums = list(all_reduce(torch.stack(sums)))
    overlap, predicted, true = sums
    shown = (true > 0).to(true.dtype)
    dice = 2 * overlap / (predicted + true).clamp(min=1)  # an organ that is shown has a voxel or more
    return ((1 - dice) * shown).mean()


_LOSSES: dict[str, Loss] = {"dice_ce": dice_ce, "dice": dice, "ce": cross_entropy, "dice_legacy": dice_legacy}
