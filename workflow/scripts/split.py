"""Write down who is trained on, validated on and tested on; decided when the workflow was parsed."""

import pandas as pd

from organbench.core import tables
from organbench.core.jobs import job_log

with job_log(snakemake.log[0]):
    tables.write(pd.DataFrame(snakemake.params.rows, columns=["case", "fold", "role"]), snakemake.output[0])
