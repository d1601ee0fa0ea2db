"""A study as values with a type, made once from its checked configuration: what its methods tell, and its jobs ask by.

Nothing that shapes a result imports this: it would become an input of jobs, and an edit would make them anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from organbench.core.files import tuples
from organbench.data import splits
from organbench.inference.settings import Prediction
from organbench.learning.settings import Training
from organbench.study import kinds, protocol
from organbench.study.kinds import network


@dataclass(frozen=True)
class Phantom:
    """The config's `dataset.phantom`: how many cases are generated, from which seed, of how many voxels (x y z)."""

    cases: int
    seed: int
    size: tuple[int, int, int]


@dataclass(frozen=True)
class Dataset:
    """Of the config's `dataset` where cases are from, what they are cited by, their organs and pairs, groups, doses."""

    source: str
    citation: str | None
    organs: tuple[str, ...]
    group: str | None
    dose: str | None
    mirrored: Mapping[str, str]
    phantom: Phantom


@dataclass(frozen=True)
class Preprocessing:
    """The config's `preprocessing`: the working spacing (mm, x y z; None keeps an axis) and the HU that are seen."""

    spacing: tuple[float | None, ...]
    window: tuple[float, float]


@dataclass(frozen=True)
class Evaluation:
    """The config's `evaluation`; one tolerance is that of each organ."""

    tolerance_mm: float | Mapping[str, float]
    decides: str
    margin: Mapping[str, float]
    failure: float


@dataclass(frozen=True)
class Network:
    """A model that is trained: its network's options, and how it is trained."""

    options: Mapping[str, Any]
    training: Training


@dataclass(frozen=True)
class Study:
    """A study.

    Attributes:
        name: what its folder of results is called.
        dataset: its cases.
        preprocessing: how they are brought to the working grid.
        split: who trains, validates and tests.
        models: the names of all.
        networks: those that the rule `train` makes, by name.
        trained: the names of all that are trained here.
        fixed: the names of those that are not.
        words: what is to be said of models of other kinds than networks.
        training: what models have in common, where their entries do not say otherwise.
        seeds: of the trainings of each network.
        tune: the values that are tried of each setting that is tuned.
        prediction: how trained networks predict.
        evaluation: how predictions are judged.
        fixes: what of it is written down before results are seen.
    """

    name: str
    dataset: Dataset
    preprocessing: Preprocessing
    split: splits.Settings
    models: tuple[str, ...]
    networks: Mapping[str, Network]
    trained: tuple[str, ...]
    fixed: tuple[str, ...]
    words: tuple[str, ...]
    training: Training
    seeds: tuple[int, ...]
    tune: Mapping[str, Sequence[Any]]
    prediction: Prediction
    evaluation: Evaluation
    fixes: protocol.Values

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Study":
        """The study of a checked configuration."""
        dataset, training, prediction = config["dataset"], dict(config["training"]), config["prediction"]
        seeds, tune = training.pop("seeds"), training.pop("tune")
        own = {name: network.settings(name, config) for name in kinds.networks(config)}
        told = [kinds.of(name, config).words(name, config) for name in config["models"]]
        return cls(
            name=config["study"],
            dataset=Dataset(
                source=dataset["source"],
                citation=dataset["citation"],
                organs=tuple(dataset["organs"]),
                group=dataset["group"],
                dose=dataset["dose"],
                mirrored=dataset["mirrored"],
                phantom=Phantom(**tuples(dataset["phantom"])),
            ),
            preprocessing=Preprocessing(**tuples(config["preprocessing"])),
            split=splits.Settings(**config["split"]),
            models=tuple(config["models"]),
            networks={
                name: Network(options, Training(**tuples(settings))) for name, (options, settings) in own.items()
            },
            trained=tuple(kinds.trained(config)),
            fixed=tuple(kinds.fixed(config)),
            words=tuple(filter(None, told)),
            training=Training(**tuples(training)),
            seeds=tuple(seeds),
            tune=tune or {},
            prediction=Prediction(**tuples({key: prediction[key] for key in prediction if key != "formats"})),
            evaluation=Evaluation(**config["evaluation"]),
            fixes=protocol.Values.of(config["evaluation"], list(dataset["organs"])),
        )
