"""Set each model's cost beside its accuracy, and say which one to take with less to spend."""

import json
from pathlib import Path

import pandas as pd

from organbench.analysis import costs
from organbench.core import tables
from organbench.core.jobs import job_log
from organbench.core.runs import Run


def read(paths):
    """A row per file, with its run's model and seed."""
    rows = []
    for path in map(Path, paths):
        run = Run.of(path)
        rows.append({**json.loads(path.read_text()), "model": run.model, "seed": run.seed})
    return pd.DataFrame(rows)


with job_log(snakemake.log[0]):
    summary = tables.read(snakemake.input.summary)
    trainings, predictions = read(snakemake.input.trainings), read(snakemake.input.predictions)
    tunings = read(snakemake.input.tunings) if snakemake.input.tunings else None
    found = costs.table(trainings, predictions, summary, snakemake.params.ensembles, tunings)
    tables.write(found, snakemake.output.cost)
    tables.write(costs.fronts(found, summary), snakemake.output.pareto)
    tables.write(costs.advise(found, tables.read(snakemake.input.comparison)), snakemake.output.advice)
