"""What to look at before the tables are believed: runs that learned nothing."""

import pandas as pd

COLUMNS = ["model", "fold", "seed", "cases", "words"]


def only_background(trainings: pd.DataFrame, per_case: pd.DataFrame) -> pd.DataFrame:
    """Find the runs whose predictions hold no organ in any case that was looked at.

    Such a network has not learned; what it is compared with seems better than it is.

    Args:
        trainings: a row per run of a trained model: model, fold, seed, and predicts_only_background of its
            `cost.json`, which is None where nothing was validated.
        per_case: `tables/per_case.csv`.

    Returns:
        A row per run and kind of cases: model, fold, seed, cases (validation or test) and words.
    """
    runs = trainings.reindex(columns=["model", "fold", "seed", "predicts_only_background"])
    validated = runs[runs.pop("predicts_only_background").eq(True)].assign(cases="validation")
    volumes = per_case.groupby(["model", "fold", "seed"], sort=False)[["reference_ml", "predicted_ml"]].max()
    nothing = (volumes["reference_ml"] > 0) & (volumes["predicted_ml"] == 0)
    tested = volumes[nothing].reset_index()[["model", "fold", "seed"]].assign(cases="test")
    found = pd.concat([validated, tested], ignore_index=True).astype({"fold": int, "seed": int})
    found["words"] = [
        f"{row.model}, fold {row.fold}, seed {row.seed}: predicts nothing but background in all {row.cases} cases"
        for row in found.itertuples()
    ]
    return found[COLUMNS]
