"""Say which cases cannot be used, check what a single case cannot show, and list all cases in a table."""

import os

import pandas as pd

from organbench import cases, splits
from organbench.errors import InputError, atomic, job_log

with job_log(snakemake.log[0]) as logger:
    params = snakemake.params
    infos = {path: cases.read_info(path) for path in snakemake.input.cases}
    bad = params.incomplete | {info["case"]: info["bad"] for info in infos.values() if "bad" in info}
    if bad and params.on_bad_case == "stop":
        for reason in bad.values():
            logger.error("error: %s", reason)
        for path, info in infos.items():
            if "bad" in info:
                os.utime(path, (0, 0))  # older than its volume: the next run looks at the case again
        raise InputError(
            f"{len(bad)} of {len(infos)} cases cannot be used; mend their files, "
            "or go on without them by dataset.on_bad_case: skip"
        )
    good = [info for info in infos.values() if "bad" not in info]
    for fold in splits.without(params.folds, bad):
        cases.check_fold(good, fold, params.organs)
    tables = {
        snakemake.output.cases: pd.DataFrame([cases.overview(info) for info in good]),
        snakemake.output.bad: pd.DataFrame(bad.items(), columns=["case", "reason"]),
    }
    for output, table in tables.items():
        with atomic(output) as path:
            table.to_csv(path, index=False)
