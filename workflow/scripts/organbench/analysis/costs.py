"""Accuracy against cost: what each model takes to train and to predict, and which to take with less to spend."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from organbench.analysis.statistics import ALL


class Cost(NamedTuple):
    """A column of the cost table in which lower is better: what one wishes for, and what is written at an axis."""

    wish: str
    axis: str


COSTS: Mapping[str, Cost] = {
    "parameters": Cost("fewer parameters", "Parameters"),
    "multiply_adds_per_voxel": Cost("fewer multiply-adds", "Multiply-adds per voxel"),
    "training_seconds": Cost("shorter training", "Training ({})"),
    "prediction_seconds": Cost("faster prediction", "Prediction of a case ({})"),
    "training_host_mib": Cost("less host memory in training", "Host memory in training (MiB)"),
    "training_gpu_mib": Cost("less GPU memory in training", "GPU memory in training (MiB)"),
    "prediction_host_mib": Cost("less host memory in prediction", "Host memory in prediction (MiB)"),
    "prediction_gpu_mib": Cost("less GPU memory in prediction", "GPU memory in prediction (MiB)"),
    "training_energy_j": Cost("less energy in training", "Energy of training (J)"),
    "prediction_energy_j": Cost("less energy in prediction", "Energy of a case (J)"),
}
"""What one can wish for, and draw."""

COUNTERS = ("gpu_energy_j", "cpu_energy_j")
TRAINING = ("multiply_adds_per_voxel", "training_seconds", "peak_host_mib", "peak_gpu_mib")
PREDICTION = ("parameters", "prediction_seconds", "peak_host_mib", "peak_gpu_mib")
HERE, OF_MEMBERS, ELSEWHERE = "trained here", "members trained here", "not trained here"
FRONTS = ["cost", "organ", "model", "value", "dice", "ci_low", "ci_high", "on_front"]
ADVICE = [
    *("less", "take", "value", "best", "best_value", "dice", "best_dice"),
    *("verdict", "scope", "worse_on", "words"),
]


def table(
    trainings: pd.DataFrame,
    predictions: pd.DataFrame,
    summary: pd.DataFrame,
    members: Mapping[str, Sequence[str]],
    tunings: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """List what each model costs beside its mean Dice.

    An ensemble trains nothing, but exists only where its members are trained: it has, for each member and seed, one
    training's time, energy and multiply-adds, and the memory of the largest, as they are trained one by one. What it
    took to make a model that was made elsewhere is not known.

    Args:
        trainings: a row per run, with the columns model, seed and what `cost.json` holds (`identity` tells of weights
            that a training started from, `planning` of what was computed for a whole fold before it).
        predictions: a row per predicted case, with the column model and what `predictions/<case>.json` holds. What
            was not measured is None or not there, in both.
        summary: what `statistics.summarise` makes of the study.
        members: of each model that is not trained itself the models that are for it; none where it was made elsewhere.
        tunings: a row per candidate of tuning, with the columns model and training_seconds, where settings were tuned.

    Returns:
        A row per model, in the order of the summary: model; training (`HERE`, `OF_MEMBERS` or `ELSEWHERE`: what its
        training's costs are, which are empty in the last case); device (of its runs; times and energies of different
        devices tell nothing about networks); parameters (of all networks that predict); multiply_adds_per_voxel (of the
        working grid, counted); training_seconds (mean over runs) and training_seconds_total (of all runs);
        prediction_seconds (mean over cases); peak memory in MiB and energy in J of training (mean over runs, memory the
        largest) and prediction (likewise), where measured; start (`pretrained` where trainings started from given
        weights, else `random`; only where one did); planning_seconds (mean over runs, apart from training_seconds; only
        where one plans, as nnU-Net does); dice, ci_low and ci_high (organ `all`). Where settings were
        tuned also tuning_runs (the candidates' trainings) and tuning_seconds_total (of all of them, those too that were
        chosen and are so the trainings of the first seed).
    """
    trainings, predictions = _measured(trainings, TRAINING), _measured(predictions, PREDICTION)
    trained = trainings.groupby("model").agg(
        multiply_adds_per_voxel=("multiply_adds_per_voxel", "mean"),
        training_seconds=("training_seconds", "mean"),
        training_seconds_total=("training_seconds", "sum"),
        training_host_mib=("peak_host_mib", "max"),
        training_gpu_mib=("peak_gpu_mib", "max"),
        training_energy_j=("energy_j", "mean"),
    )
    totals, memory = ["training_seconds_total"], ["training_host_mib", "training_gpu_mib"]
    if "planning" in trainings:
        planned = trainings["planning"].map(
            lambda told: told["planning_seconds"] if isinstance(told, Mapping) else None
        )
        trained["planning_seconds"] = planned.astype(float).groupby(trainings["model"]).mean()
        totals = ["planning_seconds", *totals]
    if tunings is not None:
        tuned = ["tuning_runs", "tuning_seconds_total"]
        totals += tuned
        trained[tuned] = tunings.groupby("model")["training_seconds"].agg(["size", "sum"])
    members = {name: of_it for name, of_it in members.items() if of_it}
    for name, of_it in members.items():
        own = trained.loc[list(of_it)]
        trained.loc[name] = own.sum(min_count=len(own)) * trainings["seed"].nunique()
        trained.loc[name, totals] = own[totals].sum(min_count=1)  # empty where no member has any
        trained.loc[name, memory] = own[memory].max()
    predicted = predictions.groupby("model").agg(
        parameters=("parameters", "max"),
        prediction_seconds=("prediction_seconds", "mean"),
        prediction_host_mib=("peak_host_mib", "max"),
        prediction_gpu_mib=("peak_gpu_mib", "max"),
        prediction_energy_j=("energy_j", "mean"),
    )
    devices = pd.concat([trainings, predictions]).groupby("model")["device"]
    device = devices.agg(lambda names: "; ".join(names.dropna().unique()))
    dice = summary[(summary["metric"] == "dice") & (summary["organ"] == ALL)].set_index("model")
    found = dice[["mean", "ci_low", "ci_high"]].rename(columns={"mean": "dice"}).join([trained, predicted, device])
    found["training"] = [
        OF_MEMBERS if model in members else HERE if model in trained.index else ELSEWHERE for model in found.index
    ]
    start = _starts(trainings, members)
    if "pretrained" in set(start.values()):
        found["start"] = pd.Series(start)
    columns = ["training", "device", *(["start"] if "start" in found else []), *COSTS, "dice", "ci_low", "ci_high"]
    place = columns.index("training_seconds") + 1
    columns[place:place] = totals
    return found[columns].astype({"tuning_runs": "Int64"} if tunings is not None else {}).reset_index()


def _starts(trainings: pd.DataFrame, members: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Whether each model's trainings started from given weights: `pretrained`, or else `random`."""
    found = {}
    for model, named in zip(trainings["model"], trainings.get("identity", [{}] * len(trainings)), strict=True):
        network = named.get("network", {}) if isinstance(named, Mapping) else {}
        found[model] = "pretrained" if network.get("pretrained") else "random"
    for name, others in members.items():
        found[name] = max((found[other] for other in others), key=("random", "pretrained").index, default="not known")
    return found


