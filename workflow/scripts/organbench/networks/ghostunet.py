"""GhostUNet: the U-Net's topology with ghost bottlenecks, or ghost modules, in place of its convolutions.

Ghost modules and bottlenecks: Han et al., "GhostNet: more features from cheap operations", CVPR 2020. Published
"GhostUNets" differ in how they put them into a U-Net. Here, with `block: bottleneck`, one ghost bottleneck with
squeeze-excite, as wide inside as its output, takes the place of the two convolutions of a level; with `block: module`,
each 3x3 convolution becomes one ghost module with a 3x3 primary convolution. All else is as in the U-Net: max pooling
on the way down (so no bottleneck needs GhostNet's strided convolution), transposed convolution and concatenation on
the way up, and a 1x1 head.
"""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organbench.networks.blocks import UShape, conv_norm_relu, convolution


class GhostModule(nn.Module):
    """A few features by convolution, the rest ("ghosts") from those by a cheap depthwise convolution.

    Args:
        in_chs: channels of the input.
        out_chs: channels of the output.
        dims: spatial dimensions, 2 or 3.
        norm: `batch`, `instance` or `group`.
        kernel: size of the primary convolution.
        ratio: how many times fewer channels the primary convolution makes than the module; 2 or more.
        relu: whether a ReLU ends both convolutions.
    """

    def __init__(
        self, *, in_chs: int, out_chs: int, dims: int, norm: str, kernel: int = 1, ratio: int = 2, relu: bool = True
    ) -> None:
        super().__init__()
        self.out_chs = out_chs
        primary = -(-out_chs // ratio)
        ghosts = primary * (ratio - 1)
        self.primary_conv = conv_norm_relu(in_chs, primary, dims=dims, norm=norm, kernel=kernel, relu=relu)
        self.cheap_operation = conv_norm_relu(
            primary, ghosts, dims=dims, norm=norm, kernel=3, groups=primary, relu=relu
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_chs, [z,] y, x) to (batch, out_chs, [z,] y, x)."""
        primary = self.primary_conv(x)
        ghosts = self.cheap_operation(primary)
        return torch.cat([primary, ghosts], dim=1)[:, : self.out_chs]


class SqueezeExcite(nn.Module):
    """Channels weighed by a gate computed from their means (Hu et al., CVPR 2018), with GhostNet's hard sigmoid.

    Args:
        chs: channels of the input and the output.
        dims: spatial dimensions, 2 or 3.
        reduction: how many times fewer channels lie between the means and the gate.
    """

    def __init__(self, *, chs: int, dims: int, reduction: int = 4) -> None:
        super().__init__()
        reduced = max(1, chs // reduction)
        self.conv_reduce = convolution(chs, reduced, dims=dims, kernel=1, bias=True)
        self.conv_expand = convolution(reduced, chs, dims=dims, kernel=1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, chs, [z,] y, x) to the same shape."""
        # A plain mean: the backward of adaptive average pooling is not deterministic on CUDA.
        means = x.mean(tuple(range(2, x.ndim)), keepdim=True)
        return x * F.hardsigmoid(self.conv_expand(F.relu(self.conv_reduce(means))))


class GhostBottleneck(nn.Module):
    """Ghost module, squeeze-excite and a ghost module without ReLU, beside a shortcut.

    Args:
        in_chs: channels of the input.
        out_chs: channels of the output, and of the features between the two ghost modules.
        dims: spatial dimensions, 2 or 3.
        norm: `batch`, `instance` or `group`.
        ratio: see `GhostModule`.
    """

    def __init__(self, *, in_chs: int, out_chs: int, dims: int, norm: str, ratio: int = 2) -> None:
        super().__init__()
        self.ghost1 = GhostModule(in_chs=in_chs, out_chs=out_chs, dims=dims, norm=norm, ratio=ratio)
        self.se = SqueezeExcite(chs=out_chs, dims=dims)
        self.ghost2 = GhostModule(in_chs=out_chs, out_chs=out_chs, dims=dims, norm=norm, ratio=ratio, relu=False)
        self.shortcut: nn.Module = nn.Identity()
        if in_chs != out_chs:
            self.shortcut = nn.Sequential(
                conv_norm_relu(in_chs, in_chs, dims=dims, norm=norm, kernel=3, groups=in_chs, relu=False),
                conv_norm_relu(in_chs, out_chs, dims=dims, norm=norm, kernel=1, relu=False),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_chs, [z,] y, x) to (batch, out_chs, [z,] y, x)."""
        features: Tensor = self.ghost2(self.se(self.ghost1(x))) + self.shortcut(x)
        return features


class Network(UShape):
    """GhostUNet in two or three dimensions.

    Args:
        in_channels: channels of the image.
        classes: channels of the logits, background included.
        features: channels of each level, the finest first; their number is the number of levels.
        dims: spatial dimensions, 2 or 3.
        norm: `batch`, `instance` or `group`.
        block: `bottleneck`, a ghost bottleneck with squeeze-excite a level, or `module`, two 3x3 ghost modules a level.
        ratio: how many times fewer channels a ghost module's primary convolution makes than the module; 2 or more.
        deep_supervision: in training, logits of every level on the way up.

    Attributes:
        divisor: every spatial size of the image must be divisible by it.

    Raises:
        ValueError: if `features`, `dims`, `norm`, `block` or `ratio` has a value that is not allowed.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        classes: int,
        features: Sequence[int],
        dims: int = 2,
        norm: str = "batch",
        block: str = "bottleneck",
        ratio: int = 2,
        deep_supervision: bool = False,
    ) -> None:
        if block not in ("bottleneck", "module"):
            raise ValueError(f"block must be bottleneck or module, not {block!r}")
        if ratio < 2:
            raise ValueError(f"ratio must be 2 or more, not {ratio!r}")

        def ghosts(in_chs: int, out_chs: int) -> nn.Module:
            if block == "bottleneck":
                return GhostBottleneck(in_chs=in_chs, out_chs=out_chs, dims=dims, norm=norm, ratio=ratio)
            module = partial(GhostModule, out_chs=out_chs, dims=dims, norm=norm, kernel=3, ratio=ratio)
            return nn.Sequential(module(in_chs=in_chs), module(in_chs=out_chs))

        super().__init__(ghosts, in_channels, classes, features, dims, deep_supervision)
