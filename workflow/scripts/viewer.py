"""Lay out the viewer: the page, NiiVue, and the table of cases."""

import shutil

from organbench.core import files, jobs, tables
from organbench.reporting import viewer

with jobs.job_log(snakemake.log[0]):
    params = snakemake.params
    data = viewer.study_data(
        tables.read(snakemake.input.per_case),
        tables.read(snakemake.input.agreement),
        study=params.study,
        generated=params.generated,
        organs=params.organs,
        folds=params.folds,
        seeds=params.seeds,
    )
    viewer.write_script("showStudy", data, snakemake.output.study)
    for source, target in zip(params.page, snakemake.output.page, strict=True):
        with files.atomic(target) as path:
            shutil.copyfile(source, path)
