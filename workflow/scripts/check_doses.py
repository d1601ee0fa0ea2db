"""Say what the planned doses of the test cases are like before anything is trained; fail where one cannot be used."""

import pandas as pd

from organbench.core import errors, files, jobs, tables
from organbench.data import doses

with jobs.job_log(snakemake.log[0]) as logger:
    read = dict(zip(snakemake.params.cases, map(files.read_json, snakemake.input.doses), strict=True))
    found = {case: dose for case, dose in read.items() if "excluded" not in dose}
    for line in doses.told(found):
        logger.warning(line)  # warnings reach the screen
    bad = [dose["bad"] for dose in found.values() if "bad" in dose]
    for fault in bad:
        logger.error("error: %s", fault)
    if bad:
        raise errors.InputError(
            f"{len(bad)} of {len(found)} planned doses cannot be used; mend their files, or move them away: without a "
            "dose a case is not scored in Gy"
        )
    rows = [(case, dose.get("highest"), ", ".join(dose.get("uncovered", []))) for case, dose in found.items()]
    tables.write(pd.DataFrame(rows, columns=["case", "highest_gy", "uncovered"]), snakemake.output[0])
