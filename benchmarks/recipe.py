"""Which recipe of training is best at equal processor time? Measured on OpenKBP's patients, chosen by validation alone.

Each choice changes one thing of config/openkbp.yaml's U-Net. The twelve patients that the study tests on are never
read; the others are cross-validated: a fold trains on three quarters of them and is scored on the rest. All choices get
equal processor time: one whose step costs twice as much as the recipe's gets half as many steps. What a step costs is
measured first, in turns with the recipe as it is, so that other work on the machine is felt by both.

A run is a row of `recipe-<steps>.csv` in the work folder. Runs that have a row are not done again, so the program may
be ended at any time and called again; it takes all choices of a fold before it goes on to the next. At the end it says
what each choice brings, as paired differences from the recipe as it is.

Usage: python benchmarks/recipe.py FOLDER [--work FOLDER] [--minutes 60] [--steps 300] [--only NAME ...]
"""

import argparse
import copy
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

PATIENTS = yaml.safe_load((ROOT / "config/openkbp.yaml").read_text())

NO_FLIPS = {"training": {"augmentation": {"flip": []}}, "prediction": {"mirror": False}}
THREE_D = {"dims": 3, "patch": [32, 64, 64], "batch_size": 2, "features": [16, 32, 64, 128]}


def some(name: str, probability: float) -> dict[str, Any]:
    """A choice that adds an augmentation of some crops, with the range that it has by default (nnU-Net's)."""
    return training(augmentation={name: {"probability": probability}})


def training(**settings: Any) -> dict[str, Any]:
    """A choice that changes settings of the training."""
    return {"training": settings}


def window(low: int, high: int) -> dict[str, Any]:
    """A choice of the HU that a network sees."""
    return {"preprocessing": {"window": [low, high]}}


def three_d(**augmentation: Any) -> dict[str, Any]:
    """A choice that trains in 3D."""
    return {"models": {"unet": {"network": "unet"} | THREE_D}} | training(context=0, augmentation=augmentation)


AS_IS = "as it is"
CHOICES: dict[str, dict[str, Any]] = {
    AS_IS: {},
    "flips, not averaged": {"prediction": {"mirror": False}},
    "no flips": NO_FLIPS,
    "blur": some("blur", 0.2),
    "low resolution": some("low_resolution", 0.25),
    "brightness": some("brightness", 0.15),
    "brightness shift": some("brightness_shift", 0.15),
    "contrast": some("contrast", 0.15),
    "stronger turns": training(augmentation={"rotation": 30, "scale": 0.3}),
    "no gamma": training(augmentation={"gamma": 0}),
    "ema .99": training(ema=0.99),
    "ema .999": training(ema=0.999),
    "cosine": training(schedule="cosine"),
    "no warm-up": training(warmup=0),
    "batch 4": training(batch_size=4),
    "batch 16": training(batch_size=16),
    "rate .001": training(learning_rate=1e-3),
    "rate .01": training(learning_rate=1e-2),
    "clip 12": training(gradient_clip=12.0),
    "dice alone": training(loss="dice"),
    "cross-entropy alone": training(loss="ce"),
    "organs in two thirds": training(foreground=0.67),
    "instance norm": training(norm="instance"),
    "deep supervision": training(deep_supervision=True),
    "patch 48": training(patch=[48, 48]),
    "patch 96": training(patch=[96, 96]),
    "five slices": training(context=2),
    "window -500 to 500": window(-500, 500),
    "window -150 to 250": window(-150, 250),
    "largest parts kept": {"prediction": {"keep_largest": list(PATIENTS["dataset"]["organs"])}},
    "no weight decay": training(weight_decay=0.0),
    "3D": three_d(),
    "3D, tilted": three_d(tilt={"probability": 0.2}),
}
TURNS, TAKEN = 5, 6  # turns, of so many steps each, to see how much dearer a choice is
LOST = 0.05  # Dice of an organ that is not learned

KEYS = ("choice", "fold", "seed")

Job = dict[str, Any]


