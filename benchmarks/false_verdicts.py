"""How often the rule of the verdicts says better or worse of networks that are equal, and finds those that are not.

Simulates whole studies and judges them with the library's own functions. A network's value of a patient is what the
patient has (which cancels), what the training has (normal, of the stated standard deviation, anew for every organ), and
a residual of network, training and patient. All in Dice points; six organs and their mean.

Usage: python benchmarks/false_verdicts.py [--studies 1000] [--processes 2] && python benchmarks/report.py
"""

import argparse
import itertools
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from organbench import verdicts  # noqa: E402
from organbench.evidence import Paired, evidence  # noqa: E402
from organbench.statistics import ALL  # noqa: E402

ORGANS = 6
POINT = 0.01  # of Dice


@dataclass(frozen=True)
class Cell:
    """A kind of study.

    Attributes:
        folds: 1 for a holdout.
        seeds: trainings of each network, in each fold.
        patients: that are tested on.
        training_sd: standard deviation of what a training has, Dice points, of the first network; one number, or one an
            organ.
        residual_sd: standard deviation of the residual of network, training and patient, Dice points.
        shift: by how much the first network is better on every organ, Dice points.
        ratio: standard deviation of the second network's trainings, as a share of the first's.
        interaction_sd: standard deviation of what network and patient have together in every training.
        common: share of the trainings' variance that all seeds of a fold have in common: what it was trained on.
    """

    folds: int
    seeds: int
    patients: int
    training_sd: float | tuple[float, ...]
    residual_sd: float
    shift: float = 0.0
    ratio: float = 1.0
    interaction_sd: float = 0.0
    common: float = 0.0


def simulate(cell: Cell, rng: np.random.Generator) -> list[Paired]:
    """A study's values of two networks, for each organ and their mean."""
    fold = np.arange(cell.patients) * cell.folds // cell.patients
    deviation = np.broadcast_to(np.asarray(cell.training_sd, float), ORGANS)[:, None, None]
    networks = []
    for number in range(2):
        shape = (ORGANS, cell.folds, cell.seeds)
        training = np.sqrt(1 - cell.common) * rng.normal(size=shape)
        training += np.sqrt(cell.common) * rng.normal(size=(*shape[:2], 1))
        values = training[:, fold] * deviation * (cell.ratio if number else 1.0)  # organ, patient, seed
        values = values + rng.normal(0, cell.residual_sd, values.shape) + (0.0 if number else cell.shift)
        values += rng.normal(0, cell.interaction_sd, (*values.shape[:2], 1))
        networks.append(np.concatenate([values, values.mean(axis=0, keepdims=True)]) * POINT)
    return [paired(a, b, fold) for a, b in zip(*networks, strict=True)]


def paired(a: np.ndarray, b: np.ndarray, fold: np.ndarray) -> Paired:
    """The values (patient, seed) of two networks as the library has them: a column a fold and seed."""
    folds, seeds = int(fold.max()) + 1, a.shape[1]
    tested = np.repeat(fold[:, None] == np.arange(folds), seeds, axis=1)
    means = np.stack([a.mean(axis=1), b.mean(axis=1)], axis=1)
    effects = [np.where(tested, np.tile(own - own.mean(axis=1, keepdims=True), folds), np.nan) for own in (a, b)]
    columns = np.repeat(np.arange(folds), seeds)
    nobody = np.zeros(len(fold))
    return Paired(means, (effects[0], effects[1]), (columns, columns), nobody, nobody[:0])


def count(cell: Cell, studies: int, seed: int) -> dict[str, float]:
    """The share of studies with a verdict, and how many organs got the right one."""
    rng = np.random.default_rng(seed)
    names = [*(f"organ{number}" for number in range(ORGANS)), ALL]
    rows = [
        {
            "metric": "dice",
            "organ": organ,
            "model_a": f"a{study}",
            "model_b": f"b{study}",
            "missed_a": 0.0,
            "missed_b": 0.0,
            **evidence(sample, 1),
        }
        for study in range(studies)
        for organ, sample in zip(names, simulate(cell, rng), strict=True)
    ]
    found = verdicts.tested(pd.DataFrame(rows))
    judged = verdicts.decided(found, families=np.arange(len(rows)) // len(names))
    said = {
        of: np.array([row[f"verdict{of}"] in ("better", "worse") for row in judged]).reshape(studies, len(names))
        for of in ("", "_weights")
    }
    return {
        "any": float(said[""].any(axis=1).mean()),
        "organ": float(said[""][:, :-1].mean()),
        "all": float(said[""][:, -1].mean()),
        "any_weights": float(said["_weights"].any(axis=1).mean()),
    }


def cells() -> list[Cell]:
    """Every kind of study that is simulated: without a difference, with one, and less tidy ones without."""
    designs = [(1, seeds) for seeds in (1, 2, 3, 5)] + [(5, seeds) for seeds in (1, 2, 3)]
    found = [
        Cell(folds, seeds, patients, training, residual, shift)
        for (folds, seeds), patients, training, residual, shift in itertools.product(
            designs, (12, 24, 60), (0.5, 1.5, 3.0), (3.0, 4.0), (0.0, 2.0, 5.0)
        )
        if not shift or folds * seeds > 1  # with one training nothing is said of networks
    ]
    for (folds, seeds), patients in itertools.product(designs[1:], (60,)):
        found.append(Cell(folds, seeds, patients, (0.5, 0.5, 1.0, 1.0, 3.0, 3.0), 3.0))
        found.append(Cell(folds, seeds, patients, (0.0, 0.0, 1.5, 1.5, 1.5, 1.5), 3.0))
        found.append(Cell(folds, seeds, patients, 1.5, 3.0, ratio=1 / 3))
        found.append(Cell(folds, seeds, patients, 1.5, 3.0, interaction_sd=3.0))
        if folds > 1 and seeds > 1:
            found.append(Cell(folds, seeds, patients, 1.5, 3.0, common=0.5))
    return found


def main() -> None:
    """Simulate all cells and keep their counts in results/."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000, help="of each kind without a difference")
    parser.add_argument(
        "--power-studies", type=int, default=200, help="of each kind with one, or with one training each"
    )
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    kinds = cells()
    untold = [cell.shift > 0 or cell.folds * cell.seeds == 1 for cell in kinds]
    studies = [arguments.power_studies if few else arguments.studies for few in untold]
    counted = []
    with ProcessPoolExecutor(arguments.processes) as pool:
        for found in pool.map(count, kinds, studies, range(len(kinds))):
            counted.append(found)
            print(f"{len(counted)} of {len(kinds)}", end="\r", file=sys.stderr, flush=True)
    rows = [
        {**asdict(cell), "studies": number, **found}
        for cell, number, found in zip(kinds, studies, counted, strict=True)
    ]
    path = ROOT / "benchmarks" / "results" / "false_verdicts.json"
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
