"""List what to look at before the tables are believed."""

import pandas as pd

from organbench.analysis import caveats
from organbench.core import jobs, tables
from organbench.data import cases, splits

with jobs.job_log(snakemake.log[0]) as logger:
    params = snakemake.params
    trainings, per_case = tables.records(snakemake.input.trainings), tables.read(snakemake.input.per_case)
    infos = [cases.read_info(path) for path in snakemake.input.cases]
    scans = {info["case"]: (info["checksums"]["image"], info["hu"]) for info in infos if "bad" not in info}
    folds = [{role: [case for case in fold[role] if case in scans] for role in splits.ROLES} for fold in params.folds]
    found = [
        caveats.duplicates(folds, scans),
        caveats.unlabelled(params.unlabelled),
        caveats.never_found(per_case, params.labelled),
        caveats.only_background(trainings, per_case),
        caveats.undosed(per_case),
    ]
    table = pd.concat([rows for rows in found if len(rows)] or found, ignore_index=True)
    for words in table["words"]:
        logger.warning("warning: %s", words)  # warnings reach the screen
    tables.write(table.astype({"fold": "Int64", "seed": "Int64"}), snakemake.output[0])