def _measured(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The rows with all columns as numbers, NaN where not measured, and energy_j.

    That is the sum of those counters that were read wherever one was, so that rows can be compared.
    """
    rows = rows.reindex(columns=list(dict.fromkeys([*rows, "model", "seed", "device", *columns, *COUNTERS])))
    rows = rows.assign(**{column: pd.to_numeric(rows[column]) for column in (*columns, *COUNTERS)})
    some = rows[list(COUNTERS)].dropna(how="all")
    read = [counter for counter in COUNTERS if some[counter].notna().all()]
    return rows.assign(energy_j=rows[read].sum(axis=1, min_count=1))


def fronts(costs: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Set every cost against the mean Dice of every organ, and mark the Pareto front of each.

    Args:
        costs: what `table` returned.
        summary: what `statistics.summarise` makes of the study.

    Returns:
        A row per cost, organ (with `all`) and model, in the order of `COSTS`, the summary and `costs`: cost, organ,
        model, value (of the cost), dice, ci_low, ci_high and on_front, see `on_front`.
    """
    dice = summary[summary["metric"] == "dice"].rename(columns={"mean": "dice"})
    tables = []
    for cost in COSTS:
        for _, rows in dice.groupby("organ", sort=False):
            table = costs[["model", cost]].merge(rows, on="model").rename(columns={cost: "value"})
            front = on_front(table["value"].to_numpy(float), table["dice"].to_numpy(float))
            tables.append(table.assign(cost=cost, on_front=pd.Series(front, dtype=object)))
    return pd.concat(tables, ignore_index=True)[FRONTS]


def on_front(cost: np.ndarray, score: np.ndarray) -> list[bool | None]:
    """Tell which models are on the Pareto front: no other is as good in both cost and score, and better in one.

    Args:
        cost: of each model, lower is better.
        score: of each model, higher is better.

    Returns:
        For each model; None where its cost or score is missing. The others are judged among themselves.
    """
    known = ~(np.isnan(cost) | np.isnan(score))
    no_worse = (cost[None] <= cost[:, None]) & (score[None] >= score[:, None])  # axes model, other
    different = (cost[None] != cost[:, None]) | (score[None] != score[:, None])
    beaten = (no_worse & different).any(axis=1)  # nothing is compared with NaN
    return [not worse if there else None for worse, there in zip(beaten, known, strict=True)]


def advise(costs: pd.DataFrame, comparison: pd.DataFrame, observers: Collection[str] = ()) -> pd.DataFrame:
    """Say which network to take with less to spend: the cheapest that is not judged worse than the best.

    The best is the one with the highest mean Dice over organs. Not judged worse is one whose verdict against it, on the
    Dice of organ `all`, is better, equivalent or undecided; the advice says which. A model that does not offer all
    organs has no mean over them, and is neither taken nor the best.

    Args:
        costs: what `table` returned.
        comparison: what `verdicts.compare` made of the study.
        observers: the models that are another human, whom nobody can take.

    Returns:
        A row for each of `COSTS` that is known of a model: less (the cost's column), take (a model, of those whose cost
        is known), value (its cost), best, best_value, dice and best_dice, verdict (of the taken against the best;
        empty where it is the best) and its scope (networks or weights, see `verdicts`), worse_on (organs on whose Dice
        it is judged worse than the best) and words.
    """
    costs = costs[costs["dice"].notna() & ~costs["model"].isin(observers)]
    if costs.empty:
        return pd.DataFrame(columns=ADVICE)
    best = costs.loc[costs["dice"].idxmax()]
    dice = comparison[comparison["metric"] == "dice"]
    against = _verdicts_against(best["model"], dice)
    over_organs = against[against["organ"] == ALL].set_index("model")
    overall, of_weights, scope = (over_organs[column] for column in ("verdict", "verdict_weights", "scope"))
    allowed = costs[[overall.get(model) != "worse" for model in costs["model"]]].sort_values("dice", ascending=False)
    rows = []
    for cost, (wish, _) in COSTS.items():
        known = allowed.dropna(subset=cost)
        if known.empty:
            continue
        chosen = known.loc[known[cost].idxmin()]  # the better one of two that cost the same
        model = chosen["model"]
        worse_on = list(against.loc[(against["model"] == model) & (against["verdict"] == "worse"), "organ"])
        if model == best["model"]:
            words = f"for {wish}: {model}, the best, is also the cheapest that is not judged worse"
        else:
            share = chosen[cost] / best[cost]
            needs = "is the cheapest" if np.isnan(share) else f"needs {share:.0%} of what {best['model']} does"
            words = f"for {wish}: {model} {needs}; "
            judged = {
                "equivalent": "shown to be equivalent",
                "undecided": "undecided whether that is worse",
                "better": "but better on the same organs of the same cases",
            }
            words += f"mean Dice {chosen['dice']:.3f} against {best['dice']:.3f}, {judged[overall[model]]}"
            if scope[model] == "weights" and overall[model] == "undecided":
                said = of_weights[model]
                words += " when trained again" + (f", though these weights are {said}" if said != "undecided" else "")
            words += f"; worse on {', '.join(worse_on)}" if worse_on else ""
        if unknown := list(costs.loc[costs[cost].isna(), "model"]):
            words += f"; not known of {', '.join(unknown)}"
        row = {"less": cost, "take": model, "value": chosen[cost], "dice": chosen["dice"]}
        row |= {"best": best["model"], "best_value": best[cost], "best_dice": best["dice"]}
        row |= {"verdict": overall.get(model, ""), "scope": scope.get(model, "")}
        rows.append(row | {"worse_on": ", ".join(worse_on), "words": words})
    return pd.DataFrame(rows, columns=ADVICE)


def _verdicts_against(best: str, comparison: pd.DataFrame) -> pd.DataFrame:
    """The rows of every other model's (column model) comparison with one, with their verdicts turned as needed."""
    turned = {"better": "worse", "worse": "better"}
    ahead = comparison[comparison["model_a"] == best].rename(columns={"model_b": "model"})
    ahead = ahead.replace({"verdict": turned, "verdict_weights": turned})
    behind = comparison[comparison["model_b"] == best].rename(columns={"model_a": "model"})
    return pd.concat([ahead, behind])
