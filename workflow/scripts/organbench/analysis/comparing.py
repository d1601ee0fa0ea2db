"""Per-case tables from anywhere, made ready to be judged: what `organbench compare` does."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pandas as pd

from organbench.analysis import verdicts
from organbench.analysis.statistics import ALL, metrics_of
from organbench.core import tables
from organbench.core.errors import InputError
from organbench.evaluation.registry import METRICS

KEYS = ["model", "fold", "seed", "case", "organ"]
NEEDED = ("model", "case", "organ")
FEW = 10  # names that are told; of more only how many


def gather(paths: Sequence[Path], metrics: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Read tables as one, and say what they do not have in common.

    A model that several tables have is told apart by the name of the study or file: two studies may both have a `unet`.

    Args:
        paths: tables with the columns model, case, organ and metrics of `registry.METRICS`; fold and seed (both 0
            where they are missing) and patient, where there is one.
        metrics: which are asked for; none: all.

    Returns:
        The rows of all tables, with Dice (NaN where an organ is not scored at all) and all columns of `KEYS`; and a
        line for each model on the cases or organs that only others have.

    Raises:
        InputError: a table cannot be read, lacks a column, has a row twice or a value that is no number.
    """
    if len(set(paths)) < len(paths):
        raise InputError(
            f"{next(path for path in paths if paths.count(path) > 1)}: is given twice; give each table once"
        )
    found = {path: one_table(path, metrics) for path in paths}
    names = unique_names(paths)
    models = [model for table in found.values() for model in table["model"].unique()]
    parts = []
    for path, table in found.items():
        alike = {model: f"{model} ({names[path]})" for model in table["model"].unique() if models.count(model) > 1}
        parts.append(table.assign(model=table["model"].replace(alike)))
    per_case = pd.concat(parts, ignore_index=True)
    if "patient" in per_case and per_case["patient"].isna().any():
        bare = next(path for path, table in found.items() if "patient" not in table or table["patient"].isna().any())
        raise InputError(f"{bare}: the column patient is empty for some case; fill it for all, in every table")
    if "patient" in per_case:
        whose = per_case.groupby("case")["patient"].nunique()
        if (whose > 1).any():
            raise InputError(f"{paths[0]}: case {whose.idxmax()} is of two patients; a case has one, in all tables")
    if len(per_case["model"].unique()) < 2:
        raise InputError(f"{paths[0]}: has a single model, {models[0]}; give a table of another one as well")
    return with_dice(per_case), [*unshared(per_case, "case"), *unshared(per_case, "organ")]


def unique_names(paths: Sequence[Path]) -> dict[Path, str]:
    """A name of each table: of its study, or else its file's, with its folder where that is another's too."""
    names = {path: path.resolve().parts[-3] if path.parent.name == "tables" else path.stem for path in paths}
    return {
        path: name if list(names.values()).count(name) == 1 else str(path.with_suffix(""))
        for path, name in names.items()
    }


