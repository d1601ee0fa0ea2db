"""Draw what the candidates of tuning reached on the validation cases, and which were chosen."""

from organbench.core import tables
from organbench.core.jobs import job_log
from organbench.reporting import figures

with job_log(snakemake.log[0]):
    table, curves = tables.read(snakemake.input.tuning), tables.read(snakemake.input.curves)
    figure = figures.tuning(table, curves, snakemake.params.tuned, snakemake.params.models)
    figures.save(figure, snakemake.output.png, snakemake.output.svg)
