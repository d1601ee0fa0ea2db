"""Gather the metrics of all cases, summarise them and compare the contenders."""

import pandas as pd

from organbench import cohort, conventions, statistics, verdicts
from organbench.errors import atomic, job_log

with job_log(snakemake.log[0]):
    per_case = pd.concat(
        [pd.read_csv(path, dtype={"case": str}) for path in snakemake.input.metrics], ignore_index=True
    )
    tables = {
        snakemake.output.per_case: per_case,
        snakemake.output.summary: statistics.summarise(per_case),
        snakemake.output.comparison: verdicts.compare(per_case, snakemake.params.margins),
        snakemake.output.ranks: verdicts.rank(per_case),
        snakemake.output.empty_masks: conventions.empty_masks(per_case),
        snakemake.output.legacy: conventions.legacy(per_case),
        snakemake.output.agreement: cohort.volume_agreement(per_case),
    }
    for output, table in tables.items():
        with atomic(output) as path:
            table.to_csv(path, index=False)
