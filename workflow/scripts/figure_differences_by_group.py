"""Draw how much the contenders differ in each group of patients."""

import pandas as pd

from organbench import figures
from organbench.jobs import job_log

with job_log(snakemake.log[0]):
    names = dict.fromkeys(("model_a", "model_b", "group"), str)
    differences = pd.read_csv(snakemake.input.differences, dtype=names)
    figure = figures.differences_by_group(differences)
    figures.save(figure, snakemake.output.png, snakemake.output.svg)
