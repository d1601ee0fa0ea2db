"""U-Net.

Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015; in 3D,
Cicek et al., MICCAI 2016. Departures from the paper, all of them common today: padded convolutions, so that the output
is as large as the input, and a normalisation between convolution and ReLU.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from organbench.networks.blocks import (
    check_dims,
    check_size,
    conv_norm_relu,
    convolution,
    initialise,
    max_pool,
    upsampling,
)


def double_convolution(in_chs: int, out_chs: int, *, dims: int, norm: str) -> nn.Sequential:
    """Two 3x3 (in 3D, 3x3x3) convolutions, each with normalisation and ReLU."""
    return nn.Sequential(
        conv_norm_relu(in_chs, out_chs, dims=dims, norm=norm, kernel=3),
        conv_norm_relu(out_chs, out_chs, dims=dims, norm=norm, kernel=3),
    )


class Network(nn.Module):
    """U-Net in two or three dimensions.

    Args:
        in_channels: channels of the image.
        classes: channels of the logits, background included.
        features: channels of each level, the finest first; their number is the number of levels.
        dims: spatial dimensions, 2 or 3.
        norm: `batch`, `instance` or `group`.

    Attributes:
        divisor: every spatial size of the image must be divisible by it.

    Raises:
        ValueError: if `features`, `dims` or `norm` has a value that is not allowed.
    """

    def __init__(
        self, *, in_channels: int, classes: int, features: Sequence[int], dims: int = 2, norm: str = "batch"
    ) -> None:
        super().__init__()
        check_dims(dims, features)
        self.divisor = 2 ** (len(features) - 1)

        levels = list(pairwise(features))
        self.first = double_convolution(in_channels, features[0], dims=dims, norm=norm)
        self.downs = nn.ModuleList(double_convolution(fine, coarse, dims=dims, norm=norm) for fine, coarse in levels)
        levels.reverse()
        self.ups = nn.ModuleList(upsampling(coarse, fine, dims=dims) for fine, coarse in levels)
        self.joins = nn.ModuleList(double_convolution(2 * fine, fine, dims=dims, norm=norm) for fine, _ in levels)
        self.head = convolution(features[0], classes, dims=dims, kernel=1, bias=True)
        initialise(self, head=self.head)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every class.

        Args:
            image: (batch, in_channels, [z,] y, x).

        Returns:
            (batch, classes, [z,] y, x).

        Raises:
            ValueError: if a spatial size is not divisible by `divisor`.
        """
        check_size(image, self.divisor)
        x = self.first(image)
        skips = []
        for down in self.downs:
            skips.append(x)
            x = down(max_pool(x))
        for up, join in zip(self.ups, self.joins, strict=True):
            x = join(torch.cat([skips.pop(), up(x)], dim=1))
        return self.head(x)
