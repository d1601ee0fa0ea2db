"""Draw loss and validation Dice of every run over its steps."""

from organbench.core import tables
from organbench.core.jobs import job_log
from organbench.reporting import figures

with job_log(snakemake.log[0]):
    figure = figures.learning_curves(tables.histories(snakemake.input.histories), snakemake.params.models)
    figures.save(figure, snakemake.output.png, snakemake.output.svg)
