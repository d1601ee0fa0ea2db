"""Gather the metrics of all cases, summarise them and compare the contenders."""

import pandas as pd

from organbench import statistics
from organbench.errors import atomic, job_log

with job_log(snakemake.log[0]):
    per_case = pd.concat(
        [pd.read_csv(path, dtype={"case": str}) for path in snakemake.input.metrics], ignore_index=True
    )
    tables = {
        snakemake.output.per_case: per_case,
        snakemake.output.summary: statistics.summarise(per_case),
        snakemake.output.comparison: statistics.compare(per_case),
    }
    for output, table in tables.items():
        with atomic(output) as path:
            table.to_csv(path, index=False)
