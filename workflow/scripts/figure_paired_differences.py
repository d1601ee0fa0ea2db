"""Draw how much the contenders differ on the same cases."""

from organbench.core import tables
from organbench.core.jobs import job_log
from organbench.reporting import figures

with job_log(snakemake.log[0]):
    per_case = tables.read(snakemake.input.per_case)
    comparison = tables.read(snakemake.input.comparison)
    figure = figures.paired_differences(per_case, comparison)
    figures.save(figure, snakemake.output.png, snakemake.output.svg)
