"""From the values of two networks on the same patients to a verdict, by one stated rule.

All rows of a metric (every organ, the mean over organs and every pair of networks) are one family, and each of three
tests is corrected for it by Holm's method. Of `model_a` the verdict is

- `equivalent`: the equivalence test is < 0.05, so the mean difference is shown to be smaller than the margin, even
  where it is also shown not to be zero;
- `better` or `worse`: the signed-rank test and the test of the mean are both < 0.05, in the same direction;
- `undecided`: anything else.

Both tests, because one is about ranks, which a single patient cannot sway, and the other about the mean, which is what
is reported. The test of the mean, the equivalence test and the interval count patients and trainings (`evidence`), so a
verdict holds for the networks and not just for the weights that one training left. Where a network was trained once,
nothing can be said of networks: the verdict is `undecided`, and `verdict_weights` is what the patients say of the
weights. A model that misses an organ in more runs than the other is never better or equivalent in a metric that has no
value there.

In a study without any true difference the chance of even one `better` or `worse` among a metric's rows is at most 5 %,
and so is that of one `equivalent` where all differences reach the margin, as far as differences scatter evenly around
their mean (docs/metrics.md has what was simulated).
"""

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from organbench.analysis import evidence, planning, statistics
from organbench.analysis.evidence import Paired, holm
from organbench.analysis.statistics import ALL, training_values
from organbench.evaluation.registry import METRICS

ALPHA = 0.05  # the chance of one false verdict in a family
MANY = 10_000  # patients; a larger number is not told

COMPARISON = [
    *("metric", "organ", "model_a", "model_b", "scope", "n", "missing", "missed_a", "missed_b"),
    *("mean_difference", "ci_low", "ci_high", "std_difference", "median_difference"),
    *("p_value", "p_holm", "p_mean", "p_mean_holm", "effect_size", "probability_a_better"),
    *("margin", "p_equivalence", "p_equivalence_holm"),
    *("trainings_a", "trainings_b", "std_trainings", "seed_std_a", "seed_std_b"),
    *("ci_weights_low", "ci_weights_high", "p_mean_weights", "p_mean_weights_holm"),
    *("p_equivalence_weights", "p_equivalence_weights_holm"),
    *("verdict", "verdict_weights", "more_patients", "more_trainings", "words"),
]


def sign(metric: str) -> int:
    """What a difference (a minus b) is multiplied by so that it is positive where a is better."""
    return 1 if METRICS[metric].best else -1


def verdict(row: Mapping[str, Any], of: str = "") -> str:
    """The verdict on a, by the rule at the top of this module.

    Args:
        row: with the columns metric, mean_difference, effect_size, missed_a, missed_b, p_holm, p_mean_holm and
            p_equivalence_holm.
        of: `_weights` for the verdict on the weights: then p_mean_weights_holm and p_equivalence_weights_holm count.

    Returns:
        better, worse, equivalent or undecided; NaN decides nothing.
    """
    more_missed = np.sign(round(row["missed_a"] - row["missed_b"], 6))
    if row[f"p_equivalence{of}_holm"] < ALPHA and not more_missed:
        return "equivalent"
    if row["p_holm"] < ALPHA and row[f"p_mean{of}_holm"] < ALPHA:
        advantage = sign(row["metric"]) * row["mean_difference"]
        if advantage > 0 and row["effect_size"] > 0 and more_missed <= 0:
            return "better"
        if advantage < 0 and row["effect_size"] < 0 and more_missed >= 0:
            return "worse"
    return "undecided"


def open_ways(row: Mapping[str, Any]) -> list[str]:
    """Which of `planning.WAYS` a row can be decided in, if its means, ranks and misses stay as they are."""
    advantage, more_missed = sign(row["metric"]) * row["mean_difference"], round(row["missed_a"] - row["missed_b"], 6)
    different = advantage * row["effect_size"] > 0 and advantage * more_missed <= 0
    return [way for way, is_open in zip(planning.WAYS, (different, not more_missed), strict=True) if is_open]


