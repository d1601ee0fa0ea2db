"""Which candidate of tuning a network takes in a fold: the one with the highest validation Dice."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from organbench.core import tables
from organbench.core.errors import InputError
from organbench.study.tuning import Candidate

DICE = "dice_"  # what a history's columns of an organ's validation Dice begin with


def assess(folder: str | Path, candidates: Mapping[str, Candidate], weights: str) -> pd.DataFrame:
    """Score the candidates of a network in a fold by the weights that each would keep.

    A score is the mean over organs of the validation Dice, as far as organs were scored: at the last validation, or at
    the best one where the weights of the best one are kept. A candidate whose loss is no number in the end has failed.

    Args:
        folder: holds a folder a candidate, each with `history.csv` and `cost.json`.
        candidates: what is tried, by name.
        weights: `last` or `best`, as in the config's `training`.

    Returns:
        A row per candidate, in their order: candidate (a number, from 1), a column per setting, dice (the score, 0 to
        1, or NaN), step (at which it was scored), failed, and training_seconds.
    """
    rows = []
    for number, (name, candidate) in enumerate(candidates.items(), start=1):
        history = tables.read(Path(folder, name, "history.csv"))
        cost = json.loads(Path(folder, name, "cost.json").read_text())
        failed = "failed" in cost or history.empty or not np.isfinite(history["loss"].iloc[-1])
        scored = _mean_dice(history).dropna()
        step, dice = None, np.nan
        if len(scored) and not failed:
            place = scored.idxmax() if weights == "best" else scored.index[-1]  # the first of equal ones, as training
            step, dice = int(history["step"][place]), float(scored[place])
        row = {"candidate": number, **candidate, "dice": dice, "step": step, "failed": failed}
        rows.append(row | {"training_seconds": cost["training_seconds"]})
    return pd.DataFrame(rows).astype({"step": "Int64"})


def choose(table: pd.DataFrame, what: str) -> int:
    """Choose the candidate with the highest score; the earliest of those that have the same.

    Args:
        table: what `assess` returned.
        what: was tuned, in words.

    Returns:
        The place of its row.

    Raises:
        InputError: none has a score.
    """
    if table["failed"].all():
        raise InputError(f"config, training.tune: all candidates of {what} diverged; give lower learning rates")
    if table["dice"].isna().all():
        raise InputError(
            f"config, training.tune: no validation case of {what} has a Dice of any organ to choose by; "
            "give it others, or set training.tune to null"
        )
    return int(table["dice"].to_numpy(float, na_value=-1.0).argmax())


def curves(folder: str | Path, candidates: Mapping[str, Candidate]) -> pd.DataFrame:
    """Gather the validations of all candidates of a network in a fold.

    Args:
        folder: as for `assess`.
        candidates: what is tried, by name.

    Returns:
        A row per candidate and validation: candidate (a number, from 1), step, loss (of that step), dice (the mean over
        organs as far as they were scored) and dice_<organ>.
    """
    found = []
    for number, name in enumerate(candidates, start=1):
        history = tables.read(Path(folder, name, "history.csv"))
        history = history.assign(candidate=number, dice=_mean_dice(history)).dropna(subset="dice")
        organs = [column for column in history if column.startswith(DICE)]
        found.append(history[["candidate", "step", "loss", "dice", *organs]])
    return pd.concat([table for table in found if len(table)] or found[:1], ignore_index=True)


def _mean_dice(history: pd.DataFrame) -> pd.Series:
    """The mean over organs of a history's validation Dice; NaN at a step without validation."""
    return history[[column for column in history if column.startswith(DICE)]].astype(float).mean(axis=1)
