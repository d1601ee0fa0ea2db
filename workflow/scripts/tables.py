"""Gather the metrics of all cases, summarise them and compare the models."""

from io import StringIO
from pathlib import Path

import pandas as pd

from organbench.analysis import cohort, conventions, ranks, statistics, verdicts
from organbench.core import tables
from organbench.core.errors import InputError
from organbench.core.files import atomic
from organbench.core.jobs import job_log
from organbench.core.runs import Run


def read(path):
    """A case's metrics, if they are all there and of the case and run in whose place they lie."""
    path = Path(path)
    text = path.read_text(errors="replace")
    place = f"{Run.of(path)}/{path.stem}"
    try:
        table = tables.read(StringIO(text))
        whole = text.endswith("\n") and table["organ"].tolist() == snakemake.params.organs
        found = {f"{Run(row.model, row.fold, row.seed)}/{row.case}" for row in table.itertuples()}
    except (ValueError, KeyError, AttributeError):
        whole, found = False, set()
    if not whole or found != {place}:
        raise InputError(f"{path}: damaged, or not the metrics of {place}; delete it and run again")
    return table


with job_log(snakemake.log[0]):
    per_case = pd.concat([read(path) for path in snakemake.input.metrics], ignore_index=True)
    per_case = statistics.with_patients(per_case, snakemake.params.patient)
    written = {
        snakemake.output.per_case: per_case,
        snakemake.output.summary: statistics.summarise(per_case),
        snakemake.output.comparison: verdicts.compare(per_case, snakemake.params.margins, snakemake.params.fixed),
        snakemake.output.ranks: ranks.rank(per_case),
        snakemake.output.empty_masks: conventions.empty_masks(per_case),
        snakemake.output.legacy: conventions.legacy(per_case),
        snakemake.output.agreement: cohort.volume_agreement(per_case),
    }
    for output, table in written.items():
        with atomic(output) as path:
            table.to_csv(path, index=False)
