"""List what every candidate of tuning reached on the validation cases, and which one was chosen."""

import json
from pathlib import Path

import pandas as pd

from organbench.analysis import choosing
from organbench.core.files import atomic
from organbench.core.jobs import job_log
from organbench.core.runs import Run
from organbench.study import tuning

with job_log(snakemake.log[0]):
    candidates = tuning.candidates(snakemake.params.tune)
    scores, curves = [], []
    for choice in map(Path, snakemake.input.choices):
        run = Run.of(choice)
        name = json.loads(choice.read_text())["candidate"]
        table = choosing.assess(choice.parent, candidates, snakemake.params.weights[run.model])
        table.insert(table.columns.get_loc("failed"), "chosen", [candidate == name for candidate in candidates])
        for found, rows in ((scores, table), (curves, choosing.curves(choice.parent, candidates))):
            rows.insert(0, "model", run.model)
            rows.insert(1, "fold", run.fold)
            found.append(rows)
    for output, tables in ((snakemake.output.tuning, scores), (snakemake.output.curves, curves)):
        with atomic(output) as path:
            pd.concat(tables, ignore_index=True).to_csv(path, index=False)
