"""What a job asks a scheduler for: memory in MB and time in minutes, from the size of its scans and of its networks.

Memory is what was measured (docs/clusters.md has the table), in bytes a voxel, with about a third on top. A job that
still ends for lack of memory or time is started again with more: everything here is multiplied by its attempt.
Plain Python, because the workflow needs it while it is parsed. Nothing here shapes a result, and nothing that does may
import it: it would become an input of jobs, and an edit would make them anew.
"""

import functools
import gzip
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from organbench.data.formats import nifti
from organbench.inference.settings import Prediction
from organbench.study.settings import Network

Spacing = Sequence[float | None]  # mm, x y z; None keeps an axis

MB = 1024**2
STARTED = 300  # MB of a job that has loaded SimpleITK and pandas, and no scan yet
TORCH = 800  # MB of a job that has loaded torch
CUDA = 3000  # MB of host memory that CUDA and its libraries take up on top of torch

MULTIPLY_ADDS_PER_SECOND = 2e10  # of a CPU's threads; two cores of 2023 train the default U-Net at 6e10
GPU_SPEEDUP = 100  # of a GPU, at least


@dataclass(frozen=True)
class Scan:
    """The grid of a scan: size in voxels and spacing in mm, each x y z."""

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]

    @property
    def voxels(self) -> int:
        """Their number."""
        return math.prod(self.size)

    def at(self, spacing: Spacing) -> "Scan":
        """The same box at another spacing (mm, x y z); None keeps an axis."""
        wanted = [old if new is None else float(new) for old, new in zip(self.spacing, spacing, strict=True)]
        size = [max(1, round(n * old / new)) for n, old, new in zip(self.size, self.spacing, wanted, strict=True)]
        return Scan((size[0], size[1], size[2]), (wanted[0], wanted[1], wanted[2]))


# What is assumed of a scan that is not there yet: a larger one than most.
USUAL = Scan((512, 512, 600), (0.8, 0.8, 1.0))
OPENKBP = Scan((128, 128, 128), (4.0, 4.0, 3.0))  # the cube that each of its patients is cut from


def scan(path: str | Path, unknown: Scan = USUAL) -> Scan:
    """The grid that the header of a NIfTI file tells; `unknown` where there is no such file or header.

    Only the file's first bytes are read, and only once: a study has thousands of jobs and they share their scans.
    """
    try:
        return read_scan(Path(path))
    except (OSError, EOFError, ValueError, struct.error):
        return unknown  # `convert` will say what is wrong with the file


@functools.cache
def read_scan(path: Path) -> Scan:
    """The grid that the header of a NIfTI-1 file tells; of a folder that of a DICOM series, about.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is something else, or declares no volume.
    """
    if path.is_dir():
        return series_scan(path)
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as stream:
        fields = nifti.Fields.of(stream.read(nifti.LENGTH))
    (x, y, z), (dx, dy, dz) = fields.dim[1:4], map(abs, fields.pixdim[1:4])
    sizes_are_true = min(x, y, z) > 0 and x * y * z <= 2**31
    lengths_are_true = all(1e-3 < mm < 1e3 for mm in (dx, dy, dz))
    if fields.length != nifti.LENGTH or not sizes_are_true or not lengths_are_true:
        raise ValueError(f"{path}: is no volume in NIfTI-1 format")
    return Scan((x, y, z), (dx, dy, dz))


def series_scan(folder: Path) -> Scan:
    """The grid of a DICOM series, about: its first file's pixels and thickness, and as many slices as there are files.

    Raises:
        OSError: a file cannot be read.
        ValueError: it is no such file.
    """
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    if not paths:
        raise ValueError(f"{folder}: is empty")
    with paths[0].open("rb") as stream:
        content = stream.read(1 << 18)
    rows, columns = (int.from_bytes(dicom_value(content, 0x28, element)[:2], "little") for element in (0x10, 0x11))
    between, thickness = dicom_value(content, 0x28, 0x30), dicom_value(content, 0x18, 0x50)
    y, x, z = (float(part.strip(b" \0")) for part in (*between.split(b"\\"), thickness))
    found = Scan((columns, rows, len(paths)), (x, y, z))
    if not (0 < found.voxels <= 2**31 and all(1e-2 < mm < 1e2 for mm in found.spacing)):
        raise ValueError(f"{folder}: holds no CT series")
    return found


def dicom_value(content: bytes, group: int, element: int) -> bytes:
    """The first value of a tag in a DICOM file, little-endian; pydicom would have to be imported while parsing."""
    start = content.index(bytes((group, 0, element, 0)))
    explicit = content[start + 4 : start + 6].isalpha()  # then two letters say the kind of value
    length = int.from_bytes(content[start + (6 if explicit else 4) : start + 8], "little")
    return content[start + 8 : start + 8 + length]


def phantom_scan(size: Sequence[int]) -> Scan:
    """The grid of the largest phantom of so many voxels (x y z): a whole body."""
    x, y, z = size
    return Scan((x, y, z), (460 / x, 460 / y, 1000 / z))


def make_phantom(scan: Scan) -> dict[str, int]:
    """To make a phantom, slab by slab."""
    return request(STARTED, 18 * scan.voxels, 10, scan.voxels / 2e5)


def convert(scan: Scan, spacing: Spacing) -> dict[str, int]:
    """To check a scan and its labels and bring them to the working grid (mm, x y z).

    Volume and labels are in memory as they are stored and oriented; a network drive needs its time.
    """
    voxels = scan.voxels + scan.at(spacing).voxels
    return request(STARTED, 14 * voxels, 10, voxels / 5e5)