def study(choice: str) -> dict[str, Any]:
    """The whole configuration of a choice, checked."""
    from organbench.study import configuration, merging, schema

    defaults = yaml.safe_load((ROOT / "config.yaml").read_text())
    given = copy.deepcopy(PATIENTS)  # which merging changes
    given["models"] = {"unet": given["models"]["unet"]}
    known = schema.load(ROOT / "workflow" / "schemas" / "config.schema.yaml")
    return configuration.resolve(merging.merge(given, CHOICES[choice]), defaults, known)


def prepared(root: Path, work: Path) -> list[str]:
    """Prepare all patients of a folder, once; their names."""
    from organbench.data import conversion

    config = study(AS_IS)
    names = sorted((path.name.split("-")[1].split(".")[0] for path in root.glob("volume-*.nii.gz")), key=int)
    for name in names:
        if not (work / "cases" / name / "case.json").exists():
            files = [root / f"{kind}-{name}.nii.gz" for kind in ("volume", "labels")]
            options = {"organs": config["dataset"]["organs"], "spacing": config["preprocessing"]["spacing"]}
            conversion.convert(name, *files, work / "cases" / name, **options)
    return names


def folds(names: list[str], count: int = 4) -> list[dict[str, list[str]]]:
    """Folds of the patients that config/openkbp.yaml does not test on: who trains, and who validates."""
    from organbench.data import splits

    settings = {key: value for key, value in study(AS_IS)["split"].items() if key != "method"}
    held_out = splits.split(names, method="holdout", **settings)[0]["test"]
    others = [name for name in names if name not in held_out]
    divided = splits.split(others, method="kfold", folds=count, validation_fraction=0.0)
    return [{"train": fold["train"], "validation": fold["test"]} for fold in divided]


def trainer(job: Job, steps: int, folder: Path, until: int | None = None) -> Any:
    """What trains a job's network; with `until`, for so many steps and without validation."""
    import torch

    from organbench.core.files import tuples
    from organbench.data import cases
    from organbench.learning.settings import Task, Training
    from organbench.learning.trainer import Trainer
    from organbench.study import augmenting
    from organbench.study.kinds import network
    from organbench.study.settings import Study

    torch.set_num_threads(1)
    config = study(job["choice"])
    options, settings = network.settings("unet", config)
    task = Task(
        network=options,
        settings=Training(**tuples(settings | {"steps": steps, "validate_every": steps})),
        prediction=Study.of(config).prediction,
        window=tuple(config["preprocessing"]["window"]),
        organs=tuple(config["dataset"]["organs"]),
        seed=job["seed"],
        mirrored=tuple((one, other) for one, other in augmenting.pairs(config, settings)),
    )
    train, validation = ([cases.load(job["cases"] / name) for name in job[role]] for role in ("train", "validation"))
    options = {"device": torch.device("cpu"), "checkpoint": folder / "checkpoint.pt", "stamp": "", "until": until}
    return Trainer(task, train, [] if until else validation, **options)


def costs(job: Job, choices: list[str], steps: int) -> dict[str, int]:
    """The steps that each choice gets for the time of so many steps of the recipe as it is."""
    with tempfile.TemporaryDirectory() as folder:
        seconds: dict[str, list[float]] = {choice: [] for choice in [AS_IS, *choices]}
        for _ in range(TURNS):
            for choice, taken in seconds.items():
                learning = trainer(job | {"choice": choice}, 1000, Path(folder) / "none", until=TAKEN)
                started = time.process_time()
                learning.train()
                taken.append(time.process_time() - started)
    step = {choice: np.median(taken) for choice, taken in seconds.items()}
    return {choice: max(1, round(steps * step[AS_IS] / step[choice])) for choice in step}


def run(job: Job) -> dict[str, Any]:
    """Do a run in a process of its own; its row."""
    with tempfile.TemporaryDirectory() as folder:
        learning = trainer(job, job["steps"], Path(folder))
        started = time.process_time()
        rows = learning.train().rows
    used = time.process_time() - started  # the last validation included
    dice = {key: value for key, value in rows[-1].items() if key.startswith("dice_")}
    return {
        **{key: job[key] for key in KEYS},
        "steps": job["steps"],
        "processor_seconds": round(used, 1),
        "mean_dice": round(float(np.nanmean(list(dice.values()))), 4),
        **{key: round(value, 4) for key, value in dice.items()},
        "lost": sum(value < LOST for value in dice.values()),
        "last_loss": round(float(np.mean([row["loss"] for row in rows[-50:]])), 4),
    }


