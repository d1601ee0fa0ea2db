"""The layers and the topology that the networks share, in two or three dimensions, and how they are initialised.

Every layer here has a deterministic backward pass on CUDA, so a network made of them trains to the same weights each
time. That is why 3D pooling is spelled out (the backward of `nn.MaxPool3d` is not deterministic) and why features are
brought to a finer level by transposed convolution (nor is that of interpolation).
"""

import math
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv3d(nn.Conv3d):
    """`nn.Conv3d` that is right, and not slow, in bf16 on a CPU too.

    Where the backward pass of oneDNN 3.12 (PyTorch 2.13) has a fault in bf16, this computes in float32: where an axis
    of the features is shorter than the kernel it reads and writes memory that is not its own (a gradient of NaN, or a
    crash), and a depthwise convolution takes up to ten times as long as in float32. Elsewhere, and on other devices,
    it is `nn.Conv3d`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, z, y, x) to (batch, out_channels, z, y, x)."""
        in_bf16 = x.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
        if x.device.type == "cpu" and in_bf16 and (self._is_longer(x.shape[2:]) or self.groups > 1):
            with torch.autocast("cpu", enabled=False):
                bias = None if self.bias is None else self.bias.float()
                features: Tensor = self._conv_forward(x.float(), self.weight.float(), bias)
                return features.to(x.dtype)
        return super().forward(x)

    def _is_longer(self, size: Sequence[int]) -> bool:
        """Whether the kernel is longer than an axis; with a stride one voxel more is needed."""
        axes = zip(self.kernel_size, self.dilation, self.stride, size, strict=True)
        return any(k > 1 and length < dilation * (k - 1) + stride for k, dilation, stride, length in axes)


