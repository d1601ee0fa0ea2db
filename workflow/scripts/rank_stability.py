"""Rank the models by their means, and say how often resamples of patients and trainings rank them so."""

from organbench.analysis import rank_stability
from organbench.core import tables
from organbench.core.jobs import job_log

with job_log(snakemake.log[0]):
    per_case = tables.read(snakemake.input.per_case)
    tables.write(rank_stability.rank_stability(per_case, snakemake.params.metrics), snakemake.output.stability)
