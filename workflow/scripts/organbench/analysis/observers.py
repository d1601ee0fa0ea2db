"""Whether networks agree with the reference as well as another human does.

What a network has to reach is what observers reach among themselves. Whether it does is the verdict on network and
observer, which `verdicts` has found on the same patients: equivalent within the study's margin, by two one-sided tests,
or better.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from organbench.analysis.verdicts import sign
from organbench.evaluation.registry import METRICS

OBSERVERS = [
    *("metric", "observer", "model", "organ", "n", "observer_mean", "mean"),
    *("mean_difference", "ci_low", "ci_high", "margin", "p_equivalence_holm", "scope"),
    *("verdict", "verdict_weights", "within", "within_weights", "words"),
]
WITHIN = {"equivalent": "yes", "better": "yes", "worse": "no", "undecided": "undecided"}
TURNED = {"better": "worse", "worse": "better"}


def within(comparison: pd.DataFrame, summary: pd.DataFrame, observers: Collection[str]) -> pd.DataFrame:
    """Say of every model and organ whether its agreement with the reference is that of an observer.

    Args:
        comparison: what `verdicts.compare` made of the study.
        summary: what `statistics.summarise` made of it.
        observers: the models that are another human.

    Returns:
        A row per metric, observer, model that is none, and organ (with `all`): metric, observer, model, organ, n
        (patients that both have a value on); observer_mean and mean (of all patients that each has a value on, see
        `statistics.summarise`; of an error with a sign the mean of its size, as that is what is compared);
        mean_difference (model minus observer, on the same patients) with ci_low and ci_high,
        margin, p_equivalence_holm, scope, verdict (on the model) and verdict_weights, see `verdicts`; within (yes:
        equivalent or better, no: worse, or undecided) and within_weights, the same of its weights; words.
    """
    signed = summary["metric"].map(lambda metric: METRICS[metric].is_signed)
    means = summary.assign(mean=summary["mean"].where(~signed, summary["mean_absolute"]))
    means = means.set_index(["metric", "model", "organ"])["mean"]
    rows = []
    for row in comparison.to_dict("records"):
        sides = row["model_a"], row["model_b"]
        if (sides[0] in observers) == (sides[1] in observers):
            continue
        row = turned(row) if sides[0] in observers else row
        model, observer = row["model_a"], row["model_b"]
        told = {
            "observer": observer,
            "model": model,
            "observer_mean": means.get((row["metric"], observer, row["organ"]), np.nan),
            "mean": means.get((row["metric"], model, row["organ"]), np.nan),
            "within": WITHIN[row["verdict"]],
            "within_weights": WITHIN[row["verdict_weights"]],
        }
        rows.append(row | told | {"words": sentence(row, told["within"])})
    return pd.DataFrame(rows, columns=OBSERVERS)


def turned(row: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison with its models the other way round, in those columns that are told here."""
    verdicts = {key: TURNED.get(row[key], row[key]) for key in ("verdict", "verdict_weights")}
    ends = {"mean_difference": -row["mean_difference"], "ci_low": -row["ci_high"], "ci_high": -row["ci_low"]}
    return {**row, "model_a": row["model_b"], "model_b": row["model_a"], **ends, **verdicts}


def sentence(row: Mapping[str, Any], found: str) -> str:
    """One sentence on a model (a) and an observer (b), without a full stop."""
    metric, model, observer = METRICS[row["metric"]], row["model_a"], row["model_b"]
    organ = "over all organs" if row["organ"] == "all" else f"on the {row['organ'].replace('_', ' ')}"
    if not row["n"]:
        return f"no patient gives both {model} and {observer} a value {organ}"
    advantage = sign(row["metric"]) * metric.scale * row["mean_difference"]
    size = f"{abs(advantage):.1f} {metric.points} {'better' if advantage >= 0 else 'worse'} than {observer}"
    words = {
        "yes": f"{model} is within {observer} {organ}",
        "no": f"{model} does not reach {observer} {organ}",
        "undecided": f"undecided whether {model} reaches {observer} {organ}",
    }[found]
    margin = row["margin"]
    without = found == "undecided" and not (margin == margin and margin > 0)
    return f"{words}: {size}" + ("; this metric has no margin in evaluation.margin" if without else "")
