"""Rank the contenders by their means, and say how often resamples of patients and trainings rank them so."""

import pandas as pd

from organbench import rank_stability
from organbench.files import atomic
from organbench.jobs import job_log

with job_log(snakemake.log[0]):
    per_case = pd.read_csv(snakemake.input.per_case, dtype={"model": str, "case": str, "patient": str})
    table = rank_stability.rank_stability(per_case, snakemake.params.metrics)
    with atomic(snakemake.output.stability) as path:
        table.to_csv(path, index=False)