def jobs(names: list[str], work: Path, only: list[str], seeds: int) -> Iterator[Job]:
    """All runs, in the order in which they are done."""
    divided = folds(names)
    for seed in range(seeds):
        for number, fold in enumerate(divided):
            for choice in only:
                yield {"choice": choice, "fold": number, "seed": seed, "cases": work / "cases"} | fold


def measure(todo: list[Job], path: Path, steps: int, seconds: float, processes: int) -> None:
    """Do the runs that have no row yet, as long as there is time; no run is begun that may not end in it."""
    end, longest = time.monotonic() + seconds, 0.0
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    todo = [job for job in todo if not any(all(row[key] == job[key] for key in KEYS) for row in rows)]
    known = {row["choice"]: row["steps"] for row in rows}  # all runs of a choice are alike
    new = [choice for choice in dict.fromkeys(job["choice"] for job in todo) if choice not in known]
    known |= costs(todo[0], new, steps) if new else {}
    print(f"steps: {known}", flush=True)
    running: dict[Future[dict[str, Any]], float] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        for job in todo:
            while len(running) == processes:
                longest = max(longest, *take(running, rows, path))
            if time.monotonic() + longest > end:
                break
            running[pool.submit(run, job | {"steps": known[job["choice"]]})] = time.monotonic()
        while running:
            take(running, rows, path)


def take(running: dict[Future[dict[str, Any]], float], rows: list[Any], path: Path) -> list[float]:
    """Write the rows of runs that have ended; how long they took."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        rows.append(future.result())
        print(json.dumps(rows[-1]), flush=True)
    temporary = path.with_suffix(".new")
    pd.DataFrame(rows).to_csv(temporary, index=False)
    temporary.replace(path)
    return [time.monotonic() - running.pop(future) for future in done]


def brought(rows: pd.DataFrame) -> pd.DataFrame:
    """What each choice brings: the mean difference in Dice from the recipe as it is, paired by fold and seed."""
    table = rows.pivot_table(index=["fold", "seed"], columns="choice", values="mean_dice")
    found: list[Mapping[str, Any]] = []
    for choice in table:
        difference = (table[choice] - table[AS_IS]).dropna()
        own = rows[rows["choice"] == choice]
        found.append(
            {
                "choice": choice,
                "runs": len(own),
                "steps": int(own["steps"].median()),
                "mean_dice": own["mean_dice"].mean(),
                "difference": difference.mean(),
                "standard_error": difference.sem(),
                "lost_organs": own["lost"].sum(),
            }
        )
    return pd.DataFrame(found).sort_values("difference", ascending=False).round(4)


def main() -> None:
    """Measure what there is time for, and say what each choice brings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path, help="the patients: volume-<case>.nii.gz beside labels-<case>.nii.gz")
    parser.add_argument("--work", type=Path, default=Path("resources/recipe"), help="prepared cases and tables")
    parser.add_argument("--minutes", type=float, default=60.0, help="after which no run is begun")
    parser.add_argument("--steps", type=int, default=300, help="of the recipe as it is; its time is each training's")
    parser.add_argument("--seeds", type=int, default=3, help="of each fold")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="runs at a time")
    parser.add_argument("--only", nargs="+", choices=CHOICES, default=list(CHOICES), help="choices, by name")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    path = given.work / f"recipe-{given.steps}.csv"
    todo = list(jobs(prepared(given.root, given.work), given.work, given.only, given.seeds))
    measure(todo, path, given.steps, 60 * given.minutes, given.processes)
    rows = pd.read_csv(path)
    if AS_IS in set(rows["choice"]):
        print(brought(rows).to_string(index=False))


if __name__ == "__main__":
    main()
