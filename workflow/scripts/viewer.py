"""Lay out the viewer: the page, NiiVue, and the table of cases."""

import shutil

from organbench.core import files, jobs, tables
from organbench.reporting import viewer

with jobs.job_log(snakemake.log[0]):
    per_case, agreement = tables.read(snakemake.input.per_case), tables.read(snakemake.input.agreement)
    shown = {key: snakemake.params[key] for key in ("study", "generated", "organs", "folds", "seeds")}
    viewer.write_script("showStudy", viewer.study_data(per_case, agreement, **shown), snakemake.output.study)
    for source, target in zip(snakemake.params.page, snakemake.output.page, strict=True):
        with files.atomic(target) as path:
            shutil.copyfile(source, path)
