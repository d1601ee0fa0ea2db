"""List what every candidate of tuning reached on the validation cases, and which one was chosen."""

from pathlib import Path

import pandas as pd

from organbench.analysis import choosing
from organbench.core import files, jobs, runs, tables
from organbench.study import tuning

with jobs.job_log(snakemake.log[0]):
    candidates = tuning.candidates(snakemake.params.tune)
    scores, curves = [], []
    for choice in map(Path, snakemake.input.choices):
        run = runs.Run.of(choice)
        name = files.read_json(choice)["candidate"]
        table = choosing.assess(choice.parent, candidates, snakemake.params.weights[run.model])
        table.insert(table.columns.get_loc("failed"), "chosen", [candidate == name for candidate in candidates])
        for found, rows in ((scores, table), (curves, choosing.curves(choice.parent, candidates))):
            rows.insert(0, "model", run.model)
            rows.insert(1, "fold", run.fold)
            found.append(rows)
    tables.write(pd.concat(scores, ignore_index=True), snakemake.output.tuning)
    tables.write(pd.concat(curves, ignore_index=True), snakemake.output.curves)