def sentence(row: Mapping[str, Any]) -> str:
    """Say in words what a row of the comparison table found.

    Args:
        row: with the columns of `compare`.

    Returns:
        One sentence without a full stop. A difference that is told as "better by" is positive, whichever way its metric
        goes; any other is a minus b. It ends with what a reader has to know besides: who missed the organ, patients
        that were left out because a network had no value, and what the verdict is true of, where that is not the
        networks.
    """
    a, b, metric = row["model_a"], row["model_b"], METRICS[row["metric"]]
    organ = "over all organs" if row["organ"] == ALL else f"on the {row['organ'].replace('_', ' ')}"
    difference, low, high = (metric.scale * row[key] for key in ("mean_difference", "ci_low", "ci_high"))
    if row["verdict"] in ("better", "worse") and difference < 0:
        difference, low, high = -difference, -high, -low
    digits = 1 if not high - low < 0.5 else 2
    size = f"{difference:z.{digits}f} {metric.points}"
    if not math.isnan(low):
        size += f" [{low:z.{digits}f}, {high:z.{digits}f}]"
    if row["n"] == 0:
        told = f"no patient gives both {a} and {b} a value {organ}"
    elif row["verdict"] in ("better", "worse"):
        told = f"{a} is {row['verdict']} than {b} {organ} by {size}"
    elif row["verdict"] == "equivalent":
        told = f"{a} and {b} are equivalent {organ}: {a} - {b} is {size}, within {metric.scale * row['margin']:g}"
    else:
        told = f"undecided between {a} and {b} {organ}: {a} - {b} is {size}{what_would_decide(row)}"
    more_missed = round(row["missed_a"] - row["missed_b"], 6)
    if more_missed:
        it = "organs" if row["organ"] == ALL else "the organ"
        told += f"; {a if more_missed > 0 else b} misses {it} more often, so it cannot be better"
    if row["missing"] and row["n"]:
        left_out = "patient without a value is" if row["missing"] == 1 else "patients without a value are"
        told += f"; {row['missing']} {left_out} left out"
    return told + true_of(row)


def what_would_decide(row: Mapping[str, Any]) -> str:
    """The end of an undecided row's sentence: how many more patients, or trainings, would decide."""
    patients, trainings = row["more_patients"], row["more_trainings"]
    trained = [row[f"model_{side}"] for side in "ab" if row[f"trainings_{side}"]]
    whose = trained[0] if len(trained) == 1 else "each"
    several = f"{trainings:.0f} more training{'s' if trainings > 1 else ''} of {whose}"
    if patients > MANY:
        if math.isfinite(trainings):
            return f"; more patients alone would not decide, about {several} would"
        if math.isfinite(patients):
            return f"; it would take more than {MANY} more patients"
        if math.isnan(trainings):
            return "; more patients would not decide"
        return "; neither more patients nor more trainings alone would decide"
    if not patients > 0:
        return ""
    count = round(patients, 1 - math.floor(math.log10(patients)))  # two digits
    told = f"; about {count:.0f} more patient{'s' if count > 1 else ''}"
    return f"{told} or {several} would decide" if math.isfinite(trainings) else f"{told} would decide"


def true_of(row: Mapping[str, Any]) -> str:
    """The end of a sentence whose verdict is not one on two networks: what it is true of."""
    a, b = row["model_a"], row["model_b"]
    fixed = [model for model, side in ((a, "a"), (b, "b")) if row[f"trainings_{side}"] == 0]
    told = f"; {' and '.join(fixed)} judged as fixed, not as trained anew" if fixed else ""
    if row["scope"] == "networks" or len(fixed) == 2 or row["n"] < 2:
        return told
    if row["verdict_weights"] != "undecided":
        whose = "" if row["verdict_weights"] == "equivalent" else f" of {a}"
        told += f"; these weights{whose} are {row['verdict_weights']}"
    once = [model for model, side in ((a, "a"), (b, "b")) if row[f"trainings_{side}"] == 1]
    if not once:
        return f"{told}; not tested in the same folds: true of these weights only"
    whose = "each" if len(once) == 2 else f"of {once[0]}"
    return f"{told}; one training {whose}: true of these weights only; train more seeds"


def tested(rows: pd.DataFrame) -> pd.DataFrame:
    """Add to rows the column scope and those of `evidence.mean_tests`, on networks and (named `_weights`) on weights.

    Where nothing is known of trainings, the tests on networks are those on weights.
    """
    rows = evidence.shared(rows)
    of_weights = evidence.mean_tests(rows, evidence.weights_yardstick(rows))
    names = {"p_mean": "p_mean_weights", "p_equivalence": "p_equivalence_weights"}
    names |= {"ci_low": "ci_weights_low", "ci_high": "ci_weights_high"}
    return rows.assign(
        scope=np.where(rows["v_trainings"].isna(), "weights", "networks"),
        **evidence.mean_tests(rows, evidence.yardsticks(rows)),
        **{names[name]: values for name, values in of_weights.items()},
    )


def judge(family: pd.DataFrame) -> pd.DataFrame:
    """Test a family of comparisons, correct the p values, and give each row its verdict.

    A verdict on networks needs the spread over trainings, unless neither model was trained here.

    Args:
        family: all rows of one metric, with the columns metric, organ, model_a, model_b, missing, missed_a, missed_b
            and those of `evidence`.

    Returns:
        The family with what `tested` adds, the corrected p values, verdict and verdict_weights, more_patients and
        more_trainings (both NaN where decided, or where nothing is known of trainings) and words.
    """
    alpha = ALPHA / max(1, family["p_value"].count())
    family = tested(family)
    tests = {"p_value": "p_holm"}
    tests |= {name: f"{name}_holm" for name in family if name.startswith(("p_mean", "p_equivalence"))}
    family = family.assign(**{corrected: holm(family[own].to_numpy(float)) for own, corrected in tests.items()})
    rows: list[dict[str, Any]] = family.to_dict("records")
    for row in rows:
        known = row["scope"] == "networks" or row["trainings_a"] == row["trainings_b"] == 0
        row["verdict_weights"] = verdict(row, "_weights")
        row["verdict"] = verdict(row) if known else "undecided"
        unsure, ways = known and row["verdict"] == "undecided", open_ways(row)
        row["more_patients"] = planning.more_patients(row, alpha, ways) if unsure else math.nan
        row["more_trainings"] = planning.more_trainings(row, alpha, ways) if unsure else math.nan
        row["words"] = sentence(row)
    return pd.DataFrame(rows)


