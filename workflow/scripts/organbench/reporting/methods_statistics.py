"""What a study's methods say of its statistics: units, intervals, tests, verdicts, rankings, failures and groups.

Each function gives sentences, none where the study has no such analysis; see `methods`.
"""

from collections.abc import Mapping
from typing import Any

from organbench.analysis.evidence import LEAST_ORGANS
from organbench.reporting.wording import listed
from organbench.study import kinds


def statistics(config: Mapping[str, Any]) -> str:
    """Units, intervals, tests, the rule of the verdicts and what they are about; and the analyses beside them."""
    steps = ["seeds"] * (len(config["training"]["seeds"]) > 1) + ["scans"] * bool(config["split"]["patient"])
    first = f" first averaged over {listed(steps)}, then" if steps else ""
    sentences = [
        f"The patient was the unit of analysis: values were{first} summarised over patients with 95 % bootstrap "
        "intervals (bias-corrected and accelerated, 2000 resamples [@efron1987], at a level raised for small samples "
        "[@hesterberg2015])."
    ]
    if len(config["models"]) > 1:
        sentences += [
            "Networks were compared on the same organs of the same patients.",
            variance(config),
            rule(config["evaluation"]["margin"]),
        ]
    if len(config["models"]) > 2:
        sentences.append(
            "Average ranks were compared by Friedman's test and Nemenyi's critical difference [@demsar2006]."
        )
    return " ".join([*sentences, *ranking(config), *failures(config), *groups(config)])


def variance(config: Mapping[str, Any]) -> str:
    """What the intervals and tests of a difference count: patients, and trainings where there were several."""
    shared = (
        " An organ's variance over trainings was moderated towards the mean over organs, upwards only, in the manner "
        "of Smyth [@smyth2004]."
        if len(config["dataset"]["organs"]) >= LEAST_ORGANS
        else ""
    )
    fixed = kinds.fixed(config)
    judged = f" No spread over trainings was counted for {listed(fixed)}, judged as fixed." if fixed else ""
    if config["split"]["method"] == "kfold":
        return (
            "Every fold was a training of its own: the mean differences of the folds, which vary with patients, seeds "
            f"and training sets, were tested and gave the intervals.{shared}{judged}"
        )
    if len(config["training"]["seeds"]) > 1:
        return (
            "The variance of a mean difference was the sum of that over patients and that over the trainings of both "
            "networks [@clark1973], with degrees of freedom after Satterthwaite [@satterthwaite1946]."
            f"{shared}{judged}"
        )
    return (
        "Every network was trained once, so intervals and tests are over patients alone: they are true of these "
        f"weights, nothing can be said of the networks, and every verdict on networks is undecided.{judged}"
    )


def rule(margin: Mapping[str, float]) -> str:
    """The rule of the verdicts."""
    margins = [f"{value:g} ({metric})" for metric, value in margin.items() if value]
    equivalent = (
        ", and equivalent where two one-sided t-tests [@schuirmann1987] showed their mean difference to be within "
        f"a margin of {listed(margins)}"
        if margins
        else ""
    )
    return (
        "A network was called better where the Wilcoxon signed-rank test over patients [@wilcoxon1945] and the t-test "
        f"of the mean difference both gave p < 0.05 in the same direction{equivalent}; otherwise the pair was "
        "undecided. In a metric that has no value where an organ was missed, a patient on whom only one network missed "
        "it ranked as that network's worst, and a network that missed an organ more often was never called better. All "
        "p values were corrected after Holm over the organs and pairs of a metric [@holm1979]."
    )


def ranking(config: Mapping[str, Any]) -> list[str]:
    """How it was asked whether the ranking is stable."""
    if len(config["models"]) < 2:
        return []
    several = len(config["training"]["seeds"]) > 1
    trainings = ", and of each model its trainings (one fewer than there are [@rao1988])," if several else ""
    folds = " within folds" if config["split"]["method"] == "kfold" else ""
    alone = "" if several else " As every model was trained once, this is about the trained weights."
    return [
        f"To see how stable the ranking by means was, we drew patients{trainings} 1000 times with replacement{folds} "
        f"and ranked the models each time [@wiesenfarth2021].{alone}"
    ]


def failures(config: Mapping[str, Any]) -> list[str]:
    """What counts as a failure, and how failures are compared."""
    several = " (mean over trainings)" if len(config["training"]["seeds"]) > 1 else ""
    sentences = [
        f"We counted the patients with a Dice{several} below {config['evaluation']['failure']:g}, and those in whom an "
        "organ was missed entirely, with exact 95 % intervals [@clopper1934]."
    ]
    if len(config["models"]) > 1:
        sentences.append(
            "Models' failures on the same patients were compared by McNemar's exact test [@mcnemar1947], with p "
            "values corrected after Holm over all organs, pairs and both kinds of failure; these tests are about the "
            "trained weights."
        )
    return sentences


def groups(config: Mapping[str, Any]) -> list[str]:
    """How results were told by group."""
    if config["dataset"]["group"] is None:
        return []
    if len(config["models"]) < 2:
        return ["Results were also summarised by group of patients."]
    trainings = ", and of trainings where both models had several," if len(config["training"]["seeds"]) > 1 else ""
    return [
        "Results were also summarised by group of patients, and we tested whether the difference of two models "
        "was another in a group than in all other groups: a t-test of the difference of mean differences, with the "
        f"variance of patients{trainings} and Satterthwaite's degrees of freedom [@satterthwaite1946], corrected "
        "after Holm over the organs, pairs and groups of a metric."
    ]
