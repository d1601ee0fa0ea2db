"""How long Snakemake takes to plan large studies: dry runs of 35, 70 and 140 cases, 4 networks, 5 folds, 3 seeds.

Seconds are those of the processor in one process, from its start to the end of the dry run.
"""

import json
import os
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import contest

CASES = (35, 70, 140)
STUDY = {
    "study": "scale",
    "dataset": {
        "source": "nifti",
        "root": "data",
        "organs": {"liver": 1, "bladder": 2, "lungs": 3, "kidneys": 4, "bone": 5, "brain": 6},
    },
    "split": {"method": "kfold", "folds": 5},
    "models": {
        f"{network}{dims}d": {"network": network, "dims": dims, "features": [32, 64, 128, 256, 512]}
        | ({"patch": [96, 160, 160], "batch_size": 2} if dims == 3 else {})
        for network in ("unet", "ghostunet")
        for dims in (2, 3)
    },
    "training": {"seeds": [0, 1, 2]},
}


def make_study(folder: Path, cases: int) -> None:
    """A study whose volumes and labels are empty files: a dry run looks at their names and times only."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for case in range(cases):
        for kind in ("volume", "labels"):
            (folder / "data" / f"{kind}-{case}.nii.gz").touch()
    (folder / "study.json").write_text(json.dumps(STUDY))


def dry_run(work: Path, cases: int) -> dict[str, float]:
    """A dry run of a study with 4 networks, 5 folds and 3 seeds of which nothing is there yet.

    The workflow is parsed, every job's inputs are looked for and its parameters made; only counts are printed.
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile", contest.HERE.parent / "Snakefile", "-n", "-q", "rules"]
    done = subprocess.run(
        [*command, "--cores", "1", "--configfile", "study.json"],
        cwd=work / f"scale-{cases}",
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    jobs = int(done.stdout.split("\ntotal")[1].split()[0])
    return {"seconds": used.ru_utime + used.ru_stime, "jobs": jobs}


def prepare(work: Path, _: Path) -> None:
    """The studies' folders."""
    for cases in CASES:
        make_study(work / f"scale-{cases}", cases)


if __name__ == "__main__":
    contest.main(
        "scale",
        {f"{cases} cases": partial(dry_run, cases=cases) for cases in CASES},
        claims=[
            {"what": f"dry run: 4 networks, 5 folds, 3 seeds; {kind}", "measure": measure, "ours": f"{cases} cases"}
            | ({"most": 20} if cases == CASES[-1] else {})
            for kind, measure in (("processor", "seconds"), ("from start to end", "process_seconds"))
            for cases in CASES
        ],
        prepare=prepare,
        needs_ct=False,
    )
