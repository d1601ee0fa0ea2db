"""Set each contender's cost beside its accuracy, and say which one to take with less to spend."""

import json
from pathlib import Path

import pandas as pd

from organbench import costs
from organbench.errors import atomic, job_log


def read(paths):
    """A row a file, with its run's model and seed."""
    rows = []
    for path in map(Path, paths):
        model, run = path.parts[path.parts.index("runs") + 1 :][:2]
        rows.append({**json.loads(path.read_text()), "model": model, "seed": run.partition("-seed")[2]})
    return pd.DataFrame(rows)


with job_log(snakemake.log[0]):
    found = costs.table(
        read(snakemake.input.trainings),
        read(snakemake.input.predictions),
        pd.read_csv(snakemake.input.summary),
        snakemake.params.ensembles,
    )
    advice = costs.advise(found, pd.read_csv(snakemake.input.comparison))
    for output, table in ((snakemake.output.cost, found), (snakemake.output.advice, advice)):
        with atomic(output) as path:
            table.to_csv(path, index=False)
