"""Write the study's methods for a paper with its references, its whole configuration, and what it ran on."""

import json
from pathlib import Path

import pandas as pd

from organbench import methods
from organbench.files import atomic
from organbench.jobs import job_log

with job_log(snakemake.log[0]):
    params = snakemake.params
    costs = {
        model: json.loads(Path(path).read_text())
        for model, path in zip(params.settings, snakemake.input.costs, strict=True)
    }
    cases = pd.read_csv(snakemake.input.cases, dtype={"case": str})
    bad = pd.read_csv(snakemake.input.bad, dtype=str)
    tuning = pd.read_csv(snakemake.input.tuning) if snakemake.input.tuning else None
    with atomic(snakemake.output.configuration) as path:
        path.write_text(params.configuration)
    with atomic(snakemake.output.versions) as path:
        methods.versions(costs).to_csv(path, index=False)
    with atomic(snakemake.output.methods) as path:
        references = Path(snakemake.input.references).read_text()
        found = params.study, params.settings, params.folds, cases, bad, costs, references, tuning
        path.write_text(methods.text(*found))
