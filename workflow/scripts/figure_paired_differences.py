"""Draw how much the contenders differ on the same cases."""

import pandas as pd

from organbench import figures
from organbench.errors import job_log

with job_log(snakemake.log[0]):
    per_case = pd.read_csv(snakemake.input.per_case, dtype={"case": str})
    figure = figures.paired_differences(per_case, pd.read_csv(snakemake.input.comparison))
    figures.save(figure, snakemake.output.png, snakemake.output.svg)
