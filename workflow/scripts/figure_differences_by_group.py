"""Draw how much the contenders differ in each group of patients."""

from organbench.core import tables
from organbench.core.jobs import job_log
from organbench.reporting import figures

with job_log(snakemake.log[0]):
    differences = tables.read(snakemake.input.differences)
    figure = figures.differences_by_group(differences)
    figures.save(figure, snakemake.output.png, snakemake.output.svg)
