"""Count the patients on whom the contenders fail, and compare them."""

import pandas as pd

from organbench import failure_rates
from organbench.files import atomic
from organbench.jobs import job_log

with job_log(snakemake.log[0]):
    per_case = pd.read_csv(snakemake.input.per_case, dtype={"model": str, "case": str, "patient": str})
    limit = snakemake.params.failure
    tables = {
        snakemake.output.rates: failure_rates.failure_rates(per_case, limit),
        snakemake.output.differences: failure_rates.failure_differences(per_case, limit),
    }
    for output, table in tables.items():
        with atomic(output) as path:
            table.to_csv(path, index=False)
