"""Summarise and compare the models in each group of patients."""

from organbench.analysis import group_differences
from organbench.core import jobs, tables

with jobs.job_log(snakemake.log[0]):
    params = snakemake.params
    per_case = tables.read(snakemake.input.per_case)
    differences = group_differences.group_differences(per_case, params.groups, params.margins, params.fixed)
    tables.write(group_differences.group_summaries(per_case, params.groups), snakemake.output.groups)
    tables.write(differences, snakemake.output.differences)
