"""Gather the metrics of all cases, summarise them and compare the models."""

import pandas as pd

from organbench.analysis import cohort, conventions, ranks, statistics, verdicts
from organbench.core import jobs, tables
from organbench.core.runs import Run

with jobs.job_log(snakemake.log[0]):
    params = snakemake.params
    found = [
        tables.metrics(path, params.partial.get(Run.of(path).model, params.organs), params.models, some=params.some)
        for path in snakemake.input.metrics
    ]
    per_case = statistics.with_patients(pd.concat(found, ignore_index=True), params.patient)
    tables.write(per_case, snakemake.output.per_case)
    tables.write(statistics.summarise(per_case), snakemake.output.summary)
    tables.write(verdicts.compare(per_case, params.margins, params.fixed), snakemake.output.comparison)
    tables.write(ranks.rank(per_case), snakemake.output.ranks)
    tables.write(conventions.empty_masks(per_case), snakemake.output.empty_masks)
    tables.write(conventions.legacy(per_case), snakemake.output.legacy)
    tables.write(cohort.volume_agreement(per_case), snakemake.output.agreement)
