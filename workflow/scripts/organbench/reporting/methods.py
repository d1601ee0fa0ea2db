"""The Methods section of a paper, from the settings, data and versions of a finished study.

Its words are those of workflow/report/methods.md.j2; here is what they are filled with.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from itertools import groupby
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from organbench.analysis.evidence import LEAST_ORGANS
from organbench.core import outside
from organbench.data import splits
from organbench.evaluation.registry import METRICS
from organbench.learning import choices
from organbench.learning.augmentations import is_on
from organbench.learning.settings import Training
from organbench.study import protocol, tuning
from organbench.study.settings import Study

PACKAGES = ("SimpleITK", "numpy", "scipy", "pandas", "surface-distance")


def text(
    study: Study,
    folds: Sequence[splits.Fold],
    cases: pd.DataFrame,
    excluded: pd.DataFrame,
    costs: Mapping[str, Mapping[str, Any]],
    template: str,
    references: str,
    fixed: protocol.Protocol | None = None,
    converged: pd.DataFrame | None = None,
    warnings: Sequence[str] = (),
    tuned: pd.DataFrame | None = None,
) -> str:
    """A study's methods as Markdown: a paragraph a topic, then the BibTeX entries of what is cited.

    Args:
        study: its settings.
        folds: who trains, validates and tests, those too that were left out.
        cases: `tables/cases.csv`.
        excluded: `tables/bad_cases.csv`, the cases that were left out.
        costs: `cost.json` of one run of each model that was trained.
        template: the words, in Jinja's syntax.
        references: BibTeX entries, of which those that are cited are appended.
        fixed: what was fixed before results were seen; None where nothing has been predicted yet.
        converged: `tables/convergence.csv`: whether training had converged.
        warnings: what `tables/warnings.csv` says; it stands first.
        tuned: `tables/tuning.csv`, where settings were tuned.
    """
    folds = splits.without(folds, dict(zip(excluded["case"], excluded["reason"], strict=True)))
    of_network = {name: flat(network.training) for name, network in study.networks.items()}
    common = shared(flat(study.training), list(of_network.values()))
    norms: dict[str, list[str]] = {}
    for name, network in study.networks.items():
        if not outside.is_outside(network.options["network"]):  # whose layers may be others
            norms.setdefault(network.training.norm, []).append(name)
    volumes = cases[[f"{organ}_ml" for organ in study.dataset.organs]]  # NaN: not annotated
    learned = cases["case"].isin({case for fold in folds for case in fold["train"]})
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 (no HTML)
    environment.filters |= FILTERS
    filled = environment.from_string(template).render(
        study=study,
        folds=folds,
        cases=cases,
        excluded=excluded,
        costs=costs,
        warnings=warnings,
        unannotated=bool(volumes.isna().any(axis=None)),
        masked=bool(volumes[learned].isna().any(axis=None)),
        division=splits.METHODS[study.split.method].sentence.format(folds=len(folds), seed=study.split.seed),
        roles={role: [len(fold[role]) for fold in folds] for role in splits.ROLES},
        norms=norms,
        common=common,
        pretrained=[name for name, network in study.networks.items() if "pretrained" in network.options],
        differences={name: own for name, values in of_network.items() if (own := differences(values, common))},
        augmentations=augmentations(common),
        flips={axis for values in of_network.values() for axis in values["augmentation_flip"]},
        candidates=len(tuning.candidates(study.tune)),
        chosen={} if tuned is None else chosen(tuned, list(study.tune)),
        trainings=0 if tuned is None else len(tuned),
        failed=0 if tuned is None else int(tuned["failed"].sum()),
        converged={} if converged is None else converged.groupby("verdict", sort=False)["model"].agg(list).to_dict(),
        metrics=[metric for metric in METRICS.values() if study.dataset.dose or not metric.dosed],
        least_organs=LEAST_ORGANS,
        fixed=fixed,
        changes=protocol.changes(fixed, study.fixes) if fixed else [],
        protocol_file=protocol.FILE,
        packages={name: metadata.version(name) for name in PACKAGES},
        ran_on={part: ran_on(costs, part) for part in ("python", "torch", "cuda", "device", "precision")},
    )
    body = "\n\n".join(paragraphs(filled))
    entries = {re.search(r"{(\w+),", entry)[1]: entry for entry in references.strip().split("\n\n")}  # type: ignore[index]
    cited = "\n\n".join(entries[key] for key in sorted(set(re.findall(r"@(\w+)", body))))
    return f"{body}\n\n## References\n\n```bibtex\n{cited}\n```\n"


def paragraphs(filled: str) -> list[str]:
    """Headings, and what is between them, each in one line."""
    lines = [line.strip() for line in filled.split("\n") if line.strip()]
    return [" ".join(same) for _, same in groupby(lines, key=lambda line: line.startswith("#") and line)]


def flat(training: Training) -> dict[str, Any]:
    """A network's settings by their names, such as steps and augmentation_flip."""
    settings = asdict(training)
    return settings | {f"augmentation_{key}": value for key, value in settings.pop("augmentation").items()}


