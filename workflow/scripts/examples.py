"""Gather how far the models agree on each case, and choose the cases that are shown."""

import pandas as pd

from organbench.analysis import cohort
from organbench.core import jobs, tables

with jobs.job_log(snakemake.log[0]):
    agreements = pd.concat([tables.read(path) for path in snakemake.input.agreements], ignore_index=True)
    examples = cohort.example_cases(tables.read(snakemake.input.per_case), agreements)
    tables.write(agreements, snakemake.output.agreement)
    tables.write(examples, snakemake.output.examples)
