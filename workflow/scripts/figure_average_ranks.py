"""Draw the contenders' average ranks, and which of them cannot be told apart."""

import pandas as pd

from organbench import figures
from organbench.jobs import job_log

with job_log(snakemake.log[0]):
    figure = figures.average_ranks(pd.read_csv(snakemake.input.ranks), snakemake.params.models)
    figures.save(figure, snakemake.output.png, snakemake.output.svg)
