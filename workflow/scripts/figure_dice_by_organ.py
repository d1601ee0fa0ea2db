"""Draw the Dice of every case, by organ and network."""

import pandas as pd

from organbench import figures
from organbench.errors import job_log

with job_log(snakemake.log[0]):
    per_case = pd.read_csv(snakemake.input.per_case, dtype={"case": str})
    figure = figures.dice_by_organ(per_case, pd.read_csv(snakemake.input.summary))
    figures.save(figure, snakemake.output.png, snakemake.output.svg)
