"""Has training converged? Tested on the last third of the validations, with whole trainings as repeats."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95
LEAST_VALIDATIONS = 3  # in the last third, or a slope is a difference of two
LEAST_REPEATS = 3  # folds or seeds, or an interval says nothing
SHARE = 3  # the last third
THOUSAND = 1000  # steps that a slope is told for
COLUMNS = [
    *("model", "runs", "repeats", "repeated", "validations", "first_step", "last_step", "dice"),
    *("slope_per_1000_steps", "ci_low", "ci_high", "change", "verdict", "words"),
]
RISING, LEVEL, FALLING, UNKNOWN = "still rising", "levelled off", "falling (overfits)", "cannot be told"


def table(history: pd.DataFrame, models: Sequence[str], margin: float) -> pd.DataFrame:
    """Judge from the validation Dice whether each model's training has converged.

    Of each run the slope of the validation Dice (mean over organs) over the last third of its validations is fitted by
    least squares. Repeats are folds (mean over their seeds) where there are at least `LEAST_REPEATS`, else seeds (mean
    over their folds): seeds of one fold share their patients. The interval of the mean slope is Student's t over
    repeats, so that noise within a run, and that neighbouring validations resemble each other, is in it. Both ends
    decide: "levelled off" is an interval within which the Dice changes by less than the margin over the last third;
    otherwise "still rising" is one above 0 and "falling (overfits)" one below 0.

    Args:
        history: rows of all history.csv files: model, fold, seed, step and dice_<organ> (NaN without validation).
        models: in the order of the rows.
        margin: change of the Dice that does not matter, above 0.

    Returns:
        A row per model with the columns `COLUMNS`: runs; repeats, and repeated: of what (fold or seed); validations
        that were fitted, from first_step to last_step; dice at the last one (mean over runs); slope_per_1000_steps with
        its 95 % interval ci_low and ci_high; change, that of the Dice from first_step to last_step on the fitted line;
        verdict; words.
    """
    organs = [column for column in history if column.startswith("dice_")]
    validated = history.assign(dice=history[organs].mean(axis=1) if organs else np.nan).dropna(subset="dice")
    runs = history.groupby("model")[["fold", "seed"]].apply(lambda rows: len(rows.drop_duplicates()))
    rows = [_row(model, int(runs[model]), validated[validated["model"] == model], margin) for model in models]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(model: str, runs: int, validated: pd.DataFrame, margin: float) -> dict[str, object]:
    """One model's row, given its validations: fold, seed, step and dice."""
    steps = np.sort(validated["step"].unique())
    fitted = steps[len(steps) - -(-len(steps) // SHARE) :]
    row: dict[str, object] = {"model": model, "runs": runs, "validations": len(fitted), "verdict": UNKNOWN}
    if len(fitted) < LEAST_VALIDATIONS:
        least = SHARE * (LEAST_VALIDATIONS - 1) + 1
        return row | {"words": f"{model}: {len(steps)} validations are too few, at least {least} are needed"}
    ends = validated[validated["step"] == fitted[-1]]
    runs_fitted = validated[validated["step"].isin(fitted)].groupby(["fold", "seed"])[["step", "dice"]]
    slopes = runs_fitted.apply(lambda run: np.polyfit(run["step"], run["dice"], 1)[0])  # least squares, a step
    repeated = "fold" if slopes.index.unique("fold").size >= LEAST_REPEATS else "seed"
    values = slopes.groupby(repeated).mean().to_numpy()
    span = float(fitted[-1] - fitted[0])
    mean = float(values.mean())
    low, high = interval(values)
    verdict = judge(low * span, high * span, margin)
    row |= {"repeats": len(values), "repeated": repeated, "first_step": fitted[0], "last_step": fitted[-1]}
    row |= {"dice": ends["dice"].mean(), "slope_per_1000_steps": mean * THOUSAND}
    row |= {"ci_low": low * THOUSAND, "ci_high": high * THOUSAND, "change": mean * span, "verdict": verdict}
    said, when = f"{model}: {verdict}; validation Dice {mean * span:+.4f}", f"from step {fitted[0]} to {fitted[-1]}"
    if np.isnan(low):
        said += f" {when}; at least {LEAST_REPEATS} folds or seeds are needed"
    else:
        said += f" [{low * span:+.4f}, {high * span:+.4f}] {when}, {len(values)} {repeated}s"
    return row | {"words": said}


def interval(slopes: np.ndarray) -> tuple[float, float]:
    """Student's t interval (95 %) of a mean; NaN with fewer than `LEAST_REPEATS` values."""
    if len(slopes) < LEAST_REPEATS:
        return np.nan, np.nan
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(slopes) - 1) * slopes.std(ddof=1) / np.sqrt(len(slopes))
    return float(slopes.mean() - half), float(slopes.mean() + half)


def judge(low: float, high: float, margin: float) -> str:
    """The verdict on an interval of the change of the Dice over the last third of the validations."""
    if -margin < low and high < margin:
        return LEVEL
    if low > 0:
        return RISING
    if high < 0:
        return FALLING
    return UNKNOWN
