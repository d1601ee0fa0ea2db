"""Every plot of a study, drawn from tables and arrays only: nothing here reads a file.

One style, one palette and one order of models and organs throughout (`style`). Points are rows of per_case.csv,
averaged over seeds by `statistics.case_values`, `statistics.case_differences` and `cohort.case_volumes`; numbers,
means, intervals and verdicts are rows of the other tables.
"""

from organbench.reporting.figures.accuracy import metric_by_organ
from organbench.reporting.figures.agreement import dice_by_spacing, dice_by_volume, volume_agreement
from organbench.reporting.figures.cost import COSTS, pareto, pareto_by_organ
from organbench.reporting.figures.curves import learning_curve, learning_curves
from organbench.reporting.figures.dataset import dataset_overview
from organbench.reporting.figures.differences import average_ranks, paired_differences
from organbench.reporting.figures.groups import differences_by_group
from organbench.reporting.figures.slices import (
    AXIAL,
    CORONAL,
    Panel,
    cut,
    overlays,
    telling_dispute,
    telling_error,
    telling_slice,
)
from organbench.reporting.figures.stability import rank_stability
from organbench.reporting.figures.style import COLUMN, MM, PAGE, STYLE, organ_order, save
from organbench.reporting.figures.tuning import tuning

__all__ = [
    "AXIAL",
    "COLUMN",
    "CORONAL",
    "COSTS",
    "MM",
    "PAGE",
    "STYLE",
    "Panel",
    "average_ranks",
    "cut",
    "dataset_overview",
    "dice_by_spacing",
    "dice_by_volume",
    "differences_by_group",
    "learning_curve",
    "learning_curves",
    "metric_by_organ",
    "organ_order",
    "overlays",
    "paired_differences",
    "pareto",
    "pareto_by_organ",
    "rank_stability",
    "save",
    "telling_dispute",
    "telling_error",
    "telling_slice",
    "tuning",
    "volume_agreement",
]
