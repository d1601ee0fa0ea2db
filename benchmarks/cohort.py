"""What a case costs in a study of CT-ORG's size: 140 CTs of 512 x 512 x 450 voxels, drawn, converted and trained on.

Seconds are those of the processor, in one thread. Every phantom is drawn, converted and deleted, one a core at a time;
drawing takes most of the time and is no part of a study of patients.

Usage: python benchmarks/cohort.py --work FOLDER; the folder is new, and deleted at the end.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import contest
import inputs

SIZE = [512, 512, 450]  # voxels, x y z: CT-ORG's median
SPACING = (2.0, 2.0, 2.0)  # mm, as in config/ct-org.yaml
NETWORK = {"network": "unet", "dims": 2, "features": [16, 32, 64, 128, 256]}
STEPS = 12
FEW = 10  # cases, to compare training on all with


def files_of(work: Path, number: int) -> list[Path]:
    """Where a phantom's volume and labels are."""
    return [work / f"{kind}-{number}.nii.gz" for kind in ("volume", "labels")]


def draw(work: Path, number: int) -> dict[str, float]:
    """The workflow's rule phantom: a patient is drawn, and volume and labels are written as gzipped NIfTI.

    MB are those of both files.
    """
    from organbench.data import images
    from organbench.data.sources.phantoms.scan import phantom

    files = files_of(work, number)
    for image, file in zip(phantom(number, seed=4, size=SIZE), files, strict=True):
        images.write(image, file)
    return {"mb": sum(file.stat().st_size for file in files) / 1e6}


def convert(work: Path, number: int) -> dict[str, float]:
    """The workflow's rule convert, to 2 mm as in config/ct-org.yaml.

    MB are those of the prepared case.
    """
    from organbench.data import conversion
    from organbench.data.sources.phantoms.patient import ORGANS

    folder = work / "cases" / str(number)
    organs = {organ: [value] for organ, value in ORGANS.items()}
    conversion.convert(str(number), *files_of(work, number), folder, organs=organs, spacing=SPACING)
    return {"mb": sum(file.stat().st_size for file in folder.iterdir()) / 1e6}


def train(work: Path, number: int) -> dict[str, float]:
    """A 2D U-Net on memory-mapped cases, as the workflow trains; the default study's batch of 14 crops.

    Each case is read once when training starts, to see that it is whole: milliseconds a case. Then twelve steps are
    done: milliseconds a step, with their batches and the making of the network. Both are the processor's.
    """
    import torch

    from organbench.data import cases
    from organbench.data.sources.phantoms.patient import ORGANS
    from organbench.hardware import devices
    from organbench.learning.trainer import Trainer

    _, settings = inputs.training_settings()
    settings |= {"steps": STEPS, "validate_every": STEPS + 1, "precision": "fp32"}
    (work / "checkpoint.pt").unlink(missing_ok=True)  # of a run before, which this one must not go on from
    started = time.process_time()
    trained = cases.load_all([work / "cases" / str(case) for case in range(number)])
    loaded = time.process_time()
    Trainer(
        inputs.task(NETWORK, settings, (-1000, 1000), ORGANS),
        trained,
        [],
        device=devices.prepare(threads=torch.get_num_threads(), gpus=0),
        checkpoint=work / "checkpoint.pt",
        stamp="",
    ).train()
    ended = time.process_time()
    return {"ms_a_case": 1000 * (loaded - started) / number, "ms_a_step": 1000 * (ended - loaded) / STEPS}


PARTS = {part.__name__: part for part in (draw, convert, train)}


def measured(part: str, work: Path, number: int) -> dict[str, Any]:
    """What a part measured of itself in a process of its own, with that process's seconds and most memory."""
    command = [sys.executable, __file__, "--work", work, "--part", part, "--number", str(number)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert process.stdout
    printed = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{part} {number} failed")
    found = json.loads(printed.splitlines()[-1])
    found |= {"cpu_seconds": round(used.ru_utime + used.ru_stime, 3), "peak_mib": round(used.ru_maxrss / 1024, 1)}
    print(part, number, contest.shown(found), flush=True)
    return found


def prepared(work: Path, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What drawing and converting a phantom took; its files are deleted, its prepared case stays."""
    drawing, conversion = measured("draw", work, number), measured("convert", work, number)
    for file in files_of(work, number):
        file.unlink()
    return drawing, conversion


def main(work: Path, cases: int) -> None:
    """Measure all parts, write results/cohort.json and delete what was made."""
    load = os.getloadavg()[0]
    work.mkdir(parents=True)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        drawings, conversions = zip(*pool.map(lambda number: prepared(work, number), range(cases)), strict=True)
    trainings = {count: [measured("train", work, count) for _ in range(3)] for count in (FEW, cases)}
    contestants = {
        "drawing": {"does": contest.does(draw), "runs": drawings},
        "converting": {"does": contest.does(convert), "runs": conversions},
    } | {f"training on {count} cases": {"does": contest.does(train), "runs": runs} for count, runs in trainings.items()}
    claims = [
        {"what": what, "measure": measure, "ours": name}
        for name, contestant in contestants.items()
        for measure, what in WORDS.items()
        if measure in contestant["runs"][0]
    ]
    machine = contest.machine() | {"load_before": round(load, 2)}
    content = {"benchmark": "cohort", "machine": machine, "contestants": contestants, "claims": claims}
    (contest.HERE / "results" / "cohort.json").write_text(json.dumps(content, indent=1) + "\n")
    shutil.rmtree(work)


WORDS = {
    "cpu_seconds": "512 x 512 x 450: processor time of the process",
    "ms_a_case": "512 x 512 x 450: processor time of checking a case before training",
    "ms_a_step": "512 x 512 x 450: processor time a step",
    "peak_mib": "512 x 512 x 450: peak memory",
    "mb": "512 x 512 x 450: disk a case",
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=140, help="that are drawn, converted and trained on")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        print(json.dumps(PARTS[given.part](given.work, given.number)))
    else:
        main(given.work, given.cases)
