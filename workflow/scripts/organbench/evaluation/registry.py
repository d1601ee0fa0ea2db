"""The metrics: a function and a row each, in the order of tables. Whoever tells of a metric reads its row.

To add one, write its function and its row in this file. A function takes a `Pair`, what is known of one organ of one
case, and returns a number; NaN means that there is nothing to score. Importing this module imports nothing slow, as the
workflow reads it before any job runs.

One rule for empty masks, which decides the means of organs that few scans show:

| reference | prediction | Dice, IoU | precision | recall | hd, hd95, assd | nsd | apl | volume_error | doses |
|---|---|---|---|---|---|---|---|---|---|
| empty | empty | NaN | NaN | NaN | NaN | NaN | NaN | NaN | NaN |
| empty | there | 0 | 0 | NaN | NaN | 0 | NaN | NaN | NaN |
| there | empty | 0 | NaN | 0 | NaN | 0 | the whole contour | -1 | NaN |
| there | there | measured | measured | measured | measured | measured | measured | measured | measured |

NaN is left out of every mean, and `n` says how many cases were left in. So a network that misses an organ altogether is
not punished by its distances, nor by its doses: read them together with Dice or NSD. Of the doses only the reference's
own stays where the prediction is empty, and of D1cc where it holds less than 1 ml. All are NaN where the planned dose
does not cover the whole reference; where a prediction goes beyond the dose's grid, it receives 0 Gy there, as that is
where the plan's dose ends.
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
        dosed: it is of a planned dose, and only studies that have one have it.
        needs: what the reference has to have for it; without that no prediction has a value, and none is missed.
    """

    of: Callable[[Pair], float]
    name: str
    label: str
    _: KW_ONLY
    unit: str = ""
    points: str = ""
    decimals: int = 3
    best: int | None = None
    lowest: float = 0
    citation: str = ""
    drawn: int = 0
    shown: int = 0
    dosed: bool = False
    needs: str = ""

    @property
    def is_signed(self) -> bool:
        """Whether a value may be too small as well as too large, so that its size is what is compared."""
        return self.best == 0 and self.lowest < 0

    @property
    def scale(self) -> int:
        """What a difference is multiplied by to be told in `points`."""
        return 1 if self.unit else 100

    @property
    def axis(self) -> str:
        """What is written at an axis."""
        nearer = "nearer to 0" if self.is_signed else "lower"
        better = f"{self.unit}, {nearer}" if self.best == 0 else "0 to 1, higher"
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


def reference_dose(statistic: str) -> Callable[[Pair], float]:
    """A function that gives what dose the reference receives, Gy; `dvh.statistics` has the definitions."""
    return lambda pair: pair.doses[0][statistic]


def predicted_dose(statistic: str) -> Callable[[Pair], float]:
    """A function that gives what dose the predicted contour receives, Gy; NaN unless both contours are there."""
    return lambda pair: pair.doses[1][statistic]


def dose_error(statistic: str) -> Callable[[Pair], float]:
    """A function that gives the predicted contour's minus the reference's, Gy (van Dijk et al. 2020, with the sign)."""
    return lambda pair: pair.doses[1][statistic] - pair.doses[0][statistic]


share = partial(Metric, best=1)
length = partial(Metric, unit="mm", best=0)
amount = partial(Metric, unit="ml", decimals=1)
gray = partial(Metric, unit="Gy", decimals=2, dosed=True)
dose_difference = partial(gray, best=0, lowest=-math.inf)
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
    "dmean_error": dose_difference(
        dose_error("dmean"),
        "difference in mean dose",
        "\N{GREEK CAPITAL LETTER DELTA}mean dose",
        points="Gy of mean dose",
        citation="vandijk2020",
        drawn=4,
        shown=11,
        needs="reference_dmean_gy",
    ),
    "d2_error": dose_difference(
        dose_error("d2"),
        "difference in D2%",
        "\N{GREEK CAPITAL LETTER DELTA}D2%",
        points="Gy of D2%",
        citation="icru2010",
        needs="reference_d2_gy",
    ),
    "d1cc_error": dose_difference(
        dose_error("d1cc"),
        "difference in D1cc",
        "\N{GREEK CAPITAL LETTER DELTA}D1cc",
        points="Gy of D1cc",
        needs="reference_d1cc_gy",
    ),
    "dmax_error": dose_difference(
        dose_error("dmax"),
        "difference in maximum dose",
        "\N{GREEK CAPITAL LETTER DELTA}max dose",
        points="Gy of maximum dose",
        citation="vandijk2020",
        drawn=5,
        shown=12,
        needs="reference_dmax_gy",
    ),
    "reference_dmean_gy": gray(reference_dose("dmean"), "mean dose of the reference", "reference mean dose"),
    "predicted_dmean_gy": gray(predicted_dose("dmean"), "mean dose of the predicted contour", "mean dose"),
    "reference_d2_gy": gray(reference_dose("d2"), "D2% of the reference", "reference D2%"),
    "predicted_d2_gy": gray(predicted_dose("d2"), "D2% of the predicted contour", "D2%"),
    "reference_d1cc_gy": gray(reference_dose("d1cc"), "D1cc of the reference", "reference D1cc"),
    "predicted_d1cc_gy": gray(predicted_dose("d1cc"), "D1cc of the predicted contour", "D1cc"),
    "reference_dmax_gy": gray(reference_dose("dmax"), "maximum dose of the reference", "reference maximum dose"),
    "predicted_dmax_gy": gray(predicted_dose("dmax"), "maximum dose of the predicted contour", "maximum dose"),
}
"""What is measured of an organ of a case: the columns of a metrics table, in their order."""

METRICS: Mapping[str, Metric] = {name: metric for name, metric in MEASURED.items() if metric.best is not None}
"""Those that say how good a prediction is: they are summarised and compared."""


def measured(*, dosed: bool) -> dict[str, Metric]:
    """What is measured in a study with a planned dose, or in one without."""
    return {name: metric for name, metric in MEASURED.items() if dosed or not metric.dosed}


def drawn(*, dosed: bool) -> list[str]:
    """The metrics that have a figure of their own in such a study, in the order of the figures."""
    found = {name: metric.drawn for name, metric in METRICS.items() if metric.drawn and (dosed or not metric.dosed)}
    return sorted(found, key=lambda name: found[name])


def shown() -> list[str]:
    """What the viewer shows, in its order, of what a study has."""
    return sorted((name for name, metric in MEASURED.items() if metric.shown), key=lambda name: MEASURED[name].shown)
