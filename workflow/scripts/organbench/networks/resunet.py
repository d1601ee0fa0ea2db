"""U-Net with a residual encoder: nnU-Net's "ResEnc".

Isensee et al., "nnU-Net revisited: a call for rigorous validation in 3D medical image segmentation", MICCAI 2024,
arXiv 2404.09556; its blocks are those of He et al., "Deep residual learning for image recognition", CVPR 2016. As
there: a convolution first, then many residual blocks a level in the encoder, of which the first halves the size by its
stride, and a single convolution a level in the decoder. Departures: convolutions that a norm follows have no bias, and
the norm is the study's (there: instance norm).
"""

from collections.abc import Sequence

from torch import Tensor, nn

from organbench.networks.blocks import UShape, average_pool, check_dims, conv_norm_relu

SLOPE = 0.01  # of the leaky ReLU below 0


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with norms, beside a shortcut.

    Args:
        in_chs: channels of the input.
        out_chs: channels of the output.
        dims: spatial dimensions, 2 or 3.
        norm: `batch`, `instance` or `group`.
        halves: whether the first convolution has a stride of 2; the shortcut then averages.
    """

    def __init__(self, *, in_chs: int, out_chs: int, dims: int, norm: str, halves: bool = False) -> None:
        super().__init__()
        self.halves = halves
        stride = 2 if halves else 1
        self.conv1 = conv_norm_relu(in_chs, out_chs, dims=dims, norm=norm, kernel=3, stride=stride, relu=False)
        self.conv2 = conv_norm_relu(out_chs, out_chs, dims=dims, norm=norm, kernel=3, relu=False)
        self.relu = nn.LeakyReLU(SLOPE, inplace=True)
        self.project: nn.Module = nn.Identity()
        if in_chs != out_chs:
            self.project = conv_norm_relu(in_chs, out_chs, dims=dims, norm=norm, kernel=1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_chs, [z,] y, x) to (batch, out_chs, [z,] y, x), each size half as large if it halves."""
        shortcut = self.project(average_pool(x) if self.halves else x)
        features: Tensor = self.relu(self.conv2(self.relu(self.conv1(x))) + shortcut)
        return features


class Network(UShape):
    """U-Net with a residual encoder, in two or three dimensions.

    Args:
        in_channels: channels of the image.
        classes: channels of the logits, background included.
        features: channels of each level, the finest first; their number is the number of levels.
        dims: spatial dimensions, 2 or 3.
        norm: `batch`, `instance` or `group`.
        blocks: residual blocks of each level, the finest first; where they are fewer than levels the last counts on.
        deep_supervision: in training, logits of every level on the way up.

    Attributes:
        divisor: every spatial size of the image must be divisible by it.

    Raises:
        ValueError: if `features`, `dims`, `norm` or `blocks` has a value that is not allowed.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        classes: int,
        features: Sequence[int],
        dims: int = 2,
        norm: str = "batch",
        blocks: Sequence[int] = (1, 3, 4, 6, 6, 6),
        deep_supervision: bool = False,
    ) -> None:
        check_dims(dims, features)
        if not blocks or min(blocks) < 1:
            raise ValueError(f"blocks must be one positive number of residual blocks a level, not {blocks!r}")
        numbers = [*blocks, *[blocks[-1]] * len(features)][: len(features)]

        def decoded(in_chs: int, out_chs: int) -> nn.Sequential:
            convolved = conv_norm_relu(in_chs, out_chs, dims=dims, norm=norm, kernel=3, relu=False)
            return convolved.append(nn.LeakyReLU(SLOPE, inplace=True))

        encoder, in_chs = [], features[0]
        for level, (out_chs, number) in enumerate(zip(features, numbers, strict=True)):
            parts: list[nn.Module] = [] if level else [decoded(in_channels, out_chs)]
            for k in range(number):
                halves = level > 0 and k == 0
                parts.append(ResidualBlock(in_chs=in_chs, out_chs=out_chs, dims=dims, norm=norm, halves=halves))
                in_chs = out_chs
            encoder.append(nn.Sequential(*parts))
        super().__init__(decoded, in_channels, classes, features, dims, deep_supervision, encoder)
