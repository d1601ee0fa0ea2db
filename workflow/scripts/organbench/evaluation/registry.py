"""The metrics: a function and a row each, in the order of tables. Whoever tells of a metric reads its row.

To add one, write its function and its row in this file. A function takes a `Pair`, what is known of one organ of one
case, and returns a number; NaN means that there is nothing to score. Importing this module imports nothing slow, as the
workflow reads it before any job runs.

One rule for empty masks, which decides the means of organs that few scans show:

| reference | prediction | Dice, IoU | precision | recall | hd, hd95, assd | nsd | apl | volume_error |
|---|---|---|---|---|---|---|---|---|
| empty | empty | NaN | NaN | NaN | NaN | NaN | NaN | NaN |
| empty | there | 0 | 0 | NaN | NaN | 0 | NaN | NaN |
| there | empty | 0 | NaN | 0 | NaN | 0 | the whole contour | -1 |
| there | there | measured | measured | measured | measured | measured | measured | measured |

NaN is left out of every mean, and `n` says how many cases were left in. So a network that misses an organ altogether is
not punished by its distances: read them together with Dice or NSD.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from organbench.evaluation.metrics import Pair


@dataclass(frozen=True)
class Metric:
    """A column of the metrics tables: how it is computed, and how it is compared, told and drawn.

    Attributes:
        of: computes it, from what is known of one organ of one case.
        name: what a paper calls it, as in the middle of a sentence.
        label: its short name.
        unit: of a value; none where it is a share.
        points: unit of a difference, in the words of a sentence; of a share it is a hundredth.
        decimals: of a value.
        best: value of a perfect prediction. 1: from 0 to 1, higher is better; 0: nearer to 0 is better, whatever the
            sign. None: a quantity that is neither, of which there are no summaries, verdicts and figures.
        lowest: the lowest possible value.
        citation: who defined it, a key of workflow/report/references.bib.
        drawn: its place among the figures of metrics; 0: it has none.
        shown: its place in the viewer's table; 0: it is not there.
    """

    of: Callable[[Pair], float]
    name: str
    label: str
    _: KW_ONLY
    unit: str = ""
    points: str = ""
    decimals: int = 3
    best: int | None = None
    lowest: int = 0
    citation: str = ""
    drawn: int = 0
    shown: int = 0

    @property
    def scale(self) -> int:
        """What a difference is multiplied by to be told in `points`."""
        return 1 if self.unit else 100

    @property
    def axis(self) -> str:
        """What is written at an axis."""
        better = f"{self.unit}, lower" if self.best == 0 else "0 to 1, higher"
        return f"{self.name[0].upper()}{self.name[1:]} ({better} is better)"


def counted(column: str) -> Callable[[Pair], float]:
    """A function that gives what was counted in voxels; `overlaps.overlap` has the definitions."""
    return lambda pair: pair.counted[column]


def hd(pair: Pair) -> float:
    """The Hausdorff distance, mm; NaN unless both are there."""
    return pair.distances.hausdorff() if pair.distances else math.nan


def hd95(pair: Pair) -> float:
    """The larger of both directions' 95th percentiles over surface area, mm; NaN unless both are there."""
    return pair.distances.hausdorff_95() if pair.distances else math.nan


def assd(pair: Pair) -> float:
    """The mean distance over the area of both surfaces, mm; NaN unless both are there."""
    return pair.distances.mean() if pair.distances else math.nan


def nsd(pair: Pair) -> float:
    """The share of both surfaces within the tolerance (Nikolov et al. 2021); 0 where only one of the two is there."""
    if pair.distances:
        return pair.distances.share_within(pair.tolerance_mm)
    return 0.0 if pair.reference.any() or pair.prediction.any() else math.nan


def apl(pair: Pair) -> float:
    """The length of contour that has to be drawn anew, mm (Vaassen et al. 2020); NaN without a reference."""
    return pair.added_path_length() if pair.reference.any() else math.nan


def volume_error(pair: Pair) -> float:
    """(predicted - reference) / reference; NaN without a reference."""
    volume = pair.counted["reference_ml"]
    return (pair.counted["predicted_ml"] - volume) / volume if volume else math.nan


share = partial(Metric, best=1)
length = partial(Metric, unit="mm", best=0)
amount = partial(Metric, unit="ml", decimals=1)
MEASURED: Mapping[str, Metric] = {
    "dice": share(
        counted("dice"), "Dice coefficient", "Dice", points="Dice points", citation="dice1945", drawn=1, shown=1
    ),
    "iou": share(counted("iou"), "intersection over union", "IoU", points="IoU points", shown=8),
    "precision": share(counted("precision"), "precision", "precision", points="points of precision", shown=9),
    "recall": share(counted("recall"), "recall", "recall", points="points of recall", shown=10),
    "hd": length(hd, "Hausdorff distance", "HD", points="mm of HD", decimals=1, shown=6),
    "hd95": length(
        hd95, "95th percentile Hausdorff distance", "HD95", points="mm of HD95", decimals=1, drawn=3, shown=2
    ),
    "assd": length(assd, "mean surface distance", "ASSD", points="mm of mean surface distance", decimals=2, shown=5),
    "nsd": share(
        nsd,
        "surface Dice at the organ's tolerance",
        "NSD",
        points="points of surface Dice",
        citation="nikolov2021",
        drawn=2,
        shown=3,
    ),
    "apl": length(
        apl,
        "added path length in axial slices",
        "APL",
        points="mm of added path length",
        decimals=0,
        citation="vaassen2020",
        shown=7,
    ),
    "volume_error": Metric(
        volume_error,
        "relative volume error",
        "volume error",
        points="percentage points of volume error",
        best=0,
        lowest=-1,
    ),
    "reference_ml": amount(counted("reference_ml"), "volume of the reference", "reference volume"),
    "predicted_ml": amount(counted("predicted_ml"), "predicted volume", "volume", shown=4),
}
"""What is measured of an organ of a case: the columns of a metrics table, in their order."""

METRICS: Mapping[str, Metric] = {name: metric for name, metric in MEASURED.items() if metric.best is not None}
"""Those that say how good a prediction is: they are summarised and compared."""


def drawn() -> list[str]:
    """The metrics that have a figure of their own, in the order of the figures."""
    return sorted((name for name, metric in METRICS.items() if metric.drawn), key=lambda name: METRICS[name].drawn)


def shown() -> list[str]:
    """What the viewer shows, in its order."""
    return sorted((name for name, metric in MEASURED.items() if metric.shown), key=lambda name: MEASURED[name].shown)
