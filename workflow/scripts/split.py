"""Write down who is trained on, validated on and tested on; decided when the workflow was parsed."""

import pandas as pd

from organbench.core import jobs, tables

with jobs.job_log(snakemake.log[0]):
    tables.write(pd.DataFrame(snakemake.params.rows, columns=["case", "fold", "role"]), snakemake.output[0])
