"""Gather the metrics of all cases, summarise them and compare the models."""

import pandas as pd

from organbench.analysis import cohort, conventions, ranks, statistics, verdicts
from organbench.core import tables
from organbench.core.files import atomic
from organbench.core.jobs import job_log

with job_log(snakemake.log[0]):
    params = snakemake.params
    found = [tables.metrics(path, params.organs, params.models) for path in snakemake.input.metrics]
    per_case = statistics.with_patients(pd.concat(found, ignore_index=True), params.patient)
    written = {
        snakemake.output.per_case: per_case,
        snakemake.output.summary: statistics.summarise(per_case),
        snakemake.output.comparison: verdicts.compare(per_case, params.margins, params.fixed),
        snakemake.output.ranks: ranks.rank(per_case),
        snakemake.output.empty_masks: conventions.empty_masks(per_case),
        snakemake.output.legacy: conventions.legacy(per_case),
        snakemake.output.agreement: cohort.volume_agreement(per_case),
    }
    for output, table in written.items():
        with atomic(output) as path:
            table.to_csv(path, index=False)
