"""Draw the contenders' average ranks, and which of them cannot be told apart."""

from organbench.core import tables
from organbench.core.jobs import job_log
from organbench.reporting import figures

with job_log(snakemake.log[0]):
    figure = figures.average_ranks(tables.read(snakemake.input.ranks), snakemake.params.models)
    figures.save(figure, snakemake.output.png, snakemake.output.svg)
