"""Say whether a data set is complete and sound, and what it holds; fail where it is not."""

import shutil
from pathlib import Path

from organbench.core import errors, files, jobs
from organbench.data import cases, doses, references, splits

with jobs.job_log(snakemake.log[0]) as logger:
    params = snakemake.params
    usable, excluded = cases.sort_out(snakemake.input.cases, params.incomplete, params.organs)
    faults = list(excluded.values())
    missing = set(splits.OFFICIAL) - {info["case"] for info in usable} - excluded.keys()
    if params.official and missing:
        faults.append(f"{len(missing)} of CT-ORG's 140 cases are not there: {splits.ranges(map(int, missing))}")
    try:
        for fold in splits.without(params.folds, excluded):
            cases.check_fold(usable, fold, params.organs)
        cases.check_whole(usable, params.folds, params.nnunet)
    except errors.InputError as error:
        faults.append(str(error))
    folder = Path(snakemake.input.cases[0]).parent
    needed, free = sum(map(cases.disk_bytes, usable)), shutil.disk_usage(folder).free
    if needed > free:
        faults.append(f"{folder}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free; make room")
    for line in [*cases.survey(usable), *references.survey(usable)]:
        logger.warning(line)  # warnings reach the screen
    if planned := {path[: -len(".json")].rpartition("/")[2]: files.read_json(path) for path in snakemake.input.doses}:
        planned = {case: dose for case, dose in planned.items() if "excluded" not in dose}
        for case, dose in planned.items():
            logger.info("case %s: dose %s", case, dose)
        for line in doses.told(planned):
            logger.warning(line)
        faults += [dose["bad"] for dose in planned.values() if "bad" in dose]
    logger.warning(f"prepared cases will take {needed / 1e9:.1f} GB of the {free / 1e9:.1f} GB that are free")
    for fault in faults:
        logger.error("error: %s", fault)
    if faults:
        raise errors.InputError(
            f"{len(faults)} faults; {len(usable)} of {len(usable) + len(excluded)} cases can be used"
        )
    logger.warning("the data set is complete and sound")
