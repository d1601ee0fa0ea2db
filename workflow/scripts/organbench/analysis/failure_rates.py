"""How often networks fail, which a mean hides: the share of patients with a low Dice, and of organs missed entirely.

A patient has one outcome, whatever the number of trainings and scans:

- `below`: its Dice, averaged over trainings (and its scans), lies below a limit. So it fails where a network fails as a
  rule; one bad training of five does not make a failure of a patient whom the others segment well.
- `missed`: the organ is in the reference and at least half of the predictions (a training's, of a scan that shows the
  organ) have no voxel of it.

An organ that is not in the reference cannot be missed. One that is invented has a Dice of 0 there, so it is `below`; a
training that rightly predicts nothing, where another training or the other network invents the organ, has a Dice of 1
(see `statistics.paired_values`). Where nobody invents it there is nothing to fail at, and the patient is not counted.
"""

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy import stats

from organbench.analysis.evidence import holm
from organbench.analysis.statistics import ALL, CONFIDENCE, by_model, by_organ, means_of_runs, training_values, with_all

KINDS = ("below", "missed")
RATES = ["metric", "model", "organ", "n", "failed", "rate", "ci_low", "ci_high"]
DIFFERENCES = ["metric", "organ", "model_a", "model_b", "n", "only_a", "only_b", "both", "p_value"]


def outcomes(per_case: pd.DataFrame, kind: str, models: Sequence[str], limit: float) -> pd.DataFrame:
    """Say who failed on which patient.

    Args:
        per_case: see `statistics.case_values`; needs the columns fold, seed, dice, reference_ml and predicted_ml, and
            may have patient.
        kind: `below` or `missed`, see above.
        models: on the same patients.
        limit: the Dice below which a patient is failed.

    Returns:
        A column per model (bool); a row per organ and patient (the index). The rows of organ `all`, where a patient
        fails if any organ does, come last.
    """
    if kind == "below":
        values = by_model(training_values(per_case, "dice", models))
        failed = values[values.index.get_level_values("organ") != ALL] < limit
    else:
        rows = per_case[per_case["model"].isin(models) & (per_case["reference_ml"] > 0)]
        failed = means_of_runs(rows, rows["predicted_ml"] == 0, models).dropna() >= 0.5
    return with_all(failed, failed.groupby("case").any()).astype(bool)


def failure_rates(per_case: pd.DataFrame, limit: float) -> pd.DataFrame:
    """Count the patients on whom each model fails.

    Args:
        per_case: see `outcomes`.
        limit: the Dice below which a patient is failed.

    Returns:
        Columns metric (`below` or `missed`), model, organ, n (patients that can fail, see above), failed, rate (0 to
        1), and ci_low and ci_high, its exact 95 % interval (Clopper and Pearson 1934). NaN without patients. A row for
        every combination, in order of first appearance, organ `all` last.
    """
    rows = []
    for kind, model in product(KINDS, per_case["model"].unique()):
        for organ, outcome in by_organ(outcomes(per_case, kind, [model], limit), per_case):
            failed, n = int(outcome[model].sum()), len(outcome)
            rows.append((kind, model, organ, n, failed, *rate(failed, n)))
    return pd.DataFrame(rows, columns=RATES)


def rate(failed: int, n: int) -> tuple[float, float, float]:
    """A share and the ends of its exact 95 % interval (Clopper and Pearson 1934); NaN where n is 0."""
    if n == 0:
        return np.nan, np.nan, np.nan
    found = stats.binomtest(failed, n).proportion_ci(CONFIDENCE, method="exact")
    return failed / n, float(found.low), float(found.high)


def failure_differences(per_case: pd.DataFrame, limit: float) -> pd.DataFrame:
    """Compare how often two models fail on the same patients, by McNemar's (1947) test in its exact form.

    Only patients on whom just one of the two fails tell them apart: of these each fails on half, by chance, where they
    fail equally often. Trainings are averaged in a patient's outcome and do not vary here, so what is found is true of
    the weights of this study.

    Args:
        per_case: see `outcomes`.
        limit: the Dice below which a patient is failed.

    Returns:
        Columns metric (`below` or `missed`), organ, model_a, model_b, n (patients on whom both can fail), only_a and
        only_b (patients on whom just that one fails), both, p_value (two-sided; 1 where nobody fails alone, NaN without
        patients) and p_holm (corrected for all rows of the table, after Holm 1979). Every unordered pair once; no rows
        for a single model.
    """
    rows = []
    for kind, pair in product(KINDS, combinations(per_case["model"].unique(), 2)):
        for organ, outcome in by_organ(outcomes(per_case, kind, pair, limit), per_case):
            a, b = (outcome[model] for model in pair)
            only_a, only_b, both = int((a & ~b).sum()), int((b & ~a).sum()), int((a & b).sum())
            p = mcnemar_p(only_a, only_b) if len(outcome) else np.nan
            rows.append((kind, organ, *pair, len(outcome), only_a, only_b, both, p))
    table = pd.DataFrame(rows, columns=DIFFERENCES)
    return table.assign(p_holm=holm(table["p_value"].to_numpy(float)))


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Two-sided p of McNemar's (1947) test, exact: a binomial test of the patients on whom just one fails."""
    return float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
