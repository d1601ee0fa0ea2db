"""Write the study's methods for a paper, with its references."""

import json
from pathlib import Path

import pandas as pd

from organbench import methods
from organbench.errors import atomic, job_log

with job_log(snakemake.log[0]):
    params = snakemake.params
    costs = {
        model: json.loads(Path(path).read_text())
        for model, path in zip(params.settings, snakemake.input.costs, strict=True)
    }
    cases = pd.read_csv(snakemake.input.cases, dtype={"case": str})
    with atomic(snakemake.output[0]) as path:
        references = Path(snakemake.input.references).read_text()
        path.write_text(methods.text(params.study, params.settings, params.folds, cases, costs, references))