def one_table(path: Path, metrics: Sequence[str]) -> pd.DataFrame:
    """Read and check a per-case table, see `gather`."""
    try:
        table = tables.read(path)
    except FileNotFoundError:
        raise InputError(f"{path}: is not there; check its name") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: is no table ({str(error).splitlines()[0]}); give a CSV") from None
    lacking = [column for column in NEEDED if column not in table]
    if lacking:
        raise InputError(f"{path}: has no column {lacking[0]}; the first line must name model, case, organ and metrics")
    if table.empty:
        raise InputError(f"{path}: has no rows; is it the right table?")
    here = metrics_of(table)
    for metric in metrics or here[:1] or ["dice"]:
        if metric not in METRICS:
            raise InputError(f"--metric {metric}: is not known; the metrics are {', '.join(METRICS)}")
        if metric not in here:
            raise InputError(f"{path}: has no column {metric}; its metrics are {', '.join(here) or 'unknown'}")
    for column in KEYS:
        if column in table and table[column].isna().any():
            raise InputError(f"{path}, line {table[column].isna().idxmax() + 2}: names no {column}; fill the cell")
    for metric in here:
        numbers = pd.to_numeric(table[metric], errors="coerce")
        odd = (numbers.isna() & table[metric].notna()) | numbers.abs().eq(float("inf"))
        if odd.any():
            line = int(odd.idxmax())
            raise InputError(
                f"{path}, line {line + 2}: {metric} is {str(table[metric][line])[:40]!r}, which is no finite number; "
                "correct it, or leave the cell empty where there is no value"
            )
        lowest, share = METRICS[metric].lowest, METRICS[metric].best == 1
        outside = numbers.lt(lowest) | (numbers.gt(1 + 1e-9) & share)
        if outside.any():
            line = int(outside.idxmax())
            allowed = "from 0 to 1 (no percents)" if share else f"of {lowest} or more"
            raise InputError(f"{path}, line {line + 2}: {metric} is {numbers[line]:g}; give a number {allowed}")
        table = table.assign(**{metric: numbers})
    for column in ("fold", "seed"):
        table[column] = table.get(column, 0)
    twice = table.duplicated(KEYS)
    if twice.any():
        row = table[twice].iloc[0]
        raise InputError(
            f"{path}, line {twice.idxmax() + 2}: {row['model']} has a second row of case {row['case']} and organ "
            f"{row['organ']}; say by the columns fold and seed of which training each is, or remove one"
        )
    return table[table["organ"] != ALL]  # a mean over organs is computed here


def with_dice(per_case: pd.DataFrame) -> pd.DataFrame:
    """Where a table has no Dice, say by one which rows are scored: those of organs on which some model has a value."""
    if "dice" in per_case:
        return per_case
    scored = per_case[metrics_of(per_case)].notna().any(axis=1)
    anyone = scored.groupby([per_case["organ"], per_case["case"]]).transform("any")
    return per_case.assign(dice=anyone.map({True: 0.5, False: None}).astype(float))


def unshared(per_case: pd.DataFrame, column: str) -> list[str]:
    """A line for each model that lacks cases (or organs) which another one has: they are left out of its pairs."""
    lines = []
    everyone = list(dict.fromkeys(per_case[column]))
    for model, rows in per_case.groupby("model", sort=False):
        lacking = [name for name in everyone if name not in set(rows[column])]
        if lacking:
            told = ", ".join(lacking[:FEW]) + (f" and {len(lacking) - FEW} more" if len(lacking) > FEW else "")
            lines.append(f"{model} has no {column} {told}: left out where it is compared")
    return lines


def judge(
    per_case: pd.DataFrame, metrics: Sequence[str], margins: Mapping[str, float], fixed: Collection[str]
) -> pd.DataFrame:
    """Compare every pair of models, see `verdicts.compare`.

    Args:
        per_case: what `gather` returned.
        metrics: which; none: all.
        margins: of each metric that has one.
        fixed: models that were not trained.

    Raises:
        InputError: a margin or a fixed model is of nothing that the tables have, or no two models share a case.
    """
    known = list(per_case["model"].unique())
    for model in fixed:
        if model not in known:
            raise InputError(f"--fixed {model}: there is no such model; the models are {', '.join(known)}")
    chosen = list(metrics) or [m for m in metrics_of(per_case) if per_case.groupby("model")[m].count().all()]
    for metric in margins:
        if metric not in chosen:
            raise InputError(f"--margin {metric}: is of no metric that is compared; these are {', '.join(chosen)}")
    others = [metric for metric in metrics_of(per_case) if metric not in (*chosen, "dice")]
    found = verdicts.compare(per_case.drop(columns=others), margins, fixed)
    found = found[found["metric"].isin(chosen)].reset_index(drop=True)
    if not found["n"].any():
        raise InputError("no two models have a value on the same case and organ; do the tables name them alike?")
    return found
