"""Summarise and compare the models in each group of patients."""

from organbench.analysis import group_differences
from organbench.core import tables
from organbench.core.files import atomic
from organbench.core.jobs import job_log

with job_log(snakemake.log[0]):
    params = snakemake.params
    per_case = tables.read(snakemake.input.per_case)
    written = {
        snakemake.output.groups: group_differences.group_summaries(per_case, params.groups),
        snakemake.output.differences: group_differences.group_differences(
            per_case, params.groups, params.margins, params.fixed
        ),
    }
    for output, table in written.items():
        with atomic(output) as path:
            table.to_csv(path, index=False)
