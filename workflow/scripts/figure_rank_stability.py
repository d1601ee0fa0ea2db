"""Draw how often resamples give each contender each rank."""

from organbench.core import tables
from organbench.core.jobs import job_log
from organbench.reporting import figures

with job_log(snakemake.log[0]):
    stability = tables.read(snakemake.input.stability)
    figure = figures.rank_stability(stability, snakemake.params.models)
    figures.save(figure, snakemake.output.png, snakemake.output.svg)
