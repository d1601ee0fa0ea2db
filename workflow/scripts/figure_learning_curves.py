"""Draw loss and validation Dice of every run over its steps."""

import re

import pandas as pd

from organbench import figures, tables
from organbench.jobs import job_log

with job_log(snakemake.log[0]):
    histories = []
    for path in snakemake.input.histories:
        model, fold, seed = re.search(r"([^/]+)/fold(\d+)-seed(\d+)/history\.csv$", path).groups()
        histories.append(tables.read(path).assign(model=model, fold=int(fold), seed=int(seed)))
    figure = figures.learning_curves(pd.concat(histories, ignore_index=True), snakemake.params.models)
    figures.save(figure, snakemake.output.png, snakemake.output.svg)
