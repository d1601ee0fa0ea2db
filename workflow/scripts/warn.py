"""List what to look at before the tables are believed."""

import json
from pathlib import Path

import pandas as pd

from organbench.analysis import caveats
from organbench.core import tables
from organbench.core.jobs import job_log
from organbench.core.runs import Run


def training(path):
    """What a run's training says of what it learned."""
    run = Run.of(path)
    only_background = json.loads(Path(path).read_text()).get("predicts_only_background")
    return {"model": run.model, "fold": run.fold, "seed": run.seed, "predicts_only_background": only_background}


with job_log(snakemake.log[0]) as logger:
    trainings = pd.DataFrame([training(path) for path in snakemake.input.trainings]).astype(object)
    per_case = tables.read(snakemake.input.per_case)
    found = caveats.only_background(trainings, per_case)
    for words in found["words"]:
        logger.warning("warning: %s", words)  # warnings reach the screen
    tables.write(found, snakemake.output[0])
