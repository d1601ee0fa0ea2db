"""How often the rule of the verdicts says better or worse of networks that are equal, and finds those that are not.

Simulates whole studies and judges them with the library's own functions. A network's value of a patient is what the
patient has (which cancels), what the training has (normal, of the stated standard deviation, anew for every organ), and
a residual of network, training and patient. All in Dice points; six organs and their mean.

Usage: python benchmarks/false_verdicts.py [--studies 1000] [--processes 2]

It takes about half an hour on two cores, writes results/false_verdicts.json, and from that the tables of
docs/metrics.md; with `--tables` only the latter.
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
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT / "docs")]

import marked  # noqa: E402

from organbench.analysis import verdicts  # noqa: E402
from organbench.analysis.evidence import Paired, evidence  # noqa: E402
from organbench.analysis.statistics import ALL  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "false_verdicts.json"
BEGIN = "<!-- false verdicts, by benchmarks/false_verdicts.py -->\n"
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
    families = (found.iloc[start : start + len(names)] for start in range(0, len(found), len(names)))
    judged = [row for family in families for row in verdicts.decided(family)]
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


def simulate_all(studies: int, power_studies: int, processes: int) -> None:
    """Simulate all cells and keep their counts in results/."""
    kinds = cells()
    untold = [cell.shift > 0 or cell.folds * cell.seeds == 1 for cell in kinds]
    counted = []
    with ProcessPoolExecutor(processes) as pool:
        sizes = [power_studies if few else studies for few in untold]
        for found in pool.map(count, kinds, sizes, range(len(kinds))):
            counted.append(found)
            print(f"{len(counted)} of {len(kinds)}", end="\r", file=sys.stderr, flush=True)
    rows = [
        {**asdict(cell), "studies": number, **found} for cell, number, found in zip(kinds, sizes, counted, strict=True)
    ]
    RESULTS.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n" + "".join(f"| {' | '.join(row)} |\n" for row in [head, ["---"] * len(head), *rows])


def named(folds: int, seeds: int) -> str:
    """A design in words."""
    trained = f"{seeds} seed{'s' * (seeds > 1)}"
    return f"5 folds, {trained}" if folds > 1 else f"holdout, {trained}"


def plain(rows: pd.DataFrame) -> pd.Series:
    """Which cells are of the plain kind: every organ's trainings vary alike, and nothing else is odd."""
    alike = rows["training_sd"].isin(["0.5", "1.5", "3.0"]) & (rows["ratio"] == 1)
    return alike & (rows["common"] == 0) & (rows["interaction_sd"] == 0)


def errors(rows: pd.DataFrame, designs: list[tuple[int, int]]) -> str:
    """False verdicts on equal networks, and what tests over patients alone say."""
    largest = rows.loc[rows["any"].idxmax()]
    keys = ["folds", "seeds", "patients", "training_sd"]
    share = 100 * rows.groupby(keys)[["any", "any_weights"]].max()
    patients = sorted(rows["patients"].unique())
    cells = []
    for design in designs:
        row = [named(*design)]
        for n in patients:
            networks, weights = share.loc[(*design, n), "any"], share.loc[(*design, n), "any_weights"]
            row.append(" / ".join(f"{v:.1f}" for v in networks) + f" ({' / '.join(f'{v:.0f}' for v in weights)})")
        cells.append(row)
    return (
        'Share of studies of equal networks with any "better" or "worse", in %, where trainings vary by a standard '
        "deviation of 0.5 / 1.5 / 3 Dice points, for the larger of residuals of 3 and 4 points; in brackets by the "
        f"tests over patients alone. {rows['studies'].max()} studies each (100 where each network is trained once); "
        f"the largest is {100 * largest['any']:.1f} %.\n" + table(["", *(f"{n} patients" for n in patients)], cells)
    )


def power(rows: pd.DataFrame, designs: list[tuple[int, int]]) -> str:
    """How often networks that differ are found to."""
    place = rows.set_index(["folds", "seeds", "patients", "training_sd", "shift"])
    kinds = list(itertools.product((24, 60), ("0.5", "1.5", "3.0")))
    cells = []
    for design in designs:
        row = [named(*design)]
        for n, deviation in kinds:
            both = [place.loc[(*design, n, deviation, shift)] for shift in (2.0, 5.0)]
            two, five = (f"{own['organ']:.2f}, {own['all']:.2f}".replace("0.", ".") for own in both)
            row.append(f"{two} ({five})")
        cells.append(row)
    return (
        "\nPower where the first network is 2 (in brackets 5) points better on every organ, with a residual of 3 "
        "points: the share of organs that are found better and, after the comma, that of `all`. "
        f"{rows['studies'].min()} studies each.\n"
        + table(["", *(f"{n} patients, SD {deviation}" for n, deviation in kinds)], cells)
    )


def oddities(rows: pd.DataFrame, designs: list[tuple[int, int]]) -> str:
    """False verdicts on equal networks in studies that are less tidy."""
    kinds = {
        "organs' trainings vary by 0.5, 0.5, 1, 1, 3 and 3 points": rows["training_sd"].str.startswith("[0.5"),
        "by 0, 0, 1.5, 1.5, 1.5 and 1.5 points": rows["training_sd"].str.startswith("[0.0"),
        "the second network's vary a third as much as the first's": rows["ratio"] < 1,
        "networks differ from patient to patient by 3 points": rows["interaction_sd"] > 0,
        "seeds of a fold have half their variance in common": rows["common"] > 0,
    }
    cells = []
    for name, chosen in kinds.items():
        values = rows[chosen].set_index(["folds", "seeds"])["any"]
        cells.append([name, *(f"{100 * values[design]:.1f}" if design in values else "" for design in designs)])
    head = ["", *(named(*design) for design in designs)]
    words = f"\nThe same in %, with {rows['patients'].max()} patients, in studies that are less tidy:\n"
    return words + table(head, cells)


def tables(rows: pd.DataFrame) -> str:
    """What docs/metrics.md shows of the counts."""
    rows = rows.assign(training_sd=rows["training_sd"].map(str))
    tidy, equal = plain(rows), rows["shift"] == 0
    designs = list(rows.drop_duplicates(["folds", "seeds"])[["folds", "seeds"]].itertuples(index=False, name=None))
    several = [(folds, seeds) for folds, seeds in designs if folds * seeds > 1]
    parts = [errors(rows[tidy & equal], designs), power(rows[tidy & ~equal & (rows["residual_sd"] == 3)], several)]
    return "\n" + "".join([*parts, oddities(rows[~tidy], several)]) + "\n"


def main() -> None:
    """Simulate, unless only the tables are asked for, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000, help="of each kind without a difference")
    parser.add_argument("--power-studies", type=int, default=100, help="with a difference, or once trained")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--tables", action="store_true", help="simulate nothing, write the tables anew")
    arguments = parser.parse_args()
    if not arguments.tables:
        simulate_all(arguments.studies, arguments.power_studies, arguments.processes)
    marked.replace(ROOT / "docs" / "metrics.md", BEGIN, tables(pd.DataFrame(json.loads(RESULTS.read_text()))))


if __name__ == "__main__":
    main()
