"""What a study's methods say of its statistics: units, intervals, tests, and what the verdicts are about."""

from collections.abc import Mapping
from typing import Any

from organbench.analysis.evidence import LEAST_ORGANS
from organbench.reporting.wording import listed
from organbench.study import kinds


def statistics(config: Mapping[str, Any]) -> str:
    """Units, intervals, tests, the rule of the verdicts and what they are about."""
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
    return " ".join(sentences)


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
