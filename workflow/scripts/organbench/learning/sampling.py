"""The training batch as a pure function of (seed, step).

What is drawn for a step depends on nothing that happened before and not on the network, so all models see the same
cases, crops and augmentations in the same order, and training resumes exactly without a saved random state.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from organbench.data.cases import Case
from organbench.data.grids import Array
from organbench.data.intensity import AIR_HU
from organbench.inference.windows import neighbours
from organbench.learning.settings import Task

JITTER = 0.25  # an organ's voxel lies at most this share of the patch off its centre
BEYOND_MM = 30.0  # and a 2D crop at most this far above or below it: what an organ's ends look like is learned, too


@dataclass(frozen=True)
class Shard:
    """The part of every batch that one of several processes computes: its own rank's, and every `world`-th after."""

    rank: int = 0
    world: int = 1

    @property
    def part(self) -> slice:
        """What of a whole batch is its own."""
        return slice(self.rank, None, self.world)


WHOLE = Shard()


class Batch(NamedTuple):
    """The crops of a step, or a process's shard of them, before augmentation.

    Attributes:
        images: int16 HU (batch, channel, [z,] y, x), patch plus margins in size.
        labels: uint8 organ indices (batch, [z,] y, x), the same size.
        unannotated: which classes were not annotated in each crop's case (batch, class), bool; None where all were.
    """

    images: Array
    labels: Array
    unannotated: Array | None


def centres(cases: Sequence[Case], task: Task, step: int) -> list[tuple[int, tuple[int, int, int]]]:
    """What the batch of a step is made of: for each crop the case's position in `cases` and the centre voxel, z y x.

    The share `foreground` of the batch is centred near an organ. Organs are drawn evenly, however rare, then one of the
    cases that have it; the rest of the batch is anywhere in any case.
    """
    random, settings = np.random.default_rng([task.seed, step]), task.settings
    patch = (1,) * (3 - len(settings.patch)) + settings.patch
    middle = settings.slices == "middle"  # as the original project did
    having = [
        [i for i, case in enumerate(cases) if case.points[organ, 0, 0] >= 0] for organ in range(len(cases[0].points))
    ]
    organs = [organ for organ, members in enumerate(having) if members]
    near_organs = round(settings.batch_size * settings.foreground) if organs and not middle else 0
    drawn = []
    for position in range(settings.batch_size):
        if position < near_organs:
            organ = organs[random.integers(len(organs))]
            index = having[organ][random.integers(len(having[organ]))]
            points = cases[index].points[organ]
            reach = JITTER * np.array(patch)
            if len(settings.patch) == 2:
                reach[0] = BEYOND_MM / cases[index].working.spacing[2]
            voxel = points[random.integers(len(points))] + np.rint(random.uniform(-1, 1, 3) * reach)
        else:
            index = int(random.integers(len(cases)))
            voxel = np.asarray(random.integers(cases[index].image.shape))
            if middle:
                voxel[0] = len(cases[index].image) // 2
        shape = cases[index].image.shape
        z, y, x = (int(clamp(v, n, p)) for v, n, p in zip(voxel, shape, patch, strict=True))
        drawn.append((index, (z, y, x)))
    return drawn


def clamp(centre: float, length: int, patch: int) -> float:
    """Move a centre so that the patch lies in the volume; in the middle where it is longer."""
    if patch >= length:
        return length // 2
    return min(max(centre, patch // 2), length - (patch - patch // 2))


def crop(array: Array, centre: Sequence[int], size: Sequence[int], fill: float) -> Array:
    """A box of a volume (z y x) around a centre voxel, filled where it reaches beyond the volume."""
    result = np.full(size, fill, array.dtype)
    starts = [c - n // 2 for c, n in zip(centre, size, strict=True)]
    part = array[tuple(slice(max(0, start), max(0, start + n)) for start, n in zip(starts, size, strict=True))]
    result[tuple(slice(max(0, -s), max(0, -s) + n) for s, n in zip(starts, part.shape, strict=True))] = part
    return result


def batch(cases: Sequence[Case], task: Task, step: int, shard: Shard = WHOLE) -> Batch:
    """The crops of a step, or a process's shard of them, before augmentation."""
    size = tuple(n + 2 * m for n, m in zip(task.settings.patch, task.settings.margin, strict=True))
    box = (1,) * (3 - len(size)) + size
    images, labels, shown = [], [], []
    for index, (z, *centre) in centres(cases, task, step)[shard.part]:
        case = cases[index]
        shown.append(case)
        slices = neighbours(z, task.settings.context, len(case.image))
        crops = [crop(case.image, (near, *centre), box, AIR_HU) for near in slices]
        images.append(np.concatenate(crops).reshape(-1, *size))
        labels.append(crop(case.label, (z, *centre), box, 0).reshape(size))
    return Batch(np.stack(images), np.stack(labels), unannotated_in(shown, len(task.organs)))


def unannotated_in(cases: Sequence[Case], organs: int) -> Array | None:
    """Which classes were not annotated in each case (case, class), bool; None where all were."""
    if not any(case.unannotated for case in cases):
        return None
    found = np.zeros((len(cases), organs + 1), bool)
    for row, case in zip(found, cases, strict=True):
        row[list(case.unannotated)] = True
    return found


def batches(
    cases: Sequence[Case], task: Task, steps: range, shard: Shard = WHOLE, workers: int = 1, ahead: int = 4
) -> Iterator[Batch]:
    """The batches of some steps, read ahead by threads; the same for any number of workers."""
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Batch]] = deque()
        try:
            for step in steps:
                waiting.append(pool.submit(batch, cases, task, step, shard))
                if len(waiting) == ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
