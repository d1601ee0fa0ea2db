"""U-Net.

Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015; in 3D,
Cicek et al., MICCAI 2016. Departures from the paper, all of them common today: padded convolutions, so that the output
is as large as the input, and a normalisation between convolution and ReLU.
"""

from collections.abc import Sequence
from functools import partial

from torch import nn

from organbench.networks.blocks import UShape, conv_norm_relu


def double_convolution(in_chs: int, out_chs: int, *, dims: int, norm: str) -> nn.Sequential:
    """Two 3x3 (in 3D, 3x3x3) convolutions, each with normalisation and ReLU."""
    return nn.Sequential(
        conv_norm_relu(in_chs, out_chs, dims=dims, norm=norm, kernel=3),
        conv_norm_relu(out_chs, out_chs, dims=dims, norm=norm, kernel=3),
    )


class Network(UShape):
    """U-Net in two or three dimensions.

    Args:
        in_channels: channels of the image.
        classes: channels of the logits, background included.
        features: channels of each level, the finest first; their number is the number of levels.
        dims: spatial dimensions, 2 or 3.
        norm: `batch`, `instance` or `group`.
        deep_supervision: in training, logits of every level on the way up.

    Attributes:
        divisor: every spatial size of the image must be divisible by it.

    Raises:
        ValueError: if `features`, `dims` or `norm` has a value that is not allowed.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        classes: int,
        features: Sequence[int],
        dims: int = 2,
        norm: str = "batch",
        deep_supervision: bool = False,
    ) -> None:
        block = partial(double_convolution, dims=dims, norm=norm)
        super().__init__(block, in_channels, classes, features, dims, deep_supervision)
