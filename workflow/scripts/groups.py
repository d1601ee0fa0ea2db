"""Summarise and compare the contenders in each group of patients."""

import pandas as pd

from organbench import group_differences
from organbench.files import atomic
from organbench.jobs import job_log

with job_log(snakemake.log[0]):
    params = snakemake.params
    per_case = pd.read_csv(snakemake.input.per_case, dtype={"model": str, "case": str, "patient": str})
    tables = {
        snakemake.output.groups: group_differences.group_summaries(per_case, params.groups),
        snakemake.output.differences: group_differences.group_differences(per_case, params.groups, params.margins),
    }
    for output, table in tables.items():
        with atomic(output) as path:
            table.to_csv(path, index=False)
