"""Say which cases cannot be used, check what a single case cannot show, and list all cases in a table."""

from pathlib import Path

import pandas as pd

from organbench.core import errors, jobs, tables
from organbench.data import cases, origins, splits
from organbench.study import identity

with jobs.job_log(snakemake.log[0]) as logger:
    params = snakemake.params
    usable, excluded = cases.sort_out(snakemake.input.cases, params.incomplete, params.organs)
    if excluded and params.on_bad_case == "stop":
        for reason in excluded.values():
            logger.error("error: %s", reason)
        raise errors.InputError(
            f"{len(excluded)} of {len(usable) + len(excluded)} cases cannot be used; mend their files, "
            "or go on without them by dataset.on_bad_case: skip"
        )
    for fold in splits.without(params.folds, excluded):
        cases.check_fold(usable, fold, params.organs)
    cases.check_whole(usable, params.folds, params.nnunet)
    # Conversions are over, so that it is known now whether what was trained on is still the same.
    folders = {Path(path).parent.name: Path(path).parent for path in snakemake.input.cases}
    infos = {info["case"]: {**info, "sources": origins.read(folders[info["case"]])} for info in usable}
    lines = identity.outdated(params.finished, infos)
    if lines and not params.replace:
        for line in lines:
            logger.error("error: %s", line)
        raise errors.InputError(
            f"{len(lines)} finished trainings are not what the study asks for any more; mend the data, or train anew "
            "by --config replace_trainings=true, which sets aside the weights that are replaced"
        )
    tables.write(pd.DataFrame([cases.overview(info) for info in usable]), snakemake.output.cases)
    tables.write(pd.DataFrame(excluded.items(), columns=["case", "reason"]), snakemake.output.bad)
