"""Draw what the candidates of tuning reached on the validation cases, and which were chosen."""

import pandas as pd

from organbench import figures
from organbench.jobs import job_log

with job_log(snakemake.log[0]):
    table, curves = pd.read_csv(snakemake.input.tuning), pd.read_csv(snakemake.input.curves)
    figure = figures.tuning(table, curves, snakemake.params.tuned, snakemake.params.models)
    figures.save(figure, snakemake.output.png, snakemake.output.svg)
