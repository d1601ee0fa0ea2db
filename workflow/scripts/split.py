"""Write down who is trained on, validated on and tested on; decided when the workflow was parsed."""

import pandas as pd

from organbench.core.files import atomic
from organbench.core.jobs import job_log

with job_log(snakemake.log[0]), atomic(snakemake.output[0]) as path:
    pd.DataFrame(snakemake.params.rows, columns=["case", "fold", "role"]).to_csv(path, index=False)
