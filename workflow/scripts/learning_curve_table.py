"""Set the Dice of every network against the number of patients that it was trained on."""

import pandas as pd

from organbench.analysis import learning_curve, statistics
from organbench.core import errors, jobs, runs, tables

with jobs.job_log(snakemake.log[0]):
    params = snakemake.params
    if not snakemake.input.metrics:
        raise errors.InputError(
            "config, models: no network is trained by this study, so there is none to train on fewer patients; add one"
        )
    found = [
        tables.metrics(path, params.organs, params.models, some=params.some).assign(share=runs.Run.of(path).share)
        for path in snakemake.input.metrics
    ]
    per_case = statistics.with_patients(pd.concat(found, ignore_index=True), params.patient)
    tables.write(learning_curve.table(per_case, params.patients), snakemake.output[0])
