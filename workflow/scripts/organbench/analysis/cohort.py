"""What is told case by case: which cases to look at, how their volumes agree, and how they were scanned."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from organbench.analysis.statistics import ALL, case_values, interval, unit_of
from organbench.evaluation import overlaps

LIMITS = 1.96  # standard deviations, which hold 95 % of normally distributed differences


def agreement(predictions: Mapping[str, np.ndarray], organs: Sequence[str]) -> pd.DataFrame:
    """The Dice of every pair of models with each other on a case, organ by organ, whatever the reference is.

    Args:
        predictions: organ indices (z y x, uint8) by model, on one grid.
        organs: the organs' names.

    Returns:
        Columns organ, model_a, model_b, dice: NaN where neither has the organ, 0 where one has. No rows for a single
        model.
    """
    tables = [pd.DataFrame(columns=["organ", "model_a", "model_b", "dice"])]
    for model_a, model_b in combinations(predictions, 2):
        pair = overlaps.overlap(predictions[model_a], predictions[model_b], organs=organs, voxel_ml=1)
        tables.append(pair.assign(model_a=model_a, model_b=model_b)[tables[0].columns])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def disagreement(agreements: pd.DataFrame) -> pd.Series:
    """How far the models are apart on a case, whatever the reference is: 1 minus their Dice with each other.

    Args:
        agreements: a row per case, organ and pair of models, with the column dice: of the two predictions with each
            other (see `agreement`).

    Returns:
        0 to 1, the mean over pairs, by case and organ (the index), and for `all` the mean over organs; NaN where no
        model has the organ. Cases in order of first appearance.
    """
    shared = agreements.astype({"dice": float}).groupby(["case", "organ"], sort=False)["dice"].mean()
    apart = 1 - shared
    everything = pd.concat({ALL: apart.groupby("case", sort=False).mean()}, names=["organ"])
    return pd.concat([apart, everything.swaplevel()]).rename("disagreement")


def example_cases(per_case: pd.DataFrame, agreements: pd.DataFrame) -> pd.DataFrame:
    """Choose the cases that are shown: the best, the median, the worst and, of the others, the most disputed.

    Cases are ranked by their Dice, averaged over organs and then over models; of an even number of cases the median is
    the better of the middle two. The most disputed one has the highest `disagreement` of those not chosen yet, where
    there are any. Equal cases keep their order of first appearance.

    Args:
        per_case: see `statistics.case_values`; needs the column dice.
        agreements: see `disagreement`.

    Returns:
        Columns rank (best, median, worst, disputed), case, model, dice (the model's mean over organs, or over those
        that it offers where these are not all) and disagreement. Where a model offers all organs, only such models
        rank the cases. Every model in each rank; the same case more than once where there are few, no rank disputed
        with a single model, and no row where nothing has a value.

    Raises:
        ValueError: an organ is itself named `all`.
    """
    values = case_values(per_case)
    means = values[values["organ"] != ALL].groupby(["model", "case"], sort=False)["dice"].mean().dropna().reset_index()
    whole = means[means["model"].isin(values.loc[values["organ"] == ALL, "model"])]
    ranking = means if whole.empty else whole
    ranked = ranking.groupby("case", sort=False)["dice"].mean().sort_values(ascending=False, kind="stable")
    found = disagreement(agreements)
    apart = found[found.index.get_level_values("organ") == ALL].droplevel("organ").reindex(ranked.index)
    chosen: dict[str, str] = {}
    if len(ranked):
        chosen = {"best": ranked.index[0], "median": ranked.index[(len(ranked) - 1) // 2], "worst": ranked.index[-1]}
        if apart.notna().any():
            others = apart.drop(chosen.values(), errors="ignore")
            chosen["disputed"] = (others if others.notna().any() else apart).idxmax()
    table = pd.DataFrame(list(chosen.items()), columns=["rank", "case"])
    table = table.merge(means[["case", "model", "dice"]], on="case")
    return table.assign(disagreement=table["case"].map(apart))


def case_volumes(per_case: pd.DataFrame) -> pd.DataFrame:
    """Compare the predicted with the reference volume of every organ, case by case.

    Args:
        per_case: a row per model, fold, seed, case and organ, with the columns reference_ml and predicted_ml.

    Returns:
        A row per model, organ and case: reference_ml, predicted_ml (mean over seeds and folds), mean_ml (of the two),
        difference_ml (predicted minus reference) and difference_percent (of mean_ml). Cases in which one of the two is
        empty have NaN differences: they are misses and false positives, which have columns of their own.
    """
    keys = ["model", "organ", "case"]
    cases = per_case.groupby(keys, sort=False)[["reference_ml", "predicted_ml"]].mean().reset_index()
    both = (cases["reference_ml"] > 0) & (cases["predicted_ml"] > 0)
    difference = (cases["predicted_ml"] - cases["reference_ml"]).where(both)
    mean = (cases["predicted_ml"] + cases["reference_ml"]) / 2
    return cases.assign(
        mean_ml=mean, difference_ml=difference, difference_percent=100 * (difference / mean.where(both))
    )


def volume_agreement(per_case: pd.DataFrame) -> pd.DataFrame:
    """Say how far predicted volumes agree with the references: bias and limits of agreement (Bland and Altman 1986).

    Args:
        per_case: see `case_volumes`.

    Returns:
        A row per model and organ, in order of first appearance: n (cases with both volumes), left_out (cases in which
        just one of the two is empty), and in ml and in percent of the mean of the two volumes: bias_<unit> (mean of
        predicted minus reference), its 95 % interval over patients bias_<unit>_low and _high (see
        `statistics.interval`), and the limits of agreement lower_<unit> and upper_<unit>, between which 95 % of
        normally distributed differences lie (bias minus and plus 1.96 sample standard deviations; NaN with a single
        case).
    """
    whose = per_case.drop_duplicates("case").set_index("case", drop=False)[unit_of(per_case)]  # patient of each case
    rows = []
    for (model, organ), cases in case_volumes(per_case).groupby(["model", "organ"], sort=False):
        measured = cases.dropna(subset="difference_ml")
        empty = cases["difference_ml"].isna() & (cases["mean_ml"] > 0)
        row = {"model": model, "organ": organ, "n": len(measured), "left_out": int(empty.sum())}
        for unit in ("ml", "percent"):
            values = measured[f"difference_{unit}"]
            bias, deviation = values.mean(), values.std()
            low, high = interval(values.groupby(whose.loc[measured["case"]].to_numpy()).mean().to_numpy())
            row |= {f"bias_{unit}": bias, f"bias_{unit}_low": low, f"bias_{unit}_high": high}
            row |= {f"lower_{unit}": bias - LIMITS * deviation, f"upper_{unit}": bias + LIMITS * deviation}
        rows.append(row)
    return pd.DataFrame(rows)


def scan_spacing(cases: pd.DataFrame) -> pd.DataFrame:
    """Find how thick the slices of each scan are, and how fine their pixels.

    Args:
        cases: rows of cases.csv: case, orientation (such as LPS) and spacing_x, spacing_y and spacing_z in mm.

    Returns:
        Columns case, slice_mm (along the axis nearest to the patient's length, whichever that is in the file) and
        in_plane_mm (the larger of the two others).
    """
    spacing = cases[["spacing_x", "spacing_y", "spacing_z"]].to_numpy(float)
    along = np.array([[letter in "IS" for letter in code] for code in cases["orientation"]])  # one of three
    in_plane = np.where(along, 0, spacing).max(axis=1)
    return cases[["case"]].reset_index(drop=True).assign(slice_mm=spacing[along], in_plane_mm=in_plane)
