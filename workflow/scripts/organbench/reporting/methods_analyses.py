"""What the Methods paragraph says of the analyses beside the verdicts: rankings, failures and groups.

Each function gives sentences, none where the study has no such analysis; see `methods`.
"""

from collections.abc import Mapping
from typing import Any


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
