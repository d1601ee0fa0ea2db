"""Draw what data the study has."""

from organbench.core import tables
from organbench.core.jobs import job_log
from organbench.reporting import figures

with job_log(snakemake.log[0]):
    cases, split = (tables.read(path) for path in (snakemake.input.cases, snakemake.input.split))
    split = split[split["case"].isin(cases["case"])]  # without those that on_bad_case left out
    figure = figures.dataset_overview(cases, split, snakemake.params.organs)
    figures.save(figure, snakemake.output.png, snakemake.output.svg)
