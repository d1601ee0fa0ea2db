"""Check what a single case cannot show, and list all cases in a table."""

import json
from pathlib import Path

import pandas as pd

from organbench import cases
from organbench.errors import atomic, job_log

with job_log(snakemake.log[0]):
    infos = [json.loads(Path(path).read_text()) for path in snakemake.input.cases]
    for fold in snakemake.params.folds:
        cases.check_fold(infos, fold, snakemake.params.organs)
    with atomic(snakemake.output[0]) as path:
        pd.DataFrame([cases.overview(info) for info in infos]).to_csv(path, index=False)