def shared(given: Mapping[str, Any], own: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What can be said of the networks in common: each setting as at least one of them has it.

    Args:
        given: the study's common settings, each of which may be that of no network, as entries override them.
        own: those of each network.

    Returns:
        The common value of each setting where a network has it, and that of the first network otherwise.
    """
    values = {key: [each[key] for each in own] or [value] for key, value in given.items()}
    return {key: value if value in values[key] else values[key][0] for key, value in given.items()}


def differences(own: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a network that are not the common ones, but the norm, which is told with the networks."""
    return {key: value for key, value in own.items() if value != common[key] and key != "norm"}


def augmentations(settings: Mapping[str, Any]) -> list[str]:
    """What crops were changed by."""
    found = {phrase: settings[f"augmentation_{key}"] for key, phrase in choices.augmentations().items()}
    return [filled(phrase, value) for phrase, value in found.items() if is_on(value)]


def filled(phrase: str, setting: Any) -> str:
    """What is said of an augmentation, with its setting."""
    if isinstance(setting, Mapping):
        return phrase.format(*setting["range"], setting["probability"])
    return phrase.format(listed(setting) if isinstance(setting, list | tuple) else setting)


def chosen(tuned: pd.DataFrame, keys: Sequence[str]) -> dict[str, dict[tuple[Any, ...], list[str]]]:
    """Of each network the values of the keys that were chosen, with the folds in which they were."""
    models = tuned[tuned["chosen"]].groupby("model", sort=False)
    return {
        model: {values: list(same["fold"]) for values, same in rows.groupby(list(keys), sort=False)}
        for model, rows in models
    }


def ran_on(costs: Mapping[str, Mapping[str, Any]], part: str) -> list[str]:
    """All versions of a software, or all devices or precisions, that networks were trained with."""
    return sorted({found for cost in costs.values() if (found := (cost | cost["versions"]).get(part))})


def versions(costs: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """What every training and this job ran on: columns used_by, software, version; devices are among them."""
    rows = [("tables", name, metadata.version(name)) for name in PACKAGES]
    for name, cost in costs.items():
        rows += [(f"training of {name}", part, version) for part, version in cost["versions"].items() if version]
        rows += [(f"training of {name}", part, cost[part]) for part in ("device", "threads", "precision")]
    return pd.DataFrame(rows, columns=["used_by", "software", "version"])


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def words(name: str) -> str:
    """A name of the configuration as words."""
    return name.replace("_", " ")


def listed(parts: str | Iterable[object], comma: str = ", ", last: str = " and ") -> str:
    """`a`, `a and b`, `a, b and c`; of a text each line that is not empty is a part."""
    found = list(filter(str.strip, parts.split("\n"))) if isinstance(parts, str) else [str(part) for part in parts]
    return last.join(filter(None, [comma.join(map(str.strip, found[:-1])), *map(str.strip, found[-1:])]))


def spread(values: pd.Series) -> str:
    """Median and range; one number where all are equal."""
    low, high = float(values.min()), float(values.max())
    return f"{low:g}" if np.isclose(low, high) else f"{values.median():.3g} ({low:.3g} to {high:.3g})"


def between(counts: Sequence[int]) -> str:
    """One number, or the range over folds."""
    return str(counts[0]) if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"


def shown(value: Any, key: str) -> str:
    """A setting's value in words."""
    if isinstance(value, tuple | list):
        return listed(value) or "none" if key == "augmentation_flip" else " x ".join(map(str, value))
    if isinstance(value, Mapping):
        return listed([f"{key} {shown(own, key)}" for key, own in value.items()])
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(choices.phrases(key).get(value, value) if key in choices.FOLDERS else value)


def number(value: float, digits: int = 6) -> str:
    """A number with so many digits that count."""
    return f"{value:.{digits}g}"


def percent(share: float) -> str:
    """A share in per cent."""
    return f"{share:.0%}"


SAID = (duration, words, listed, spread, between, shown, number, percent, outside.without_place)
FILTERS = {function.__name__: function for function in SAID}
