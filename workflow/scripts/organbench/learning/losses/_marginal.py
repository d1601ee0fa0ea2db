"""Organs that were not annotated in a case, which no loss may take for absent."""

import torch
from torch import Tensor

NEVER = -1e4  # the logarithm of a probability that is 0 in any precision; finite, as 0 times infinity is no number


def merged(logits: Tensor, unannotated: Tensor) -> Tensor:
    """Logits of the classes that can be told apart in each patch, whose probabilities are the marginal ones.

    Where an organ was not annotated, its voxels are labelled as background. So the background's probability becomes
    the sum of its own and those of these organs, and theirs become 0 (marginal loss, Shi et al., Medical Image
    Analysis 70, 2021). Any loss of the result teaches neither that such an organ is absent nor that it is there, but
    where others are it is still wrong. Dice that pools the batch finds nothing of the organ in this patch.

    Args:
        logits: (batch, class, [z,] y, x).
        unannotated: which classes were not annotated in each patch (batch, class), bool; never the background.

    Returns:
        Log-probabilities of the same shape, float32, or float64 where logits are.
    """
    precision = torch.float64 if logits.dtype == torch.float64 else torch.float32
    own = logits.log_softmax(1, dtype=precision)
    unknown = unannotated.reshape(*unannotated.shape, *(1,) * (logits.dim() - 2))
    as_background = unknown.clone()
    as_background[:, 0] = True
    background = own.masked_fill(~as_background, -torch.inf).logsumexp(1, keepdim=True)
    return torch.cat([background, own[:, 1:].masked_fill(unknown[:, 1:], NEVER)], dim=1)
