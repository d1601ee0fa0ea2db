"""Draw metrics of every case, by organ and network."""

import pandas as pd

from organbench import figures
from organbench.jobs import job_log

with job_log(snakemake.log[0]):
    per_case = pd.read_csv(snakemake.input.per_case, dtype={"case": str})
    summary = pd.read_csv(snakemake.input.summary)
    for metric in snakemake.params.metrics:
        figure = figures.metric_by_organ(per_case, summary, metric)
        figures.save(figure, snakemake.output[f"{metric}_png"], snakemake.output[f"{metric}_svg"])