def compare(
    per_case: pd.DataFrame, margins: Mapping[str, float] | None = None, fixed: Collection[str] = ()
) -> pd.DataFrame:
    """Compare every pair of models over the patients that both were scored on, and judge.

    Args:
        per_case: see `statistics.case_values`; needs the columns dice, fold and seed.
        margins: for each metric that has one the mean difference that does not matter, in the metric's unit.
        fixed: models that were not trained here, such as ensembles of all seeds: each is judged as the fixed thing it
            is.

    Returns:
        The columns `COMPARISON`: metric, organ, model_a, model_b; those of `evidence` (differences are a minus b on the
        same patient, see `statistics.paired_values`); missing (patients that are left out because one of them has no
        value although both have a Dice coefficient); missed_a and missed_b (see `statistics.misses`, summed over
        patients); seed_std_a and seed_std_b (see `statistics.seed_spread`); and those of `judge`. Every unordered pair
        once, in order of first appearance; no rows for a single model.

    Raises:
        ValueError: an organ is itself named `all`.
    """
    metrics, organs = statistics.metrics_of(per_case), [*per_case["organ"].unique(), ALL]
    spread = statistics.seed_spread(statistics.without_signs(per_case))
    pairs = list(combinations(per_case["model"].unique(), 2))
    with_dice = {pair: statistics.paired_values(per_case, "dice", pair).index for pair in pairs}
    tables = [pd.DataFrame(columns=COMPARISON)]
    for metric in metrics if pairs else []:
        rows = []
        for pair in pairs:
            values, missed = (of(per_case, metric, pair) for of in (statistics.paired_values, statistics.misses))
            own = training_values(per_case, metric, pair, filled=False).notna()  # a lent value shows no spread
            above = statistics.effects(training_values(per_case, metric, pair)).where(own).reindex(values.index)
            trained = [None if model in fixed else model for model in pair]
            lacking = with_dice[pair].difference(values.index).to_frame(index=False)
            missed_in_all = missed.groupby("organ").sum().reindex(organs, fill_value=0.0)  # neither may offer one
            for organ in organs:
                row = {"metric": metric, "organ": organ, "model_a": pair[0], "model_b": pair[1]}
                sample = paired(organ, values, missed, above, trained)
                row |= evidence.evidence(sample, sign(metric), (margins or {}).get(metric))
                row["missing"] = lacking.loc[(lacking["organ"] == organ) | (organ == ALL), "case"].nunique()
                for side, model in zip("ab", pair, strict=True):
                    row[f"missed_{side}"] = missed_in_all.loc[organ, model]
                    row[f"seed_std_{side}"] = spread.loc[(model, organ), metric]
                rows.append(row)
        tables.append(judge(pd.DataFrame(rows))[COMPARISON])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def paired(
    organ: str, values: pd.DataFrame, missed: pd.DataFrame, above: pd.DataFrame, trained: Sequence[str | None]
) -> Paired:
    """What two models score on an organ, or `all`, of the same patients.

    Args:
        organ: whose rows of the tables count.
        values: see `statistics.paired_values`; model a and model b.
        missed: see `statistics.misses`.
        above: see `statistics.effects`; the rows of `values`. NaN where a training has no value of its own.
        trained: of both models their name, or None where it is judged as the fixed thing it is.
    """
    values, shares, above = (
        table[table.index.get_level_values("organ") == organ] for table in (values, missed.round(6), above)
    )
    ahead = np.sign(shares.iloc[:, 1] - shares.iloc[:, 0])
    lost = ahead[(ahead != 0) & ~ahead.index.isin(values.index)]
    ahead = ahead.reindex(values.index, fill_value=0.0)
    own = [above.loc[:, above.columns.get_level_values("model") == model] for model in trained]
    if len(values):  # only the trainings that have a value on one of the patients
        own = [part.dropna(axis=1, how="all") for part in own]
    a, b = (None if model is None else part.to_numpy() for model, part in zip(trained, own, strict=True))
    fold_a, fold_b = (part.columns.get_level_values("fold").to_numpy() for part in own)
    return Paired(values.to_numpy(), (a, b), (fold_a, fold_b), ahead.to_numpy(), lost.to_numpy())
