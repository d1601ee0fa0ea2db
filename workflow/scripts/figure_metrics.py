"""Draw metrics of every case, by organ and network."""

from organbench.core import tables
from organbench.core.jobs import job_log
from organbench.reporting import figures

with job_log(snakemake.log[0]):
    per_case = tables.read(snakemake.input.per_case)
    summary = tables.read(snakemake.input.summary)
    for metric in snakemake.params.metrics:
        figure = figures.metric_by_organ(per_case, summary, metric)
        figures.save(figure, snakemake.output[f"{metric}_png"], snakemake.output[f"{metric}_svg"])