def train(
    trained: Sequence[Scan], validated: Sequence[Scan], network: Network, *, classes: int, gpu: bool
) -> dict[str, int]:
    """To train a network.

    The arrays of cases are mapped into memory; the system drops what it needs the room for, but reads it again.

    Args:
        trained: working grids of the cases it learns from.
        validated: working grids of the cases that it is validated on.
        network: its options, and how it is trained.
        classes: organs and background.
        gpu: whether it has one; activations and gradients are then not in the host's memory.
    """
    training = network.training
    crops = training.batch_size * math.prod(training.patch)  # voxels of a batch
    arrays = 3 * sum(scan.voxels for scan in (*trained, *validated))  # int16 HU, uint8 labels
    batches = 8 * 4 * crops * (2 * training.context + 2)  # some are read ahead; image channels and labels
    activations = 0 if gpu else 100 * 4 * width(network) * crops
    validation = max(  # probabilities, and 8 bytes a voxel to find connected parts, as in `predict`
        (slab(scan, network, classes=classes, gpu=gpu) + 8 * scan.voxels for scan in validated), default=0
    )
    states = 4 * 4 * parameters(network)  # weights, gradients and two moments, float32
    seconds = 3 * training.steps * crops * multiply_adds(network) / speed(gpu)  # backward takes twice as long
    return request(TORCH + CUDA * gpu, arrays + batches + activations + validation + states, 60, seconds)


def predict(
    scan: Scan, spacing: Spacing, members: Sequence[Network], prediction: Prediction, *, classes: int, gpu: bool
) -> dict[str, int]:
    """To predict a case with one network, or with all those of an ensemble at once.

    Args:
        scan: the scanner's grid.
        spacing: the working spacing (mm, x y z).
        members: the networks.
        prediction: how they predict.
        classes: organs and background.
        gpu: whether it has one.
    """
    working = scan.at(spacing)
    memory, seconds = 8 * scan.voxels + 2 * working.voxels, 0.0
    for network in members:
        memory += slab(working, network, classes=classes, gpu=gpu) + 4 * parameters(network)
        dims = len(network.training.patch)
        windows = (1 - prediction.overlap) ** -dims * (flips(network) if prediction.mirror else 1)  # that see a voxel
        seconds += windows * working.voxels * multiply_adds(network) / speed(gpu)
    return request(TORCH + CUDA * gpu, memory, 10, seconds + scan.voxels * classes / 5e6)


def evaluate(scan: Scan, *, classes: int, dosed: bool = False) -> dict[str, int]:
    """To measure a prediction on the scanner's grid, in Gy too; surfaces are measured within each organ's box."""
    return request(STARTED, (15 if dosed else 7) * scan.voxels, 10, scan.voxels * classes / 1e6)


def show(scan: Scan, *, classes: int, models: int) -> dict[str, int]:
    """To write a case for the viewer: the volume, its labels and a prediction of each contender."""
    return request(STARTED, (14 + 2 * models) * scan.voxels, 10, scan.voxels * classes * (models + 1) / 5e6)


def slab(working: Scan, network: Network, *, classes: int, gpu: bool) -> int:
    """Bytes that a network takes up while it predicts: probabilities of the slices at hand, and its activations.

    Probabilities are float32 in five places: sums of windows and their weights, the slab that is handed on, what waits
    for resampling, and what resampling makes of it. Eight windows are computed at once; see `inference.Predictor`.
    """
    *depth, rows, columns = network.training.patch
    slices = 2 * depth[0] if depth else 16
    x, y, _ = working.size
    probabilities: int = 5 * 4 * classes * slices * max(x, columns) * max(y, rows)
    return probabilities + (0 if gpu else 8 * 4 * 8 * width(network) * rows * columns * math.prod(depth))


def width(network: Network) -> int:
    """Feature maps at full size: the first of a network's `features`; 32 where it has no such option."""
    return int(network.options.get("features", [32])[0])


def flips(network: Network) -> int:
    """How many flips of a window a mirrored prediction averages over: those of training, and none along z in 2D."""
    axes = "xyz"[: len(network.training.patch)]
    return int(2 ** len(set(axes).intersection(network.training.augmentation["flip"])))


def multiply_adds(network: Network) -> float:
    """A U-Net's multiply-adds a voxel, about: five convolutions of 3 x 3 (x 3) a level, four levels that cost the same.

    In 2D a level has a quarter of the voxels and twice the maps of the one above it; in 3D levels get cheaper, but each
    convolution has three times the weights.
    """
    return 200.0 * width(network) ** 2


def parameters(network: Network) -> int:
    """A U-Net's parameters, about: its deepest level has most of them, and in 3D three times as many."""
    deepest = int(network.options.get("features", [512])[-1])
    return int(30 * deepest**2 * 3 ** (len(network.training.patch) - 2))


def speed(gpu: bool) -> float:
    """Multiply-adds a second of a slow device of its kind."""
    return MULTIPLY_ADDS_PER_SECOND * (GPU_SPEEDUP if gpu else 1)


def request(base_mb: int, memory: float, base_minutes: int, seconds: float) -> dict[str, int]:
    """Memory and time to ask for.

    Args:
        base_mb: memory of a job that does nothing.
        memory: what it needs beside that, bytes; with a third on top it is asked for in steps of 100 MB.
        base_minutes: in which drives may be slow and imports take their time.
        seconds: that it needs beside these.
    """
    mem_mb = 100 * math.ceil((base_mb + memory / MB) * 4 / 3 / 100)
    return {"mem_mb": mem_mb, "runtime": base_minutes + math.ceil(seconds / 60)}
