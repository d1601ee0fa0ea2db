"""From a study's finished trainings to one file that segments new patients, see `inference.models`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from organbench.core import outside
from organbench.core.errors import InputError
from organbench.core.runs import read_cost
from organbench.data import cases, ranges
from organbench.inference import models
from organbench.inference.settings import Prediction
from organbench.study import identity

Infos = Mapping[str, Mapping[str, Any]]
"""What the `case.json` of each usable case holds, by its name."""


@dataclass(frozen=True)
class Training:
    """A training that is packed.

    Attributes:
        folder: of its run.
        network: the name of its network, as the study has it now.
        training: names of the cases that it was trained on.
        validation: of those that it was validated on.
    """

    folder: str
    network: str
    training: Sequence[str]
    validation: Sequence[str]


@dataclass(frozen=True)
class Contents:
    """What is packed.

    Attributes:
        model: what it is.
        states: the weights of each training, as torch holds them.
        sources: files of networks, by their names in the archive.
        annotated: in how many training cases each organ is.
    """

    model: models.Model
    states: Sequence[Mapping[str, Any]]
    sources: Mapping[str, bytes]
    annotated: Mapping[str, int]


def read_infos(paths: Sequence[str | Path], organs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the `case.json` of each usable case holds, by its name, with the organs called as they are now."""
    return {info["case"]: info for info in cases.sort_out(paths, {}, organs)[0]}


def contents(
    trainings: Sequence[Training],
    infos: Infos,
    *,
    name: str,
    study: str,
    organs: Mapping[str, Sequence[int]],
    spacing: Sequence[float | None],
    prediction: Prediction,
) -> Contents:
    """Gather what a packed model holds.

    Args:
        trainings: those whose probabilities are averaged.
        infos: of their cases.
        name: of the model.
        study: its name.
        organs: name of each organ and its label values.
        spacing: mm, x y z, of the working grid.
        prediction: how the study predicts.

    Raises:
        InputError: weights are damaged or another training's, or a network's file cannot be packed.
    """
    members, states = [], []
    sources: dict[str, bytes] = {}
    for training in trainings:
        network, recipe = models.trained(Path(training.folder, "weights.pt"), training.network, list(organs))
        is_outside = outside.is_outside(training.network)
        for file, content in files_of(training.network).items() if is_outside else ():
            if sources.setdefault(file, content) != content:
                raise InputError(f"{file}: is the name of two networks' files that differ; rename one of the two")
        versions = read_cost(training.folder).get("versions", {})
        members.append(
            models.Member(
                recipe=recipe,
                training=hashes(training.training, infos),
                validation=hashes(training.validation, infos),
                versions={part: str(version) for part, version in versions.items() if version},
                code=outside.code_of(training.network) if is_outside else {},
            )
        )
        states.append(network)
    learned = {case: infos[case] for training in trainings for case in training.training if case in infos}
    model = models.Model(
        name=name,
        study=study,
        organs=organs,
        spacing=tuple(spacing),
        prediction=prediction,
        members=tuple(members),
        trained_on=ranges.of_cases(learned.values()),
        sources=tuple(sources),
    )
    annotated = {organ: sum(info["original_voxels"][organ] > 0 for info in learned.values()) for organ in organs}
    return Contents(model, states, sources, annotated)


def hashes(names: Sequence[str], infos: Infos) -> tuple[str, ...]:
    """A hash of the arrays of each case that could be used."""
    return tuple(identity.arrays_of(infos[case]) for case in names if case in infos)


def files_of(network: str) -> dict[str, bytes]:
    """The source files of a network that no package has, by their names in an archive."""
    return {f"source/{name}": file.read_bytes() for name, file in outside.sources_of(network).items()}
