"""Draw Dice against the number of patients that were trained on."""

from organbench.core import tables
from organbench.core.jobs import job_log
from organbench.reporting import figures

with job_log(snakemake.log[0]):
    figure = figures.learning_curve(tables.read(snakemake.input.table), snakemake.params.models)
    figures.save(figure, snakemake.output.png, snakemake.output.svg)