_CONVOLUTION: dict[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: Conv3d}
_TRANSPOSED: dict[int, type[nn.ConvTranspose2d | nn.ConvTranspose3d]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_BATCH_NORM: dict[int, type[nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_INSTANCE_NORM: dict[int, type[nn.Module]] = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


def check_dims(dims: int, features: Sequence[int]) -> None:
    """Check what every U-shaped network is asked for.

    Args:
        dims: spatial dimensions.
        features: channels of each level, the finest first.

    Raises:
        ValueError: if `dims` is neither 2 nor 3, or `features` is empty or not positive.
    """
    if dims not in _CONVOLUTION:
        raise ValueError(f"dims must be 2 or 3, not {dims!r}")
    if not features or min(features) < 1:
        raise ValueError(f"features must be one positive number of channels a level, not {features!r}")


def convolution(
    in_chs: int,
    out_chs: int,
    *,
    dims: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    dilation: int = 1,
    bias: bool = False,
) -> nn.Conv2d | nn.Conv3d:
    """Convolution that keeps the spatial size, divided by its stride; without bias by default, as a norm follows."""
    padding = dilation * (kernel // 2)
    return _CONVOLUTION[dims](in_chs, out_chs, kernel, stride, padding, dilation, groups, bias)


def upsampling(in_chs: int, out_chs: int, *, dims: int) -> nn.ConvTranspose2d | nn.ConvTranspose3d:
    """Transposed convolution that doubles the spatial size, each output voxel having one input voxel."""
    return _TRANSPOSED[dims](in_chs, out_chs, kernel_size=2, stride=2)


def normalisation(channels: int, *, dims: int, norm: str) -> nn.Module:
    """Normalisation with a learned scale and shift a channel.

    Args:
        channels: channels of the features.
        dims: spatial dimensions, 2 or 3.
        norm: `batch` (Ioffe and Szegedy 2015), `instance` (Ulyanov et al. 2016), or `group` (Wu and He 2018) with the
            most groups up to 8 that divide the channels in powers of two.

    Raises:
        ValueError: if `norm` is none of these.
    """
    if norm == "batch":
        return _BATCH_NORM[dims](channels)
    if norm == "instance":
        return _INSTANCE_NORM[dims](channels, affine=True)
    if norm == "group":
        return nn.GroupNorm(math.gcd(8, channels), channels)
    raise ValueError(f"norm must be batch, instance or group, not {norm!r}")


def conv_norm_relu(
    in_chs: int, out_chs: int, *, dims: int, norm: str, kernel: int, stride: int = 1, groups: int = 1, relu: bool = True
) -> nn.Sequential:
    """Convolution and normalisation, with a ReLU unless it is asked not to."""
    layers: list[nn.Module] = [
        convolution(in_chs, out_chs, dims=dims, kernel=kernel, stride=stride, groups=groups),
        normalisation(out_chs, dims=dims, norm=norm),
    ]
    if relu:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def max_pool(x: Tensor) -> Tensor:
    """Max pooling that halves every spatial size, deterministic on CUDA in 3D as well.

    Args:
        x: (batch, channel, [z,] y, x), every spatial size even.

    Returns:
        (batch, channel, [z/2,] y/2, x/2), equal to `F.max_pool2d(x, 2)` or `F.max_pool3d(x, 2)`. Where the two largest
        values of a window lie in different slices and are equal, the gradient is shared between them.
    """
    if x.ndim == 4:
        return F.max_pool2d(x, 2)
    x = _slice_by_slice(lambda slices: F.max_pool2d(slices, 2), x)
    return torch.maximum(x[:, :, 0::2], x[:, :, 1::2])


def average_pool(x: Tensor) -> Tensor:
    """Average pooling that halves every spatial size, deterministic on CUDA in 3D as well.

    Args:
        x: (batch, channel, [z,] y, x), every spatial size even.

    Returns:
        (batch, channel, [z/2,] y/2, x/2), equal to `F.avg_pool2d(x, 2)` or `F.avg_pool3d(x, 2)`.
    """
    if x.ndim == 4:
        return F.avg_pool2d(x, 2)
    x = _slice_by_slice(lambda slices: F.avg_pool2d(slices, 2), x)
    return (x[:, :, 0::2] + x[:, :, 1::2]) / 2


def _slice_by_slice(pool: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Pool each slice of (batch, channel, z, y, x); z is folded into the axis next to it, so that nothing is copied."""
    pooled: Tensor
    if x.is_contiguous(memory_format=torch.channels_last_3d):
        slices = x.transpose(1, 2)  # batch z channel y x
        pooled = pool(slices.flatten(0, 1)).unflatten(0, slices.shape[:2]).transpose(1, 2)
    else:
        pooled = pool(x.flatten(1, 2)).unflatten(1, x.shape[1:3])
    return pooled


def check_size(image: Tensor, divisor: int) -> None:
    """Check that an image can be halved as often as the network does.

    Args:
        image: (batch, channel, [z,] y, x).
        divisor: by what every spatial size must be divisible.

    Raises:
        ValueError: if one of them is not.
    """
    size = tuple(image.shape[2:])
    if any(length % divisor for length in size):
        raise ValueError(f"image of {size} voxels: every size must be divisible by {divisor}")


def initialise(network: nn.Module, *, heads: Collection[nn.Module]) -> None:
    """Initialise a network's weights from torch's global random state.

    Convolutions as in He et al. 2015, so that a ReLU network keeps the variance of its features. Transposed
    convolutions and heads, which no ReLU follows, keep it too; torch counts the inputs of a transposed convolution
    differently. A head that starts near zero learned two to three times more slowly.

    Args:
        network: changed in place.
        heads: the network's last layers, convolutions.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear" if layer in heads else "relu")
        elif isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.normal_(layer.weight, std=layer.in_channels**-0.5)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


class UShape(nn.Module):
    """The U-Net's topology (Ronneberger et al. 2015) for any block: max-pool down, transposed convolution up, skips.

    Args:
        block: makes the block of a level from its input and output channels.
        in_channels: channels of the image.
        classes: channels of the logits, background included.
        features: channels of each level, the finest first; their number is the number of levels.
        dims: spatial dimensions, 2 or 3.
        deep_supervision: in training, logits of every level on the way up (Lee et al., AISTATS 2015, as in nnU-Net).
        encoder: the levels on the way down, where they halve the size themselves; by default each is max pooling and a
            block.

    Attributes:
        divisor: every spatial size of the image must be divisible by it.

    Raises:
        ValueError: if `features` or `dims` has a value that is not allowed.
    """

    def __init__(
        self,
        block: Callable[[int, int], nn.Module],
        in_channels: int,
        classes: int,
        features: Sequence[int],
        dims: int,
        deep_supervision: bool,
        encoder: Sequence[nn.Module] | None = None,
    ) -> None:
        super().__init__()
        check_dims(dims, features)
        self.divisor = 2 ** (len(features) - 1)
        levels = list(pairwise(features))
        self.pools = encoder is None
        self.first, *downs = encoder or [block(*chs) for chs in ((in_channels, features[0]), *levels)]
        self.downs = nn.ModuleList(downs)
        levels.reverse()
        self.ups = nn.ModuleList(upsampling(coarse, fine, dims=dims) for fine, coarse in levels)
        self.joins = nn.ModuleList(block(2 * fine, fine) for fine, _ in levels)
        self.head = convolution(features[0], classes, dims=dims, kernel=1, bias=True)
        coarser = features[1:-1] if deep_supervision else []
        self.side_heads = nn.ModuleList(convolution(n, classes, dims=dims, kernel=1, bias=True) for n in coarser)
        initialise(self, heads=[self.head, *self.side_heads])

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Logits of every class.

        Args:
            image: (batch, in_channels, [z,] y, x).

        Returns:
            (batch, classes, [z,] y, x); with deep supervision and in training a list of them, each half the size of the
            one before.

        Raises:
            ValueError: if a spatial size is not divisible by `divisor`.
        """
        check_size(image, self.divisor)
        x = self.first(image)
        skips = []
        for down in self.downs:
            skips.append(x)
            x = down(max_pool(x) if self.pools else x)
        side_heads = list(self.side_heads) if self.training else []
        logits: list[Tensor] = []
        for up, join in zip(self.ups, self.joins, strict=True):
            x = join(torch.cat([skips.pop(), up(x)], dim=1))
            if side_heads:
                logits.insert(0, side_heads.pop()(x))
        return [self.head(x), *logits] if logits else self.head(x)
