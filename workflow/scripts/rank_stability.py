"""Rank the models by their means, and say how often resamples of patients and trainings rank them so."""

from organbench.analysis import rank_stability
from organbench.core import jobs, tables

with jobs.job_log(snakemake.log[0]):
    per_case = tables.read(snakemake.input.per_case)
    tables.write(rank_stability.rank_stability(per_case, snakemake.params.metrics), snakemake.output.stability)
