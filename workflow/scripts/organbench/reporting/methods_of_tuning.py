"""How settings were tuned, in the words of a paper."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from organbench.data import splits
from organbench.reporting.wording import between, listed, words
from organbench.study import kinds
from organbench.study.tuning import candidates


def tuning(config: Mapping[str, Any], folds: Sequence[splits.Fold], tuned: pd.DataFrame | None) -> str:
    """What was tuned, by what and from what, and what each network got; or that nothing was.

    Args:
        config: the study's resolved configuration.
        folds: who trains, validates and tests.
        tuned: `tables/tuning.csv`, where settings were tuned.
    """
    tune = config["training"]["tune"]
    trained = kinds.trained(config)
    if not tune:
        several = ": networks shared these settings, which may suit one better than another"
        return f"Nothing was tuned by the workflow{several if len(trained) > 1 else ''}."
    keys = listed([words(key) for key in tune])
    values = "; ".join(f"{words(key)} {', '.join(map(str, tried[:-1]))} or {tried[-1]}" for key, tried in tune.items())
    count = len(candidates(tune))
    cases = between([len(fold["validation"]) for fold in folds])
    sentences = [
        f"For every network and fold we chose {keys} by the Dice on the fold's {cases} validation "
        f"case{'s' * (cases != '1')} (mean over organs) among the same {count} candidates "
        f"({values}{'; all combinations' * (len(tune) > 1)}), each trained in full with seed "
        f"{config['training']['seeds'][0]}. The fewer validation cases, the less certain is such a choice."
    ]
    if tuned is None:
        return sentences[0]
    for model, rows in tuned[tuned["chosen"]].groupby("model", sort=False):
        got = []
        for found, same in rows.groupby(list(tune), sort=False):
            where = [str(fold) for fold in same["fold"]]
            place = f" (fold{'s' * (len(where) > 1)} {listed(where)})" if len(where) < len(rows) else ""
            got.append(listed([f"{words(key)} {value}" for key, value in zip(tune, found, strict=True)]) + place)
        sentences.append(f"{model} got {'; '.join(got)}.")
    if failed := int(tuned["failed"].sum()):
        sentences.append(f"{failed} of the {len(tuned)} candidates' trainings diverged and could not be chosen.")
    return " ".join(sentences)
