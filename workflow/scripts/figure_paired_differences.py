"""Draw how much the contenders differ on the same cases."""

import pandas as pd

from organbench import figures
from organbench.jobs import job_log

with job_log(snakemake.log[0]):
    per_case = pd.read_csv(snakemake.input.per_case, dtype={"case": str})
    comparison = pd.read_csv(snakemake.input.comparison)
    figure = figures.paired_differences(per_case, comparison)
    figures.save(figure, snakemake.output.png, snakemake.output.svg)
