"""Draw how often resamples give each contender each rank."""

import pandas as pd

from organbench import figures
from organbench.jobs import job_log

with job_log(snakemake.log[0]):
    stability = pd.read_csv(snakemake.input.stability, dtype={"model": str})
    figure = figures.rank_stability(stability, snakemake.params.models)
    figures.save(figure, snakemake.output.png, snakemake.output.svg)
