"""What losses are made of: dense operations whose backward pass is deterministic on CUDA.

That of `F.cross_entropy` with labels is not.
"""

import torch
from torch import Tensor, distributed
from torch.distributed.nn.functional import all_reduce


def log_probabilities_and_reference(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Log-softmax and one-hot labels, both (batch, class, [z,] y, x) in float32 or float64."""
    if logits.shape[:1] + logits.shape[2:] != labels.shape:
        raise ValueError(f"labels of shape {tuple(labels.shape)} do not fit logits of shape {tuple(logits.shape)}")
    precision = torch.float64 if logits.dtype == torch.float64 else torch.float32
    log_probabilities = logits.log_softmax(1, dtype=precision)
    reference = torch.zeros_like(log_probabilities).scatter_(1, labels.long().unsqueeze(1), 1)
    return log_probabilities, reference


def cross_entropy(log_probabilities: Tensor, reference: Tensor) -> Tensor:
    """Cross-entropy in nats, averaged over all voxels of the batch; of one-hot labels (batch, class, [z,] y, x)."""
    voxels = reference.numel() / reference.shape[1]
    return -(log_probabilities * reference).sum() / voxels


def soft_dice(probabilities: Tensor, reference: Tensor) -> Tensor:
    """The loss that `losses.dice` describes, of one-hot labels (batch, class, [z,] y, x)."""
    batch_and_space = [0, *range(2, reference.ndim)]
    sums = [part.sum(batch_and_space)[1:] for part in (probabilities * reference, probabilities.square(), reference)]
    if distributed.is_initialized():  # the batch is that of all processes
        sums = list(all_reduce(torch.stack(sums)))
    overlap, predicted, drawn = sums
    shown = (drawn > 0).to(drawn.dtype)
    dice = 2 * overlap / (predicted + drawn).clamp(min=1)  # an organ that is shown has a voxel or more
    return ((1 - dice) * shown).mean()
