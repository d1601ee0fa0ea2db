"""Draw accuracy against what it costs."""

import pandas as pd

from organbench import figures
from organbench.errors import job_log

with job_log(snakemake.log[0]):
    figure = figures.pareto(pd.read_csv(snakemake.input.cost))
    figures.save(figure, snakemake.output.png, snakemake.output.svg)
